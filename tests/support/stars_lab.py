"""A lab with the Stars demo at its end, driven through the product's own commands."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.waiting import PATIENCE, wait_until
from tortie.lab.api import Host, Lab
from tortie.lab.walks.prober import enter

BIN = Path(sys.executable).parent
ECHO = (
    "import socket,threading\n"
    "s=socket.create_server(('',7000))\n"
    "def serve(c):\n"
    "    while d:=c.recv(99): c.sendall(d)\n"
    "while True: threading.Thread(target=serve,args=(s.accept()[0],),daemon=True).start()\n"
)


def tortie(*words: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """The command as a person runs it."""
    return subprocess.run([BIN / "tortie", *words], capture_output=True, text=True, timeout=timeout, check=False)


def check(name: str, step: str = "9b") -> None:
    """The matrix of a step holds on the running lab."""
    ran = tortie("walk", "stars", "--here", "--check", step, "--name", name)
    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}{story(name)}"


def story(name: str) -> str:
    """What became of a lab's daemons: those that are not up or were started again, with the ends of their logs."""
    lab, told = Lab.find(name), []
    for host in (lab.switch, *lab.hosts.values()):
        if not host.alive:
            told.append(f"{host.name} has ended")
            continue
        for daemon in host.daemons():
            if daemon["restarts"] or daemon["state"] not in ("running", "done"):
                log = host.log(daemon["name"]).read_text(errors="replace")[-1500:]
                told.append(f"{host.name} {daemon}; its log ends with:\n{log}")
    return "\n".join(told)


def in_netns(netns: Path, work: Callable[[], Any]) -> Any:
    """What `work` answers when it runs inside a network namespace; its exception is raised here."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            enter(netns)
            outcome.extend((True, work()))
        except Exception as error:  # noqa: BLE001 - handed to the caller's thread
            outcome.extend((False, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if not outcome[0]:
        raise outcome[1]
    return outcome[1]


def wait_for(what: str, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Return once it holds; fail with its name when it does not in time."""
    wait_until(condition, seconds, what)


class Container:
    """One container on a lab host, with its address and its network namespace as seen from outside."""

    def __init__(self, host: Host, name: str, network: str, command: tuple[str, ...] = ("sleep", "86400")) -> None:
        self.host, self.name = host, name
        words = ["docker", "run", "-d", "--name", name, "--net", network, "-m", "48m"]
        ran = host.run([*words, "--entrypoint", command[0], "calico/star:v0.5.0", *command[1:]])
        assert ran.returncode == 0, ran.stderr
        found = json.loads(host.run(["docker", "inspect", name]).stdout)[0]
        self.address: str = found["NetworkSettings"]["Networks"][network]["IPAddress"]
        self.netns = host.netns_of(found["State"]["Pid"])

    def remove(self) -> None:
        self.host.run(["docker", "rm", "-f", self.name])


class Conversation:
    """A TCP connection between two containers that stays open; `speak` proves that it still lives."""

    def __init__(self, client: Container, server: Container) -> None:
        def connect() -> socket.socket:
            return socket.create_connection((server.address, 7000), timeout=PATIENCE)

        wait_for("the echo server", lambda: self._listens(client, server))
        self._sock: socket.socket = in_netns(client.netns, connect)

    @staticmethod
    def _listens(client: Container, server: Container) -> bool:
        try:
            in_netns(client.netns, lambda: socket.create_connection((server.address, 7000), timeout=2).close())
        except OSError:
            return False
        return True

    def speak(self) -> bool:
        self._sock.sendall(b"still there?")
        return self._sock.recv(99) == b"still there?"

    def close(self) -> None:
        self._sock.close()


def daemon_pid(lab: Lab, host: str, daemon: str) -> int | None:
    """Its process id as the host counts; None while it does not run."""
    for entry in lab.host(host).daemons():
        if entry["name"] == daemon:
            return int(entry["pid"]) if entry["state"] == "running" else None
    raise AssertionError(f"no daemon {daemon} on {host}")
