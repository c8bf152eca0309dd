"""One HAProxy in master-worker mode, in a session of its own: it outlives the program that looks after it.

Whoever looks after it finds it again by the master's socket in the work directory. What the worker has loaded is read
from its own description (`show info`), never remembered.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tortie.base.errors import Unavailable

log = logging.getLogger("lb")

_ANSWER_WITHIN = 10.0
_LOADED_WITHIN = 20.0
_LOG_LIMIT = 1024 * 1024


class Haproxy:
    """The HAProxy of one work directory; every method speaks to the process that is there now, whoever started it."""

    def __init__(self, program: str, work_dir: Path) -> None:
        self._program = program
        self.config = work_dir / "haproxy.cfg"
        self.state = work_dir / "server.state"
        self.maps = work_dir / "maps"
        self._trial = work_dir / "haproxy.cfg.trial"
        self._pid = work_dir / "haproxy.pid"
        self._log = work_dir / "haproxy.log"
        self._master = work_dir / "master.sock"
        self._worker = work_dir / "haproxy.sock"
        self._child: subprocess.Popen[bytes] | None = None

    async def processes(self) -> dict[int, str]:
        """Process ids with their role (`master`, `worker`); nothing when no HAProxy runs.

        A master answers nothing while it loads itself anew: it is waited for. Unavailable when it lives but stays dumb.
        """
        until = time.monotonic() + _ANSWER_WITHIN
        while True:
            self._reap()
            with suppress(Unavailable):
                if found := _parse_processes(await _converse(self._master, "show proc")):
                    return found
            if not self._master_lives():
                return {}
            if time.monotonic() > until:
                raise Unavailable(f"haproxy runs but does not answer on {self._master}")
            await asyncio.sleep(0.02)

    def _master_lives(self) -> bool:
        """Whether the process of the pid file is our HAProxy: the pid may have become somebody else's."""
        try:
            pid = int(self._pid.read_text().split()[0])
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except (OSError, ValueError, IndexError):
            return False
        return f"{self._master}," in arguments

    async def loaded(self) -> str:
        """The mark of the configuration that the worker runs; empty when none answers."""
        try:
            text = await self.command("show info")
        except Unavailable:
            return ""
        return next((line[12:].strip() for line in text.splitlines() if line.startswith("description:")), "")

    async def command(self, text: str) -> str:
        """One command of the runtime API and its answer."""
        return await _converse(self._worker, text)

    async def check(self, text: str) -> list[str]:
        """What `haproxy -c` has against a configuration; nothing when it is valid."""
        self._trial.write_text(text)
        process = await asyncio.create_subprocess_exec(
            self._program, "-c", "-f", os.fspath(self._trial),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        if process.returncode == 0:
            return []
        lines = [line for line in out.decode(errors="replace").splitlines() if "ALERT" in line]
        return lines or [f"haproxy -c ended with {process.returncode}"]

    def provide(self, files: Mapping[str, str]) -> None:
        """Have the files that a configuration names. Their paths tell their contents: one that is there is right."""
        for name, text in files.items():
            path = Path(name)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                beside = path.with_suffix(".new")
                beside.write_text(text)
                beside.rename(path)

    def write(self, text: str) -> None:
        """Put the configuration in place in one step."""
        self._trial.write_text(text)
        self._trial.rename(self.config)

    def tidy(self) -> None:
        """Remove files that only earlier configurations named."""
        text = self.config.read_text()
        for directory in self.maps.glob("*"):
            if str(directory) not in text:
                shutil.rmtree(directory, ignore_errors=True)

    async def start(self, mark: str) -> None:
        """Start it with the configuration in place. Unavailable carries what it says when it does not come up."""
        begin = self._log_size()
        if begin > _LOG_LIMIT:
            self._log.write_bytes(b"")
            begin = 0
        arguments = [
            self._program,
            "-W",
            "-S",
            f"{self._master},mode,600",
            "-f",
            str(self.config),
            "-p",
            str(self._pid),
        ]
        with self._log.open("ab") as out:
            self._child = subprocess.Popen(  # noqa: ASYNC220  its end is not waited for: it outlives us
                arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd="/"
            )
        await self._wait_loaded(mark, begin, lambda: self._child is not None and self._child.poll() is not None)

    async def reload(self, mark: str) -> None:
        """Hand the listeners to a worker with the configuration in place; connections of the old one go on.

        Unavailable when the new worker does not come up: the old one still serves then.
        """
        begin = self._log_size()
        try:
            state = await self.command("show servers state")
            beside = self.state.with_suffix(".new")
            beside.write_text(state)
            beside.rename(self.state)
        except Unavailable as error:
            log.warning("health of servers is not carried over: %s", error)
        await _converse(self._master, "reload")
        await self._wait_loaded(mark, begin, lambda: "Exiting Master process" in self._log_since(begin))

    async def _wait_loaded(self, mark: str, begin: int, failed: Callable[[], bool]) -> None:
        until = time.monotonic() + _LOADED_WITHIN
        while await self.loaded() != mark:
            if failed() or self._refused(begin) or time.monotonic() > until:
                raise Unavailable(f"haproxy does not load its configuration: {self._complaint(begin)}")
            await asyncio.sleep(0.02)

    def _refused(self, begin: int) -> bool:
        """The master goes on without a new worker, on the old one, when a start fails."""
        said = self._log_since(begin)
        return "wait mode" in said.lower() or "cannot bind socket" in said

    def _complaint(self, begin: int) -> str:
        alerts = [line for line in self._log_since(begin).splitlines() if "ALERT" in line]
        return "; ".join(alerts[-4:]) or "it says nothing"

    def _log_size(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0

    def _log_since(self, begin: int) -> str:
        if not self._log.exists():
            return ""
        with self._log.open("rb") as file:
            file.seek(begin)
            return file.read(65536).decode(errors="replace")

    def _reap(self) -> None:
        if self._child is not None and self._child.poll() is not None:
            log.warning("haproxy ended with %s", self._child.returncode)
            self._child = None

    async def stop(self) -> bool:
        """Ask it to end once its connections have; False when none runs."""
        masters = [pid for pid, role in (await self.processes()).items() if role == "master"]
        for pid in masters:
            os.kill(pid, signal.SIGUSR1)
        return bool(masters)


def _parse_processes(text: str) -> dict[int, str]:
    """The answer of `show proc` on the master's socket."""
    rows = (line.split() for line in text.splitlines())
    return {int(w[0]): w[1] for w in rows if len(w) > 2 and w[0].isdigit() and w[1] in ("master", "worker")}


@asynccontextmanager
async def _connection(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 24)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _converse(path: Path, text: str) -> str:
    """One command on a socket of HAProxy. The master's socket only ends its answer when our side is closed."""
    try:
        async with asyncio.timeout(_ANSWER_WITHIN), _connection(path) as (reader, writer):
            writer.write(text.encode() + b"\n")
            writer.write_eof()
            await writer.drain()
            return (await reader.read(-1)).decode(errors="replace")
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"{path}: {error or 'no answer'}") from error


def can_bind(address: str, port: int) -> str:
    """Why a new listener would fail; empty when it would not."""
    host = {"*": "0.0.0.0"}.get(address, address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
            sock.listen(1)
        except OSError as error:
            return error.strerror or str(error)
    return ""
