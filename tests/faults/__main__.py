"""`python -m tests.faults [--minutes N] [--seed S] [--share-table]`: faults under the continuous prober, long; as root.

Every scene, in another order each time, until the time is over; then an agent that starts anew must come to the same
table. Ends with the first leak, loss or cut (exit code 1), and says how many packets were judged. What was sent between
a flush of a shared table and its repair is counted apart, and how much of it got through.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.scenes import EVERYWHERE
from tests.faults.world import World
from tests.kernel.netlab import Lab


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share-table", action="store_true", help="with the table's flags off, as on older kernels")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        lab = Lab(Path(directory))
        try:
            return _run(World(lab, *(["--share-table"] if options.share_table else [])), options.seed, options.minutes)
        finally:
            lab.close()


def _run(world: World, seed: int, minutes: float) -> int:
    dice, end = random.Random(seed), time.monotonic() + minutes * 60
    sent = apart = scenes = 0
    try:
        while time.monotonic() < end:
            for name in dice.sample(sorted(EVERYWHERE), len(EVERYWHERE)):
                EVERYWHERE[name](world, dice)
                tally = world.holds()
                sent, apart, scenes = sent + tally.allowed + tally.forbidden, apart + tally.leaked_during, scenes + 1
                print(f"{name}: {tally}; {world.memory():.0f} MB", flush=True)
                if time.monotonic() > end:
                    break
    except AssertionError as error:
        print(error)
        return 1
    finally:
        world.prober.stop()
        print(f"seed {seed}: {scenes} scenes, {sent} packets judged, {apart} leaked in the time that counts apart")
    world.same_as_new()
    return 0


if __name__ == "__main__":
    sys.exit(main())
