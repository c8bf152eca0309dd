"""A process that runs the Docker driver alone, with a gate that looks at the kernel but programs nothing.

`python -m tests.support.docker_driver STORE HOSTNAME DOCKER_SOCKET PLUGIN_DIR [--gate-file FILE] [--grace SECONDS]`:
while FILE exists no endpoint is declared programmed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import anyio.to_thread

from tests.support.docker_host import DockerHost
from tests.support.waiting import PATIENCE, wait_until
from tortie.base.errors import Unavailable
from tortie.base.log import setup
from tortie.dataplane.kernel import veth
from tortie.ipam.allocator import Allocator
from tortie.plugins.docker.service import SOCKETS, run_docker_driver
from tortie.store.open import open_store

ROOT = Path(__file__).resolve().parents[2]


class KernelGate:
    """Programmed means here: the host's end of the pair is in the kernel, and nobody holds the gate shut."""

    def __init__(self, shut: Path | None) -> None:
        self._shut = shut

    async def wait_programmed(self, key: str, revision: int, timeout: float) -> None:
        interface = "cali" + key.rpartition("-")[2][:11]
        with anyio.move_on_after(timeout):
            await anyio.to_thread.run_sync(self._wait_open, abandon_on_cancel=True)
            if interface in await anyio.to_thread.run_sync(veth.names):
                return
        raise Unavailable(f"endpoint {key} is not programmed: the gate is shut")

    def _wait_open(self) -> None:
        while self._shut is not None and self._shut.exists():
            time.sleep(0.02)

    async def wait_removed(self, key: str, timeout: float) -> None:
        return None


class DriverProcess:
    """The driver of one test host; `kill` ends it as kill -9 does, `start` gives it a new life."""

    def __init__(self, host: DockerHost, store: str, *, grace: float = 60.0) -> None:
        self.host = host
        self.gate_file = host.dir / "gate-is-shut"
        self.log = host.dir / "driver.log"
        self._store, self._grace = store, grace
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self, *, grace: float | None = None) -> None:
        """`grace`: seconds after which this life of the driver takes back what nobody uses."""
        for name in SOCKETS:
            (self.host.plugin_dir / name).unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.support.docker_driver", self._store, self.host.name]
        command += [str(self.host.socket), str(self.host.plugin_dir)]
        command += ["--gate-file", str(self.gate_file), "--grace", str(grace or self._grace)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.host.netns}", *command],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}"},
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        wait_until(
            self._serves, message=lambda: f"the driver's sockets; its log ends with: {self.log.read_text()[-3000:]}"
        )

    def _serves(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"exit {self._process.returncode}: {self.log.read_text()[-3000:]}"
        return all((self.host.plugin_dir / name).exists() for name in SOCKETS)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """The exit code, once it has ended."""
        assert self._process is not None
        self._process.send_signal(how)
        return self._process.wait(PATIENCE)


async def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("store", "hostname", "socket", "plugin_dir"):
        parser.add_argument(name)
    parser.add_argument("--gate-file", type=Path)
    parser.add_argument("--grace", type=float, default=60.0)
    options = parser.parse_args()
    datastore = open_store(options.store)
    async with anyio.create_task_group() as group:

        async def end_on_signal() -> None:
            with anyio.open_signal_receiver(signal.SIGTERM) as signals:
                async for _ in signals:
                    group.cancel_scope.cancel()
                    return

        group.start_soon(end_on_signal)
        await run_docker_driver(
            datastore=datastore,
            gate=KernelGate(options.gate_file),
            addresses=Allocator(datastore, options.hostname),
            hostname=options.hostname,
            docker_socket=options.socket,
            plugin_dir=Path(options.plugin_dir),
            grace=options.grace,
        )


if __name__ == "__main__":
    setup("docker")
    anyio.run(main)
