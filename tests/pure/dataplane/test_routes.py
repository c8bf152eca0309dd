"""Ways to other hosts from who has which addresses, how pools travel and where nodes are."""

from __future__ import annotations

import json
from ipaddress import ip_network

import pytest

from tortie.base.errors import Invalid
from tortie.dataplane.ends import Peer
from tortie.dataplane.routes import GATEWAY, Backend, PoolWay, Ways
from tortie.dataplane.tunnels import VXLAN, Device, Link, Neighbour, tunnel_mac
from tortie.dataplane.want import Route
from tortie.model.ipam import affinity_key, block_key

POOL = ip_network("10.65.0.0/16")
DIRECT, ALWAYS = PoolWay(POOL), PoolWay(POOL, "vxlan", "Always")
CROSS = PoolWay(POOL, "vxlan", "CrossSubnet")
PEERS = {
    "h1": Peer("10.9.0.1", vxlan="10.65.0.9"),
    "h2": Peer("10.9.0.2", vxlan="10.65.1.9"),
    "far": Peer("10.8.0.1", vxlan="10.65.2.9"),
}


def ways(pool: PoolWay = DIRECT, backend: Backend = "direct", device: str | None = "eth0") -> Ways:
    made = Ways("h1", "10.9.0.1/24", backend)
    made.set_links({device: Link(["10.9.0.1"])} if device else {})
    made.set_pools([pool])
    for name, peer in PEERS.items():
        made.set_peer(name, peer)
    return made


def hold(made: Ways, cidr: str, node: str, lent: dict[int, str] | None = None) -> None:
    """The node has the block; `lent`: ordinals of it in use by other nodes."""
    network = ip_network(cidr)
    size = network.num_addresses
    attributes = [{"handle_id": f"h{i}", "secondary": {"node": by}} for i, by in enumerate((lent or {}).values())]
    allocations: list[int | None] = [None] * size
    for index, ordinal in enumerate(lent or {}):
        allocations[ordinal] = index
    block = {
        "cidr": cidr,
        "affinity": f"host:{node}",
        "allocations": allocations,
        "unallocated": [n for n in range(size) if n not in (lent or {})],
        "attributes": attributes,
    }
    made.learn(affinity_key(node, network), json.dumps({"state": "confirmed"}).encode())
    made.learn(block_key(network), json.dumps(block).encode())


def routes(made: Ways) -> dict[str, Route]:
    """Every way there is now."""
    made.take_stale()
    names = {GATEWAY, *map(str, made.holdings.owners), *(f"{a}/32" for a in made.holdings.borrowed)}
    found = {name: made.route(name) for name in names}
    return {name: route for name, route in found.items() if route}


def test_blocks_by_their_hosts_own_ones_as_blackholes_and_borrowed_addresses_by_the_borrower() -> None:
    made = ways()
    hold(made, "10.65.0.0/26", "h1", {5: "h2"})
    hold(made, "10.65.1.0/26", "h2", {5: "h1"})
    assert routes(made) == {
        GATEWAY: Route("link", "eth0"),
        "10.65.0.0/26": Route("blackhole"),
        "10.65.1.0/26": Route("unicast", "eth0", "10.9.0.2"),
        "10.65.0.5/32": Route("unicast", "eth0", "10.9.0.2"),
    }
    assert made.problems == []


def test_what_direct_routing_cannot_reach_is_said_until_it_can() -> None:
    made = ways()
    hold(made, "10.65.1.0/26", "far")
    hold(made, "10.65.2.0/26", "new")
    assert routes(made) == {GATEWAY: Route("link", "eth0")}
    assert any("far at 10.8.0.1 is not on 10.9.0.0/24" in problem for problem in made.problems)
    assert any("node new has no IPv4 address" in problem for problem in made.problems)
    made.set_peer("new", Peer("10.9.0.7"))
    made.set_pools([CROSS])
    assert routes(made)["10.65.2.0/26"] == Route("unicast", "eth0", "10.9.0.7")
    assert made.problems == []


def test_without_an_uplink_there_is_no_way_out_and_the_own_block_stays_closed() -> None:
    made = ways(device=None)
    hold(made, "10.65.0.0/26", "h1")
    hold(made, "10.65.1.0/26", "h2")
    assert routes(made) == {"10.65.0.0/26": Route("blackhole")}
    assert "10.9.0.1/24" in made.problems[0]


def test_an_own_block_of_one_address_is_no_blackhole() -> None:
    made = ways()
    hold(made, "10.65.0.0/32", "h1")
    assert routes(made) == {GATEWAY: Route("link", "eth0")}


def test_a_claim_that_is_pending_owns_nothing() -> None:
    made = ways()
    hold(made, "10.65.1.0/26", "h2")
    made.learn(affinity_key("h2", ip_network("10.65.1.0/26")), b'{"state": "pending"}')
    assert routes(made) == {GATEWAY: Route("link", "eth0")}


def test_a_change_names_the_destinations_that_it_is_about_and_no_other() -> None:
    made = ways()
    for n in range(50):
        hold(made, f"10.65.{n}.0/26", "h2")
    made.take_stale()
    hold(made, "10.65.7.0/26", "h2", {3: "h1"})
    assert made.take_stale() == {"10.65.7.3/32"}
    made.learn(block_key(ip_network("10.65.8.0/26")), None)
    assert made.take_stale() == {"10.65.8.0/26"}


def test_a_block_that_cannot_be_read_is_no_mans() -> None:
    made = ways()
    hold(made, "10.65.1.0/26", "h2")
    with pytest.raises(Invalid):
        made.learn(block_key(ip_network("10.65.1.0/26")), b"{")
    assert "10.65.1.0/26" in made.take_stale()
    assert made.route("10.65.1.0/26") is None


def test_vxlan_always_goes_by_the_tunnel_and_cross_subnet_only_where_it_must() -> None:
    for pool, near in ((ALWAYS, Route("onlink", VXLAN, "10.65.1.9")), (CROSS, Route("unicast", "eth0", "10.9.0.2"))):
        made = ways(pool)
        hold(made, "10.65.1.0/26", "h2")
        hold(made, "10.65.2.0/26", "far")
        found = routes(made)
        assert found["10.65.1.0/26"] == near
        assert found["10.65.2.0/26"] == Route("onlink", VXLAN, "10.65.2.9")
        assert made.problems == []


def test_the_tunnel_has_the_nodes_address_a_mac_of_its_name_and_room_for_its_header() -> None:
    made = ways(ALWAYS)
    mac = tunnel_mac("h1")
    assert made.devices == {VXLAN: Device(VXLAN, "vxlan", "10.65.0.9", "10.9.0.1", "eth0", 1450, mac)}
    assert made.mtu == 1450
    assert mac.startswith("66:")
    assert made.neighbours["vxlan"].want == {
        "10.65.1.9": Neighbour(tunnel_mac("h2"), "10.9.0.2"),
        "10.65.2.9": Neighbour(tunnel_mac("far"), "10.8.0.1"),
    }
    made.set_pools([DIRECT])
    assert (made.devices, made.neighbours["vxlan"].want, made.mtu) == ({}, {}, 1500)


def test_of_two_nodes_that_claim_one_tunnel_the_first_known_has_it() -> None:
    made = ways(ALWAYS)
    made.set_peer("thief", Peer("10.9.0.66", vxlan="10.65.1.9"))
    hold(made, "10.65.1.0/26", "h2")
    hold(made, "10.65.3.0/26", "thief")
    assert "10.65.3.0/26" not in routes(made)
    assert made.neighbours["vxlan"].want["10.65.1.9"].host == "10.9.0.2"
    assert any("claims the tunnel of another" in problem for problem in made.problems)
    made.set_peer("h2", None)
    assert made.neighbours["vxlan"].want["10.65.1.9"].host == "10.9.0.66"
    assert routes(made)["10.65.3.0/26"] == Route("onlink", VXLAN, "10.65.1.9")


def test_a_node_asks_for_tunnel_ends_while_a_pool_uses_them() -> None:
    made = ways(ALWAYS)
    assert not made.ends_missing()
    made.set_peer("h1", Peer("10.9.0.1"))
    assert made.ends_missing()
    assert made.devices == {}
    made.set_pools([DIRECT])
    assert not made.ends_missing()
    made.set_peer("h1", PEERS["h1"])
    assert made.ends_missing()


def test_bird_brings_what_is_not_encapsulated_and_the_agent_the_rest() -> None:
    made = ways(DIRECT, "bird")
    hold(made, "10.65.0.0/26", "h1")
    hold(made, "10.65.1.0/26", "h2")
    hold(made, "10.65.2.0/26", "far")
    assert routes(made) == {GATEWAY: Route("link", "eth0"), "10.65.0.0/26": Route("blackhole")}
    made.set_pools([CROSS])
    assert routes(made)["10.65.2.0/26"] == Route("onlink", VXLAN, "10.65.2.9")
    assert made.problems == []


def test_the_backends_vxlan_and_none_leave_out_what_is_not_theirs() -> None:
    for backend, pool, expected in (("vxlan", DIRECT, False), ("vxlan", ALWAYS, True), ("none", ALWAYS, False)):
        made = ways(pool, backend)  # type: ignore[arg-type]
        hold(made, "10.65.1.0/26", "h2")
        assert ("10.65.1.0/26" in routes(made)) is expected


def test_the_smallest_pool_around_a_block_says_how_it_travels() -> None:
    made = ways(ALWAYS)
    made.set_pools([ALWAYS, PoolWay(ip_network("10.65.1.0/24"))])
    hold(made, "10.65.1.0/26", "h2")
    hold(made, "10.65.4.0/26", "h2")
    assert routes(made)["10.65.1.0/26"] == Route("unicast", "eth0", "10.9.0.2")
    assert routes(made)["10.65.4.0/26"].device == VXLAN
