"""The name server beside knot and dnsmasq on the same records, what a change costs, and how soon it is answered.

Servers have core 0, askers core 1, in turns; the asker is dnsperf, whose own limit all quick servers reach: what an
answer costs the server is the figure to compare. Peers that are not installed are left out.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.message
from tests.support.ports import free_port
from tests.support.waiting import wait_until

from bench._master import Master, address, document
from tortie.dns.config import Config
from tortie.dns.listing import Listing
from tortie.dns.message import handle
from tortie.dns.records import MesosRecords
from tortie.dns.state import Cluster, decode
from tortie.dns.zone import Authority, Zone

TASKS, QUERIES, CHANGES = 5000, 100_000, 200
SIZES = (10, 1_000, 100_000)
A_NAMES_OF_A_TASK = 8
ROUNDS, SECONDS, PACED = 3, 2, 3000
CONFIG = Config(masters=("172.24.197.101:5050",))
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    name: str
    port: int
    pid: int


@dataclass(frozen=True)
class Round:
    """Answers a second under full load, CPU seconds for 100,000 of them; milliseconds at a moderate pace."""

    rate: float
    cpu: float
    p50: float
    p99: float


def change(listing: Listing, state: bytes) -> float:
    """CPU seconds from a state that has been read to the answers of it."""
    began = time.process_time()
    for _ in listing.whole(Cluster.of(decode(state))):
        pass
    return time.process_time() - began


@contextmanager
def process(*argv: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["taskset", "-c", "0", *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as found:
        try:
            yield found
        finally:
            found.kill()


def ask(port: int, name: str, timeout: float = 1.0) -> list[str]:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.connect(("127.0.0.1", port))
        try:
            sock.send(dns.message.make_query(name, "A").to_wire())
            reply = dns.message.from_wire(sock.recv(4096))
        except OSError:
            return []
        return [str(item) for rrset in reply.answer for item in rrset]


@contextmanager
def ours(directory: Path, master: Master) -> Iterator[tuple[Server, int]]:
    """`tortie dns run`, and the port of its HTTP API."""
    port, page = free_port(), free_port()
    config = {
        "masters": [master.address], "listener": "127.0.0.1", "port": port, "refreshSeconds": 3600,
        "httpListener": "127.0.0.1", "httpPort": page,
    }  # fmt: skip
    file = directory / "mesos-dns.json"
    file.write_text(json.dumps(config))
    with process(str(Path(sys.executable).with_name("tortie")), "dns", "run", "--config", str(file)) as found:
        wait_until(lambda: ask(port, "leader.mesos"), message="our server answers")
        yield Server("ours", port, found.pid), page


@contextmanager
def knot(directory: Path, records: dict[str, list[str]]) -> Iterator[Server]:
    port = free_port()
    lines = [f"{name} 60 A {ip}" for name, ips in records.items() for ip in ips]
    soa = "@ 60 SOA ns1.mesos. root.ns1.mesos. 1 60 600 86400 60\n@ 60 NS ns1.mesos."
    (directory / "mesos.zone").write_text("\n".join(["$ORIGIN mesos.", soa, *lines, ""]))
    (directory / "knot.conf").write_text(
        f"server:\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n  rundir: {directory}\n"
        f"database:\n  storage: {directory}\nzone:\n  - domain: mesos\n    file: {directory}/mesos.zone\n"
        "    zonefile-sync: -1\n"
    )
    with process("knotd", "-c", str(directory / "knot.conf")) as found:
        wait_until(lambda: ask(port, "leader.mesos"), message="knot answers")
        yield Server("knot", port, found.pid)


@contextmanager
def dnsmasq(directory: Path, records: dict[str, list[str]]) -> Iterator[Server]:
    port = free_port()
    hosts = directory / "hosts"
    hosts.write_text("".join(f"{ip} {name.rstrip('.')}\n" for name, ips in records.items() for ip in ips))
    argv = ("-k", "-C", "/dev/null", "-h", "-R", "-u", "root", f"--addn-hosts={hosts}", f"--port={port}")
    with process("dnsmasq", *argv, "--listen-address=127.0.0.1", "--bind-interfaces", "-x", "") as found:
        wait_until(lambda: ask(port, "leader.mesos"), message="dnsmasq answers")
        yield Server("dnsmasq", port, found.pid)


def cpu(pid: int) -> float:
    """Seconds of all threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(server: Server, names: Path, queries: Sequence[bytes]) -> Round:
    before = cpu(server.pid)
    argv = ["taskset", "-c", "1", "dnsperf", "-s", "127.0.0.1", "-p", str(server.port), "-d", str(names)]
    out = subprocess.run(
        [*argv, "-l", str(SECONDS), "-c", "20", "-q", "200"], capture_output=True, text=True, check=True
    )
    used = cpu(server.pid) - before
    said = dict(line.strip().split(":", 1) for line in out.stdout.splitlines() if ":" in line)
    answered, sent = int(said["Queries completed"].split()[0]), int(said["Queries sent"])
    if answered < 0.99 * sent or said["Response codes"].split() != ["NOERROR", str(answered), "(100.00%)"]:
        raise AssertionError(f"{server.name}: {answered} answers to {sent} questions, {said['Response codes']}")
    waits = paced(server.port, queries)
    return Round(float(said["Queries per second"]), used / answered * 1e5, statistics.median(waits), p99(waits))


def paced(port: int, queries: Sequence[bytes]) -> list[float]:
    """Milliseconds to each of so many answers, one question under way at a time."""
    waits = []
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.connect(("127.0.0.1", port))
        for turn in range(PACED):
            began = time.perf_counter()
            sock.send(queries[turn % len(queries)])
            sock.recv(4096)
            waits.append((time.perf_counter() - began) * 1e3)
    return waits


def p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def beside_others(size: int) -> list[tuple[str, str]]:
    """All servers with the same `size` records or a few more."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        master = stack.enter_context(Master(max(1, size // A_NAMES_OF_A_TASK)))
        own, page = stack.enter_context(ours(directory, master))
        with urllib.request.urlopen(f"http://127.0.0.1:{page}/v1/axfr") as reply:
            records: dict[str, list[str]] = json.load(reply)["Records"]["As"]
        servers = [own]
        for program, start in (("knotd", knot), ("dnsmasq", dnsmasq)):
            if shutil.which(program):
                servers.append(stack.enter_context(start(directory, records)))
        asked = random.Random(1).sample(sorted(n for n in records if "app-" in n), min(1000, 7 * size // 8))
        names = directory / "names"
        names.write_text("".join(f"{name} A\n" for name in asked))
        queries = [dns.message.make_query(name, "A").to_wire() for name in asked]
        rounds: dict[str, list[Round]] = {server.name: [] for server in servers}
        for _ in range(ROUNDS):
            for server in servers:
                rounds[server.name].append(measure(server, names, queries))
        lines = [(f"dns, {size:,} A records: {name}", _words(found)) for name, found in rounds.items()]
        for peer in list(rounds)[1:]:
            ratios = [a.cpu / b.cpu for a, b in zip(rounds["ours"], rounds[peer], strict=True)]
            words = f"{statistics.median(ratios):.2f} ({', '.join(f'{r:.2f}' for r in ratios)})"
            lines.append((f"dns, {size:,} A records: CPU of an answer, ours to {peer}", words))
        return lines


def _words(found: Sequence[Round]) -> str:
    def middle(values: Sequence[float]) -> float:
        return statistics.median(values)

    return (
        f"{middle([r.rate for r in found]) / 1e3:.0f} k/s, {middle([r.cpu for r in found]):.2f} s CPU per 100,000,"
        f" p50 {middle([r.p50 for r in found]):.3f} p99 {middle([r.p99 for r in found]):.3f} ms"
        f" (k/s {', '.join(f'{r.rate / 1e3:.0f}' for r in found)})"
    )


def freshness(tasks: int) -> tuple[str, str]:
    """From the master's telling of a task's new address to the first answer with it."""
    waits = []
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        master = stack.enter_context(Master(tasks))
        own, _ = stack.enter_context(ours(directory, master))
        wait_until(lambda: ask(own.port, f"app-{tasks - 1}.group.marathon.mesos"), message="all tasks are named")
        wait_until(master.subscribed.is_set, message="the stream is heard")
        time.sleep(2)  # the reading that follows the subscription is not what is measured
        dice = random.Random(1)
        for turn in range(CHANGES):
            number, to = dice.randrange(tasks), address(100_000 + turn)
            told = master.move(number, to)
            while ask(own.port, f"app-{number}.group.marathon.mesos") != [to]:
                if time.monotonic() - told > 30:
                    raise AssertionError("a change was not answered within 30 s")
            waits.append((time.monotonic() - told) * 1e3)
    words = f"p50 {statistics.median(waits):.1f} p99 {p99(waits):.1f} max {max(waits):.1f} ms"
    return f"dns: a task's new address, told to answered, {tasks:,} tasks", words


def alone() -> list[tuple[str, str]]:
    listing = Listing(MesosRecords(CONFIG), Zone(CONFIG.apex))
    first = change(listing, document(TASKS))
    later = change(listing, document(TASKS, moved=1))
    authority = Authority([listing.zone])
    authority.open(listing.zone)
    names = [f"app-{i}.group.marathon.mesos" for i in range(0, TASKS, 5)]
    queries = [dns.message.make_query(name, "A").to_wire() for name in names]
    dice = random.Random(1)
    began = time.process_time()
    for turn in range(QUERIES):
        handle(queries[turn % len(queries)], authority, dice, tcp=False, recursion=True, mark_cut=True)
    answering = time.process_time() - began
    return [
        (f"dns: zone of {TASKS} tasks ({len(listing.book)} names), from the state, first time", f"{first:.2f} s CPU"),
        (f"dns: the same after one of {TASKS} tasks moved", f"{later:.2f} s CPU"),
        ("dns: 100,000 answers without the socket", f"{answering:.2f} s CPU"),
    ]


def run() -> list[tuple[str, str]]:
    """Names of figures and figures."""
    figures = alone() + [freshness(tasks) for tasks in (10, TASKS)]
    if shutil.which("dnsperf") is None:
        return [*figures, ("dns: beside others", "not measured: dnsperf is not installed")]
    return figures + [line for size in SIZES for line in beside_others(size)]


if __name__ == "__main__":
    for name, figure in run():
        print(f"{name}: {figure}")
