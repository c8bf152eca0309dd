"""Clean-ups that could not be done when they were asked for, as files: runtimes never repeat one. Every call blocks."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from tortie.base.errors import Invalid, Unavailable
from tortie.plugins.wire import Request, decode, encode

log = logging.getLogger("cni")


def make_spool(folder: Path) -> None:
    """Unavailable when it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Unavailable(f"{folder}: {error.strerror}") from error


class Spool:
    """A folder of calls, the oldest first. The launcher writes such files too, while no agent answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, request: Request) -> None:
        """On the disk when it returns. Unavailable when it cannot be written."""
        name = f"{time.time_ns():020d}-{os.getpid()}"
        beside = self._folder / f".{name}"
        try:
            with beside.open("xb") as file:
                file.write(encode(request))
                file.flush()
                os.fsync(file.fileno())
            beside.rename(self._folder / name)
        except OSError as error:
            raise Unavailable(f"{self._folder}: {error.strerror}") from error

    def is_empty(self) -> bool:
        return not self._names()

    def kept(self) -> list[tuple[Path, Request]]:
        """What makes no sense is set aside, said once, and not given out."""
        found = []
        for name in self._names():
            path = self._folder / name
            try:
                found.append((path, decode(path.read_bytes())))
            except Invalid as error:
                log.warning("%s: %s", path, error)
                path.rename(path.with_name(f".broken-{name}"))
            except FileNotFoundError:
                continue  # done by another turn meanwhile
        return found

    def _names(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._folder) if not name.startswith("."))
        except FileNotFoundError:
            return []
