"""A long, coverage-guided run: `python -m tests.fuzz [--seconds N] [TARGET...]`.

Needs atheris (`pip install atheris`), which the project does not depend on. The corpus is kept for the time of the run
only. A finding does not end the run: each place that fails is told once, with the bytes that reach it.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> int:
    """Every target after the other, each in a process of its own. Exit code 1: something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--corpus", type=Path, help="directory to keep the corpus in, one below it for each target")
    parser.add_argument("targets", nargs="*", help="all by default")
    asked = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        parser.error("the long run needs atheris: pip install atheris")
    from tests.fuzz.targets import TARGETS

    if unknown := [name for name in asked.targets if name not in TARGETS]:
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    codes = [_child(name, asked.seconds, asked.corpus) for name in asked.targets or TARGETS]
    return int(any(codes))


def _child(name: str, seconds: int, keep: Path | None) -> int:
    with tempfile.TemporaryDirectory() as temporary:
        corpus = (keep or Path(temporary)) / name
        corpus.mkdir(parents=True, exist_ok=True)
        limits = [
            f"-max_total_time={seconds}",
            "-timeout=30",
            "-rss_limit_mb=3000",
            "-max_len=4096",
            "-print_final_stats=1",
        ]
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.child", name, str(corpus), *limits],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        found, runs = 0, "?"
        for line in child.stdout or ():
            if line.startswith(("FOUND", "  ", "==", "SUMMARY")) or "Error" in line:
                print(line, end="", flush=True)
            found += line.startswith("FOUND")
            runs = line.split()[-1] if "number_of_executed_units" in line else runs
        code = child.wait()
        inputs = len(list(corpus.iterdir()))
        print(f"{name}: {seconds} s, {runs} runs, {inputs} inputs kept, {found} found, exit {code}", flush=True)
        return code or found


class Noted:
    """A target that goes on after a finding: each place that fails is told once."""

    def __init__(self, run: Callable[[bytes], None]) -> None:
        self._run = run
        self.seen: set[str] = set()

    def __call__(self, data: bytes) -> None:
        try:
            self._run(data)
        except Exception as error:  # noqa: BLE001 - whatever is raised here is what is looked for
            frames = traceback.extract_tb(error.__traceback__)
            ours = [frame for frame in frames if "tortie" in frame.filename or "fuzz" in frame.filename]
            place = f"{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}"
            if place not in self.seen:
                self.seen.add(place)
                print(f"FOUND {place}: {str(error)[:300]}\n  {base64.b64encode(data).decode()}", flush=True)


def fuzz(arguments: list[str]) -> None:
    """The child: never returns while atheris runs."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["tortie"]):
        from tests.fuzz.targets import TARGETS
    name, corpus, *limits = arguments
    for number, seed in enumerate(TARGETS[name].seeds):
        (Path(corpus) / f"seed-{number}").write_bytes(seed)
    noted = Noted(TARGETS[name].run)
    atheris.Setup(["fuzz", corpus, f"-artifact_prefix={corpus}/", *limits], noted)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
