"""An agent with N endpoints and N profiles of its own host: what one more change costs, and how much memory it takes.

Run as `python -m bench._growth N DIRECTORY` inside a network namespace; prints a JSON object of medians in ms and MB.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread

from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, Rule
from tortie.node.agent import Agent
from tortie.store.client import Client
from tortie.store.open import open_store

REPEATS = 15
NODE, ADDRESS = "g", "10.9.9.1/24"


def _endpoint(number: int, labels: dict[str, str] | None = None) -> Resource[WorkloadEndpointSpec]:
    spec = WorkloadEndpointSpec(
        orchestrator="libnetwork",
        workload="libnetwork",
        node=NODE,
        endpoint=f"e{number}",
        ip_networks=(f"10.80.{number // 250}.{number % 250 + 1}/32",),
        profiles=(f"p{number}",),
        interface_name=f"cali{number}",
    )
    name = f"{NODE}-libnetwork-libnetwork-e{number}"
    metadata = Metadata(name=name, namespace="libnetwork", labels=labels or {})
    return Resource(kind=WORKLOAD_ENDPOINT, metadata=metadata, spec=spec)


def _profile(number: int, port: int = 80) -> Resource[ProfileSpec]:
    rules = (
        Rule(action="Allow", source=EntityRule(selector=f"has(p{number})")),
        Rule(action="Allow", protocol="TCP", destination=EntityRule(ports=(port, 443, "9000:9010"))),
    )
    spec = ProfileSpec(ingress=rules, egress=(Rule(action="Allow"),), labels_to_apply={f"p{number}": ""})
    return Resource(kind=PROFILE, metadata=Metadata(name=f"p{number}"), spec=spec)


def _links(count: int) -> None:
    lines = [f"link add cali{i} type veth peer name peer{i}\nlink set cali{i} up" for i in range(count)]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


def _megabytes(pid: str = "self") -> float:
    for line in Path("/proc", pid, "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"no memory figure of process {pid}")


async def _measure(size: int, directory: str) -> dict[str, float]:
    store = open_store(f"sqlite://{directory}/growth{size}")
    client = Client(store)
    _links(size + REPEATS)
    for number in range(size):
        client.create(_profile(number))
        client.create(_endpoint(number))
    agent = Agent(NODE, ADDRESS)
    found: dict[str, float] = {}
    async with anyio.create_task_group() as tasks:
        started = time.monotonic()
        tasks.start_soon(agent.run, store)
        last = _endpoint(size - 1).key
        await agent.wait_programmed(last, 0, 300)
        found["start"] = (time.monotonic() - started) * 1000
        found["endpoint"] = await _one_more(agent, client, size)
        found["label"] = await _each(
            agent,
            lambda i: client.apply(_endpoint(0, {"p1": ""} if i % 2 == 0 else {})).key,
            lambda: agent.counts.element_changes,
        )
        found["rule"] = await _each(
            agent, lambda i: client.apply(_profile(0, 81 + i)).key, lambda: agent.counts.rule_changes
        )
        found["memory"] = _megabytes() + _megabytes(str(agent.child))
        tasks.cancel_scope.cancel()
    return found


async def _one_more(agent: Agent, client: Client, size: int) -> float:
    taken = []
    for number in range(size, size + REPEATS):
        client.create(_profile(number))
        await anyio.sleep(0.05)
        started = time.monotonic()
        made = await anyio.to_thread.run_sync(client.create, _endpoint(number))
        await agent.wait_programmed(made.key, 0, 60)
        taken.append((time.monotonic() - started) * 1000)
    return statistics.median(taken)


async def _each(agent: Agent, write: Callable[[int], str], count: Callable[[], int]) -> float:
    """From the moment before a write to the end of the pass that brought it into the kernel."""
    taken = []
    for number in range(REPEATS):
        await anyio.sleep(0.05)
        before, started = count(), time.monotonic()
        await anyio.to_thread.run_sync(write, number)
        with anyio.fail_after(60):
            while count() == before:
                await agent.pass_done()
        taken.append((time.monotonic() - started) * 1000)
    return statistics.median(taken)


if __name__ == "__main__":
    print(json.dumps(anyio.run(_measure, int(sys.argv[1]), sys.argv[2])))
