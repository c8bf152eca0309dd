"""A Mesos master with any number of agents that are not there: each task is answered as a hand on a host would."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aiohttp

from tests.support.agent_hosts import HostsMaster, address_of
from tests.support.scheduler_master import Agent, SchedulerMaster, Task
from tortie.packages.rollout.machine import STEPS
from tortie.packages.rollout.reach import hand

STEPS_HERE = tuple(step for step in STEPS if step != "net-modules")
TEXTS = {
    "artefact": "unpack the product as /opt/tortie/0123",
    "configuration": "write /etc/calico/calicoctl.cfg",
    "cni": "write /opt/cni/bin/calico",
    "agent": "restart mesos.service",
    "node": "start calico-node.service",
}


class SimulatedMaster(HostsMaster):
    """`fails`: what the hand says went wrong with (host, do, step), empty for nothing."""

    def __init__(self, names: list[str], public: str = "") -> None:
        agents = [Agent(f"A-{name}", name, role="slave_public" if name == public else "*") for name in names]
        SchedulerMaster.__init__(self, agents)
        self.boxes = {}
        self.members = [("10.0.0.1", 2379), ("10.0.0.2", 2379), ("10.0.0.3", 2379)]
        self.together = []
        self.fails: Callable[[str, str, str], str] = lambda _host, _do, _step: ""
        self.done: dict[str, set[str]] = {name: set() for name in names}
        self._running = set()
        self._http: aiohttp.ClientSession | None = None

    async def _run(self, task: Task) -> None:
        if self._http is None:
            self._http = aiohttp.ClientSession()
        address = address_of(task)
        async with self._http.get(address) as reply:
            given = await reply.read() if reply.status == 200 else b""
        if not given:
            self.update(task, "TASK_FAILED", message="nobody waits for it")
            return
        said = self.answer(task.agent.hostname, json.loads(given[len(hand()) :].partition(b"\n")[0]))
        async with self._http.post(address, json={"code": 0, "out": json.dumps(said), "err": ""}):
            pass
        if task.live:
            self.update(task, "TASK_FINISHED")

    def answer(self, host: str, request: dict[str, Any]) -> dict[str, Any]:
        """As the hand's `answer`, without a host."""
        do, step = request["do"], request["step"]
        if do == "probe":
            missing = [name for name in STEPS_HERE if name not in self.done[host]]
            return {"delta": {name: [{"text": TEXTS[name], "have": ""}] for name in missing}}
        if problem := self.fails(host, do, step):
            return {"error": problem}
        (self.done[host].add if do == "apply" else self.done[host].discard)(step)
        return {"notes": ["ready, endpoints up: 3"] if step == "gate" and do == "apply" else []}

    async def stop(self) -> None:
        await super().stop()
        if self._http is not None:
            await self._http.close()
