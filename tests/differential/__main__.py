"""`python -m tests.differential [--minutes N] [--seed S] [--rounds N]`: the comparison, long; as root.

Every 50 rounds the tables are loaded from nothing with the next seed. Ends with the first difference (exit code 1), and
says how much was compared.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.differential.compare import Comparison
from tests.differential.net import Net
from tests.kernel.netlab import Lab

ROUNDS_A_SEED = 50


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1, help="the first seed; the next ones follow")
    parser.add_argument("--rounds", type=int, default=ROUNDS_A_SEED, help="rounds a seed")
    options = parser.parse_args()
    end = time.monotonic() + options.minutes * 60
    seed, failed = options.seed, False
    with tempfile.TemporaryDirectory() as directory:
        lab = Lab(Path(directory))
        try:
            net = Net(lab)
            net.build()
            while time.monotonic() < end and not failed:
                failed = not _run(net, seed, options.rounds, end)
                seed += 1
        finally:
            lab.close()
    return 1 if failed else 0


def _run(net: Net, seed: int, rounds: int, end: float) -> bool:
    comparison = Comparison(net, seed)
    try:
        for _ in range(rounds):
            if time.monotonic() > end:
                break
            comparison.round()
    except AssertionError as error:
        print(error)
        return False
    finally:
        print(f"seed {seed}: {comparison.tally}", flush=True)
        comparison.close()
    return True


if __name__ == "__main__":
    sys.exit(main())
