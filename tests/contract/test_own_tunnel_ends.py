"""The addresses of a host's own tunnel ends, in a real store."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tortie.base.errors import TortieError
from tortie.dataplane.tunnels import Tunnel
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.resource import Metadata, Resource
from tortie.node.bootstrap import write_node
from tortie.node.tunnel_ends import settle_ends
from tortie.store.client import Client
from tortie.store.open import open_store

NOW = 1_700_000_000.0
FOUR, SIX = "10.65.0.0/16", "fd65::/64"


@pytest.fixture
def client(tmp_path: Path) -> Client:
    made = Client(open_store(f"sqlite://{tmp_path}"))
    write_node(made, "h1", "10.9.0.1/24", "fd09::1/64")
    return made


def pool(client: Client, cidr: str) -> None:
    name = "six" if ":" in cidr else "four"
    client.apply(Resource(kind=IP_POOL, metadata=Metadata(name=name), spec=IPPoolSpec(cidr=cidr)))


def settle(client: Client, *wanted: Tunnel) -> NodeSpec:
    settle_ends(client, "h1", wanted, now=NOW)
    return client.get(NODE, "h1").spec


def handles(client: Client) -> set[str]:
    items = client.datastore.list("/calico/ipam/v2/handle/").items
    return {item.key.rpartition("/")[2] for item in items}


def test_each_tunnel_has_an_end_of_its_family_until_it_is_not_wanted(client: Client) -> None:
    pool(client, FOUR)
    pool(client, SIX)
    spec = settle(client, "vxlan", "vxlan-v6")
    assert ip_address(spec.ipv4_vxlan_tunnel_addr or "") in ip_network(FOUR)
    assert ip_address(spec.ipv6_vxlan_tunnel_addr or "") in ip_network(SIX)
    assert handles(client) == {"vxlan-tunnel-addr-h1", "vxlan-v6-tunnel-addr-h1"}
    assert settle(client, "vxlan", "vxlan-v6") == spec
    four = settle(client, "vxlan")
    assert (four.ipv4_vxlan_tunnel_addr, four.ipv6_vxlan_tunnel_addr) == (spec.ipv4_vxlan_tunnel_addr, None)
    assert handles(client) == {"vxlan-tunnel-addr-h1"}
    assert settle(client).bgp == spec.bgp
    assert handles(client) == set()


def test_a_tunnel_without_a_free_address_keeps_no_other_from_its_own(client: Client) -> None:
    pool(client, FOUR)
    with pytest.raises(TortieError):
        settle(client, "vxlan", "vxlan-v6")
    spec = client.get(NODE, "h1").spec
    assert spec.ipv4_vxlan_tunnel_addr
    assert spec.ipv6_vxlan_tunnel_addr is None
    pool(client, SIX)
    assert settle(client, "vxlan", "vxlan-v6").ipv6_vxlan_tunnel_addr
