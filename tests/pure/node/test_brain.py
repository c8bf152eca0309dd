"""What a host shall look like, from the keys of the store."""

from __future__ import annotations

import json

from tortie.dataplane.render import base
from tortie.dataplane.want import Route
from tortie.model.kinds.felix_configuration import FelixConfigurationSpec
from tortie.node.brain import Brain
from tortie.node.records import merge_settings
from tortie.store.port import Event

ROOT = "/calico/resources/v3/projectcalico.org/"
ENDPOINT = f"{ROOT}workloadendpoints/libnetwork/h1-libnetwork-libnetwork-e"


def event(key: str, value: object, revision: int = 1) -> Event:
    return Event(key, json.dumps(value).encode() if not isinstance(value, bytes) else value, revision)


def endpoint(address: str = "10.65.0.1/32") -> dict[str, object]:
    spec = {"node": "h1", "ipNetworks": [address], "profiles": ["p"], "interfaceName": "calia"}
    return {"metadata": {"name": "x", "namespace": "libnetwork"}, "spec": spec}


def node(name: str, address: str) -> Event:
    return event(f"{ROOT}nodes/{name}", {"metadata": {"name": name}, "spec": {"bgp": {"ipv4Address": address}}})


def test_what_is_not_in_a_new_listing_is_gone() -> None:
    brain = Brain("h1", "10.9.0.1/24")
    brain.replace([event(ENDPOINT, endpoint(), 7), node("h1", "10.9.0.1/24")])
    assert brain.revisions == {ENDPOINT: 7}
    brain.replace([node("h1", "10.9.0.1/24")])
    assert brain.revisions == {}
    assert brain.table.ledger.elements(base.TO) == {}


def test_an_endpoint_that_cannot_be_read_counts_as_absent_and_is_named() -> None:
    brain = Brain("h1", "10.9.0.1/24")
    brain.learn(event(ENDPOINT, endpoint(), 7))
    brain.learn(event(ENDPOINT, b"{not json", 8))
    assert brain.revisions == {}
    assert brain.table.ledger.elements(base.TO) == {}
    assert list(brain.unreadable) == [ENDPOINT]
    brain.learn(event(ENDPOINT, endpoint(), 9))
    assert (brain.revisions, brain.unreadable) == ({ENDPOINT: 9}, {})


def test_a_profile_that_cannot_be_read_closes() -> None:
    brain = Brain("h1", "10.9.0.1/24")
    brain.learn(event(ENDPOINT, endpoint()))
    brain.learn(event(f"{ROOT}profiles/p", {"metadata": {"name": "p"}, "spec": {"ingress": [{"action": "Perhaps"}]}}))
    assert brain.table.notes(ENDPOINT) == ["profile p does not exist: it closes"]
    assert list(brain.unreadable) == [f"{ROOT}profiles/p"]


def test_a_local_workload_wins_over_a_route_to_another_host() -> None:
    brain = Brain("h1", "10.9.0.1/24")
    brain.set_uplink("eth0")
    brain.replace([node("h2", "10.9.0.2/24"), event(ENDPOINT, endpoint())])
    block = {
        "cidr": "10.65.0.0/30",
        "affinity": "host:h2",
        "allocations": [None, 0, None, None],
        "unallocated": [0, 2, 3],
        "attributes": [{"handle_id": "x", "secondary": {"node": "h1"}}],
    }
    brain.learn(event("/calico/ipam/v2/assignment/ipv4/block/10.65.0.0-30", block))
    brain.learn(event("/calico/ipam/v2/host/h2/ipv4/block/10.65.0.0-30", {"state": "confirmed"}))
    brain.set_up(frozenset({"calia"}))
    brain.settle_routes()
    assert brain.routes.want["10.65.0.1/32"] == Route("link", "calia")
    assert brain.routes.want["10.65.0.0/30"] == Route("unicast", "eth0", "10.9.0.2")
    brain.set_up(frozenset())
    brain.settle_routes()
    assert "10.65.0.1/32" not in brain.routes.want


def test_a_pending_block_attracts_nothing() -> None:
    brain = Brain("h1", "10.9.0.1/24")
    brain.set_uplink("eth0")
    brain.learn(node("h2", "10.9.0.2/24"))
    brain.learn(event("/calico/ipam/v2/host/h2/ipv4/block/10.65.0.0-26", {"state": "pending"}))
    brain.settle_routes()
    assert "10.65.0.0/26" not in brain.routes.want


def test_the_settings_of_the_node_win_one_by_one() -> None:
    default = FelixConfigurationSpec(default_endpoint_to_host_action="Return", host_services="Enabled")
    own = FelixConfigurationSpec(host_services="Disabled")
    merged = merge_settings(default, own)
    assert (merged.endpoint_to_host, merged.host_services, merged.interface_prefix) == ("Return", False, "cali")
    assert merge_settings(None, None).endpoint_to_host == "Drop"
