"""Containers where version 2 has all cgroups: one, a session that leaves somebody behind, and an end. FOLDER"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.support.ucr_containers import Box

from tortie.base import cgroups
from tortie.mesos.agent.streams import Session


async def main(folder: Path) -> None:
    assert cgroups.unified()
    box = Box(folder, cgroup=f"tortie-test-unified-{os.getpid()}", recipes=folder.parent / "recipes")

    async def story() -> None:
        async with box.running() as parent:
            cgroup = box.made.cgroup(parent)
            said = await box.made.run_in(f"mesos-{parent}", ["sh", "-c", "echo in; exit 3"], environment={}, timeout=0)
            assert said == (3, "in")
            before = cgroups.processes(cgroup)
            session = Session(id="s", parent=parent, arguments=["sh", "-c", "setsid sleep 2000 & echo up"])
            await box.made.streams.launch(session)
            assert [data async for _, data in box.made.streams.output("s")] == [b"up\n"]
            assert len(cgroups.processes(cgroup)) > len(before)
            await box.made.streams.remove("s")
            assert cgroups.processes(cgroup) == before

    await box.run(story)
    print("done")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
