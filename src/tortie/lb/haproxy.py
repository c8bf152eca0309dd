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
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tortie.base.errors import Unavailable
from tortie.lb.ending import ended, runs
from tortie.lb.files import Files

log = logging.getLogger("lb")

_ANSWER_WITHIN = 10.0
_LOADED_WITHIN = 20.0
_WRITTEN_WITHIN = 5.0
_LOG_LIMIT = 1024 * 1024
_MASTER, _WORKER, _OLD = "master", "worker", "old worker"


class Haproxy:
    """The HAProxy of one work directory; every method speaks to the process that is there now, whoever started it."""

    def __init__(self, program: str, work_dir: Path, *, tied: bool = False) -> None:
        """`tied`: the HAProxy that is started here does not outlive this process, however it ends."""
        self._program = program
        self._tied = tied
        self.files = Files(work_dir)
        self.state = work_dir / "server.state"
        self._pid = work_dir / "haproxy.pid"
        self._log = work_dir / "haproxy.log"
        self._master = work_dir / "master.sock"
        self._worker = work_dir / "haproxy.sock"
        self._child: subprocess.Popen[bytes] | None = None
        self._seen = 0

    async def processes(self) -> dict[int, str]:
        """Process ids with their role (`master`, `worker`, `old worker`); nothing when no HAProxy runs.

        A master answers nothing while it loads itself anew: it is waited for. Unavailable when it lives but stays dumb.
        """
        until = time.monotonic() + _ANSWER_WITHIN
        while True:
            self._reap()
            with suppress(Unavailable):
                if found := _parse_processes(await _converse(self._master, "show proc")):
                    return found
            if not (self.master() or self._being_written()):
                return {}
            if time.monotonic() > until:
                raise Unavailable(f"haproxy runs but does not answer on {self._master}")
            await asyncio.sleep(0.02)

    def master(self) -> int:
        """The pid of the master, 0 when there is none.

        Its file is empty for a moment whenever it executes itself anew, as it does after each start and reload: what
        was found in it before counts as well.
        """
        if self._child is not None and self._child.poll() is None:
            return self._child.pid
        with suppress(OSError, ValueError, IndexError):
            self._seen = int(self._pid.read_text().split()[0])
        return self._seen if runs(self._seen, "haproxy", f"{self._master},") else 0

    def _being_written(self) -> bool:
        """Whether a master may be about to write down its pid."""
        try:
            return not self._pid.read_bytes() and time.time() - self._pid.stat().st_mtime < _WRITTEN_WITHIN
        except OSError:
            return False

    async def ended(self) -> None:
        """Returns when the master that is there now has ended; at once when there is none."""
        if pid := self.master():
            await ended(pid)
            self._reap()

    async def loaded(self) -> str:
        """The mark of the configuration that the worker runs; empty when none answers."""
        return (await self.worker())[0]

    async def worker(self) -> tuple[str, int]:
        """The mark of its configuration and its pid; empty and 0 when none answers."""
        try:
            text = await self.command("show info")
        except Unavailable:
            return "", 0
        info = dict(line.partition(": ")[::2] for line in text.splitlines())
        return info.get("description", "").strip(), int(info.get("Pid", 0))

    async def command(self, text: str) -> str:
        """One command of the runtime API and its answer."""
        return await _converse(self._worker, text)

    async def check(self, text: str) -> list[str]:
        """What `haproxy -c` has against a configuration; nothing when it is valid."""
        self.files.trial.write_text(text)
        process = await asyncio.create_subprocess_exec(
            self._program, "-c", "-f", os.fspath(self.files.trial),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        if process.returncode == 0:
            return []
        lines = [line for line in out.decode(errors="replace").splitlines() if "ALERT" in line]
        return lines or [f"haproxy -c ended with {process.returncode}"]

    async def start(self, mark: str) -> None:
        """Start it with the configuration in place. Unavailable carries what it says when it does not come up.

        The health of servers that an earlier process knew is not taken over: it may be hours old.
        """
        self.state.unlink(missing_ok=True)
        self.trim_log()
        begin = self._log_size()
        arguments = [
            *(_with_parent() if self._tied else ()),
            self._program,
            "-W",
            "-S",
            f"{self._master},mode,600",
            "-f",
            str(self.files.config),
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

    def trim_log(self) -> None:
        """HAProxy says a line or two for each change, for ever: what is above the limit goes beside, once."""
        if self._log_size() > _LOG_LIMIT:
            shutil.copyfile(self._log, self._log.with_name(f"{self._log.name}.1"))
            os.truncate(self._log, 0)

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

    async def stop(self, within: float = 0) -> bool:
        """Ask it to end once its connections have; False when none runs.

        With `within` seconds it is waited for; what is left of it then is ended.
        """
        pid = self.master()
        if not pid:
            return False
        os.kill(pid, signal.SIGUSR1)
        if within:
            try:
                async with asyncio.timeout(within):
                    await ended(pid)
            except TimeoutError:
                log.warning("haproxy still has connections after %g s: ending it", within)
            finally:
                await self._end(pid)
        return True

    async def _end(self, pid: int) -> None:
        if self.master() == pid:
            os.kill(pid, signal.SIGTERM)
            await ended(pid)
        self._reap()


def _parse_processes(text: str) -> dict[int, str]:
    """The answer of `show proc` on the master's socket."""
    found, worker = {}, _WORKER
    for line in text.splitlines():
        words = line.split()
        if line.startswith("#") and "old workers" in line:
            worker = _OLD
        elif len(words) > 2 and words[0].isdigit() and words[1] in (_MASTER, _WORKER):
            found[int(words[0])] = _MASTER if words[1] == _MASTER else worker
    return found


def _with_parent() -> tuple[str, ...]:
    """The kernel ends what is started like this when the process that started it has gone, even by SIGKILL."""
    if os.getpid() == 1:
        return ()  # a container ends with its first process
    program = shutil.which("setpriv")
    if program is None:
        log.warning("no program setpriv: haproxy is left behind if this process is killed")
        return ()
    return (program, "--pdeathsig", "TERM")


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
