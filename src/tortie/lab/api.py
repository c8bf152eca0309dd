"""A running lab as Python sees it.

    lab = Lab.find("default")
    ran = lab.host("agent-1").run(["docker", "ps"])

`Lab` and `Host` are what `walks.ports` asks for.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tortie.base.errors import NotFound, Unavailable
from tortie.base.meant import meant
from tortie.lab import control, state
from tortie.lab.plan import DEFAULT_NAME, ENVIRONMENT, SWITCH

STATUS_SECONDS = 20.0
"""A supervisor that lives answers at once, unless the whole machine waits for its disk."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Host:
    name: str
    address: str
    role: str
    where: state.Places

    @property
    def alive(self) -> bool:
        return self._pid() is not None

    @property
    def pid(self) -> int:
        """Of its process 1, as the machine counts. Raises Unavailable when the host has ended."""
        pid = self._pid()
        if pid is None:
            raise Unavailable(
                f"host {self.name} of lab {self.where.name} has ended\n"
                "the `tortie up` that made the lab makes it anew; `tortie logs` still has what this host said"
            )
        return pid

    def _pid(self) -> int | None:
        return state.live_pid(self.where.host_run(self.name) / "pid.json")

    def run(self, argv: Sequence[str], *, timeout: float = 120, stdin: str | None = None) -> Ran:
        """Run to its end as on that host, in its /root. Raises Unavailable after `timeout` seconds."""
        environment = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        enter = ["nsenter", f"--target={self.pid}", "--net", "--uts", "--pid", "--mount", "--"]
        with subprocess.Popen(
            [*enter, "/usr/bin/env", "-i", "--chdir=/root", *environment, *argv],
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                out, err = process.communicate(stdin, timeout)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    text = f"{self.name}: {' '.join(argv)} did not end within {timeout:g} s"
                    raise Unavailable(text) from error
                raise
        return Ran(process.returncode, out, err)

    def netns(self) -> Path:
        """The file of its network namespace, to be opened from outside."""
        return Path(f"/proc/{self.pid}/ns/net")

    def netns_of(self, pid: int) -> Path:
        """The file of the network namespace of one of its processes; `pid` as that host counts."""
        return Path(f"/proc/{self.pid}/root/proc/{pid}/ns/net")

    def path(self, inside: str) -> Path:
        """A file of the host, reached from outside. Links inside that are absolute lead to the machine's files."""
        return Path(f"/proc/{self.pid}/root") / inside.lstrip("/")

    def order(self, operation: str, daemon: str | None = None, timeout: float = 200.0) -> dict[str, Any]:
        """start, stop, restart of a daemon, or status; see `control.order`."""
        return control.order(self.where.control(self.name), operation, daemon, timeout)

    def daemons(self) -> list[dict[str, Any]]:
        """What its supervisor says of each daemon."""
        listed: list[dict[str, Any]] = self.order("status", timeout=STATUS_SECONDS)["daemons"]
        return listed

    def log(self, daemon: str) -> Path:
        """The daemon's log, readable from outside and after the host's end."""
        return self.where.log(self.name, daemon)


@dataclass(frozen=True, slots=True)
class Lab:
    """`state` is what `up` noted: document, options, phase, pages."""

    name: str
    hosts: Mapping[str, Host]
    switch: Host
    state: Mapping[str, Any]

    @classmethod
    def find(cls, name: str = DEFAULT_NAME) -> Lab:
        """Raises NotFound when there is no lab of this name."""
        where = state.places(name)
        noted = state.state_of(where)
        hosts = {raw["name"]: Host(raw["name"], raw["address"], raw["role"], where) for raw in noted["hosts"]}
        switch = hosts.pop(SWITCH)
        return cls(name, hosts, switch, noted)

    def host(self, name: str) -> Host:
        """Raises NotFound with the names that there are. `switch` is none of the document's but may be asked for."""
        if name == SWITCH:
            return self.switch
        try:
            return self.hosts[name]
        except KeyError:
            there = f"there are {', '.join(self.hosts)}"
            raise NotFound(f"no host {name!r} in lab {self.name}{meant(name, self.hosts)}\n{there}") from None
