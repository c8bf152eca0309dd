"""From a write to the kernel: one endpoint's change beside N endpoints and M policies, while others change as well.

The burst: 4,800 policies of five networks, ports and selectors each, on 2,400 endpoints. In namespaces; needs root.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from tests.support.waiting import wait_until

from bench import quick
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource, encode
from tortie.model.rule import EntityRule, Rule
from tortie.node.agent import Agent
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Put

NODE, ADDRESS = "u", "10.9.9.1/24"
CASES = ((10, 10, 0), (1000, 1000, 0), (5000, 1000, 0), (5000, 1000, 100), (5000, 1000, 1000))
QUICK_CASES = ((10, 10, 0), (100, 100, 100))
CHANGES, QUICK_CHANGES = 60, 10
BURST, QUICK_BURST = (2400, 4800), (240, 480)
ROLES = 50


def run() -> list[tuple[str, str]]:
    """(what was measured, the figure) pairs."""
    rows = []
    for endpoints, policies, rate in QUICK_CASES if quick() else CASES:
        found = _inside("delay", endpoints, policies, rate)
        rows.append(
            (
                f"write to kernel, {endpoints} endpoints, {policies} policies, {rate} updates/s",
                f"p50 {found['p50']:.1f} ms, p99 {found['p99']:.1f} ms; CPU {found['cpu']:.2f} of a core, "
                f"{found['passes']:.0f} passes/s, {found['memory']:.0f} MB",
            )
        )
        rows.append(("  start with it", f"{found['start']:.0f} ms"))
    endpoints, policies = QUICK_BURST if quick() else BURST
    burst = _inside("burst", endpoints, policies, 0)
    what = f"burst of {policies} policies on {endpoints} endpoints"
    rows.append((what, f"{burst['burst']:.0f} ms, {burst['memory']:.0f} MB"))
    rows.append(("  then one policy changed", f"{burst['change']:.1f} ms"))
    return rows


def _inside(*words: object) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        command = ["unshare", "--net", sys.executable, "-m", "bench.updates", *map(str, words), directory]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _endpoint(number: int, flip: int = 0) -> Resource[Any]:
    spec = WorkloadEndpointSpec(
        orchestrator="cni",
        workload=f"w{number}",
        node=NODE,
        container_id=f"w{number}",
        endpoint="eth0",
        ip_networks=(f"10.{80 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}/32",),
        profiles=("p",),
        interface_name=f"cali{number}",
    )
    # A flip takes the address out of one set and puts it into another: there is something to do in the kernel.
    labels = {"role": f"r{number % ROLES}", f"own{(number + flip % 2 * 500) % 1000}": ""}
    metadata = Metadata(name=f"{NODE}-cni-w{number}-eth0", namespace="b", labels=labels)
    return Resource(kind=WORKLOAD_ENDPOINT, metadata=metadata, spec=spec)


def _policy(number: int, wide: int = 1, port: int = 80) -> Resource[Any]:
    rules = tuple(
        Rule(
            action="Allow",
            protocol="TCP",
            source=EntityRule(selector=f"has(own{(number + one) % 1000})"),
            destination=EntityRule(ports=(port + one, f"{9000 + one}:{9010 + one}")),
        )
        for one in range(wide)
    )
    nets = tuple(f"10.{number % 200}.{one}.0/24" for one in range(wide))
    rules += (Rule(action="Allow", protocol="UDP", source=EntityRule(nets=nets)),)
    spec = GlobalNetworkPolicySpec(selector=f"role == 'r{number % ROLES}'", ingress=rules, types=("Ingress",))
    return Resource(kind=GLOBAL_NETWORK_POLICY, metadata=Metadata(name=f"n{number}"), spec=spec)


def _load(client: Client, resources: list[Resource[Any]]) -> None:
    for start in range(0, len(resources), 100):
        client.datastore.commit([Put(one.key, encode(one)) for one in resources[start : start + 100]])


def _profile() -> Resource[Any]:
    return Resource(kind=PROFILE, metadata=Metadata(name="p"), spec=ProfileSpec(egress=(Rule(action="Allow"),)))


def _kilobytes(pid: int | str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1])
    return 0.0


def _memory(agent: Agent) -> float:
    return (_kilobytes("self") + _kilobytes(agent.child or "self")) / 1024


async def _applied(agent: Agent, key: str, revision: int) -> None:
    with anyio.fail_after(300):
        while agent.applied(key) < revision:
            await agent.pass_done()


async def _delay(endpoints: int, policies: int, rate: int, directory: str) -> dict[str, float]:
    client = Client(open_store(f"sqlite://{directory}/s"))
    _load(client, [_profile(), *map(_policy, range(policies)), *map(_endpoint, range(endpoints))])
    agent = Agent(NODE, ADDRESS)
    found: dict[str, float] = {}
    async with anyio.create_task_group() as tasks:
        started = time.monotonic()
        tasks.start_soon(agent.run, client.datastore)
        await _applied(agent, _endpoint(endpoints - 1).key, 1)
        found["start"] = (time.monotonic() - started) * 1000
        others = flipping(client, directory, endpoints, rate)
        await anyio.to_thread.run_sync(others.__enter__)
        taken, cpu, passes, began = [], time.process_time(), agent.counts.passes, time.monotonic()
        for number in range(QUICK_CHANGES if quick() else CHANGES):
            before = time.monotonic()
            written = await anyio.to_thread.run_sync(client.apply, _endpoint(0, number + 1))
            await _applied(agent, written.key, written.revision)
            taken.append((time.monotonic() - before) * 1000)
            await anyio.sleep(0.03)
        spent = time.monotonic() - began
        found["cpu"] = (time.process_time() - cpu) / spent
        found["passes"] = (agent.counts.passes - passes) / spent
        others.__exit__(None, None, None)
        found["memory"] = _memory(agent)
        tasks.cancel_scope.cancel()
    taken.sort()
    return found | {"p50": statistics.median(taken), "p99": taken[int(len(taken) * 0.99)]}


async def _burst(endpoints: int, policies: int, directory: str) -> dict[str, float]:
    client = Client(open_store(f"sqlite://{directory}/s"))
    _load(client, [_profile(), *map(_endpoint, range(endpoints))])
    agent = Agent(NODE, ADDRESS)
    found: dict[str, float] = {}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agent.run, client.datastore)
        await _applied(agent, _endpoint(endpoints - 1).key, 1)
        started = time.monotonic()
        await anyio.to_thread.run_sync(_load, client, [_policy(number, 5) for number in range(policies)])
        await _settled(agent, client, endpoints)
        found["burst"] = (time.monotonic() - started) * 1000
        taken = []
        for number in range(10):
            # A change alone: right behind a pass it would wait for the next one's turn.
            await anyio.sleep(0.05)
            before, changes = time.monotonic(), agent.counts.rule_changes
            await anyio.to_thread.run_sync(client.apply, _policy(3, 5, 100 + 10 * number))
            while agent.counts.rule_changes == changes:
                await agent.pass_done()
            taken.append((time.monotonic() - before) * 1000)
        found["change"] = statistics.median(taken)
        found["memory"] = _memory(agent)
        tasks.cancel_scope.cancel()
    return found


async def _settled(agent: Agent, client: Client, endpoints: int) -> None:
    """What is written last is looked at last."""
    written = await anyio.to_thread.run_sync(client.apply, _endpoint(endpoints - 1, 1))
    await _applied(agent, written.key, written.revision)


@contextmanager
def flipping(client: Client, directory: str | Path, endpoints: int, rate: int) -> Iterator[None]:
    """Labels of other endpoints change `rate` times a second: from a process of its own, or it would measure itself."""
    if not rate:
        yield
        return
    before = client.datastore.commit([])
    words = [sys.executable, "-m", "bench.updates", "flip", str(endpoints), str(rate), str(directory)]
    with subprocess.Popen(words) as process:
        try:
            wait_until(lambda: client.datastore.commit([]) > before + rate)
            yield
        finally:
            process.terminate()


def _flip(endpoints: int, rate: int, directory: str) -> None:
    """Labels of endpoints, back and forth, evenly over time."""
    client = Client(open_store(f"sqlite://{directory}/s"))
    started, number = time.monotonic(), 0
    while True:
        one = _endpoint(1 + number % (endpoints - 1), number // (endpoints - 1) + 1)
        client.datastore.commit([Put(one.key, encode(one))])
        number += 1
        time.sleep(max(0.0, started + number / rate - time.monotonic()))


def main(what: str, *words: str) -> None:
    if what == "flip":
        _flip(int(words[0]), int(words[1]), words[2])
    elif what == "burst":
        print(json.dumps(anyio.run(_burst, int(words[0]), int(words[1]), words[3])))
    else:
        print(json.dumps(anyio.run(_delay, int(words[0]), int(words[1]), int(words[2]), words[3])))


if __name__ == "__main__":
    main(*sys.argv[1:])
