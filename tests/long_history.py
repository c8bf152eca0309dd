"""The random histories of the policy engine, for long: `python -m tests.long_history [--steps N] [--seed N]`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.pure.policy.agreement import walk

LENGTH = 2000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.long_history", description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000, help="in all; each history has up to 2,000")
    parser.add_argument("--seed", type=int, default=1000, help="of the first history")
    asked = parser.parse_args()
    start, verdicts, done, seed = time.monotonic(), 0, 0, asked.seed
    while done < asked.steps:
        length = min(LENGTH, asked.steps - done)
        verdicts += walk(seed, length, each=2)
        done, seed = done + length, seed + 1
        spent = time.monotonic() - start
        print(f"{done} steps, {verdicts} verdicts, seeds {asked.seed} to {seed - 1}, {spent:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
