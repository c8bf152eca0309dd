"""From what the kernel tells to flows: prefixes, packets, who has an address, joining, adding up within bounds."""

from __future__ import annotations

import json
import socket
import struct
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.base.errors import Invalid
from tortie.dataplane.conversations import Counted, Decided, Five, packet_of
from tortie.dataplane.hits import Hit, full_name, parse_prefix, prefix_of, short
from tortie.model.kinds.global_network_set import GLOBAL_NETWORK_SET, GlobalNetworkSetSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource
from tortie.node.flows import answer, book, words
from tortie.node.flows.book import Book, FlowKey, Sums
from tortie.node.flows.directory import Directory, End
from tortie.node.flows.records import OPEN_CONVERSATIONS, Policies, Records

WEB = "GlobalNetworkPolicy/default.web"
HITS = [
    Hit("Deny", "policy", "ingress", WEB, 0),
    Hit("Allow", "policy", "egress", "NetworkPolicy/shop/default.db", 99_999),
    Hit("Pass", "staged", "ingress", "StagedNetworkPolicy/shop/next", 3),
    Hit("Allow", "profile", "egress", "management-ui", 7),
    Hit("Deny", "tier", "ingress", "default"),
    Hit("Deny", "no profile", "egress"),
    Hit("Deny", "fixed", "egress", "spoofed source"),
]


@pytest.mark.parametrize("hit", HITS)
def test_a_prefix_says_what_decided(hit: Hit) -> None:
    assert parse_prefix(prefix_of(hit)) == hit


@given(name=st.text(min_size=1), rule=st.integers(0, 99_999))
def test_any_name_fits_into_a_prefix(name: str, rule: int) -> None:
    prefix = prefix_of(Hit("Deny", "policy", "ingress", name, rule))
    assert len(prefix.encode()) < 64
    assert '"' not in prefix
    assert "\n" not in prefix
    found = parse_prefix(prefix)
    assert found is not None
    assert found.rule == rule
    assert full_name(found.name, ["other", name]) == name


def test_long_names_that_differ_in_the_middle_stay_apart() -> None:
    one, two = ("x" * 40 + middle + "y" * 40 for middle in "ab")
    assert short(one) != short(two)
    assert full_name(short(one), [two]) == short(one)


@pytest.mark.parametrize(
    "text", ["", "x", "calico-packet: ", "DPI", "DPI0", "XPI0|a", "DRI|a", "DFE", "DFE0|a", "DSI|a", "DPX0|a", "APE1"]
)
def test_what_others_log_is_none_of_ours(text: str) -> None:
    assert parse_prefix(text) is None


def ipv4(source: str, destination: str, protocol: int, rest: bytes, *, fragment: int = 0) -> bytes:
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(rest), 0, fragment, 64, protocol, 0)
    return head + socket.inet_aton(source) + socket.inet_aton(destination) + rest


def test_packets() -> None:
    one, two = socket.inet_aton("10.0.0.1"), socket.inet_aton("10.0.0.2")
    tcp = struct.pack(">HH", 40_000, 80) + bytes(16)
    assert packet_of(ipv4("10.0.0.1", "10.0.0.2", 6, tcp)) == (Five(one, two, 6, 40_000, 80), 40)
    assert packet_of(ipv4("10.0.0.1", "10.0.0.2", 6, tcp, fragment=5)) == (Five(one, two, 6), 40)
    echo = struct.pack(">BBHHH", 8, 0, 0, 77, 1)
    assert packet_of(ipv4("10.0.0.1", "10.0.0.2", 1, echo)) == (Five(one, two, 1, 77), 28)
    unreachable = struct.pack(">BBHI", 3, 1, 0, 0)
    assert packet_of(ipv4("10.0.0.1", "10.0.0.2", 1, unreachable)) == (Five(one, two, 1), 28)
    six, other = bytes(15) + b"\1", bytes(15) + b"\2"
    options = bytes([17, 0, 0, 0, 0, 0, 0, 0])
    head = struct.pack(">IHBB", 6 << 28, 16, 0, 64) + six + other
    assert packet_of(head + options + struct.pack(">HHHH", 5, 53, 8, 0)) == (Five(six, other, 17, 5, 53), 56)


@given(st.binary(max_size=100))
def test_no_packet_is_too_broken(data: bytes) -> None:
    for first in (b"\x45", b"\x60", b"\x4f", b""):
        packet_of(first + data)


def workload(name: str, address: str, **labels: str) -> Resource[Any]:
    spec = WorkloadEndpointSpec(
        orchestrator="k8s", node="n", workload=name, endpoint="eth0", ip_networks=(f"{address}/32",), profiles=("shut",)
    )
    return Resource(kind=WORKLOAD_ENDPOINT, metadata=Metadata(name=name, namespace="shop", labels=labels), spec=spec)


def nets(name: str, *cidrs: str) -> Resource[Any]:
    return Resource(kind=GLOBAL_NETWORK_SET, metadata=Metadata(name=name), spec=GlobalNetworkSetSpec(nets=cidrs))


def address(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def name_of(directory: Directory, text: str) -> str:
    return directory.find(address(text))[0].name


def test_who_has_an_address() -> None:
    known = Directory()
    known.set_workload("a", workload("web", "10.0.0.1", app="web"))
    known.set_host("h", "node-1", ["10.0.0.9", "fd00::9"])
    known.set_network_set("wide", nets("wide", "10.0.0.0/8", "203.0.113.0/24"))
    known.set_network_set("near", nets("near", "10.0.0.0/24"))
    assert known.find(address("10.0.0.1")) == (End("WorkloadEndpoint", "web", "shop"), ("app=web",))
    assert known.profiles(address("10.0.0.1")) == ("shut",)
    texts = ("10.0.0.9", "fd00::9", "10.0.0.7", "10.9.9.9", "203.0.113.5", "172.16.0.1", "8.8.8.8", "fd00::1")
    found = [name_of(known, text) for text in texts]
    assert found == ["node-1", "node-1", "near", "wide", "wide", "pvt", "pub", "pvt"]
    known.set_workload("b", workload("heir", "10.0.0.1"))
    assert name_of(known, "10.0.0.1") == "heir"
    known.set_workload("b", None)
    assert name_of(known, "10.0.0.1") == "web"
    for forget in (known.set_workload, known.set_network_set):
        for key in ("a", "wide", "near"):
            forget(key, None)
    known.set_host("h", "node-1", None)
    assert [name_of(known, text) for text in texts[:4]] == ["pvt"] * 4


def records(of_interval: int = 1000) -> Records:
    known = Directory()
    known.set_workload("a", workload("web", "10.0.0.1"))
    known.set_workload("b", workload("db", "10.0.0.2"))
    policies = Policies(
        lambda: [WEB],
        lambda name: "default" if name == WEB else "",
        lambda own, way, tier: WEB if (own, way, tier) == (address("10.0.0.2"), "ingress", "default") else "",
    )
    return Records(known, policies, Book(of_interval=of_interval))


def told(prefix: str, port: int = 80, source_port: int = 4000) -> Decided:
    return Decided(prefix, Five(address("10.0.0.1"), address("10.0.0.2"), 6, source_port, port), 60)


def listed(found: Records, **parameters: str) -> list[dict[str, Any]]:
    return answer.flows(found.book.intervals(), answer.question(parameters, 1000.0))


def test_a_conversation_from_its_first_packet_to_its_end() -> None:
    found = records()
    for prefix in ("ARE0|web", f"API2|{WEB}", "ARE0|web"):
        found.learn(told(prefix), 1000.0)
    five = told("").five
    found.learn(Counted(five, 5, 500, 4, 4000), 1001.0)
    found.learn(Counted(five, 6, 560, 5, 4060, over=True), 1002.0)
    found.learn(Counted(five, 6, 560, 5, 4060, over=True), 1003.0)
    sending, receiving = sorted(listed(found), key=lambda flow: str(flow["reporter"]), reverse=True)
    assert (sending["reporter"], receiving["reporter"]) == ("Src", "Dst")
    assert [sending[f"packets_{way}"] for way in ("out", "in")] == [6, 5]
    assert [receiving[f"bytes_{way}"] for way in ("out", "in")] == [4060, 560]
    for flow in (sending, receiving):
        assert (flow["num_connections_started"], flow["num_connections_completed"]) == (1, 1)
    assert receiving["policies"]["enforced"][0] == {
        "kind": "GlobalNetworkPolicy",
        "namespace": "",
        "name": "default.web",
        "tier": "default",
        "action": "Allow",
        "policy_index": 0,
        "rule_index": 2,
        "trigger": None,
    }
    assert found.conversations == 0


def test_what_one_side_let_go_and_the_other_refused() -> None:
    found = records()
    found.learn(told("ARE0|web"), 1000.0)
    found.learn(told(f"PPI1|{WEB}"), 1000.0)
    found.learn(told("DRI"), 1000.0)
    assert found.conversations == 0
    (flow,) = listed(found, filters='{"actions": ["Deny"]}')
    hits = [(hit["kind"], hit["name"], hit["action"], hit["rule_index"]) for hit in flow["policies"]["enforced"]]
    assert hits == [("GlobalNetworkPolicy", "default.web", "Pass", 1), ("Profile", "shut", "Deny", -1)]
    lines = list(words.table(listed(found), lambda seconds: "00:00:00"))
    assert lines == [
        "TIME              FROM  TO  WHAT    PACKETS",
        "00:00:00  DENIED  web   db  tcp/80        1",
        "          entering: profile shut: no rule matched, passed on by global policy",
        "          default.web, rule 2",
    ]


def test_staged_policies_are_told_beside() -> None:
    found = records()
    found.learn(told("DSI0|StagedGlobalNetworkPolicy/next"), 1000.0)
    found.learn(told("DPI|default"), 1000.0)
    (flow,) = listed(found)
    assert [hit["kind"] for hit in flow["policies"]["enforced"]] == ["EndOfTier"]
    assert [hit["name"] for hit in flow["policies"]["pending"]] == ["next"]


def test_the_end_of_a_tier_names_the_policy_that_made_it_be_asked() -> None:
    found = records()
    found.learn(told("DPI|default"), 1000.0)
    found.learn(told("DPE|default"), 1000.0)
    hits = {flow["reporter"]: flow["policies"]["enforced"][0]["trigger"] for flow in listed(found)}
    assert hits == {
        "Dst": {"kind": "GlobalNetworkPolicy", "namespace": "", "name": "default.web", "tier": "default"},
        "Src": None,
    }
    lines = list(words.table(listed(found, filters='{"reporter": "Dst"}'), lambda seconds: "00:00:00"))
    assert " ".join(lines[-1].split()) == "entering: end of tier default, behind global policy default.web"


def test_others_messages_are_counted_and_left_alone() -> None:
    found = records()
    found.learn(told("somebody else's"), 1000.0)
    assert (found.unread, listed(found)) == (1, [])


def test_memory_is_bounded_whatever_comes() -> None:
    found = records(of_interval=100)
    for number in range(OPEN_CONVERSATIONS + 500):
        found.learn(told("ARE0|web", port=number % 60_000 + 1, source_port=number // 60_000), 1000.0)
        found.learn(told(f"PPE1|{WEB}", port=number % 60_000 + 1, source_port=9), 1000.0)
    assert (found.conversations, found.forgotten) == (OPEN_CONVERSATIONS, 500)
    # Ports beyond those that are told apart are one flow; every packet is in one of them.
    assert len(found.book) == book.PORTS + 1
    assert sum(flow["packets_out"] for flow in listed(found)) == OPEN_CONVERSATIONS + 500


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9), st.integers(-30, 60)), max_size=200))
def test_a_book_keeps_within_its_bounds(steps: list[tuple[int, int, int]]) -> None:
    kept = Book(of_interval=10, in_all=30, intervals=4)
    now, starts = 0, []
    for who, port, pause in steps:
        now += pause
        source = End("WorkloadEndpoint", str(who))
        kept.add(FlowKey("Src", "Allow", source, source, 6, port), Sums(packets_out=1), now)
        starts = [interval.start for interval in kept.intervals()]
        assert starts == sorted(set(starts))
        assert len(starts) <= 4
        # One more for each of those that stand for the rest.
        assert all(len(interval.flows) <= 11 for interval in kept.intervals())
        assert len(kept) <= 31
    newest = list(kept.intervals())[-1:]
    assert sum(sums.packets_out for interval in newest for sums in interval.flows.values()) <= len(steps)


def test_what_is_fresh_is_told_once() -> None:
    kept, times = Book(), count(100)
    source = End("Network", "pub")
    for _ in range(3):
        kept.add(FlowKey("Src", "Deny", source, source, 17, 53), Sums(packets_out=1), next(times))
    fresh = kept.take_fresh()
    assert fresh is not None
    assert [sums.packets_out for sums in fresh.flows.values()] == [3]
    assert kept.take_fresh() is None


@pytest.mark.parametrize(
    ("filters", "holds"),
    [
        ({"source_names": [{"value": "WE", "type": "Fuzzy"}]}, True),
        ({"source_names": [{"value": "we"}]}, False),
        ({"dest_ports": [{"value": 80}], "protocols": [{"value": "tcp"}], "reporter": "Src"}, True),
        ({"dest_ports": [{"value": 81}]}, False),
        ({"reporter": "Dst"}, False),
        ({"policies": [{"kind": "Profile", "name": {"value": "web"}, "action": "Allow"}]}, True),
        ({"policies": [{"tier": {"value": "default"}}]}, False),
        ({"pending_actions": ["Deny"]}, False),
        ({"dest_namespaces": [{"value": "shop"}], "source_namespaces": [{"value": "x"}, {"value": "shop"}]}, True),
    ],
)
def test_filters(filters: dict[str, Any], holds: bool) -> None:
    found = records()
    found.learn(told("ARE0|web"), 1000.0)
    assert bool(listed(found, filters=json.dumps(filters))) is holds


def test_times_and_orders() -> None:
    found = records()
    for number, prefix in enumerate(("ARE0|web", "DRI", f"DPI0|{WEB}")):
        found.learn(told(prefix, port=number), 1000.0 + 20 * number)
    assert [flow["dest_port"] for flow in listed(found)] == [2, 1, 0]
    asked = answer.question({"startTimeGte": "-20"}, 1050.0)
    assert asked.since == 1030
    assert [flow["dest_port"] for flow in answer.flows(found.book.intervals(1020, 1030), asked)] == [1]
    assert {"value": "db"} in answer.hints(found.book.intervals(), "DestName")


@pytest.mark.parametrize(
    "parameters",
    [{"startTimeLt": "soon"}, {"sortBy": "Size"}, {"filters": "["}, {"filters": '{"dest_ports": [{"value": "x"}]}'}],
)
def test_questions_that_make_no_sense(parameters: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        answer.question(parameters, 0.0)
    with pytest.raises(Invalid):
        answer.hints([], "Nose")


@given(st.lists(st.text(alphabet="abc.-", min_size=1, max_size=60), min_size=1, max_size=5))
def test_the_table_is_as_wide_as_a_terminal(names: list[str]) -> None:
    known = Directory()
    for number, name in enumerate(names):
        known.set_workload(name, workload(name, f"10.0.0.{number}"))
    found = Records(known, Policies(list, str))
    for number in range(len(names)):
        five = Five(address(f"10.0.0.{number}"), address("10.0.0.0"), 136, 1, 65_535)
        found.learn(Decided("ARI0|web", five, 60), 1000.0)
    lines = list(words.table(listed(found), lambda seconds: "00:00:00"))
    assert len(lines) >= 3
    assert max(map(len, lines)) <= 80


def test_a_name_that_is_too_long_keeps_its_ends() -> None:
    assert words.cut("management-ui.calico-stars", 22) == "management..lico-stars"
    assert words.cut("short", 22) == "short"
