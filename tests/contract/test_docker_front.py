"""The driver over its unix socket, spoken to as the engine does: an empty Host header, no Content-Type, POST."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.addresses import PlainAddresses
from tests.support.docker_fakes import FakeEngine, FakeGate, FakeLinks

from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec, name_of
from tortie.model.resource import Metadata, Resource
from tortie.plugins.docker.driver import Driver
from tortie.plugins.docker.front import LARGEST_BODY, app
from tortie.plugins.docker.names import ADDED, added_handle, endpoint_key, host_interface
from tortie.plugins.docker.reconcile import Collector
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.web.serve import serve, unix_listener

E1, E2, E3 = (digit * 64 for digit in "123")


class Bench:
    """One driver with its surroundings, served on a socket."""

    def __init__(self, directory: Path) -> None:
        self.store = open_store(f"sqlite://{directory}/store")
        self.client = Client(self.store)
        self.client.create(Resource(kind=IP_POOL, metadata=Metadata(name="p"), spec=IPPoolSpec(cidr="192.168.0.0/24")))
        self.engine, self.links, self.gate = FakeEngine(), FakeLinks(), FakeGate()
        self.addresses = PlainAddresses(self.store)
        self.network = self.engine.user_creates("client").id
        self.now = 1000.0
        self.mtu = 1500
        self.driver = Driver(
            datastore=self.store,
            gate=self.gate,
            addresses=self.addresses,
            engine=self.engine,
            links=self.links,
            node="agent-1",
            clock=lambda: self.now,
            mtu=lambda: self.mtu,
        )
        self.collector = Collector(self.driver, self.engine, self.links, clock=lambda: self.now)
        self.socket = directory / "calico.sock"

    async def raw(self, request: bytes) -> tuple[int, bytes]:
        """One request as bytes; status and body of the reply."""
        async with await anyio.connect_unix(str(self.socket)) as stream:
            await stream.send(request)
            received = b""
            while b"\r\n\r\n" not in received:
                received += await stream.receive()
            head, _, body = received.partition(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            while len(body) < int(fields[b"content-length"]):
                body += await stream.receive()
            return int(head.split()[1]), body

    async def post(self, method: str, body: bytes | dict[str, Any]) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = (
            f"POST /{method} HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: {len(data)}\r\n"
            "Accept: application/vnd.docker.plugins.v1.2+json\r\n\r\n"
        )
        status, answer = await self.raw(head.encode() + data)
        return status, json.loads(answer)

    async def ok(self, method: str, **body: Any) -> Any:
        status, answer = await self.post(method, body)
        assert status == 200, answer
        return answer

    def of(self, endpoint: str, **fields: Any) -> dict[str, Any]:
        return {"NetworkID": self.network, "EndpointID": endpoint, **fields}

    async def attach(self, endpoint: str, address: str = "") -> str:
        """The engine's calls for one container up to Join."""
        taken = await self.ok("IpamDriver.RequestAddress", PoolID="CalicoPoolIPv4", Address=address, Options=None)
        interface = {"Address": taken["Address"], "AddressIPv6": "", "MacAddress": ""}
        await self.ok("NetworkDriver.CreateEndpoint", **self.of(endpoint, Interface=interface, Options={}))
        await self.ok("NetworkDriver.Join", **self.of(endpoint, SandboxKey=f"/s/{endpoint}", Options={}))
        return str(taken["Address"].removesuffix("/32"))

    async def detach(self, endpoint: str, address: str) -> None:
        for method in ("Leave", "DeleteEndpoint"):
            await self.ok(f"NetworkDriver.{method}", **self.of(endpoint))
        await self.ok("IpamDriver.ReleaseAddress", PoolID="CalicoPoolIPv4", Address=address)

    def left(self) -> dict[str, Any]:
        """Everything that containers leave in store and kernel; empty when there is none."""
        found = {
            "addresses": self.addresses.taken(),
            "records": [s.key for s in self.driver.holdings.all()],
            "endpoints": [e.name for e in self.client.list(WORKLOAD_ENDPOINT).items],
            "links": self.links.pairs,
        }
        return {name: what for name, what in found.items() if what}


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Bench]:
    bench = Bench(directory)
    async with anyio.create_task_group() as group:
        group.start_soon(serve, app(bench.driver), [unix_listener(bench.socket)])
        yield bench
        group.cancel_scope.cancel()


def on_bench(tmp_path: Path, story: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        async with serving(tmp_path) as bench:
            await story(bench)

    anyio.run(main)


def test_the_handshake(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        assert await bench.post("Plugin.Activate", b"") == (200, {"Implements": ["NetworkDriver", "IpamDriver"]})
        assert await bench.post("NetworkDriver.GetCapabilities", b"") == (200, {"Scope": "local"})
        status, spaces = await bench.post("IpamDriver.GetDefaultAddressSpaces", b"")
        assert (status, spaces["LocalDefaultAddressSpace"]) == (200, "CalicoLocalAddressSpace")
        status, answer = await bench.post("IpamDriver.GetCapabilities", b"")
        assert answer == {"RequiresMACAddress": False, "RequiresRequestReplay": False}

    on_bench(tmp_path, story)


WITH_ARGUMENTS = [
    "NetworkDriver.CreateNetwork",
    "NetworkDriver.DeleteNetwork",
    "NetworkDriver.CreateEndpoint",
    "NetworkDriver.EndpointOperInfo",
    "NetworkDriver.DeleteEndpoint",
    "NetworkDriver.Join",
    "NetworkDriver.Leave",
    "NetworkDriver.ProgramExternalConnectivity",
    "NetworkDriver.RevokeExternalConnectivity",
    "NetworkDriver.DiscoverNew",
    "IpamDriver.RequestPool",
    "IpamDriver.ReleasePool",
    "IpamDriver.RequestAddress",
    "IpamDriver.ReleaseAddress",
]
BAD_BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"\xff\xfe",
    b'{"NetworkID":1,"PoolID":1,"DiscoveryType":"x","Pool":1}',
]


def test_a_message_that_cannot_be_read_is_refused_and_does_nothing(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        for method in WITH_ARGUMENTS:
            for body in BAD_BODIES:
                status, answer = await bench.post(method, body)
                assert status == 400, (method, body, answer)
                assert answer["Err"] == answer["Error"]
                assert answer["Err"]
        assert not bench.left()

    on_bench(tmp_path, story)


def test_unknown_methods_wrong_verbs_and_bodies_without_end(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        assert (await bench.post("NetworkDriver.AllocateNetwork", b"{}"))[0] == 404
        assert (await bench.post("", b""))[0] == 404
        assert (await bench.post("../../etc/passwd", b""))[0] == 404
        assert (await bench.raw(b"GET /Plugin.Activate HTTP/1.1\r\nHost: \r\n\r\n"))[0] == 405
        assert (await bench.raw(b"NONSENSE\r\n\r\n"))[0] == 400
        assert (await bench.post("IpamDriver.RequestPool", b"{" + b" " * LARGEST_BODY + b"}"))[0] == 413

    on_bench(tmp_path, story)


def test_a_container_has_the_room_that_there_is_when_it_comes(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.attach(E1)
        bench.mtu = 1430
        await bench.attach(E2)
        assert bench.links.mtus == {host_interface(E1): 1500, host_interface(E2): 1430}

    on_bench(tmp_path, story)


def test_a_container_comes_and_goes_and_leaves_nothing(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        address = await bench.attach(E1)
        endpoint = bench.client.get(WORKLOAD_ENDPOINT, f"agent--1-libnetwork-libnetwork-{E1}", "libnetwork")
        assert endpoint.spec.ip_networks == (f"{address}/32",)
        assert endpoint.spec.profiles == ("client",)
        assert bench.links.pairs == {host_interface(E1): "temp11111111111"}
        assert bench.gate.programmed == [endpoint.key]
        assert bench.client.get(PROFILE, "client").spec.labels_to_apply == {"client": ""}
        assert await bench.ok("NetworkDriver.EndpointOperInfo", **bench.of(E1)) == {"Value": {}}
        await bench.ok("NetworkDriver.ProgramExternalConnectivity", **bench.of(E1, Options={}))
        await bench.detach(E1, address)
        assert not bench.left()
        assert bench.gate.removed == [endpoint.key]

    on_bench(tmp_path, story)


def test_container_labels_are_on_the_endpoint_before_join_answers(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        assert bench.engine.container is not None
        bench.engine.container.labels["org.projectcalico.label.role"] = "db"  # type: ignore[index]
        await bench.attach(E1)
        endpoint = bench.client.list(WORKLOAD_ENDPOINT).items[0]
        assert endpoint.metadata.labels["role"] == "db"

    on_bench(tmp_path, story)


def test_a_profile_that_is_there_keeps_its_rules(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.attach(E1)
        profile = bench.client.get(PROFILE, "client")
        changed = bench.client.update(Resource(
            kind=PROFILE, metadata=profile.metadata, spec=type(profile.spec)(), revision=profile.revision
        ))  # fmt: skip
        await bench.attach(E2)
        assert bench.client.get(PROFILE, "client").revision == changed.revision

    on_bench(tmp_path, story)


def test_an_address_that_is_taken_or_in_no_pool_is_refused_with_status_500(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.attach(E1, "192.168.0.254")
        ask = {"PoolID": "192.168.0.0/24", "Address": "192.168.0.254", "Options": None}
        status, answer = await bench.post("IpamDriver.RequestAddress", ask)
        assert (status, answer["Err"]) == (500, "The address 192.168.0.254 is already in use")
        status, answer = await bench.post("IpamDriver.RequestAddress", {**ask, "Address": "10.0.0.1"})
        assert status == 500
        assert "not in one of the configured Calico IP pools" in answer["Error"]
        # The refused one is released by the engine all the same: its owner must keep it only when it is another's.
        assert list(bench.addresses.taken()) == ["192.168.0.254"]
        assert len(bench.driver.holdings.all()) == 1

    on_bench(tmp_path, story)


def test_the_dummy_gateway_and_strangers_are_released_without_effect(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.attach(E1)
        before = bench.left()
        for address in ("0.0.0.0", "::", "192.168.0.77", "172.16.0.1"):
            await bench.ok("IpamDriver.ReleaseAddress", PoolID="CalicoPoolIPv4", Address=address)
        await bench.ok("NetworkDriver.DeleteEndpoint", **bench.of(E2))
        await bench.ok("NetworkDriver.Leave", **bench.of(E2))
        assert bench.left() == before

    on_bench(tmp_path, story)


def test_two_endpoints_cannot_have_one_address_nor_one_sandbox_two_networks(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        address = await bench.attach(E1)
        interface = {"Address": f"{address}/32"}
        status, answer = await bench.post("NetworkDriver.CreateEndpoint", bench.of(E2, Interface=interface))
        assert (status, answer["Err"]) == (500, f"address {address} belongs to endpoint {E1}")
        status, answer = await bench.post(
            "NetworkDriver.CreateEndpoint", bench.of(E2, Interface={"Address": "9.9.9.9/32"})
        )
        assert status == 500
        assert "was not assigned" in answer["Err"]
        taken = await bench.ok("IpamDriver.RequestAddress", PoolID="CalicoPoolIPv4", Address="", Options=None)
        await bench.ok("NetworkDriver.CreateEndpoint", **bench.of(E3, Interface={"Address": taken["Address"]}))
        status, answer = await bench.post("NetworkDriver.Join", bench.of(E3, SandboxKey=f"/s/{E1}"))
        assert status == 500
        assert "already on the Calico network client" in answer["Err"]

    on_bench(tmp_path, story)


@pytest.mark.parametrize("what", ["gate", "links", "engine"])
def test_a_failed_join_says_why_and_leaves_nothing(tmp_path: Path, what: str) -> None:
    async def story(bench: Bench) -> None:
        taken = await bench.ok("IpamDriver.RequestAddress", PoolID="CalicoPoolIPv4", Address="", Options=None)
        await bench.ok("NetworkDriver.CreateEndpoint", **bench.of(E1, Interface={"Address": taken["Address"]}))
        bench.gate.shut = what == "gate"
        bench.links.fail_next = int(what == "links")
        bench.engine.away = what == "engine"
        status, answer = await bench.post("NetworkDriver.Join", bench.of(E1, SandboxKey="/s"))
        assert status == 500
        assert {"gate": "no route", "links": "no memory", "engine": "connection refused"}[what] in answer["Err"]
        assert set(bench.left()) == {"addresses", "records"}
        bench.engine.away = False
        await bench.ok("NetworkDriver.DeleteEndpoint", **bench.of(E1))
        await bench.ok(
            "IpamDriver.ReleaseAddress", PoolID="CalicoPoolIPv4", Address=taken["Address"].removesuffix("/32")
        )
        assert not bench.left()

    on_bench(tmp_path, story)


def test_a_failed_create_endpoint_leaves_only_the_address_that_the_engine_gives_back(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        taken = await bench.ok("IpamDriver.RequestAddress", PoolID="CalicoPoolIPv4", Address="", Options=None)
        body = {"NetworkID": "unknown", "EndpointID": E1, "Interface": {"Address": taken["Address"]}}
        status, answer = await bench.post("NetworkDriver.CreateEndpoint", body)
        assert status == 500
        assert "network unknown not found" in answer["Err"]
        await bench.ok(
            "IpamDriver.ReleaseAddress", PoolID="CalicoPoolIPv4", Address=taken["Address"].removesuffix("/32")
        )
        assert not bench.left()

    on_bench(tmp_path, story)


def test_an_address_freed_behind_the_driver_s_back_may_be_taken_again(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        address = await bench.attach(E1)
        bench.addresses.release_by_handle(bench.addresses.taken()[address], now=bench.now)
        bench.now += 1
        assert await bench.attach(E2) == address

    on_bench(tmp_path, story)


def test_a_network_whose_name_cannot_be_a_label_takes_no_container(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        odd = bench.engine.user_creates("a b").id
        taken = await bench.ok("IpamDriver.RequestAddress", PoolID="CalicoPoolIPv4", Address="", Options=None)
        body = {"NetworkID": odd, "EndpointID": E1, "Interface": {"Address": taken["Address"]}}
        status, answer = await bench.post("NetworkDriver.CreateEndpoint", body)
        assert status == 500
        assert "network 'a b'" in answer["Err"]

    on_bench(tmp_path, story)


def test_join_of_an_endpoint_that_was_never_made(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        status, answer = await bench.post("NetworkDriver.Join", bench.of(E1, SandboxKey="/s"))
        assert (status, answer["Err"]) == (500, f"endpoint {E1} does not exist on agent-1")

    on_bench(tmp_path, story)


def test_an_address_stays_taken_until_route_and_policy_are_gone(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        address = await bench.attach(E1, "192.168.0.9")
        for method in ("Leave", "DeleteEndpoint"):
            await bench.ok(f"NetworkDriver.{method}", **bench.of(E1))
        bench.gate.stuck = True
        release = {"PoolID": "CalicoPoolIPv4", "Address": address}
        assert (await bench.post("IpamDriver.ReleaseAddress", release))[0] == 500
        assert list(bench.addresses.taken()) == [address]
        bench.gate.stuck = False
        assert (await bench.post("IpamDriver.ReleaseAddress", release))[0] == 200
        assert not bench.left()
        await bench.attach(E2, address)

    on_bench(tmp_path, story)


def test_the_store_away_is_an_error_with_nothing_left(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.addresses.fail_next = 1
        ask = {"PoolID": "CalicoPoolIPv4", "Address": "", "Options": None}
        status, answer = await bench.post("IpamDriver.RequestAddress", ask)
        assert (status, answer["Err"]) == (500, "the store is away")
        assert not bench.left()

    on_bench(tmp_path, story)


def test_twenty_containers_at_once_get_twenty_addresses(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        endpoints = [f"{number:064x}" for number in range(0x10 << 212, (0x10 << 212) + (20 << 212), 1 << 212)]
        given: dict[str, str] = {}

        async def one(endpoint: str) -> None:
            given[endpoint] = await bench.attach(endpoint)

        async with anyio.create_task_group() as group:
            for endpoint in endpoints:
                group.start_soon(one, endpoint)
        assert len(set(given.values())) == len(endpoints)
        async with anyio.create_task_group() as group:
            for endpoint, address in given.items():
                group.start_soon(bench.detach, endpoint, address)
        assert not bench.left()

    on_bench(tmp_path, story)


def test_the_collector_takes_back_what_the_engine_forgot_and_nothing_else(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.attach(E1)
        kept = await bench.attach(E2)
        await bench.ok("IpamDriver.RequestAddress", PoolID="CalicoPoolIPv4", Address="", Options=None)
        bench.engine.members[bench.network] = {E2}
        first = await bench.collector.look()
        assert first.records == []
        bench.now += 61
        first = await bench.collector.look()
        assert len(first.records) == 2
        bench.engine.away = True
        assert not (await bench.collector.collect_once(first)).records
        bench.engine.away = False
        await bench.collector.collect_once(first)
        assert list(bench.addresses.taken()) == [kept]
        assert bench.links.pairs == {host_interface(E2): "temp22222222222"}
        assert [e.key for e in bench.client.list(WORKLOAD_ENDPOINT).items] == [endpoint_key("agent-1", E2)]
        assert len(bench.driver.holdings.all()) == 1

    on_bench(tmp_path, story)


def test_what_a_person_added_to_a_container_goes_with_the_container(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        spec = WorkloadEndpointSpec(
            node="agent-1", orchestrator=ADDED, workload="c" * 64, endpoint=E1, interface_name=host_interface(E1)
        )
        endpoint = Resource(
            kind=WORKLOAD_ENDPOINT, metadata=Metadata(name=name_of(spec), namespace="default"), spec=spec
        )
        bench.client.create(endpoint)
        bench.addresses.assign("192.168.0.7", added_handle(E1), {}, now=bench.now)
        bench.links.create_pair(host_interface(E1), "peer", "02:00:00:00:00:01")
        before = bench.left()
        await bench.collector.collect_once(await bench.collector.look())
        assert bench.left() == before, "its container is there"
        bench.engine.container = None
        first = await bench.collector.collect_once(await bench.collector.look())
        assert not bench.left()
        assert bench.gate.removed == [endpoint.key]
        await bench.collector.collect_once(first)  # what is gone already is fine

    on_bench(tmp_path, story)


def test_an_endpoint_of_another_host_is_never_touched(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.attach(E1)
        other = Driver(
            datastore=bench.store, gate=bench.gate, addresses=bench.addresses, engine=bench.engine,
            links=FakeLinks(), node="agent-2", clock=lambda: bench.now,
        )  # fmt: skip
        bench.now += 1000
        found = await Collector(other, bench.engine, FakeLinks(), clock=lambda: bench.now).look()
        assert (list(found.records), set(found.endpoints), set(found.interfaces)) == ([], set(), set())

    on_bench(tmp_path, story)
