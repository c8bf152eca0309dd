"""A station by itself: what it does when it is asked, asked something else, killed, not alone, or asked nonsense."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from msgspec.structs import replace as replaced
from tests.support.agent_hosts import ROOT, environment
from tests.support.package_service import Shelf, shelf
from tests.support.station_hosts import station
from tests.support.waiting import until

from tortie.base.errors import Conflict
from tortie.cli import packages
from tortie.packages import station as stations
from tortie.packages.station import Settings
from tortie.packages.station_hand import marked
from tortie.packages.stations import ADDRESS, Station, read_station, request_key, station_key
from tortie.store.open import open_store
from tortie.store.port import Datastore, Drop, KeyValue, Put

ME = Station("m1", ("10.0.0.9",), "boot")
Story = Callable[[Datastore, Shelf, Settings], Awaitable[None]]


def told(tmp_path: Path, story: Story) -> None:
    async def whole() -> None:
        store = open_store(f"sqlite://{tmp_path}/store")
        async with shelf({"/given": b"told\n"}) as web:
            await story(store, web, Settings(ME, tmp_path / "station"))
        store.close()

    asyncio.run(whole())


def ask(store: Datastore, web: Shelf, name: str, script: str, path: str = "/given") -> None:
    request = {"id": name, "given": web.url + path, "argv": ["/bin/sh", "-c", script]}
    store.commit([Put(request_key("m1"), json.dumps(request).encode())])


async def announced(store: Datastore) -> KeyValue:
    found: list[KeyValue] = []

    def there() -> bool:
        now = store.get(station_key("m1"))
        found.extend([now] if now else [])
        return now is not None

    await until(there, message="it announces itself")
    return found[0]


def stands(store: Datastore) -> bool:
    return store.get(request_key("m1")) is not None


def lasting(file: Path) -> str:
    """Two processes that go on, and that end when they are killed only."""
    return f"sleep 600 & echo there > {shlex.quote(str(file))}; wait"


def test_a_hand_is_told_its_address_by_the_environment_and_its_end_is_said(tmp_path: Path) -> None:
    async def story(store: Datastore, web: Shelf, settings: Settings) -> None:
        found = tmp_path / "found"
        async with station(tmp_path, settings):
            await until(lambda: store.get(station_key("m1")))
            ask(store, web, "one", f"env > {shlex.quote(str(found))}; exit 3")
            await until(lambda: not stands(store))
            lines = found.read_text().splitlines()
            assert f"{ADDRESS}={web.url}/given" in lines
            assert {line.partition("=")[0] for line in lines} >= {"PATH", "HOME"}
            assert not any("PYTHON" in line for line in lines)
        assert store.get(station_key("m1")) is None

    told(tmp_path, story)


def test_what_is_asked_next_ends_what_is_at_work_and_so_does_its_end(tmp_path: Path) -> None:
    async def story(store: Datastore, web: Shelf, settings: Settings) -> None:
        first, second, third = (tmp_path / name for name in ("first", "second", "third"))
        async with station(tmp_path, settings):
            ask(store, web, "one", lasting(first))
            await until(first.exists)
            assert marked(settings.folder)
            others = f"grep -lz TORTIE_STATION_HAND={settings.folder} /proc/[0-9]*/environ 2>/dev/null"
            # Of what a station's hand has begun nobody lives but this one, and what it has begun itself.
            alone = f"for each in $({others}); do echo $(cut -d ' ' -f 6 < ${{each%environ}}stat); done | sort -u"
            ask(store, web, "two", f"{{ echo $$; {alone}; }} > {second}.new; mv {second}.new {second}; sleep 600")
            await until(second.exists)
            session, *sessions = second.read_text().split()
            assert set(sessions) == {session}
            store.commit([Drop(request_key("m1"))])
            await until(lambda: not marked(settings.folder))
            ask(store, web, "three", lasting(third))
            await until(third.exists)
        assert marked(settings.folder) == []

    told(tmp_path, story)


def test_what_a_killed_one_has_left_at_work_has_ended_before_another_announces_itself(tmp_path: Path) -> None:
    async def story(store: Datastore, web: Shelf, settings: Settings) -> None:
        there = tmp_path / "there"
        process = begin(tmp_path)
        try:
            ask(store, web, "one", lasting(there))
            await until(there.exists)
            left = await announced(store)
        finally:
            process.kill()
            process.wait()
        assert marked(settings.folder)
        store.commit([Drop(request_key("m1"))])
        async with station(tmp_path, settings):

            def another() -> bool:
                now = store.get(station_key("m1"))
                return now is not None and now.value != left.value

            await until(another, message="it does not wait for the lease of the one before")
            assert marked(settings.folder) == []

    told(tmp_path, story)


def begin(directory: Path) -> subprocess.Popen[bytes]:
    program = "import sys; from tests.contract.test_station import main; main(sys.argv[1])"
    with open(directory / "log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", program, str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env=environment(),
        )


def main(directory: str) -> None:
    store = open_store(f"sqlite://{directory}/store")
    asyncio.run(stations.run(store, Settings(ME, Path(directory, "station"))))


@pytest.mark.parametrize(
    "asked",
    [
        b"nonsense",
        b'{"id": "one", "given": "http://127.0.0.1:1/", "argv": []}',
        b'{"id": "one", "given": "file:///etc/passwd", "argv": ["true"]}',
        b'{"id": "one", "given": "URL/given", "argv": ["/no/such/program"]}',
    ],
)
def test_what_cannot_be_done_does_not_stand_for_ever(tmp_path: Path, asked: bytes) -> None:
    async def story(store: Datastore, web: Shelf, settings: Settings) -> None:
        store.commit([Put(request_key("m1"), asked.replace(b"URL", web.url.encode()))])
        async with station(tmp_path, settings):
            await until(lambda: not stands(store))
            ask(store, web, "two", f"echo done > {tmp_path}/done")
            await until(lambda: not stands(store))
            assert (tmp_path / "done").exists()

    told(tmp_path, story)


def test_one_whose_lease_ran_out_announces_itself_again(tmp_path: Path) -> None:
    async def story(store: Datastore, _web: Shelf, settings: Settings) -> None:
        async with station(tmp_path, replace(settings, ttl=2.0)):
            before = await announced(store)
            store.revoke(before.lease or 0)
            again = await announced(store)
            assert again.lease != before.lease

    told(tmp_path, story)


def test_a_host_has_one_and_a_name_belongs_to_one_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stations, "TAKING_SECONDS", 0.1)

    async def story(store: Datastore, _web: Shelf, settings: Settings) -> None:
        def host() -> str:
            there = store.get(station_key("m1"))
            return read_station(there.value).boot if there else ""

        other = Settings(replaced(ME, boot="another"), tmp_path / "other")
        first = asyncio.ensure_future(stations.run(store, settings))
        await until(lambda: host() == "boot")
        with pytest.raises(Conflict, match="lock is held by another process of this host"):
            await stations.run(store, settings)
        async with station(tmp_path, other):
            await until(lambda: "another host announces itself as m1: 10.0.0.9" in caplog.text)
            first.cancel()
            await until(lambda: host() == "another", message="the name is free for the other host")
        assert (await asyncio.gather(first, return_exceptions=True))[0].__class__ is asyncio.CancelledError

    told(tmp_path, story)


def test_the_option_is_for_root_and_names_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    me = packages.own_station().me
    assert me.name == socket.gethostname()
    assert me.boot
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    done = CliRunner().invoke(packages.packages, ["run", "--station"])
    assert done.exit_code == click.UsageError.exit_code
    assert "only root can do on this host what a rollout asks for" in done.output
