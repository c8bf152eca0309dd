"""What a host shall look like, from the keys of the store."""

from __future__ import annotations

import json

import pytest

from tortie.dataplane.render import base
from tortie.dataplane.render.claims import Owner
from tortie.dataplane.tunnels import Link
from tortie.dataplane.want import Route
from tortie.model.kinds.felix_configuration import FelixConfigurationSpec
from tortie.node.brain import Brain
from tortie.node.records import merge_settings
from tortie.store.port import Event

ROOT = "/calico/resources/v3/projectcalico.org/"
ENDPOINT = f"{ROOT}workloadendpoints/libnetwork/h1-libnetwork-libnetwork-e"


def event(key: str, value: object, revision: int = 1) -> Event:
    return Event(key, json.dumps(value).encode() if not isinstance(value, bytes) else value, revision)


def endpoint(address: str = "10.65.0.1/32", interface: str = "calia") -> dict[str, object]:
    spec = {"node": "h1", "ipNetworks": [address], "profiles": ["p"], "interfaceName": interface}
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
    (problem,) = brain.table.problems(ENDPOINT)
    assert problem.startswith("profile p: cannot be read: ")
    assert list(brain.unreadable) == [f"{ROOT}profiles/p"]
    brain.learn(event(f"{ROOT}profiles/p", {"metadata": {"name": "p"}, "spec": {}}))
    assert (brain.table.problems(ENDPOINT), brain.unreadable) == ([], {})


def test_a_local_workload_wins_over_a_route_to_another_host() -> None:
    brain = Brain("h1", "10.9.0.1/24")
    brain.ways.set_links({"eth0": Link(["10.9.0.1"])})
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
    brain.set_up([])
    brain.settle_routes()
    assert "10.65.0.1/32" not in brain.routes.want


def test_a_pending_block_attracts_nothing() -> None:
    brain = Brain("h1", "10.9.0.1/24")
    brain.ways.set_links({"eth0": Link(["10.9.0.1"])})
    brain.learn(node("h2", "10.9.0.2/24"))
    brain.learn(event("/calico/ipam/v2/host/h2/ipv4/block/10.65.0.0-26", {"state": "pending"}))
    brain.settle_routes()
    assert "10.65.0.0/26" not in brain.routes.want


def test_the_settings_of_the_node_win_one_by_one() -> None:
    default = FelixConfigurationSpec(default_endpoint_to_host_action="Return", host_services="Enabled")
    own = FelixConfigurationSpec(host_services="Disabled")
    merged = merge_settings(default, own)
    assert (merged.endpoint_to_host, merged.host_services, merged.interface_prefixes) == ("Return", False, ("cali",))
    assert merge_settings(None, None).endpoint_to_host == "Drop"


def test_a_workload_has_a_route_while_its_interface_is_up() -> None:
    brain = Brain("h1", "10.9.0.1/24")
    brain.learn(event(ENDPOINT, endpoint()))
    assert brain.settle_routes() == frozenset()
    brain.set_link("calia", up=True)
    assert brain.settle_routes() == {"calia"}
    assert brain.routes.want == {"10.65.0.1/32": Route("link", "calia")}
    brain.routes.learn("10.65.0.1/32", Route("link", "calia"))
    # The same name again: the kernel dropped the route with the old interface.
    brain.set_link("calia", up=False)
    brain.set_link("calia", up=True)
    assert brain.settle_routes() == {"calia"}
    assert brain.routes.pending().put == {"10.65.0.1/32": Route("link", "calia")}


def test_only_what_changed_is_settled_again() -> None:
    brain = Brain("h1", "10.9.0.1/24")
    brain.set_up(f"cali{i}" for i in range(50))
    for i in range(50):
        brain.learn(event(f"{ENDPOINT}{i}", endpoint(f"10.65.0.{i + 1}/32", f"cali{i}")))
    assert len(brain.settle_routes()) == 50
    brain.learn(event(f"{ENDPOINT}7", endpoint("10.65.0.99/32", "cali7")))
    assert brain.settle_routes() == {"cali7"}
    assert brain.routes.want.keys() >= {"10.65.0.99/32", "10.65.0.1/32"}
    assert "10.65.0.8/32" not in brain.routes.want


def test_the_addresses_that_changed_hands_are_known_with_their_old_owner() -> None:
    brain = Brain("h1", "10.9.0.1/24")
    brain.learn(event(ENDPOINT, endpoint()))
    brain.settle_routes()
    assert brain.moved == {"10.65.0.1": None}
    brain.moved = {}
    brain.learn(Event(ENDPOINT, None, 2))
    brain.learn(event(f"{ENDPOINT}2", endpoint(interface="calib"), 3))
    brain.settle_routes()
    assert brain.moved == {"10.65.0.1": Owner(ENDPOINT, "calia")}


def test_news_say_what_came_and_what_went() -> None:
    brain = Brain("h1", "10.9.0.1/24")
    brain.learn(event(ENDPOINT, endpoint(), 7))
    assert brain.news == {ENDPOINT: 7}
    brain.replace([])
    assert brain.news == {ENDPOINT: None}


@pytest.mark.parametrize("address", ["127.0.0.1/32", "224.0.0.5/32", "0.0.0.0/0", "169.254.1.1/32", "fe80::1%x/128"])
def test_an_address_that_is_no_workloads_is_nobodys(address: str) -> None:
    brain = Brain("h1", "10.9.0.1/24")
    brain.set_up(["calia"])
    brain.learn(event(ENDPOINT, endpoint(address)))
    brain.settle_routes()
    assert brain.routes.want == {}
    assert brain.table.ledger.elements(base.SOURCES4) == {}


@pytest.mark.parametrize(
    ("text", "prefixes"),
    [("cali,tap", ("cali", "tap")), (" cali , tap", ("cali", "tap")), ('x"; drop', ("cali",)), ("tap,", ("cali",))],
)
def test_a_list_of_prefixes_that_is_none_leaves_the_default(text: str, prefixes: tuple[str, ...]) -> None:
    assert merge_settings(None, FelixConfigurationSpec(interface_prefix=text)).interface_prefixes == prefixes
