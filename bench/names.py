"""The name server: what an answer costs, what a change costs, and the rate over loopback with one asker's pace."""

from __future__ import annotations

import json
import random
import socket
import threading
import time

import dns.message

from tortie.dns.config import Config
from tortie.dns.message import handle
from tortie.dns.records import build
from tortie.dns.state import decode
from tortie.dns.zone import Zone, encode, wire_name

TASKS, QUERIES, OVER_LOOPBACK = 5000, 100_000, 10_000
CONFIG = Config(masters=("172.24.197.101:5050",))


def state(tasks: int, moved: int = 0) -> bytes:
    """A cluster of 50 agents; the first `moved` tasks have another address."""
    listed = [
        {
            "id": f"app-{i}.group.1", "name": f"app-{i}.group", "slave_id": f"c-S{i % 50}", "state": "TASK_RUNNING",
            "statuses": [{"state": "TASK_RUNNING", "timestamp": 1.0, "container_status": {"network_infos": [
                {"ip_addresses": [{"ip_address": f"192.168.{i // 250}.{i % 250}" if i >= moved else "10.9.9.9"}]}]}}],
            "resources": {"ports": "[31000-31000]"},
            "discovery": {"name": f"app-{i}.group", "ports": {"ports": [{"number": 80, "name": "http"}]}},
        }
        for i in range(tasks)
    ]  # fmt: skip
    slaves = [{"id": f"c-S{i}", "hostname": f"10.0.0.{i}", "pid": f"slave(1)@10.0.0.{i}:5051"} for i in range(50)]
    frameworks = [{"name": "marathon", "hostname": "10.0.1.1", "tasks": listed}]
    return json.dumps({"leader": "master@10.0.1.1:5050", "slaves": slaves, "frameworks": frameworks}).encode()


def change(before: Zone | None, data: bytes) -> tuple[Zone, float]:
    began = time.process_time()
    zone = encode(build(decode(data), CONFIG), CONFIG, 1, before, random.Random(1))
    return zone, time.process_time() - began


def loopback(zone: Zone, queries: list[bytes]) -> float:
    """Queries answered in a second by one plain socket loop, one question under way at a time."""
    with socket.socket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        server.bind(("127.0.0.1", 0))
        client.connect(server.getsockname())
        dice, apex = random.Random(1), wire_name("mesos")

        def answer() -> None:
            for _ in queries:
                query, peer = server.recvfrom(4096)
                reply = handle(query, zone, dice, tcp=False, recursion=True, mark_cut=True, apex=apex)
                if isinstance(reply, bytes):
                    server.sendto(reply, peer)

        thread = threading.Thread(target=answer)
        thread.start()
        began = time.monotonic()
        for query in queries:
            client.send(query)
            client.recv(4096)
        took = time.monotonic() - began
        thread.join()
    return len(queries) / took


def run() -> list[tuple[str, str]]:
    """Names of figures and figures."""
    zone, first = change(None, state(TASKS))
    after, later = change(zone, state(TASKS, moved=1))
    names = [f"app-{i}.group.marathon.mesos" for i in range(0, TASKS, 5)]
    queries = [dns.message.make_query(name, "A").to_wire() for name in names]
    dice, apex = random.Random(1), wire_name("mesos")
    began = time.process_time()
    for turn in range(QUERIES):
        handle(queries[turn % len(queries)], after, dice, tcp=False, recursion=True, mark_cut=True, apex=apex)
    answering = time.process_time() - began
    rate = loopback(after, [queries[i % len(queries)] for i in range(OVER_LOOPBACK)])
    return [
        (f"dns: zone of {TASKS} tasks ({len(zone.names)} names), from the state, first time", f"{first:.2f} s CPU"),
        (f"dns: the same after one of {TASKS} tasks moved", f"{later:.2f} s CPU"),
        ("dns: 100,000 answers without the socket", f"{answering:.2f} s CPU"),
        ("dns: questions a second over loopback, one at a time", f"{rate:,.0f}"),
    ]


if __name__ == "__main__":
    for name, figure in run():
        print(f"{name}: {figure}")
