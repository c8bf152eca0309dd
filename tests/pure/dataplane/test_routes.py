"""Direct routes from who has which addresses."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from tortie.dataplane.routes import GATEWAY, Uplink, remote_routes
from tortie.dataplane.want import Route
from tortie.ipam.cluster import Ownership

NODES = {"h1": "10.9.0.1", "h2": "10.9.0.2", "far": "10.8.0.1"}
UPLINK = Uplink("10.9.0.1/24", "eth0")


def held(owners: dict[str, str], borrowed: dict[str, str]) -> Ownership:
    return Ownership(
        {ip_network(cidr): node for cidr, node in owners.items()},
        {ip_address(address): node for address, node in borrowed.items()},
    )


def test_blocks_by_their_hosts_own_ones_as_blackholes_and_borrowed_addresses_by_the_borrower() -> None:
    owners = {"10.65.0.0/26": "h1", "10.65.1.0/26": "h2"}
    routes, problems = remote_routes("h1", UPLINK, NODES, held(owners, {"10.65.0.5": "h2", "10.65.1.5": "h1"}))
    assert problems == []
    assert routes == {
        GATEWAY: Route("link", "eth0"),
        "10.65.0.0/26": Route("blackhole"),
        "10.65.1.0/26": Route("unicast", "eth0", "10.9.0.2"),
        "10.65.0.5/32": Route("unicast", "eth0", "10.9.0.2"),
    }


def test_what_direct_routing_cannot_reach_is_said() -> None:
    routes, problems = remote_routes("h1", UPLINK, NODES, held({"10.65.1.0/26": "far", "10.65.2.0/26": "new"}, {}))
    assert routes == {GATEWAY: Route("link", "eth0")}
    assert ["far" in problems[0], "new" in problems[1]] == [True, True]


def test_without_an_uplink_there_is_no_way_out_and_the_own_block_stays_closed() -> None:
    routes, problems = remote_routes("h1", Uplink("10.9.0.1/24", None), NODES, held({"10.65.0.0/26": "h1"}, {}))
    assert routes == {"10.65.0.0/26": Route("blackhole")}
    assert "10.9.0.1/24" in problems[0]


def test_an_own_block_of_one_address_is_no_blackhole() -> None:
    assert "10.65.0.0/32" not in remote_routes("h1", UPLINK, NODES, held({"10.65.0.0/32": "h1"}, {}))[0]
