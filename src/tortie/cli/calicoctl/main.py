"""`calicoctl`: picks the grammar of an era and runs it.

CALICOCTL_GRAMMAR or a program name that ends in a version (`calicoctl-v0.19.0`) fixes the grammar.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence

DEFAULT_GRAMMAR = "0.19"


def grammar(program: str, environ: Mapping[str, str]) -> str:
    """`0.19` from CALICOCTL_GRAMMAR=v0.19.0 or from a program named calicoctl-0.19; else the default."""
    asked = environ.get("CALICOCTL_GRAMMAR") or os.path.basename(program).removeprefix("calicoctl").lstrip("-_")
    match = re.fullmatch(r"v?(\d+)\.(\d+)(\.\d+)?", asked)
    if match:
        return f"{match[1]}.{match[2]}"
    return asked if environ.get("CALICOCTL_GRAMMAR") else DEFAULT_GRAMMAR


def main() -> None:
    wanted = grammar(sys.argv[0], os.environ)
    run = _program(wanted)
    if run is None:
        print(f"calicoctl: no grammar {wanted}; known: {DEFAULT_GRAMMAR}", file=sys.stderr)
        sys.exit(1)
    try:
        code = run(sys.argv[1:], os.environ)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("Aborted command.")
        code = 0
    except BrokenPipeError:
        # Who read our output has gone; keep the interpreter from telling again while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def _program(wanted: str) -> Callable[[Sequence[str], Mapping[str, str]], int] | None:
    if wanted == "0.19":
        from tortie.cli.calicoctl.era019.main import run

        return run
    return None


if __name__ == "__main__":
    main()
