#!/usr/bin/env bash
# Lint, types, import contracts: what `make check` and the tests in CI begin with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONPATH
[ -x .venv/bin/ruff ] || {
    echo 'check: there is no environment in .venv yet; ./test (or ./up) makes it' >&2
    exit 1
}
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/lint-imports
