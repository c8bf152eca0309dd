"""`tortie node` whose clocks jump with each SIGUSR1: the machine's own stay as they are."""

import random
import signal
import sys
import time

from tortie.cli.node import node

if __name__ == "__main__":
    DICE = random.Random(7)
    WALL, STEADY = time.time, time.monotonic
    moved = {"wall": 0.0, "steady": 0.0}

    def jump(*_: object) -> None:
        """The wall clock anywhere, the steady one as after a sleep of the machine: forward."""
        moved["wall"] = DICE.uniform(-3e8, 3e8)
        moved["steady"] += DICE.choice((0.0, 3.0, 5000.0))
        sys.stderr.write("the clocks jump\n")

    time.time = lambda: WALL() + moved["wall"]
    time.monotonic = lambda: STEADY() + moved["steady"]
    signal.signal(signal.SIGUSR1, jump)
    node(sys.argv[1:])
