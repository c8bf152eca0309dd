"""The command of net-modules against the service that it talks to: real processes, a real store, no kernel."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from tests.support.waiting import PATIENCE, wait_until

from tortie.base.errors import Unavailable
from tortie.ipam.allocator import Allocator
from tortie.model.ipam import HANDLES
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.resource import Metadata, Resource
from tortie.plugins.cleanup import Cleanup
from tortie.plugins.netmodules.asking import Isolate
from tortie.plugins.netmodules.front import NetModulesFront
from tortie.plugins.netmodules.install import NAME, install
from tortie.plugins.netmodules.journal import Journal
from tortie.plugins.netmodules.names import endpoint_resource
from tortie.plugins.netmodules.plugin import Plugin
from tortie.plugins.service import run_plugins
from tortie.plugins.spool import Spool
from tortie.store.client import Client
from tortie.store.open import open_store

pytestmark = pytest.mark.root
"""Only root may ask for interfaces."""
HOST = "172.24.197.102"


class Gate:
    """An agent that has nothing to program."""

    async def wait_programmed(self, key: str, revision: int, timeout: float) -> None:
        """At once."""

    async def wait_removed(self, key: str, timeout: float) -> None:
        """At once."""

    def missing(self, key: str, revision: int = 0) -> Sequence[str]:
        return ()

    def not_ready(self) -> Sequence[str]:
        return ()


class Held(Allocator):
    """Waits to give an address until it is told to; has no store at all while it is `away`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked, self.go, self.away = threading.Event(), threading.Event(), False
        self.go.set()

    def auto_assign(self, *args: Any, **named: Any) -> Any:
        self.asked.set()
        assert self.go.wait(PATIENCE)
        return super().auto_assign(*args, **named)

    def release_by_handle(self, *args: Any, **named: Any) -> Any:
        if self.away:
            raise Unavailable("the store is away")
        return super().release_by_handle(*args, **named)


class World:
    def __init__(self, folder: Path) -> None:
        self.socket, self.spool, self.journal = folder / "cni.sock", folder / "spool", folder / "log/isolator.log"
        self.command, _ = (placed.path for placed in install(folder / "bin", str(self.socket), str(self.spool)))
        self.store = open_store(f"sqlite://{folder}/store")
        client = Client(self.store)
        pool = IPPoolSpec(cidr="192.168.0.0/16")
        client.apply(Resource(kind=IP_POOL, metadata=Metadata(name="pool"), spec=pool))
        client.apply(Resource(kind=NODE, metadata=Metadata(name="one"), spec=NodeSpec()))
        self.addresses = Held(self.store, "one")

    @contextmanager
    def served(self) -> Iterator[None]:
        gate = Gate()
        plugin = Plugin(datastore=self.store, gate=gate, addresses=self.addresses, node="one", host=HOST)
        spool = Spool(self.spool)
        fronts = {NAME: NetModulesFront(plugin, spool, Journal(self.journal))}
        run = partial(run_plugins, fronts, spool, [], path=self.socket, folder=self.spool)
        with start_blocking_portal() as portal:
            serving = portal.start_task_soon(run)
            try:
                wait_until(self.socket.exists)
                yield
            finally:
                serving.cancel()

    def start(self, command: str, **args: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [str(self.command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps({"args": args, "command": command}).encode())
        process.stdin.close()
        process.stdin = None
        return process

    def ask(self, command: str, **args: Any) -> dict[str, Any]:
        process = self.start(command, **args)
        out, _ = process.communicate(timeout=PATIENCE)
        return {**json.loads(out), "code": process.returncode}

    def allocate(self, uid: str) -> dict[str, Any]:
        return self.ask("allocate", **allocation(uid))

    def handles(self) -> list[str]:
        return [kv.key.removeprefix(HANDLES) for kv in self.store.list(HANDLES).items]

    def kept(self) -> list[str]:
        return [name for name in os.listdir(self.spool) if not name.startswith(".")]


def allocation(uid: str) -> dict[str, Any]:
    return {"hostname": HOST, "num_ipv4": 1, "num_ipv6": 0, "uid": uid}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.store.close()


def test_answers_errors_and_the_file_where_they_stand(world: World) -> None:
    with world.served():
        got = world.allocate("u-1")
        assert (got["code"], got["error"], len(got["ipv4"])) == (0, None, 1)
        assert world.ask("jump") == {"error": "Unknown command: jump", "code": 1}
        assert world.ask("allocate", hostname=HOST) == {"error": "Missing uid", "code": 1}
        none = world.ask("cleanup", hostname=HOST, container_id="c")
        assert none == {"error": "No endpoint found with container-id: c", "code": 1}
        assert world.ask("release", ips=got["ipv4"])["error"] is None
        assert world.ask("release", ips=got["ipv4"])["error"] is None
        assert world.ask("release", uid="u-1")["error"] is None
        assert world.handles() == []
    lines = world.journal.read_text().splitlines()
    assert len(lines) == 7
    assert "Missing uid" in lines[2]


def test_a_caller_that_was_killed_has_taken_nothing(world: World) -> None:
    with world.served():
        world.addresses.go.clear()
        process = world.start("allocate", **allocation("u-1"))
        assert world.addresses.asked.wait(PATIENCE)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        world.addresses.go.set()
        wait_until(lambda: world.journal.exists() and "192.168" in world.journal.read_text())
        wait_until(lambda: not world.handles() and not world.kept(), message=lambda: (world.handles(), world.kept()))


def test_an_agent_that_comes_back_in_time_and_what_was_kept_for_it(world: World) -> None:
    with world.served():
        first = world.allocate("u-1")["ipv4"]
    world.socket.unlink(missing_ok=True)
    assert world.ask("release", ips=first) == {"error": None, "code": 0}
    assert (world.handles(), len(world.kept())) == (["mesos.u-1"], 1)
    waiting = world.start("allocate", **allocation("u-2"))
    with world.served():
        out, _ = waiting.communicate(timeout=PATIENCE)
        # It may have lost its patience on a very slow machine, but never with half an answer.
        answer = json.loads(out)
        assert answer["error"] is None or "agent of this host" in answer["error"]
        wait_until(lambda: not world.kept())
        wait_until(lambda: "mesos.u-1" not in world.handles())


def test_a_clean_up_waits_for_what_it_needs(world: World) -> None:
    with world.served():
        world.allocate("u-1")
        world.addresses.away = True
        assert world.ask("release", uid="u-1") == {"error": None, "code": 0}
        assert (world.handles(), len(world.kept())) == (["mesos.u-1"], 1)
        world.addresses.away = False
        # What was kept is done before anything new is made.
        assert world.allocate("u-2")["error"] is None
        wait_until(lambda: world.handles() == ["mesos.u-2"], message=world.handles)
        wait_until(lambda: not world.kept())


def test_a_container_that_ended_without_a_clean_up_is_collected(world: World) -> None:
    plugin = Plugin(datastore=world.store, gate=Gate(), addresses=world.addresses, node="one", host=HOST)
    asking = Isolate(hostname=HOST, container=str(uuid.uuid4()), pid=1, addresses=["192.168.9.9"], groups=["a"])
    world.addresses.assign("192.168.9.9", "mesos.u-1", {"type": "net-modules"}, now=1.0)
    endpoint = endpoint_resource("one", asking, handle="mesos.u-1", stamp="")
    Client(world.store).apply(endpoint)
    there: dict[str, int] = {endpoint.spec.interface_name: 7}
    cleanup = Cleanup(plugin, interfaces=lambda: there, grace=0)
    anyio.run(cleanup.round)
    assert [found.key for found in plugin.endpoints()] == [endpoint.key]
    there.clear()
    anyio.run(cleanup.round)
    assert (plugin.endpoints(), world.handles()) == ([], [])
