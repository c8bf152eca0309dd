"""The driver's answers against what a real engine was recorded to understand."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tortie.base.errors import Invalid
from tortie.model.selector import parse as parse_selector
from tortie.plugins.docker import answers
from tortie.plugins.docker.messages import (
    CreateEndpoint,
    CreateNetwork,
    Join,
    ReleaseAddress,
    RequestAddress,
    RequestPool,
    parse,
)
from tortie.plugins.docker.names import carried_labels, endpoint_resource
from tortie.plugins.profile import check_network_name, network_profile

POOLS = ("192.168.0.0/16", "10.65.0.0/24")
ENDPOINT = "e468452fc4f0" + "0" * 52


def pool(**fields: Any) -> RequestPool:
    asked = {"AddressSpace": "CalicoLocalAddressSpace", "Pool": "", "SubPool": "", "Options": {}, "V6": False, **fields}
    return parse(RequestPool, json.dumps(asked).encode())


def network(**fields: Any) -> CreateNetwork:
    asked = {
        "NetworkID": "5f13262c",
        "Options": {"com.docker.network.enable_ipv6": False, "com.docker.network.generic": {}},
        "IPv4Data": [{"AddressSpace": "CalicoLocalAddressSpace", "Gateway": "0.0.0.0/0", "Pool": "0.0.0.0/0"}],
        "IPv6Data": [],
        **fields,
    }
    return parse(CreateNetwork, json.dumps(asked).encode())


def options(**fields: Any) -> dict[str, Any]:
    return {"com.docker.network.enable_ipv6": False, "com.docker.network.generic": {}, **fields}


def test_a_network_without_subnet_gets_the_dummy_pool_and_gateway() -> None:
    assert answers.request_pool(pool(), POOLS) == {
        "PoolID": "CalicoPoolIPv4",
        "Pool": "0.0.0.0/0",
        "Data": {"com.docker.network.gateway": "0.0.0.0/0"},
    }


def test_a_subnet_that_is_a_pool_is_its_own_id() -> None:
    assert answers.request_pool(pool(Pool="192.168.0.0/16"), POOLS) == {
        "PoolID": "192.168.0.0/16",
        "Pool": "192.168.0.0/16",
        "Data": {"com.docker.network.gateway": "0.0.0.0/0"},
    }


def test_an_ipv6_network_gets_the_dummy_pool_of_its_family_where_such_a_pool_exists() -> None:
    assert answers.request_pool(pool(V6=True), ("fd80:24e2:f998:72d6::/64",)) == {
        "PoolID": "CalicoPoolIPv6",
        "Pool": "::/0",
        "Data": {"com.docker.network.gateway": "::/0"},
    }
    with pytest.raises(Invalid, match="no configured Calico IPv6 pool"):
        answers.request_pool(pool(V6=True), POOLS)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"Pool": "10.1.0.0/16"}, "The requested subnet must match the CIDR of a configured Calico IP Pool."),
        ({"Pool": "192.168.0.0/24"}, "The requested subnet must match the CIDR of a configured Calico IP Pool."),
        ({"Pool": "192.168.0.1/16"}, "The requested subnet must match the CIDR of a configured Calico IP Pool."),
        ({"Pool": "nonsense"}, "The requested subnet must match the CIDR of a configured Calico IP Pool."),
        ({"Pool": "192.168.0.0/16", "SubPool": "192.168.1.0/24"}, "Calico IPAM does not support sub pool config"),
        ({"Options": {"k": "v"}}, "Arbitrary options are not supported"),
    ],
)
def test_pools_are_refused_in_the_words_of_the_original(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(Invalid, match=text):
        answers.request_pool(pool(**fields), POOLS)


def wanted(pool_id: str, address: str = "", **fields: Any) -> tuple[str | None, str | None]:
    body = json.dumps({"PoolID": pool_id, "Address": address, "Options": None, **fields}).encode()
    return answers.address_wanted(parse(RequestAddress, body), POOLS)


def test_any_address_of_any_pool_or_of_the_network_s_own() -> None:
    assert wanted("CalicoPoolIPv4") == (None, None)
    assert wanted("192.168.0.0/16") == ("192.168.0.0/16", None)


def test_an_address_may_be_chosen_anywhere_in_the_configured_pools() -> None:
    assert wanted("192.168.0.0/16", "192.168.255.254") == ("192.168.0.0/16", "192.168.255.254")
    assert wanted("192.168.0.0/16", "10.65.0.9") == ("192.168.0.0/16", "10.65.0.9")


def test_newer_engines_name_the_container_in_the_options() -> None:
    named = {"com.docker.network.endpoint.name": "web1", "com.docker.network.endpoint.macaddress": "02:42:8a:dd:df:5c"}
    assert wanted("CalicoPoolIPv4", Options=named) == (None, None)


@pytest.mark.parametrize(
    ("pool_id", "address", "fields", "text"),
    [
        (
            "192.168.0.0/16",
            "192.168.0.1",
            {"Options": {"RequestAddressType": "com.docker.network.gateway"}},
            "a gateway",
        ),
        ("192.168.0.0/16", "172.16.0.1", {}, "172.16.0.1 is not in one of the configured Calico IP pools"),
        ("172.16.0.0/16", "", {}, "a Calico pool which has been deleted"),
        ("192.168.0.0/16", "192.168.1", {}, "192.168.1 is not an address"),
        ("CalicoPoolIPv6", "", {}, "IPv6"),
    ],
)
def test_addresses_are_refused(pool_id: str, address: str, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(Invalid, match=text):
        wanted(pool_id, address, **fields)


def test_a_plain_network_is_fine_also_from_engines_that_say_ipv4() -> None:
    answers.check_network(network())
    answers.check_network(network(Options=options(**{"com.docker.network.enable_ipv4": True})))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"Options": options(**{"com.docker.network.internal": True})}, "does not support the flag --internal."),
        ({"Options": options(**{"com.docker.network.generic": {"foo": "bar"}})}, "does not support the flag foo."),
        ({"Options": options(**{"com.docker.network.generic": {"b": "", "a": ""}})}, "support the flags a, b."),
        ({"Options": options(strange="x")}, "does not support the flag strange \\(x\\)."),
        ({"IPv4Data": []}, "without IPv4"),
        (
            {"IPv4Data": [{"AddressSpace": "LocalDefault", "Gateway": "172.17.0.1/16", "Pool": "172.17.0.0/16"}]},
            "Non-Calico",
        ),
        ({"IPv4Data": [{"Gateway": "0.0.0.0/0", "AuxAddresses": {"a": "192.168.0.9/32"}}]}, "--aux-address"),
        ({"IPv4Data": [{"Gateway": "0.0.0.0/0"}, {"Gateway": "0.0.0.0/0"}]}, "more than one subnet"),
    ],
)
def test_networks_that_the_driver_cannot_honour_are_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(Invalid, match=text):
        answers.check_network(network(**fields))


def test_join_moves_the_peer_and_makes_the_gateway_reachable() -> None:
    assert answers.join(ENDPOINT) == {
        "InterfaceName": {"SrcName": "tempe468452fc4f", "DstPrefix": "cali"},
        "Gateway": "169.254.1.1",
        "StaticRoutes": [{"Destination": "169.254.1.1/32", "RouteType": 1, "NextHop": ""}],
    }


def test_the_handshake_is_the_recorded_one_with_local_scope() -> None:
    assert answers.ACTIVATE == {"Implements": ["NetworkDriver", "IpamDriver"]}
    assert answers.NETWORK_CAPABILITIES == {"Scope": "local"}
    assert answers.IPAM_CAPABILITIES == {"RequiresMACAddress": False, "RequiresRequestReplay": False}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"{}", b'{"PoolID": 7, "Address": "x"}'])
def test_a_message_that_cannot_be_read_says_so(body: bytes) -> None:
    with pytest.raises(Invalid):
        parse(ReleaseAddress, body)


@pytest.mark.parametrize("endpoint", ["", "short", "../../../etc/passwd", "E468452FC4F0", "e468452fc4f0\n"])
def test_an_endpoint_id_that_is_none_never_becomes_a_name(endpoint: str) -> None:
    with pytest.raises(Invalid, match="not an endpoint id"):
        parse(Join, json.dumps({"NetworkID": "n", "EndpointID": endpoint, "SandboxKey": "s"}).encode())


@pytest.mark.parametrize(
    "interface", [None, {"Address": ""}, {"Address": "nonsense/32"}, {"AddressIPv6": "fd80::1/128"}]
)
def test_an_endpoint_needs_an_ipv4_address(interface: Any) -> None:
    body = json.dumps({"NetworkID": "n", "EndpointID": ENDPOINT, "Interface": interface}).encode()
    with pytest.raises(Invalid, match="no IPv4 address"):
        answers.endpoint_address(parse(CreateEndpoint, body).interface)


def test_a_network_s_profile_opens_it_to_itself_and_to_the_outside() -> None:
    profile = network_profile("management-ui")
    assert profile.key == "/calico/resources/v3/projectcalico.org/profiles/management-ui"
    assert json.loads(msgspec.json.encode(profile.spec)) == {
        "ingress": [{"action": "Allow", "source": {"selector": "management-ui == ''"}}],
        "egress": [{"action": "Allow"}],
        "labelsToApply": {"management-ui": ""},
    }


def test_an_endpoint_is_named_as_calico_names_it() -> None:
    endpoint = endpoint_resource(
        node="agent-1",
        endpoint_id=ENDPOINT,
        network="client",
        address="192.168.0.7",
        mac="02:00:00:00:00:01",
        container="c1",
        labels={"role": "db"},
    )
    assert endpoint.key == (
        f"/calico/resources/v3/projectcalico.org/workloadendpoints/libnetwork/agent--1-libnetwork-libnetwork-{ENDPOINT}"
    )
    assert endpoint.spec.interface_name == "calie468452fc4f"
    assert endpoint.spec.ip_networks == ("192.168.0.7/32",)
    assert endpoint.spec.profiles == ("client",)
    assert endpoint.metadata.labels["role"] == "db"
    assert endpoint.metadata.annotations["org.tortie/ipam-handle"] == f"libnetwork.{ENDPOINT}"
    assert endpoint.metadata.labels["projectcalico.org/orchestrator"] == "libnetwork"


def test_only_labels_with_calico_s_prefix_are_carried_and_none_can_pass_for_calico_s_own() -> None:
    assert carried_labels({"org.projectcalico.label.role": "db", "other": "x", "org.projectcalico.label.": "y"}) == {
        "role": "db"
    }
    endpoint = endpoint_resource(
        node="n", endpoint_id=ENDPOINT, network="n", address="10.0.0.1", mac="",  container="",
        labels={"projectcalico.org/namespace": "mine"},
    )  # fmt: skip
    assert endpoint.metadata.labels["projectcalico.org/namespace"] == "libnetwork"


@pytest.mark.parametrize("name", ["client", "management-ui", "My_Net", "1net", "has", "all", "a.b", "x" * 63])
def test_what_may_name_a_network_may_name_a_profile_and_a_label(name: str) -> None:
    check_network_name(name)
    profile = network_profile(name)
    assert parse_selector(profile.spec.ingress[0].source.selector).matches({name: ""})
    assert not list(profile.kind.check(profile.spec))


@pytest.mark.parametrize("name", ["a b", "a/b", "Ünet", "-x", ".x", "", "x" * 64, "a\n", "a' || all() || 'b"])
def test_a_network_whose_name_cannot_be_a_label_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="letters, digits"):
        check_network_name(name)
