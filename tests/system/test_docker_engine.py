"""Two hosts with real engines, one store: the document's networks, addresses, and what is left after every fault."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

import pytest
from tests.support.docker_driver import DriverProcess
from tests.support.docker_host import DockerHost
from tests.support.waiting import wait_until

from tortie.ipam.allocator import Allocator
from tortie.model.ipam import HANDLES
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import Metadata, Resource
from tortie.plugins.docker.holdings import PREFIX, Holding, Holdings
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Datastore

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

CREATE = ("network", "create", "--driver", "calico", "--ipam-driver", "calico")
FOREVER = ("/bin/sleep", "1000")
HASTY = 2.0
"""Seconds of grace of a driver that collects at once; too few while containers start on a busy machine."""


def patient_again(driver: DriverProcess) -> None:
    driver.end()
    driver.start()


@dataclass
class Rig:
    store: Datastore
    hosts: dict[str, DockerHost]
    drivers: dict[str, DriverProcess]

    def docker(self, host: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.hosts[host].docker(*words, check=check)

    def networks(self, host: str) -> set[str]:
        listed = self.docker(host, "network", "ls", "--filter", "driver=calico", "--format", "{{.Name}}").stdout
        return set(listed.split())

    def both_have(self, *names: str) -> None:
        """Two seconds are the promise; here it counts that they come."""
        wait_until(lambda: set(names) <= self.networks("a1") & self.networks("a2"), message=f"{names} on both hosts")

    def address(self, host: str, container: str, network: str) -> str:
        words = ("inspect", "-f", f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}', container)
        return self.docker(host, *words).stdout.strip()

    def left(self) -> dict[str, list[str]]:
        """What containers leave in the store and in the hosts' kernels; empty when there is nothing."""
        found = {
            "endpoints": [e.name for e in Client(self.store).list(WORKLOAD_ENDPOINT).items],
            "records": [kv.key for kv in self.store.list(PREFIX).items],
            "handles": [kv.key for kv in self.store.list(HANDLES).items],
            "interfaces": [i for h in self.hosts.values() for i in re.findall(r"(?:cali|temp)\w{11}", h.ip("link"))],
        }
        return {name: what for name, what in found.items() if what}


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    directory = tempfile.mkdtemp(prefix="td-store-", dir="/tmp")
    store = open_store(f"sqlite://{directory}")
    client = Client(store)
    client.create(Resource(kind=IP_POOL, metadata=Metadata(name="default"), spec=IPPoolSpec(cidr="192.168.0.0/16")))
    for name in ("a1", "a2"):
        client.create(Resource(kind=NODE, metadata=Metadata(name=name), spec=NodeSpec()))
    drivers: dict[str, DriverProcess] = {}
    try:
        with DockerHost("a1") as one, DockerHost("a2") as two:
            try:
                for host in (one, two):
                    drivers[host.name] = DriverProcess(host, f"sqlite://{directory}")
                yield Rig(store, {"a1": one, "a2": two}, drivers)
            finally:
                for driver in drivers.values():
                    driver.end()
    finally:
        store.close()
        shutil.rmtree(directory)


@pytest.fixture
def net(rig: Rig) -> Iterator[str]:
    """A network with the pool as its subnet, on both hosts; afterwards nothing of any container is left."""
    rig.docker("a1", *CREATE, "--subnet=192.168.0.0/16", "net")
    rig.both_have("net")
    yield "net"
    for host in rig.hosts:
        for container in rig.docker(host, "ps", "-aq").stdout.split():
            rig.docker(host, "rm", "-f", container)
    wait_until(lambda: not rig.left(), message=lambda: f"nothing left: {rig.left()}")
    with suppress(AssertionError):
        rig.docker("a1", "network", "rm", "net")
    wait_until(lambda: "net" not in rig.networks("a1") | rig.networks("a2"), message="the network is gone everywhere")


def test_the_document_s_networks_as_typed_are_on_every_host_with_their_profiles(rig: Rig) -> None:
    for line in (
        "network create --driver calico --ipam-driver calico --subnet=192.168.0.0/16 management-ui",
        "network create --driver calico --ipam-driver calico client",
        "network create --driver calico --ipam-driver calico frontend",
        "network create --driver calico --ipam-driver calico backend",
    ):
        rig.docker("a1", *line.split())
    names = {"management-ui", "client", "frontend", "backend"}
    rig.both_have(*names)
    assert all(rig.store.get(PROFILE.key(name)) for name in names)
    inspected = json.loads(rig.docker("a2", "network", "inspect", "management-ui").stdout)[0]
    assert inspected["Scope"] == "local"
    assert inspected["IPAM"]["Config"] == [{"Subnet": "192.168.0.0/16"}]
    again = rig.docker("a2", *CREATE, "client", check=False)
    assert again.returncode == 1
    assert "network with name client already exists" in again.stderr
    rig.docker("a2", "network", "rm", *names)
    wait_until(lambda: not names & rig.networks("a1"), message="removed on the other host")


def test_a_network_of_the_second_plug_in_name_works_as_well(rig: Rig) -> None:
    rig.docker("a1", "network", "create", "-d", "calico", "--ipam-driver", "calico-ipam", "second")
    rig.both_have("second")
    rig.docker("a1", "network", "rm", "second")
    wait_until(lambda: "second" not in rig.networks("a2"), message="removed on the other host")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--subnet=10.1.0.0/16",), "The requested subnet must match the CIDR of a configured Calico IP Pool."),
        (("--subnet=192.168.0.0/16", "--ip-range=192.168.1.0/24"), "does not support sub pool configuration"),
        (("--subnet=192.168.0.0/16", "--gateway=192.168.0.1"), "Calico IPAM does not support specifying a gateway."),
        (("--subnet=192.168.0.0/16", "--aux-address=a=192.168.0.9"), "does not support the flag --aux-address."),
        (("--internal",), "Calico driver does not support the flag --internal."),
        (("--opt", "foo=bar"), "Calico driver does not support the flag foo."),
        (("--ipam-opt", "k=v"), "Arbitrary options are not supported"),
        (("--ipv6",), "There is no configured Calico IPv6 pool."),
    ],
)
def test_networks_that_are_refused(rig: Rig, words: tuple[str, ...], text: str) -> None:
    refused = rig.docker("a1", *CREATE, *words, "wrong", check=False)
    assert refused.returncode == 1
    assert text in refused.stderr
    assert "wrong" not in rig.networks("a1")
    wait_until(lambda: not rig.left(), message=lambda: f"nothing left: {rig.left()}")


def test_a_container_has_one_address_two_routes_and_its_labels_in_the_store(rig: Rig, net: str) -> None:
    label = "org.projectcalico.label.role=db"
    rig.docker(
        "a1", "run", "-d", "--name", "c1", "--net", net, "--ip", "192.168.255.254", "-l", label, "root:1", *FOREVER
    )
    assert rig.address("a1", "c1", net) == "192.168.255.254"
    routes = rig.docker("a1", "exec", "c1", "ip", "route").stdout.split("\n")
    assert [r.strip() for r in routes if r] == ["default via 169.254.1.1 dev cali0", "169.254.1.1 dev cali0 scope link"]
    (endpoint,) = Client(rig.store).list(WORKLOAD_ENDPOINT).items
    assert endpoint.spec.ip_networks == ("192.168.255.254/32",)
    assert endpoint.spec.mac in rig.docker("a1", "exec", "c1", "ip", "link", "show", "cali0").stdout
    assert endpoint.metadata.labels["role"] == "db"
    assert rig.left()["handles"] == [f"{HANDLES}libnetwork.{endpoint.spec.endpoint}"]
    assert f"{endpoint.spec.interface_name}@" in rig.hosts["a1"].ip("link")
    assert "ee:ee:ee:ee:ee:ee" in rig.hosts["a1"].ip("link", "show", endpoint.spec.interface_name)


def test_addresses_that_are_taken_or_outside_are_refused_and_free_again_at_once(rig: Rig, net: str) -> None:
    pinned = ("--net", net, "--ip", "192.168.255.254", "root:1")
    rig.docker("a1", "run", "-d", "--name", "c1", *pinned, *FOREVER)
    taken = rig.docker("a2", "run", "-d", "--name", "c2", *pinned, *FOREVER, check=False)
    assert "The address 192.168.255.254 is already in use" in taken.stderr
    outside = rig.docker("a2", "run", "--net", net, "--ip", "10.0.0.1", "root:1", "/bin/true", check=False)
    assert outside.returncode == 125
    rig.docker("a1", "stop", "-t", "0", "c1")
    rig.docker("a2", "start", "c2")
    assert rig.address("a2", "c2", net) == "192.168.255.254"
    assert "already in use" in rig.docker("a1", "start", "c1", check=False).stderr
    rig.docker("a2", "rm", "-f", "c2")
    rig.docker("a1", "start", "c1")
    assert rig.address("a1", "c1", net) == "192.168.255.254"


def test_containers_at_once_get_addresses_of_their_own_and_restart_and_go(rig: Rig, net: str) -> None:
    def one(number: int) -> str:
        host, name = f"a{number % 2 + 1}", f"many{number}"
        rig.docker(host, "run", "-d", "--name", name, "--net", net, "root:1", *FOREVER)
        rig.docker(host, "restart", "-t", "0", name)
        return rig.address(host, name, net)

    with ThreadPoolExecutor(4) as pool:
        addresses = list(pool.map(one, range(6)))
    assert len(set(addresses)) == 6
    assert len(Client(rig.store).list(WORKLOAD_ENDPOINT).items) == 6


def test_a_second_network_is_refused_with_the_reason_and_harms_nothing(rig: Rig, net: str) -> None:
    rig.docker("a1", *CREATE, "other")
    rig.docker("a1", "run", "-d", "--name", "c1", "--net", net, "root:1", *FOREVER)
    refused = rig.docker("a1", "network", "connect", "other", "c1", check=False)
    assert f"the container is already on the Calico network {net}" in refused.stderr
    wait_until(lambda: len(rig.left()["records"]) == 1, message=lambda: f"the second address is free: {rig.left()}")
    rig.docker("a1", "network", "disconnect", net, "c1")
    rig.docker("a1", "network", "disconnect", "-f", "other", "c1", check=False)
    rig.docker("a1", "network", "connect", "other", "c1")
    assert rig.address("a1", "c1", "other")
    rig.docker("a1", "rm", "-f", "c1")
    rig.docker("a1", "network", "rm", "other")


def test_an_endpoint_that_is_not_programmed_fails_the_start_and_leaves_nothing(rig: Rig, net: str) -> None:
    driver = rig.drivers["a1"]
    driver.gate_file.touch()
    try:
        refused = rig.docker("a1", "run", "-d", "--name", "c1", "--net", net, "root:1", *FOREVER, check=False)
    finally:
        driver.gate_file.unlink()
    assert refused.returncode == 125
    assert "not programmed" in refused.stderr
    wait_until(lambda: not rig.left(), message=lambda: f"nothing left: {rig.left()}")


def test_a_driver_killed_in_the_middle_of_join_leaves_nothing_in_the_end(rig: Rig, net: str) -> None:
    driver = rig.drivers["a1"]
    driver.gate_file.touch()
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(
            rig.docker, "a1", "run", "-d", "--name", "c1", "--net", net, "root:1", *FOREVER, check=False
        )
        wait_until(lambda: "interfaces" in rig.left() and "endpoints" in rig.left(), message="Join has begun")
        driver.end(signal.SIGKILL)
        driver.gate_file.unlink()
        driver.start(grace=HASTY)
        assert starting.result().returncode == 125
    wait_until(lambda: not rig.left(), message=lambda: f"nothing left: {rig.left()}")
    patient_again(driver)
    rig.docker("a1", "rm", "c1")
    rig.docker("a1", "run", "--rm", "--net", net, "root:1", "/bin/true")


class _Refuse(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def address_string(self) -> str:
        return "engine"

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def refusing_plugin(driver: DriverProcess) -> Iterator[None]:
    """In place of the driver: every call fails at once, so the engine gives up without its minute of retries."""
    driver.end(signal.SIGKILL)
    path = driver.host.plugin_dir / "calico.sock"
    path.unlink()
    with socketserver.ThreadingUnixStreamServer(str(path), _Refuse) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()
    driver.start(grace=HASTY)


def test_an_endpoint_whose_removal_was_missed_is_collected_and_its_neighbour_is_not(rig: Rig, net: str) -> None:
    for name in ("gone", "kept"):
        rig.docker("a1", "run", "-d", "--name", name, "--net", net, "root:1", *FOREVER)
    kept = rig.address("a1", "kept", net)
    with refusing_plugin(rig.drivers["a1"]):
        rig.docker("a1", "rm", "-f", "gone")
    assert len(rig.left()["records"]) == 2
    wait_until(lambda: len(rig.left()["records"]) == 1, message="the forgotten endpoint is collected")
    patient_again(rig.drivers["a1"])
    (endpoint,) = Client(rig.store).list(WORKLOAD_ENDPOINT).items
    assert endpoint.spec.ip_networks == (f"{kept}/32",)
    wait_until(lambda: rig.left()["interfaces"] == [endpoint.spec.interface_name], message=lambda: str(rig.left()))


def test_an_engine_killed_and_started_again_keeps_its_containers_and_hears_what_it_missed(rig: Rig, net: str) -> None:
    rig.docker("a1", "run", "-d", "--name", "c1", "--net", net, "root:1", *FOREVER)
    before = rig.left()
    rig.hosts["a1"].stop_engine()
    rig.docker("a2", *CREATE, "meanwhile")
    rig.hosts["a1"].start_engine()
    rig.both_have("meanwhile")
    assert rig.docker("a1", "inspect", "-f", "{{.State.Running}}", "c1").stdout.strip() == "true"
    assert rig.left() == before
    rig.docker("a1", "network", "rm", "meanwhile")
    rig.docker("a1", "rm", "-f", "c1")
    wait_until(lambda: not rig.left(), message=lambda: f"nothing left: {rig.left()}")


def test_an_address_for_which_no_container_came_is_collected(rig: Rig) -> None:
    """As after an engine that died between two calls: the record has an address and no endpoint."""
    driver = rig.drivers["a1"]
    driver.end()
    allocator = Allocator(rig.store, "a1")
    holdings = Holdings(rig.store, "a1")
    stored = holdings.open(0)
    address = str(allocator.auto_assign(stored.holding.handle, {}, now=0))
    holdings.step(stored, Holding(handle=stored.holding.handle, since=0, address=address))
    driver.start(grace=HASTY)
    wait_until(lambda: not rig.left(), message=lambda: f"the address is free: {rig.left()}")
    patient_again(driver)
