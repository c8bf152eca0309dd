"""The agent's own cost: start with 10,000 policies, memory and CPU at rest and while others change, 10,000 endpoints.

A real agent process beside a store of its own; CPU is the agent's and its child's, from /proc. `updates` has the delays
with fewer endpoints, and the burst. Needs root; in namespaces of its own.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.kernel.netlab import Host, Lab
from tests.support.waiting import wait_until

from bench import quick
from bench.updates import NODE, _endpoint, _inside, _load, _policy, _profile, flipping
from tortie.model.resource import Resource

REST_SECONDS, LOAD_SECONDS, QUICK_SECONDS = 5.0, 8.0, 2.0
RATES = (100, 1_000)
SIZES, QUICK_SIZES = ((10, 10), (1_000, 1_000), (1_000, 10_000)), ((10, 10), (100, 100))
MANY = ((10_000, 1_000, 0), (10_000, 1_000, 100), (10_000, 1_000, 1_000))


def run() -> list[tuple[str, str]]:
    """(what was measured, the figure) pairs."""
    rows = []
    for endpoints, policies in QUICK_SIZES if quick() else SIZES:
        with tempfile.TemporaryDirectory() as directory:
            lab = Lab(Path(directory))
            try:
                rows += _one(lab, endpoints, policies)
            finally:
                lab.close()
    return rows + [_delay(*case) for case in (() if quick() else MANY)]


def _delay(endpoints: int, policies: int, rate: int) -> tuple[str, str]:
    found = _inside("delay", endpoints, policies, rate)
    return (
        f"write to kernel, {endpoints} endpoints, {policies} policies, {rate} updates/s",
        f"p50 {found['p50']:.1f} ms, p99 {found['p99']:.1f} ms; start {found['start'] / 1000:.1f} s, "
        f"{found['memory']:.0f} MB",
    )


def _one(lab: Lab, endpoints: int, policies: int) -> list[tuple[str, str]]:
    lab.move(f"sqlite://{lab.directory}/s")  # as `updates` calls it
    resources: list[Resource[Any]] = [_profile()]
    resources += [_policy(number) for number in range(policies)]
    resources += [_endpoint(number) for number in range(endpoints)]
    _load(lab.client, resources)
    host = Host(NODE, lab.plug(NODE, "10.9.0.1"), "10.9.0.1", lab)
    lab.hosts.append(host)
    started = time.monotonic()
    host.start()
    host.ready()
    what = f"{endpoints} endpoints, {policies} policies"
    rows = [(f"start to ready, {what}", f"{time.monotonic() - started:.1f} s")]
    started = time.monotonic()
    host.kill()
    host.start()
    host.ready()
    rows.append((f"restart beside its table, {what}", f"{time.monotonic() - started:.1f} s"))
    rows.append((f"at rest, {what}", _figures(host, lambda: time.sleep(QUICK_SECONDS if quick() else REST_SECONDS))))
    for rate in RATES:
        rows.append((f"at {rate} updates/s, {what}", _loaded(host, lab, endpoints, rate)))
    return rows


def _loaded(host: Host, lab: Lab, endpoints: int, rate: int) -> str:
    with flipping(lab.client, lab.directory, endpoints, rate):
        return _figures(host, lambda: time.sleep(QUICK_SECONDS if quick() else LOAD_SECONDS))


def _figures(host: Host, meanwhile: Callable[[], object]) -> str:
    """Share of a core, and memory, of the agent and of its child."""
    agent = host.agent
    assert agent is not None
    processes = {"agent": agent.pid, "child": wait_until(lambda: _child(agent.pid))}
    before, began = {name: _ticks(pid) for name, pid in processes.items()}, time.monotonic()
    meanwhile()
    took = (time.monotonic() - began) * os.sysconf("SC_CLK_TCK")
    return "; ".join(
        f"{name} {(_ticks(pid) - before[name]) / took:.3f} of a core, {_megabytes(pid):.0f} MB"
        for name, pid in processes.items()
    )


def _child(pid: int) -> int:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return next((int(word) for task in tasks for word in task.read_text().split()), 0)


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"no memory figure of process {pid}")
