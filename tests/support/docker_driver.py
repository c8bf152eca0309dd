"""A process that runs the Docker driver alone, with a gate that looks at the kernel but programs nothing.

`python docker_driver.py STORE HOSTNAME DOCKER_SOCKET PLUGIN_DIR [--gate-file FILE]`: while FILE exists no endpoint is
declared programmed.
"""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path

import anyio
import anyio.to_thread
from tests.support.addresses import PlainAddresses

from tortie.base.errors import Unavailable
from tortie.base.log import setup
from tortie.dataplane.kernel import veth
from tortie.plugins.docker.service import run_docker_driver
from tortie.store.open import open_store


class KernelGate:
    """Programmed means here: the host's end of the pair is in the kernel, and nobody holds the gate shut."""

    def __init__(self, shut: Path | None) -> None:
        self._shut = shut

    async def wait_programmed(self, key: str, revision: int, timeout: float) -> None:
        with anyio.move_on_after(timeout):
            await anyio.to_thread.run_sync(self._wait_open, abandon_on_cancel=True)
            if any(name.startswith("cali") for name in await anyio.to_thread.run_sync(veth.names)):
                return
        raise Unavailable(f"endpoint {key} is not programmed: the gate is shut")

    def _wait_open(self) -> None:
        while self._shut is not None and self._shut.exists():
            time.sleep(0.02)

    async def wait_removed(self, key: str, timeout: float) -> None:
        return None


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
            addresses=PlainAddresses(datastore),
            hostname=options.hostname,
            docker_socket=options.socket,
            plugin_dir=Path(options.plugin_dir),
            grace=options.grace,
        )


if __name__ == "__main__":
    setup("docker", debug=False)
    anyio.run(main)
