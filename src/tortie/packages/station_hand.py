"""A hand at work on this host: one at a time, whichever process began it, and it can be ended with all it started."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from tortie.base.errors import Conflict, Unavailable
from tortie.packages.stations import ADDRESS, Request

MARK = "TORTIE_STATION_HAND"
"""In the environment of a hand and of all that it starts: the folder of its station."""
PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENDING_SECONDS = 30.0
PAUSE = 0.05
log = logging.getLogger("station")


class Gone(Exception):
    """This request was withdrawn before it began."""


class Lock:
    """A file that one process holds, and whoever it is handed on to; free again when the last of them has ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.descriptor = -1

    def take(self, seconds: float) -> None:
        """Conflict when others hold it so long."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        ends = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > ends:
                    os.close(descriptor)
                    raise Conflict(f"{self._path} is held by another process of this host") from error
                time.sleep(PAUSE)
            else:
                self.descriptor = descriptor
                return

    def leave(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Hand:
    """Of the station whose folder this is; only who holds that station's own lock may have one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ending = threading.Event()

    def work(self, request: Request) -> int:
        """The exit code of what the request names, once it has ended. Gone when it was withdrawn before it began;
        Unavailable when it cannot be begun."""
        lock = Lock(self._folder / "hand.lock")
        lock.take(ENDING_SECONDS)
        try:
            if self._ending.is_set():
                raise Gone("it was withdrawn")
            process = subprocess.Popen(
                request.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=self._environment(request.given),
                cwd="/",
                start_new_session=True,
                pass_fds=(lock.descriptor,),
            )
        except OSError as error:
            raise Unavailable(f"{request.argv[0]}: {error.strerror}") from error
        finally:
            lock.leave()
        if self._ending.is_set():  # it was ended before it had begun
            clear(self._folder)
        return process.wait()

    def _environment(self, address: str) -> dict[str, str]:
        path = os.environ.get("PATH") or PATHS
        return {"PATH": path, "HOME": "/root", MARK: str(self._folder), ADDRESS: address}

    def end(self) -> None:
        """Returns once nothing of it is at work; `work` returns, too."""
        self._ending.set()
        clear(self._folder)


def clear(folder: Path) -> None:
    """Ends what a hand of this station, or of one before it, has left at work. Unavailable when it does not end."""
    ends = time.monotonic() + ENDING_SECONDS
    lock = Lock(folder / "hand.lock")
    while True:
        left = marked(folder)
        for pid in left:
            log.warning("ending process %d, of a hand that is not wanted any more", pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(Conflict):
            lock.take(0.0)  # free: whatever is between its fork and its first word has shown its mark by now
            lock.leave()
            if not marked(folder):
                return
        if time.monotonic() > ends:
            raise Unavailable(f"a hand that was ended is still at work {ENDING_SECONDS:g} s later: {left}")
        time.sleep(PAUSE)


def marked(folder: Path) -> list[int]:
    """Processes that live and have this station's mark."""
    mark, found = f"{MARK}={folder}".encode(), []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            with open(f"/proc/{entry.name}/environ", "rb") as file:
                if mark in file.read().split(b"\0"):
                    found.append(int(entry.name))
        except OSError:  # it has ended, or is not ours to look at
            continue
    return found
