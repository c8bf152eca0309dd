"""Stations whose hosts are directories: in this process, or as the package service in one of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from msgspec.structs import replace as replaced

from tests.support.agent_hosts import ROOT, environment, led
from tests.support.hand_relay import program
from tests.support.rollout_host import Box
from tests.support.waiting import PATIENCE, wait_until
from tortie.packages import run as service
from tortie.packages.rollout.reach import hand
from tortie.packages.station import Settings, run
from tortie.packages.station_hand import Gone, Hand, marked
from tortie.packages.stations import Request, Station
from tortie.store.open import open_store

Hook = Callable[[str], None]


class LedHand(Hand):
    """Works on a box. `fetched`: called with the step's name when a request has come, before its hand begins."""

    def __init__(self, box: Box, folder: Path, fetched: Hook) -> None:
        super().__init__(folder)
        self._box, self._fetched = box, fetched

    def work(self, request: Request) -> int:
        try:
            with urllib.request.urlopen(request.given, timeout=PATIENCE) as reply:
                found = reply.read()
        except OSError as error:
            raise Gone(str(error)) from error
        self._fetched(step(found))
        with tempfile.TemporaryDirectory(dir=self._box.systemctl.parent) as directory:
            given = Path(directory, "given")
            given.write_bytes(led(found, self._box))
            argv = program(given, request.given, self._words(request))
            return super().work(replaced(request, argv=tuple(argv)))

    def _words(self, request: Request) -> tuple[str, ...]:
        return request.argv


def step(given: bytes) -> str:
    request = json.loads(given[len(hand()) :].partition(b"\n")[0])
    return f"{request['do']}-{request['step'] or 'all'}"


def settings_of(name: str, box: Box, fetched: Hook = lambda _step: None, boot: str = "") -> Settings:
    """`boot`: of a host's kernel; without one it is the box's own."""
    return Settings(
        Station(name, (f"{name}.address",), boot or str(box.root)),
        folder=folder(box),
        hand=lambda where: LedHand(box, where, fetched),
    )


def folder(box: Box) -> Path:
    return box.systemctl.with_name("station")


@asynccontextmanager
async def station(directory: Path, settings: Settings) -> AsyncIterator[asyncio.Future[None]]:
    """In this process, until the block ends; what it says then."""
    store = await asyncio.to_thread(open_store, f"sqlite://{directory}/store")
    running = asyncio.ensure_future(run(store, settings))
    try:
        yield running
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        store.close()


def start(directory: Path, name: str, box: Box, port: int, *, along: bool) -> subprocess.Popen[bytes]:
    """The package service in a process that kills itself once in each step; `along`: before its hand begins."""
    program = "import sys; from tests.support.station_hosts import main; main(*sys.argv[1:])"
    words = [str(directory), name, str(box.root), str(box.systemctl), str(port), "along" if along else ""]
    with open(directory / f"{name}.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", program, *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env=environment(),
        )


class _Place(Box):
    """A box that another process has made."""

    def __init__(self, root: str, systemctl: str) -> None:
        self.root, self.systemctl = Path(root), Path(systemctl)


def main(directory: str, name: str, root: str, systemctl: str, port: str, along: str) -> None:
    box = _Place(root, systemctl)
    store = f"sqlite://{directory}/store"
    noted = Path(directory, f"{name}.killed")
    killed = noted.read_text().split() if noted.exists() else []

    def once(step: str) -> None:
        if step in killed:
            return
        with noted.open("a") as file:
            file.write(f"{step}\n")
        if along:
            end()
        threading.Thread(target=later, daemon=True).start()

    def later() -> None:
        wait_until(lambda: marked(folder(box)))
        end()

    def end() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    settings = settings_of(name, box, once)
    if not along:
        settings = replace(settings, hand=lambda where: _Outliving(box, where, once, killed))
    asyncio.run(service.run(_service(store, int(port), settings)))


class _Outliving(LedHand):
    """In a step in which its station is killed it begins when that has happened."""

    def __init__(self, box: Box, folder: Path, fetched: Hook, killed: Sequence[str]) -> None:
        super().__init__(box, folder, fetched)
        self._killed = killed

    def _words(self, request: Request) -> tuple[str, ...]:
        if request.id.partition(".")[0] in self._killed:
            return request.argv
        alone = f'while kill -0 {os.getpid()} 2>/dev/null; do sleep 0.02; done; exec "$@"'
        return ("/bin/sh", "-c", alone, "sh", *request.argv)


def _service(store: str, port: int, station: Settings) -> service.Settings:
    nowhere = "127.0.0.1:1"
    return service.Settings(
        host="127.0.0.1",
        port=port,
        marathon=[f"http://{nowhere}"],
        masters=[nowhere],
        store=store,
        station=station,
    )
