PY := .venv/bin/python
BIN := .venv/bin

.PHONY: help check lint types imports test bench down lock

help:            ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

check:           ## lint, types, import contracts
	bash scripts/check.sh

lint:            ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:           ## mypy, strict
	$(BIN)/mypy

imports:         ## layers, purity
	$(BIN)/lint-imports

test:            ## every test (as ./test does after its set-up)
	./test

bench:           ## ratios in one run; needs root
	$(PY) -m bench

down:            ## end the lab
	$(BIN)/tortie down

lock:            ## pin every dependency again
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header -q -o requirements.lock
