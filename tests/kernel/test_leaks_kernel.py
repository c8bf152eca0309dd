"""Ways in which a packet might get past the policy, tried on a real kernel."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kernel.netlab import GATEWAY_MAC, Container, Host, Lab, allow_tcp, inside, own_tag, until
from tests.kernel.test_node_kernel import (
    answered,
    in_thread,
    listening,
    passes,
    set_profile,
    settled,
    strip,
)
from tests.support.machine import needs_ipv6, needs_ownership
from tests.support.waiting import PATIENCE

from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, Rule
from tortie.store.port import Put

pytestmark = pytest.mark.root

ALLOW = Rule(action="Allow")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def settings(lab: Lab, **fields: object) -> None:
    spec = FelixConfigurationSpec(**fields)  # type: ignore[arg-type]
    lab.client.apply(Resource(kind=FELIX_CONFIGURATION, metadata=Metadata(name="default"), spec=spec))


def table(host: Host) -> str:
    return strip(inside(host.netns, "nft", "list", "table", "inet", "tortie", check=False))


def forget(lab: Lab, container: Container) -> None:
    lab.client.delete(WORKLOAD_ENDPOINT, container.key.rpartition("/")[2], "libnetwork")


class Conversation:
    """Datagrams from one port to one port, both ways, as long as it is asked for."""

    def __init__(self, source: str, destination: str, address: str) -> None:
        self._source, self._address = source, address
        self._client = self._socket(source, 4000)
        self._server = self._socket(destination, 7)

    def _socket(self, namespace: str, port: int) -> socket.socket:
        made: list[socket.socket] = []

        def make() -> None:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind(("0.0.0.0", port))
            sock.settimeout(PATIENCE)
            made.append(sock)

        in_thread(namespace, make).join()
        return made[0]

    def goes_on(self) -> bool:
        """One datagram arrives, and its answer."""
        self._client.sendto(b"ask", (self._address, 7))
        try:
            _, peer = self._server.recvfrom(100)
            self._server.sendto(b"answer", peer)
            return self._client.recv(100) == b"answer"
        except (TimeoutError, ConnectionRefusedError):
            return False

    def ask(self) -> None:
        self._client.sendto(b"ask", (self._address, 7))

    def close(self) -> None:
        self._client.close()
        self._server.close()


def test_a_conversation_does_not_outlive_the_workload_that_had_the_address(lab: Lab) -> None:
    """Another container gets the address: what its predecessor was allowed is not its own."""
    host = lab.host("h1", "10.9.0.1")
    lab.profile("peer", ALLOW)
    lab.profile("open", ALLOW)
    lab.profile("shut")
    peer = host.container("p", "10.65.0.1", "peer")
    first = host.container("a", "10.65.0.2", "open")
    old = Conversation(peer.netns, first.netns, first.address)
    assert old.goes_on()
    forget(lab, first)
    second = host.container("b", "10.65.0.2", "shut")
    assert host.status()["conversations"]["ended"] >= 1
    with listening(second.netns, 7) as received:
        for _ in range(5):
            old.ask()
        # From the host everything comes in: sent last, so when it is there the others would have been.
        _send(host.netns, second.address, 7, b"honest")
        assert until(lambda: list(received)) == [b"honest"]
    old.close()


def test_conversations_go_on_over_restarts_and_edits(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", own_tag("n"))
    a, b = host.container("a", "10.65.0.1", "n"), host.container("b", "10.65.0.2", "n")
    talk = Conversation(a.netns, b.netns, b.address)
    assert talk.goes_on()
    host.kill(signal.SIGKILL)
    assert talk.goes_on()
    host.start()
    host.ready()
    assert talk.goes_on()
    set_profile(lab, "n", allow_tcp(80))
    settled([host], a.netns, b.address, frozenset())
    assert talk.goes_on(), "tightening ends no conversation"
    assert host.status()["conversations"]["ended"] == 0
    talk.close()


@needs_ownership
def test_nothing_is_forwarded_before_the_table_is_there(lab: Lab) -> None:
    """A host without a boot table, whose table cannot be had at first: no forwarding, no route, no proxy ARP."""
    namespace = lab.plug("h1", "10.9.0.1")
    host = Host("h1", namespace, "10.9.0.1", lab)
    lab.hosts.append(host)
    inside(namespace, "sysctl", "-qw", "net.ipv4.ip_forward=0")
    lab.profile("n", ALLOW)
    a = host.container("a", "10.65.0.1", "n", wait=False)
    b = host.container("b", "10.65.0.2", "n", wait=False)
    holder = subprocess.Popen(
        ["ip", "netns", "exec", namespace, sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"owned\n"
    host.start()
    until(lambda: "belongs to another running process" in host.status().get("table", {}).get("reason", ""))
    assert inside(namespace, "sysctl", "-n", "net.ipv4.ip_forward").strip() == "0"
    assert inside(namespace, "sysctl", "-n", f"net.ipv4.conf.{a.interface}.proxy_arp").strip() == "0"
    assert "proto 80" not in inside(namespace, "ip", "route")
    holder.stdin.close()
    holder.wait(PATIENCE)
    until(lambda: host.endpoint(b).get("state") == "up")
    assert answered(a.netns, b.address)


HOLD = """
from tortie.dataplane.kernel.table import KernelTable
from tortie.dataplane.render.base import closed_table
table = KernelTable()
assert table.open(owner=True, closed=closed_table()).owned
print("owned", flush=True)
input()
"""


@needs_ipv6
def test_ipv6_from_a_container_goes_nowhere(lab: Lab) -> None:
    """By its link-local address a container speaks to the host's end of its pair: not past the host, and to the host
    only what neighbours need, even where the host's services are open to IPv4."""
    settings(lab, host_services="Enabled")
    host = lab.host("h1", "10.9.0.1")
    inside(host.netns, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    lab.profile("n", ALLOW)
    a, b = host.container("a", "10.65.0.1", "n"), host.container("b", "10.65.0.2", "n")
    stranger = host.link("calix", "10.65.0.9")
    for box, number in ((a, 1), (b, 2)):
        inside(box.netns, "ip", "-6", "addr", "add", f"fd00::{number}/128", "dev", "eth0", "nodad")
        inside(box.netns, "ip", "-6", "route", "add", "default", "dev", "eth0")
        inside(host.netns, "ip", "-6", "route", "add", f"fd00::{number}/128", "dev", box.interface)
    for namespace in (a.netns, stranger):
        seen = until(lambda namespace=namespace: _link_local(host, namespace), message="the host's address")  # type: ignore[misc]
        until(lambda namespace=namespace: _settled(namespace, "eth0"), message="the container's own address")  # type: ignore[misc]
        assert not _answers_dns(namespace, seen)
    assert "0 received" in inside(a.netns, "ping", "-6", "-c2", "-i0.2", "-W0.5", "fd00::2", check=False)
    assert _answers_dns(a.netns, host.address, PATIENCE)


def _link_local(host: Host, namespace: str) -> str:
    interface = "calix" if namespace.endswith("-x") else "calia"
    local = _settled(host.netns, interface)
    return f"{local}%eth0" if local else ""


def _settled(namespace: str, interface: str) -> str:
    """Its link-local address, once duplicate detection is over: before that nothing can be sent from it."""
    found = json.loads(inside(namespace, "ip", "-j", "-6", "addr", "show", "dev", interface, "scope", "link"))
    listed = [a for link in found for a in link.get("addr_info", []) if a and not a.get("tentative")]
    return str(listed[0]["local"]) if listed else ""


def _answers_dns(namespace: str, address: str, seconds: float = 0.5) -> bool:
    """A refusal of port 53: the question has reached the host."""
    seen: list[bool] = []

    def ask() -> None:
        info = socket.getaddrinfo(address, 53, type=socket.SOCK_DGRAM)[0]
        with socket.socket(info[0], socket.SOCK_DGRAM) as sock:
            sock.settimeout(seconds)
            sock.connect(info[4])
            sock.send(b"?")
            try:
                sock.recv(10)
            except ConnectionRefusedError:
                seen.append(True)
            except TimeoutError:
                seen.append(False)

    in_thread(namespace, ask).join()
    return seen[0]


def test_an_address_that_a_container_gives_itself_is_nobodys(lab: Lab) -> None:
    """With NET_ADMIN inside: another's address, the host's, an invented one, and ARP for what is not its own."""
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", ALLOW)
    a, b = host.container("a", "10.65.0.1", "n"), host.container("b", "10.65.0.2", "n")
    victim = host.container("c", "10.65.0.3", "n")
    for address in (victim.address, host.address, "10.65.0.77"):
        inside(a.netns, "ip", "addr", "add", f"{address}/32", "dev", "eth0")
        asked = inside(a.netns, "ping", "-c1", "-W0.3", "-I", address, b.address, check=False)
        assert "0 received" in asked
        inside(a.netns, "arping", "-c1", "-U", "-I", "eth0", "-s", address, address, check=False)
        inside(a.netns, "ip", "addr", "del", f"{address}/32", "dev", "eth0")
    until(lambda: passes(b.netns, victim.address))
    until(lambda: passes(a.netns, b.address))
    found = inside(host.netns, "ip", "route", "get", victim.address)
    assert f"dev {victim.interface}" in found


def test_a_fragment_is_judged_with_its_whole(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", Rule(action="Allow", protocol="UDP", destination=EntityRule(ports=(7,))))
    a, b = host.container("a", "10.65.0.1", "n"), host.container("b", "10.65.0.2", "n")
    with listening(b.netns, 7) as received, listening(b.netns, 8) as refused:
        for port in (8, 7):
            _send(a.netns, b.address, port, bytes(1700))
        assert [len(data) for data in until(lambda: list(received))] == [1700]
        assert refused == []


def _send(namespace: str, address: str, port: int, data: bytes) -> None:
    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(data, (address, port))

    in_thread(namespace, send).join()


def test_tunnelled_packets_of_a_container_do_not_leave_it(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    outside = lab.plug("out", "10.9.0.9")
    lab.profile("n", ALLOW)
    inside(outside, "ip", "route", "add", "10.65.0.0/16", "via", "10.9.0.1")
    a = host.container("a", "10.65.0.1", "n")
    with listening(outside, 4789) as tunnelled, listening(outside, 4790) as plain:
        for port in (4789, 4790):
            _send(a.netns, "10.9.0.9", port, b"x")
        assert until(lambda: list(plain)) == [b"x"]
        assert tunnelled == []


def test_a_rule_with_a_condition_of_a_newer_version_closes(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", own_tag("n"))
    a, b = host.container("a", "10.65.0.1", "n"), host.container("b", "10.65.0.2", "n")
    assert answered(a.netns, b.address)
    key = f"{PROFILE.prefix}n"
    found = lab.client.datastore.get(key)
    assert found is not None
    assert found.value is not None
    value = json.loads(found.value)
    value["spec"]["ingress"].append({"action": "Allow", "source": {"services": {"name": "web"}}})
    lab.client.datastore.commit([Put(key, json.dumps(value).encode())])
    until(lambda: host.endpoint(a).get("state") == "closed")
    until(lambda: not passes(a.netns, b.address))
    assert "services" in " ".join(host.endpoint(a)["reasons"])


def test_a_list_of_prefixes_guards_each_of_them(lab: Lab) -> None:
    settings(lab, interface_prefix="cali,tap", default_endpoint_to_host_action="Return")
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", ALLOW)
    a = host.container("a", "10.65.0.1", "n")
    stranger = host.link("tap7", "10.65.0.9")
    inside(host.netns, "ip", "route", "add", "10.65.0.9/32", "dev", "tap7", "scope", "link")
    assert not passes(stranger, host.address)
    assert not passes(a.netns, "10.65.0.9")
    assert answered(a.netns, host.address)


def test_an_endpoint_on_an_interface_of_the_host_changes_nothing_there(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", ALLOW)
    before = inside(host.netns, "ip", "route")
    lab.put_endpoint("h1", "evil", "eth0", "10.9.0.77", ["n"])
    host.container("a", "10.65.0.1", "n")
    assert "10.9.0.77" not in inside(host.netns, "ip", "route")
    assert before.splitlines()[0] in inside(host.netns, "ip", "route")
    assert inside(host.netns, "sysctl", "-n", "net.ipv4.conf.eth0.proxy_arp").strip() == "0"


def test_of_two_with_one_address_only_the_first_has_it_until_it_goes(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", ALLOW)
    first, second = host.container("a", "10.65.0.5", "n"), host.container("b", "10.65.0.5", "n", wait=False)
    peer = host.container("p", "10.65.0.1", "n")
    assert answered(first.netns, peer.address)
    assert not passes(second.netns, peer.address)
    forget(lab, first)
    until(lambda: passes(second.netns, peer.address))
    assert not passes(first.netns, peer.address)


def test_an_interface_made_anew_or_renamed_is_served_by_its_name(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", ALLOW)
    a, b = host.container("a", "10.65.0.1", "n"), host.container("b", "10.65.0.2", "n")
    inside(host.netns, "ip", "link", "set", a.interface, "name", "other0")
    until(lambda: "10.65.0.1" not in inside(host.netns, "ip", "route"))
    assert not passes(b.netns, a.address)
    inside(host.netns, "ip", "link", "set", "other0", "name", a.interface)
    until(lambda: passes(b.netns, a.address))
    inside(host.netns, "ip", "link", "del", a.interface)
    inside(host.netns, "ip", "link", "add", a.interface, "address", GATEWAY_MAC, "type", "veth",
           "peer", "name", "eth0", "netns", a.netns)  # fmt: skip
    inside(host.netns, "ip", "link", "set", a.interface, "up")
    for words in ("link set eth0 up", "addr add 10.65.0.1/32 dev eth0", "route add 169.254.1.1 dev eth0 scope link",
                  "route add default via 169.254.1.1 dev eth0"):  # fmt: skip
        inside(a.netns, "ip", *words.split())
    until(lambda: passes(b.netns, a.address))


def test_a_store_that_was_emptied_closes_what_runs(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", ALLOW)
    a, b = host.container("a", "10.65.0.1", "n"), host.container("b", "10.65.0.2", "n")
    assert answered(a.netns, b.address)
    for container in (a, b):
        forget(lab, container)
    lab.client.delete(PROFILE, "n")
    for container in (a, b):
        until(lambda c=container: f'"{c.interface}"' not in table(host))  # type: ignore[misc]
        inside(host.netns, "ip", "route", "replace", f"{container.address}/32", "dev", container.interface)
    assert not passes(a.netns, b.address)
    assert not passes(a.netns, host.address)


@pytest.mark.parametrize("owned", [True, False], ids=["owned", "shared"])
def test_killed_amid_changes_it_ends_in_the_table_of_a_fresh_start(lab: Lab, owned: bool) -> None:
    options = () if owned else ("--share-table",)
    host = lab.host("h1", "10.9.0.1", *options)
    for number in range(3):
        lab.profile("n", own_tag("n"), allow_tcp(80 + number))
        lab.profile(f"m{number}", Rule(action="Allow", source=EntityRule(selector=f"has(m{number})")))
        lab.put_endpoint("h1", f"e{number}", f"calie{number}", f"10.65.0.{10 + number}", ["n", f"m{number}"])
        host.kill(signal.SIGKILL)
        host.start(*options)
    host.ready()
    until(lambda: "calie2" in table(host) and "dport 82" in table(host))
    grown = table(host)
    host.kill(signal.SIGTERM)
    inside(host.netns, "nft", "delete", "table", "inet", "tortie")
    host.start(*options)
    host.ready()
    until(lambda: table(host) == grown)


@pytest.mark.parametrize(
    "edit",
    [
        "add table inet tortie { flags dormant; }",
        "add chain inet tortie fwd_from { type filter hook forward priority -4; policy drop; }",
        "add map inet tortie theirs { type ifname : verdict; }; add chain inet tortie x; "
        "add element inet tortie theirs { eth9 : goto x }",
    ],
    ids=["asleep", "policy drop", "a map and a chain"],
)
def test_foreign_edits_beside_the_rules_are_repaired_too(lab: Lab, edit: str) -> None:
    host = lab.host("h1", "10.9.0.1", "--share-table")
    lab.profile("n", own_tag("n"))
    a, b = host.container("a", "10.65.0.1", "n"), host.container("b", "10.65.0.2", "n")
    before = table(host)
    inside(host.netns, "nft", edit)
    until(lambda: table(host) == before)
    assert answered(a.netns, b.address)
