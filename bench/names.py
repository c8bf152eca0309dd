"""The name server: what an answer costs, what a change costs, and the rate over loopback with one asker's pace."""

from __future__ import annotations

import json
import random
import socket
import threading
import time

import dns.message

from tortie.dns.config import Config
from tortie.dns.listing import Listing
from tortie.dns.message import handle
from tortie.dns.records import MesosRecords
from tortie.dns.state import Cluster, decode
from tortie.dns.zone import Authority, Zone

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


def change(listing: Listing, document: bytes) -> float:
    """CPU seconds from a state that has been read to the answers of it."""
    began = time.process_time()
    for _ in listing.whole(Cluster.of(decode(document))):
        pass
    return time.process_time() - began


def loopback(names: Authority, queries: list[bytes]) -> float:
    """Queries answered in a second by one plain socket loop, one question under way at a time."""
    with socket.socket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        server.bind(("127.0.0.1", 0))
        client.connect(server.getsockname())
        dice = random.Random(1)

        def answer() -> None:
            for _ in queries:
                query, peer = server.recvfrom(4096)
                reply = handle(query, names, dice, tcp=False, recursion=True, mark_cut=True)
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
    listing = Listing(MesosRecords(CONFIG), Zone(CONFIG.apex))
    first = change(listing, state(TASKS))
    later = change(listing, state(TASKS, moved=1))
    authority = Authority([listing.zone])
    authority.open(listing.zone)
    names = [f"app-{i}.group.marathon.mesos" for i in range(0, TASKS, 5)]
    queries = [dns.message.make_query(name, "A").to_wire() for name in names]
    dice = random.Random(1)
    began = time.process_time()
    for turn in range(QUERIES):
        handle(queries[turn % len(queries)], authority, dice, tcp=False, recursion=True, mark_cut=True)
    answering = time.process_time() - began
    rate = loopback(authority, [queries[i % len(queries)] for i in range(OVER_LOOPBACK)])
    return [
        (f"dns: zone of {TASKS} tasks ({len(listing.book)} names), from the state, first time", f"{first:.2f} s CPU"),
        (f"dns: the same after one of {TASKS} tasks moved", f"{later:.2f} s CPU"),
        ("dns: 100,000 answers without the socket", f"{answering:.2f} s CPU"),
        ("dns: questions a second over loopback, one at a time", f"{rate:,.0f}"),
    ]


if __name__ == "__main__":
    for name, figure in run():
        print(f"{name}: {figure}")
