"""Processes that are not our children: whether they run, and waiting for their end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import wait_until

from tortie.lb.ending import ended, runs


def test_a_process_is_known_by_its_arguments_and_its_end_is_noticed() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()", "some.sock,mode,600"])
    # Popen returns while the kernel still puts the arguments in place: until then only the name can be read.
    wait_until(lambda: "some.sock," in Path(f"/proc/{child.pid}/cmdline").read_text())

    async def main() -> None:
        assert runs(child.pid, "python", "some.sock,")
        assert not runs(child.pid, "python", "other.sock,")
        waiting = asyncio.ensure_future(ended(child.pid))
        await asyncio.sleep(0)
        assert not waiting.done()
        os.kill(child.pid, signal.SIGKILL)
        await waiting
        assert not runs(child.pid, "python", "some.sock,"), "a zombie runs no more"
        child.wait()
        assert not runs(child.pid, "python", "some.sock,")
        await ended(child.pid)

    asyncio.run(main())
