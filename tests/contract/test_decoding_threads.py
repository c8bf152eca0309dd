"""Many threads that decode into a type for the first time, in a process of its own: it may die of it."""

from __future__ import annotations

import subprocess
import sys

from tests.support.waiting import PATIENCE

ROUNDS = """
import sys, threading
import msgspec
from tortie.base.decoding import ready

sys.setswitchinterval(1e-6)
TEXT = '''
class S{0}(msgspec.Struct, kw_only=True):
    a: int
    deeper: "list[S{1}] | None" = None
'''

def types():
    names = {"msgspec": msgspec, "__name__": "__main__"}
    for depth in reversed(range(8)):
        exec(TEXT.format(depth, min(depth + 1, 7)), names)
        setattr(sys.modules["__main__"], f"S{depth}", names[f"S{depth}"])
    return [names[f"S{depth}"] for depth in range(8)]

whole = b'{"a":1,"deeper":[{"a":2,"deeper":[{"a":3,"deeper":[{"a":4}]}]}]}'
for _ in range(60):
    kinds, start = types(), threading.Barrier(6)

    def work(n):
        start.wait()
        for kind in kinds[n:] + kinds[:n]:
            assert msgspec.json.decode(whole, type=ready(kind)).deeper[0].a == 2

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_a_type_may_be_used_first_by_many_threads_at_once() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ROUNDS], capture_output=True, text=True, timeout=2 * PATIENCE, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
