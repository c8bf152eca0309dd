"""`python -m bench [--json | --markdown] [--quick] [NAME…]`: run the benchmarks and print their figures.

Ratios are of one run: what is compared was measured in turns.

Each module of this package has `run() -> list[tuple[str, str]]`: the name of a figure and the figure with its unit.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import sys

import bench


def main(words: list[str]) -> int:
    known = sorted(m.name for m in pkgutil.iter_modules(bench.__path__) if not m.name.startswith("_"))
    parser = argparse.ArgumentParser(prog="python -m bench", description=f"there are {', '.join(known)}")
    parser.add_argument("names", nargs="*", metavar="NAME", help="all, where none is given")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one object: name of the benchmark, name of the figure")
    form.add_argument("--markdown", action="store_true", help="a table for each benchmark")
    parser.add_argument("--quick", action="store_true", help="small sizes, few repetitions: does it work at all?")
    options = parser.parse_args(words)
    if options.quick:
        os.environ[bench.QUICK] = "1"
    options.names = [name.replace("-", "_") for name in options.names]
    unknown = [name for name in options.names if name not in known]
    if unknown:
        print(f"bench: no benchmark {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    found: dict[str, dict[str, str]] = {}
    for name in options.names or known:
        if options.markdown:
            print(f"\n| {name} | |\n| --- | --- |", flush=True)
        elif not options.json:
            print(name, flush=True)
        for figure, value in importlib.import_module(f"bench.{name}").run():
            found.setdefault(name, {})[figure] = value
            if not options.json:
                print(f"| {figure} | {value} |" if options.markdown else f"  {figure:60} {value}", flush=True)
    if options.json:
        print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
