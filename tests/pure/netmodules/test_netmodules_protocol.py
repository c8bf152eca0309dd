"""What net-modules says to its plug-in, and what the plug-in understands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.base.errors import Invalid
from tortie.model.kinds.profile import PROFILE
from tortie.model.resource import problems
from tortie.plugins.netmodules import launcher, names
from tortie.plugins.netmodules.asking import (
    Allocate,
    Cleanup,
    Isolate,
    Release,
    Reserve,
    named_addresses,
    read_asking,
)
from tortie.plugins.profile import HANDLE_ANNOTATION, network_profile

HOST, CONTAINER = "172.24.197.102", "0b7d3f0e-8f0c-4a57-9a8f-5d3a1c2e4f60"
ISOLATE = {"hostname": HOST, "container_id": CONTAINER, "pid": 3789, "ipv4_addrs": ["192.168.0.1"]}
ALLOCATE = {"hostname": HOST, "num_ipv4": 1, "num_ipv6": 0, "uid": "u-1"}
RESERVE = {"hostname": HOST, "uid": "u-1", "ipv4_addrs": ["192.168.0.1"]}


def request(command: str, args: Any) -> bytes:
    return json.dumps({"args": args, "command": command}).encode()


def refused(stdin: bytes) -> str:
    with pytest.raises(Invalid) as caught:
        read_asking(stdin)
    return str(caught.value)


def test_each_command_is_understood() -> None:
    labels = [{"key": "a/b", "value": "x y"}, {"key": "v"}, {"key": "ipv4_addrs", "value": "[]"}]
    full = {**ISOLATE, "netgroups": ["star-1", "public"], "labels": labels, "ipv6_addrs": ["fd00::1"]}
    assert read_asking(request("isolate", full)) == Isolate(
        hostname=HOST,
        container=CONTAINER,
        pid=3789,
        addresses=["192.168.0.1", "fd00::1"],
        groups=["star-1", "public"],
        labels={"a.b": "x-y", "v": ""},
    )
    assert read_asking(request("isolate", {**ISOLATE, "labels": {"role": "db"}})) == Isolate(
        hostname=HOST, container=CONTAINER, pid=3789, addresses=["192.168.0.1"], groups=(), labels={"role": "db"}
    )
    assert read_asking(request("cleanup", {"hostname": HOST, "container_id": CONTAINER})) == Cleanup(
        container=CONTAINER
    )
    assert read_asking(request("allocate", ALLOCATE)) == Allocate(uid="u-1", counts={4: 1, 6: 0}, named=())
    assert read_asking(request("reserve", RESERVE)) == Reserve(uid="u-1", addresses=["192.168.0.1"])
    assert read_asking(request("release", {"ips": ["192.168.0.1"]})) == Release(addresses=["192.168.0.1"])
    assert read_asking(request("release", {"uid": "u-1", "ips": []})) == Release(uid="u-1")


def without(args: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in args.items() if key != name}


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        (b"", "not JSON"),
        (b"[1]", "not an object"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", "Missing command"),
        (b'{"command":"isolate"}', "Missing args"),
        (b'{"command":"isolate","args":[]}', "args: an object is needed"),
        (request("jump", {}), "Unknown command: jump"),
        (request(["isolate"], {}), "Unknown command: ['isolate']"),  # type: ignore[arg-type]
        (request("isolate", {}), "Missing container_id"),
        (request("isolate", without(ISOLATE, "hostname")), "Missing hostname"),
        (request("isolate", {**ISOLATE, "hostname": ""}), "Missing hostname"),
        (request("isolate", without(ISOLATE, "pid")), "Missing pid"),
        (request("isolate", {**ISOLATE, "pid": "12"}), "pid must be an integer"),
        (request("isolate", {**ISOLATE, "pid": True}), "pid must be an integer"),
        (request("isolate", {**ISOLATE, "pid": -4}), "pid must be an integer"),
        (request("isolate", without(ISOLATE, "ipv4_addrs")), "Must provide at least one IPv4 or IPv6 address."),
        (request("isolate", {**ISOLATE, "ipv4_addrs": ["here"]}), "IP address could not be parsed: here"),
        (request("isolate", {**ISOLATE, "ipv4_addrs": [7]}), "IP address could not be parsed: 7"),
        (request("isolate", {**ISOLATE, "ipv4_addrs": "192.168.0.1"}), "ipv4_addrs: a list of addresses is needed"),
        (
            request("isolate", {**ISOLATE, "ipv4_addrs": ["fd00::1"]}),
            "IPv6 address must not be placed in IPv4 address field.",
        ),
        (
            request("isolate", {**ISOLATE, "ipv6_addrs": ["10.0.0.1"]}),
            "IPv4 address must not be placed in IPv6 address field.",
        ),
        (request("isolate", {**ISOLATE, "netgroups": "star-1"}), "Must provide list of netgroups."),
        (request("isolate", {**ISOLATE, "netgroups": [1]}), "Must provide list of netgroups."),
        (request("isolate", {**ISOLATE, "netgroups": ["a b"]}), "netgroup 'a b': the name is also that of a profile"),
        (request("isolate", {**ISOLATE, "hostname": "a b"}), "hostname 'a b'"),
        (request("isolate", {**ISOLATE, "container_id": "../x"}), "container_id: a text without slashes"),
        (request("isolate", {**ISOLATE, "container_id": "-x"}), "container_id '-x'"),
        (request("isolate", {**ISOLATE, "labels": "a"}), "labels: an object, or a list"),
        (request("isolate", {**ISOLATE, "labels": [{"value": "a"}]}), "labels: a label has a key"),
        (request("isolate", {**ISOLATE, "labels": [{"key": ["a"], "value": "a"}]}), "labels: a label has a key"),
        (request("isolate", {**ISOLATE, "labels": {"a": 1}}), "labels: a label has a key"),
        (request("cleanup", {"hostname": HOST}), "Missing container_id"),
        (request("allocate", without(ALLOCATE, "uid")), "Missing uid"),
        (request("allocate", without(ALLOCATE, "hostname")), "Missing hostname"),
        (request("allocate", without(ALLOCATE, "num_ipv4")), "Missing num_ipv4"),
        (request("allocate", without(ALLOCATE, "num_ipv6")), "Missing num_ipv6"),
        (request("allocate", {**ALLOCATE, "num_ipv4": "1"}), "num_ipv4 must be an integer"),
        (request("allocate", {**ALLOCATE, "num_ipv4": 1000}), "num_ipv4: 1000 is not from 0 to 256"),
        (request("allocate", {**ALLOCATE, "num_ipv4": 0}), "Must provide at least one IPv4 or IPv6 address."),
        (request("reserve", without(RESERVE, "ipv4_addrs")), "Must provide at least one IPv4 or IPv6 address."),
        (request("release", {"uid": "u", "ips": ["10.0.0.1"]}), "Supply either uid or ips, not both."),
        (request("release", {}), "Must supply either uid or ips."),
        (request("release", {"ips": ["x"]}), "IP address could not be parsed: x"),
        (request("release", {"uid": "a/b"}), "uid: a text without slashes"),
    ],
)
def test_requests_that_make_no_sense(stdin: bytes, words: str) -> None:
    assert words in refused(stdin)


@pytest.mark.parametrize(
    "text",
    [
        "['192.168.1.9']",
        '["192.168.1.9"]',
        "[u'192.168.1.9',]",
        " [ '192.168.1.9' ] ",
    ],
)
def test_a_label_names_addresses(text: str) -> None:
    assert named_addresses(text) == ["192.168.1.9"]
    asking = read_asking(request("allocate", {**ALLOCATE, "labels": {"ipv4_addrs": text}}))
    assert asking == Allocate(uid="u-1", counts={4: 0, 6: 0}, named=["192.168.1.9"])
    more = read_asking(
        request("allocate", {**ALLOCATE, "num_ipv4": 3, "labels": [{"key": "ipv4_addrs", "value": text}]})
    )
    assert more == Allocate(uid="u-1", counts={4: 2, 6: 0}, named=["192.168.1.9"])


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "[__import__('os')]",
        "['192.168.1.9'] + ['192.168.1.8']",
        "['192.168.1.9'",
        "['a' 'b']",
        "[['192.168.1.9']]",
        "'192.168.1.9'",
        "[" * 5000,
        "['not an address']",
        "['fd00::1']",
        "['192.168.1.9\\']",
    ],
)
def test_a_label_is_read_and_never_evaluated(text: str) -> None:
    assert refused(request("allocate", {**ALLOCATE, "labels": {"ipv4_addrs": text}}))


@given(st.text())
def test_any_label_is_a_list_or_refused(text: str) -> None:
    try:
        named_addresses(text)
    except Invalid:
        return


@given(st.binary())
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    launcher.process_in(data)
    try:
        read_asking(data)
    except Invalid:
        return


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("hostname", "container_id", "pid", "uid", "ipv4_addrs", "num_ipv4", "num_ipv6", "netgroups", "labels", "ips")


@given(
    st.sampled_from(["isolate", "cleanup", "allocate", "reserve", "release"]),
    st.dictionaries(st.sampled_from(FIELDS), JSON),
)
def test_any_arguments_are_understood_or_refused(command: str, args: dict[str, Any]) -> None:
    for whole in (args, {**ISOLATE, **ALLOCATE, **args}):
        try:
            read_asking(request(command, whole))
        except Invalid:
            continue


@pytest.mark.parametrize(
    ("stdin", "process"),
    [
        (request("isolate", ISOLATE), b"3789"),
        (b'{"args":{"pid" : 12 }}', b"12"),
        (b'{"args":{"labels":{"pid":"7"},"pid":12}}', b""),
        (b'{"pid"', b""),
        (b'"pid"12', b""),
        (b"", b""),
    ],
)
def test_the_launcher_finds_the_process_at_a_glance(stdin: bytes, process: bytes) -> None:
    assert launcher.process_in(stdin) == process


def test_profiles_in_their_order_and_what_they_are_when_they_are_made() -> None:
    assert names.profile_names("h", ["b", "public", "a", "b"]) == ["default_h", "public", "b", "a"]
    assert names.profile_names("h", []) == ["default_h"]
    default, public, group = names.profiles(HOST, ["star-1", "public"], HOST)
    assert default.name == f"default_{HOST}"
    assert default.spec.ingress[0].source.nets == (f"{HOST}/32",)
    assert default.spec.egress[0].destination.nets == (f"{HOST}/32",)
    assert (public.spec.ingress, public.spec.egress) == (public.spec.egress, public.spec.ingress)
    assert public.spec.ingress[0].source.selector == ""
    assert group == network_profile("star-1")
    for profile in (default, public, group):
        assert problems(profile) == []
        assert profile.kind is PROFILE


def test_an_endpoint_is_named_as_the_original_names_it() -> None:
    asking = read_asking(request("isolate", {**ISOLATE, "netgroups": ["star-1"], "labels": {"role": "db"}}))
    assert isinstance(asking, Isolate)
    endpoint = names.endpoint_resource("agent-1", asking, handle="mesos.u-1", stamp="4:1")
    assert endpoint.name == "agent--1-mesos-0b7d3f0e--8f0c--4a57--9a8f--5d3a1c2e4f60-eth0"
    assert endpoint.key == names.endpoint_key("agent-1", CONTAINER)
    assert (endpoint.spec.workload, endpoint.spec.orchestrator, endpoint.spec.endpoint) == (CONTAINER, "mesos", "eth0")
    assert endpoint.spec.profiles == (f"default_{HOST}", "star-1")
    assert endpoint.spec.ip_networks == ("192.168.0.1/32",)
    assert endpoint.spec.interface_name == "cali0b7d3f0e-8f"
    assert endpoint.metadata.labels["role"] == "db"
    assert endpoint.metadata.annotations[HANDLE_ANNOTATION] == "mesos.u-1"
    assert names.is_ours(endpoint, "agent-1")
    assert not names.is_ours(endpoint, "agent-2")
