"""`python -m bench [NAME…]`: run the benchmarks and print their figures, ratios measured in one run.

Each module of this package has `run() -> list[tuple[str, str]]`: the name of a figure and the figure with its unit.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import bench


def main(names: list[str]) -> int:
    known = sorted(m.name for m in pkgutil.iter_modules(bench.__path__) if not m.name.startswith("_"))
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"bench: no benchmark {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    for name in names or known:
        print(f"{name}", flush=True)
        for figure, value in importlib.import_module(f"bench.{name}").run():
            print(f"  {figure:60} {value}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
