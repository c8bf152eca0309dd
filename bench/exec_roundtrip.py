"""A command in a running container, and a key on its terminal: by the agent's API and the shim, beside `runc exec`.

Needs root and an OCI runtime. A round trip goes from asking to knowing how the command ended; a key's from typing it to
reading its echo. `runc exec` has its terminal from us, so its echo is the kernel's and the container's alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import pty
import statistics
import subprocess
import tempfile
import threading
import time
import tty
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.support.ucr_host import Tasks, UcrHost, container_of

from bench import quick
from tortie.wire.agent_client import AgentClient, Stream

ROUNDS, QUICK_ROUNDS = 30, 3
KEYS, QUICK_KEYS = 300, 20
AMOUNT, QUICK_AMOUNT = 64 << 20, 1 << 20
Container = Mapping[str, Any]


def run() -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as directory, UcrHost(Path(directory)) as host, Tasks(host) as tasks:
        container = {"value": container_of(tasks.started("app", "while :; do sleep 1; done"))}
        url = f"http://127.0.0.1:{host.agent.port}/api/v1"
        client, binary = AgentClient(url), AgentClient(url, protobuf=True)
        runc = _runc(host, str(container["value"]))
        return [
            *_trips(client, binary, container, runc),
            *_echoes(client, container, runc),
            *_amounts({"JSON": client, "protobuf": binary}, container),
        ]


def _runc(host: UcrHost, container_id: str) -> list[str]:
    """As its shim calls it, for a command of ours."""
    words = next(Path("/proc").glob(f"{_shim(host, container_id)}/cmdline")).read_bytes().decode().split("\0")
    program = words[words.index("--") + 1 :]
    return [*program[: program.index("create")], "exec", "{tty}", container_id]


def _shim(host: UcrHost, container_id: str) -> int:
    pid = int((host.container(container_id) / "pid").read_text())
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _trips(
    client: AgentClient, binary: AgentClient, container: Container, runc: list[str]
) -> Iterator[tuple[str, str]]:
    plain = [word for word in runc if word != "{tty}"]
    ways: dict[str, Callable[[], None]] = {
        "runc exec": lambda: _quiet([*plain, "/bin/bash", "-c", ":"]),
        "session, JSON": lambda: _session(client, container),
        "session, protobuf": lambda: _session(binary, container),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(QUICK_ROUNDS if quick() else ROUNDS):
        for name, way in ways.items():
            taken[name].append(_milliseconds(way))
    bare = statistics.median(taken["runc exec"])
    for name, times in taken.items():
        median = statistics.median(times)
        yield f"round trip, {name}", f"{median:.1f} ms median, {min(times):.1f} least, {median / bare:.2f} x runc exec"


def _session(client: AgentClient, container: Container) -> None:
    with client.session(container, ["/bin/bash", "-c", ":"]) as session:
        for _ in session.output():
            continue
        assert session.wait() == 0


def _quiet(words: list[str]) -> None:
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _milliseconds(way: Callable[[], None]) -> float:
    began = time.perf_counter()
    way()
    return (time.perf_counter() - began) * 1000


# -- keys --------------------------------------------------------------------------------------------------------------


def _echoes(client: AgentClient, container: Container, runc: list[str]) -> Iterator[tuple[str, str]]:
    count = QUICK_KEYS if quick() else KEYS
    master, slave = pty.openpty()
    tty.setraw(slave)  # only the container's own terminal shall echo
    words = [word if word != "{tty}" else "--tty" for word in runc]
    direct = subprocess.Popen([*words, "cat"], stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    try:
        with client.session(container, ["cat"], terminal=True, rows=24, columns=80) as session:
            output = session.output()
            ways: dict[str, Callable[[], None]] = {
                "runc exec --tty": lambda: _typed_directly(master),
                "session": lambda: _typed(session, output),
            }
            for way in ways.values():  # the first keys wait until both are there
                way()
            taken: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(count):
                for name, way in ways.items():
                    taken[name].append(_milliseconds(way))
    finally:
        direct.kill()
        direct.wait()
        os.close(master)
    bare = statistics.median(taken["runc exec --tty"])
    for name, times in taken.items():
        median, late = statistics.median(times), sorted(times)[int(len(times) * 0.99)]
        yield f"echo of a key, {name}", f"{median:.2f} ms median, p99 {late:.2f}, {median / bare:.1f} x runc exec"


def _typed(session: Stream, output: Iterator[tuple[str, bytes]]) -> None:
    session.write(b"k")
    while b"k" not in next(output)[1]:
        continue


def _typed_directly(master: int) -> None:
    os.write(master, b"k")
    while b"k" not in os.read(master, 4096):
        continue


# -- much at once ------------------------------------------------------------------------------------------------------


def _amounts(clients: Mapping[str, AgentClient], container: Container) -> Iterator[tuple[str, str]]:
    amount = QUICK_AMOUNT if quick() else AMOUNT
    for name, client in clients.items():
        seconds = _through(client, container, amount)
        yield f"through `cat` and back, {name}", f"{amount / seconds / 1e6:.0f} MB/s each way"


def _through(client: AgentClient, container: Container, amount: int) -> float:
    sent = os.urandom(1 << 20)
    began = time.perf_counter()
    with client.session(container, ["cat"]) as session:

        def feed() -> None:
            for _ in range(amount >> 20):
                session.write(sent)
            session.close_input()

        feeding = threading.Thread(target=feed, daemon=True)
        feeding.start()
        got, read = hashlib.sha256(), 0
        for _, data in session.output():
            got.update(data)
            read += len(data)
        feeding.join()
    seconds = time.perf_counter() - began
    wanted = hashlib.sha256()
    for _ in range(amount >> 20):
        wanted.update(sent)
    assert (read, got.digest()) == (amount, wanted.digest()), json.dumps({"read": read, "sent": amount})
    return seconds
