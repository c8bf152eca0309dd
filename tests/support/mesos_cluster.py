"""A master and an agent as processes on 127.0.0.1, to be killed and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from tests.support.mesos_client import get, request
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, wait_until

TORTIE = [sys.executable, "-c", "from tortie.cli.main import main; main()"]


def run_once(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL
    )


class Daemon:
    """One program of ours, `program` for another. Its standard error goes to `log`. At the path `alive` it answers once
    it serves, on `host`."""

    def __init__(
        self,
        port: int,
        log: Path,
        *arguments: str,
        alive: str = "/health",
        host: str = "127.0.0.1",
        program: Sequence[str] = TORTIE,
    ) -> None:
        self.port, self.host, self.program = port, host, program
        self.alive = alive
        self.log = log
        self.arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Returns once it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*self.program, *self.arguments], stdin=subprocess.DEVNULL, stderr=log)
        wait_until(
            self._answers, message=lambda: f"{self.alive} of {self.arguments[:2]}: {self.log.read_text()[-2000:]}"
        )
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"exit {self.process.returncode}: {self.log.read_text()[-2000:]}"
        with contextlib.suppress(OSError):
            return request(self.port, "GET", self.alive, host=self.host)[0] == 200
        return False

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        try:
            yield self.start()
        finally:
            if self.process is not None:
                self.stop(signal.SIGKILL)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            os.kill(self.process.pid, how)
        return self.process.wait(PATIENCE)


class MesosCluster:
    """`work` holds the store, the work directory and the logs."""

    def __init__(
        self, work: Path, *, docker_socket: Path | None = None, master: Sequence[str] = (), agent: Sequence[str] = ()
    ) -> None:
        self.work_dir = work / "agent"
        port, agent_port = free_port(), free_port()
        self.master = Daemon(
            port,
            work / "master.log",
            *("master", "run", "--ip", "127.0.0.1", "--port", str(port), "--store", f"sqlite://{work}/store"),
            *("--allocation_interval=100ms", *master),
        )
        self.agent = Daemon(
            agent_port,
            work / "agent.log",
            *("agent", "run", "--master", f"127.0.0.1:{port}", "--ip", "127.0.0.1", "--port", str(agent_port)),
            *("--hostname", "agent.test", "--resources", "cpus:4;mem:1024;disk:1000;ports:[31000-31009]"),
            *("--work-dir", str(self.work_dir), "--fetcher-cache-dir", str(work / "cache")),
            *("--attributes", "rack:r1;level:3", "--docker-socket", str(docker_socket or work / "no.sock"), *agent),
        )

    def __enter__(self) -> Self:
        self.master.start()
        self.agent.start()
        return self

    def __exit__(self, *_: object) -> None:
        for daemon in (self.agent, self.master):
            if daemon.process is not None:
                daemon.stop(signal.SIGKILL)

    def state(self) -> dict[str, object]:
        found: dict[str, object] = get(self.master.port, "/state")
        return found


def marathon_of(work: Path, master: str) -> Daemon:
    """A Marathon for the master at HOST:PORT, with its own directory's store."""
    port = free_port()
    return Daemon(
        port,
        work / "marathon.log",
        *("marathon", "run", "--master", master, "--store", f"sqlite://{work}/store", "--hostname", "127.0.0.1"),
        *("--http-address", "127.0.0.1", "--http-port", str(port)),
        alive="/ping",
    )


def door_of(work: Path, master: str, marathon: Daemon, *more: str, alive: str = "/metadata") -> Daemon:
    """The entry door before both."""
    port = free_port()
    return Daemon(
        port,
        work / f"door-{port}.log",
        *("door", "run", "--listen", f"127.0.0.1:{port}", "--master", master),
        *("--marathon", f"127.0.0.1:{marathon.port}", "--state", str(work / f"door-{port}"), *more),
        alive=alive,
    )
