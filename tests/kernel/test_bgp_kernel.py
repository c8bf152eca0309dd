"""BGP between real agents by real BIRDs: routes that come and go, a router, passwords, a daemon that dies."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.kernel.netlab import Container, Host, Lab, inside, own_tag, sh
from tests.support.machine import needs_ipv6
from tests.support.waiting import wait_until

from tortie.base.errors import TortieError
from tortie.cli.calicoctl import node_status
from tortie.cli.calicoctl.session import Failed
from tortie.dataplane.bgp_status import SessionState, sessions
from tortie.model.kinds.bgp_configuration import BGP_CONFIGURATION, BGPConfigurationSpec
from tortie.model.kinds.bgp_filter import BGP_FILTER, BGPFilterSpec, FilterRule
from tortie.model.kinds.bgp_peer import BGP_PEER, BGPPeerSpec
from tortie.model.kinds.node import NODE
from tortie.model.resource import Metadata, Resource
from tortie.node.bird_socket import ask

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("bird") is None, reason="no BIRD on this machine (package bird2)"),
]

SECONDS = 90.0
"""A session that was refused calls again after seconds, and the kernel is told by scans."""
ROUTER = """\
router id 10.9.0.254;
protocol device {}
protocol kernel { ipv4 { import none; export all; }; }
protocol bgp nodes { local as 64513; neighbor range 10.9.0.0/24 as 64512; ipv4 { import all; export none; }; }
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    lab.pool("10.65.0.0/16", nat_outgoing=False)
    lab.profile("n", own_tag("n"))
    yield lab
    for host in lab.hosts:
        # An agent that still ran would start another one.
        if host.agent is not None:
            host.kill(signal.SIGTERM)
        end(host)
    lab.close()


def host(lab: Lab, name: str, address: str) -> Host:
    return lab.host(name, address, "--networking-backend", "bird")


def control(host: Host) -> Path:
    return host.lab.directory / f"{host.name}-bird" / "bird.ctl"


def end(host: Host) -> None:
    if control(host).exists():
        pid = daemon(host)
        if pid:
            os.kill(pid, signal.SIGKILL)


def daemon(host: Host) -> int | None:
    """The process of the host's BIRD."""
    mark = str(control(host))
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark in Path(f"/proc/{entry}/cmdline").read_text().split("\0"):
                return int(entry)
        except OSError:
            continue
    return None


def told(host: Host) -> list[SessionState]:
    return sessions(ask(control(host), "show protocols"))


def established(host: Host, *addresses: str) -> None:
    def up() -> bool:
        return control(host).exists() and {s.address for s in told(host) if s.info == "Established"} == set(addresses)

    wait_until(up, SECONDS, f"{host.name} has sessions with {addresses}; {host.status().get('bgp')}")


def route(netns: str, cidr: str) -> str:
    return inside(netns, "ip", "route", "show", cidr).strip()


def pair(lab: Lab) -> tuple[Host, Host, Container, Container]:
    one, two = host(lab, "h1", "10.9.0.1"), host(lab, "h2", "10.9.0.2")
    lab.block("10.65.0.0/26", "h1", {1: "h1"})
    lab.block("10.65.1.0/26", "h2", {1: "h2"})
    return one, two, one.container("a", "10.65.0.1", "n"), two.container("b", "10.65.1.1", "n")


def reaches(a: Container, b: Container) -> None:
    command = ("ping", "-c1", "-W2", b.address)
    wait_until(lambda: " 1 received" in inside(a.netns, *command, check=False), SECONDS, f"{a.netns} reaches {b.netns}")


def six_pair(lab: Lab) -> tuple[Host, Host, Container, Container]:
    """As `pair`, with addresses and sessions of both families."""
    lab.pool("fd65::/64", nat_outgoing=False)
    bird = ("--networking-backend", "bird")
    one = lab.host("h1", "10.9.0.1", *bird, six="fd09::1")
    two = lab.host("h2", "10.9.0.2", *bird, six="fd09::2")
    lab.block("fd65::100/122", "h1", {1: "h1"})
    lab.block("fd65::200/122", "h2", {1: "h2"})
    a, b = one.container("a", "10.65.0.1", "n", six="fd65::101"), two.container("b", "10.65.1.1", "n", six="fd65::201")
    return one, two, a, b


def route6(netns: str, destination: str) -> str:
    return inside(netns, "ip", "-6", "route", "show", destination).strip()


def reaches6(a: Container, b: Container) -> None:
    command = ("ping", "-c1", "-W2", b.six)
    wait_until(lambda: " 1 received" in inside(a.netns, *command, check=False), SECONDS, f"{a.netns} reaches {b.six}")


def six_of_status() -> str:
    """What `calicoctl node status` shows of IPv6, or why it shows nothing: it waits for no slow daemon."""
    try:
        return node_status.status().partition("IPv6 BGP status")[2]
    except (Failed, TortieError) as error:
        return f"({error})"


def gone(netns: str, cidr: str) -> None:
    wait_until(lambda: not route(netns, cidr), SECONDS, f"no route to {cidr}")


def test_the_mesh_brings_blocks_and_borrowed_addresses_and_nothing_has_two_owners(lab: Lab) -> None:
    one, two, a, b = pair(lab)
    established(one, "10.9.0.2")
    reaches(a, b)
    assert "proto bird" in route(one.netns, "10.65.1.0/26")
    assert route(one.netns, "10.65.0.0/26").startswith("blackhole 10.65.0.0/26 proto 80")
    assert len(route(one.netns, "10.65.0.0/26").splitlines()) == 1
    lab.block("10.65.1.0/26", "h2", {1: "h2", 7: "h1"})
    borrower = one.container("c", "10.65.1.7", "n")
    wait_until(lambda: "proto bird" in route(two.netns, "10.65.1.7"), SECONDS)
    reaches(b, borrower)
    lab.block("10.65.2.0/26", "h2")
    wait_until(lambda: "proto bird" in route(one.netns, "10.65.2.0/26"), SECONDS)


def test_a_daemon_that_dies_comes_back_and_an_agent_that_dies_cuts_nothing(lab: Lab) -> None:
    one, two, a, b = pair(lab)
    established(one, "10.9.0.2")
    reaches(a, b)
    before = daemon(one)
    assert before is not None
    one.kill(signal.SIGKILL)
    assert daemon(one) == before
    reaches(a, b)
    one.start("--networking-backend", "bird")
    one.ready()
    assert daemon(one) == before
    os.kill(before, signal.SIGKILL)
    # Its routes stay, and whoever comes next takes them over.
    assert "proto bird" in route(one.netns, "10.65.1.0/26")
    wait_until(lambda: daemon(one) not in (None, before), SECONDS)
    established(two, "10.9.0.1")
    reaches(a, b)


def test_a_router_learns_own_blocks_by_their_own_nodes(lab: Lab) -> None:
    netns = lab.plug("router", "10.9.0.254")
    config, socket = lab.directory / "router.conf", lab.directory / "router.ctl"
    config.write_text(ROUTER)
    words = ["ip", "netns", "exec", netns, "bird", "-f", "-c", str(config), "-s", str(socket)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as router:
        try:
            spec = BGPPeerSpec(peer_ip="10.9.0.254", as_number=64513)
            lab.client.apply(Resource(kind=BGP_PEER, metadata=Metadata(name="router"), spec=spec))
            one, two, _, _ = pair(lab)
            established(one, "10.9.0.2", "10.9.0.254")
            established(two, "10.9.0.1", "10.9.0.254")
            # Each node tells what it heard in the mesh, too, and the router must not go by that.
            wait_until(lambda: "via 10.9.0.1 " in route(netns, "10.65.0.0/26"), SECONDS)
            wait_until(lambda: "via 10.9.0.2 " in route(netns, "10.65.1.0/26"), SECONDS)
            spoken = BGPFilterSpec(
                export_v4=(FilterRule(action="Reject", cidr="10.65.0.0/26", match_operator="Equal"),)
            )
            lab.client.apply(Resource(kind=BGP_FILTER, metadata=Metadata(name="quiet"), spec=spoken))
            filtered = BGPPeerSpec(peer_ip="10.9.0.254", as_number=64513, filters=("quiet",))
            lab.client.apply(Resource(kind=BGP_PEER, metadata=Metadata(name="router"), spec=filtered))
            gone(netns, "10.65.0.0/26")
            assert "via 10.9.0.2 " in route(netns, "10.65.1.0/26")
        finally:
            router.kill()


def test_what_bird_refuses_leaves_the_last_good_configuration_in_force(lab: Lab) -> None:
    one, _, a, b = pair(lab)
    established(one, "10.9.0.2")
    reaches(a, b)
    spec = BGPFilterSpec(export_v4=(FilterRule(action="Accept", priority=7),))
    lab.client.apply(Resource(kind=BGP_FILTER, metadata=Metadata(name="odd"), spec=spec))
    peer = BGPPeerSpec(peer_ip="10.9.0.254", as_number=64513, filters=("odd",))
    lab.client.apply(Resource(kind=BGP_PEER, metadata=Metadata(name="router"), spec=peer))
    wait_until(lambda: "BGPFilter odd" in " ".join(one.status().get("bgp", {}).get("problems", [])), SECONDS)
    reaches(a, b)
    established(one, "10.9.0.2")
    lab.client.delete(BGP_PEER, "router")
    wait_until(lambda: one.status().get("bgp", {}).get("problems") == [], SECONDS)


def test_without_the_mesh_and_without_bgp_the_routes_go(lab: Lab) -> None:
    one, two, a, b = pair(lab)
    established(one, "10.9.0.2")
    reaches(a, b)
    two.kill(signal.SIGTERM)
    two.start("--networking-backend", "direct")
    two.ready()
    wait_until(lambda: daemon(two) is None, SECONDS)
    wait_until(lambda: "via 10.9.0.1 dev eth0 proto 80" in route(two.netns, "10.65.0.0/26"), SECONDS)
    # What BGP had brought has gone with it: it would stay for ever.
    wait_until(lambda: "proto bird" not in inside(two.netns, "ip", "route"), SECONDS)
    two.kill(signal.SIGTERM)
    two.start("--networking-backend", "bird")
    two.ready()
    established(one, "10.9.0.2")
    off = BGPConfigurationSpec(node_to_node_mesh_enabled=False)
    lab.client.apply(Resource(kind=BGP_CONFIGURATION, metadata=Metadata(name="default"), spec=off))
    gone(one.netns, "10.65.1.0/26")
    one.kill(signal.SIGTERM)
    one.start("--networking-backend", "direct")
    one.ready()
    wait_until(lambda: daemon(one) is None, SECONDS)
    wait_until(lambda: "via 10.9.0.2 dev eth0 proto 80" in route(one.netns, "10.65.1.0/26"), SECONDS)
    assert daemon(two) is not None


@needs_ipv6
def test_the_mesh_brings_ipv6_too_and_nothing_has_two_owners(lab: Lab) -> None:
    one, two, a, b = six_pair(lab)
    established(one, "10.9.0.2", "fd09::2")
    established(two, "10.9.0.1", "fd09::1")
    reaches6(a, b)
    reaches6(b, a)
    assert "via fd09::2 dev eth0 proto bird" in route6(one.netns, "fd65::200/122")
    assert route6(one.netns, "fd65::100/122").splitlines() == [
        "blackhole fd65::100/122 dev lo proto 80 metric 1024 pref medium"
    ]
    lab.block("fd65::100/122", "h1", {1: "h1", 7: "h2"})
    borrower = two.container("c", "10.65.1.7", "n", six="fd65::107")
    wait_until(lambda: "proto bird" in route6(one.netns, "fd65::107"), SECONDS)
    reaches6(a, borrower)
    # Another host that tells of an address of this one does not take it away.
    lab.block("fd65::100/122", "h1", {1: "h2", 7: "h2"})
    two.container("d", "10.65.1.8", "n", six="fd65::101")
    wait_until(lambda: "proto bird" in route6(one.netns, "fd65::101"), SECONDS)
    assert "dev calia " in inside(one.netns, "ip", "-6", "route", "get", a.six)


@needs_ipv6
def test_sessions_of_ipv6_are_shown_and_end_with_the_address(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _, a, b = six_pair(lab)
    monkeypatch.setattr(node_status, "SOCKET", str(one.socket))
    established(one, "10.9.0.2", "fd09::2")
    words = ("| fd09::2", "node-to-node mesh", "Established")
    wait_until(lambda: all(word in six_of_status() for word in words), SECONDS, six_of_status)
    one.kill(signal.SIGTERM)
    one.six = ""
    one.start("--networking-backend", "bird", "--address6", "none")
    one.ready()
    established(one, "10.9.0.2")
    wait_until(lambda: not route6(one.netns, "fd65::200/122"), SECONDS, one.story)
    reaches(a, b)
    wait_until(lambda: "No IPv6 peers found." in six_of_status(), SECONDS, six_of_status)


@needs_ipv6
def test_a_reflector_brings_ipv6_to_those_who_do_not_speak_with_each_other(lab: Lab) -> None:
    off = BGPConfigurationSpec(node_to_node_mesh_enabled=False)
    lab.client.apply(Resource(kind=BGP_CONFIGURATION, metadata=Metadata(name="default"), spec=off))
    peering = BGPPeerSpec(node_selector="!has(reflector)", peer_selector="has(reflector)")
    lab.client.apply(Resource(kind=BGP_PEER, metadata=Metadata(name="reflectors"), spec=peering))
    # Its address is between those of the others: each side of a session may be the one that calls.
    middle = lab.host("h3", "10.9.0.15", "--networking-backend", "bird", six="fd09::15")
    node = lab.client.get(NODE, "h3")
    assert node.spec.bgp is not None
    bgp = msgspec.structs.replace(node.spec.bgp, route_reflector_cluster_id="1.0.0.1")
    metadata = msgspec.structs.replace(node.metadata, labels={"reflector": "yes"})
    lab.client.apply(replace(node, metadata=metadata, spec=msgspec.structs.replace(node.spec, bgp=bgp)))
    one, two, a, b = six_pair(lab)
    established(one, "10.9.0.15", "fd09::15")
    established(two, "10.9.0.15", "fd09::15")
    established(middle, "10.9.0.1", "fd09::1", "10.9.0.2", "fd09::2")
    reaches6(a, b)
    reaches(a, b)
    assert "via fd09::2 dev eth0 proto bird" in route6(one.netns, "fd65::200/122")
    one.kill(signal.SIGTERM)
    said = sh(*one.uninstall(), "--force")
    assert "removed BIRD and its routes" in said
    wait_until(lambda: daemon(one) is None, SECONDS)
    left = inside(one.netns, "ip", "route") + inside(one.netns, "ip", "-6", "route")
    assert not any(word in left for word in ("proto bird", "proto 80"))
