"""The v1 form to v3 and back (reference 2.4, 7.1)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tortie.base.errors import Invalid
from tortie.model.kinds import KINDS
from tortie.model.resource import Resource, decode, problems
from tortie.model.v1 import names
from tortie.model.v1.forms import (
    FORMS,
    NoOldForm,
    fill,
    find_v1,
    from_v1,
    identity,
    missing,
    recognise,
    to_v1,
    warnings,
)


def v1(kind: str, metadata: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}


def written(document: dict[str, Any]) -> dict[str, Any]:
    """2.1: an empty selector of a policy is always printed."""
    empty = {"selector": ""} if document["kind"] == "policy" else {}
    return {**document, "spec": {**empty, **document["spec"]}}


def v3(kind: str, spec: dict[str, Any], name: str = "x", **metadata: Any) -> Resource[Any]:
    return decode(KINDS[kind], json.dumps({"metadata": {"name": name, **metadata}, "spec": spec}).encode())


OPEN = {"action": "allow", "source": {}, "destination": {}}
RULE = {
    "action": "deny",
    "ipVersion": 4,
    "protocol": "tcp",
    "source": {"tag": "a", "selector": "b == 'c'", "net": "10.0.0.0/8", "notTag": "d", "notSelector": "has(e) || f"},
    "destination": {"ports": [80, "90:91"], "notNet": "10.1.0.0/16"},
}
RULE["source"]["notSelector"] = "has(e) && f == 'g'"  # type: ignore[index]
DOCUMENTS = [
    v1("policy", {"name": "db"}, order=200.5, ingress=[RULE], egress=[OPEN], selector="role == 'db'", doNotTrack=True),
    v1("policy", {"name": "team/Web_1"}, ingress=[{**OPEN, "protocol": "icmpv6", "icmp": {"type": 0, "code": 0}}]),
    v1("profile", {"name": "My_Net", "tags": ["My_Net"], "labels": {"a": "b"}}, egress=[{**OPEN, "action": "pass"}]),
    v1("hostEndpoint", {"name": "eth0", "node": "h", "labels": {"a": "b"}}, interfaceName="eth0", profiles=["p"]),
    v1(
        "workloadEndpoint",
        {"name": "e1", "workload": "w", "orchestrator": "mesos", "node": "h", "labels": {"a": "b"}},
        ipNetworks=["10.0.0.1/32"],
        ipNATs=[{"internalIP": "10.0.0.1", "externalIP": "1.2.3.4"}],
        profiles=["p"],
        interfaceName="cali1",
        mac="ee:ee:ee:ee:ee:ee",
    ),
    v1("workloadEndpoint", {"name": "eth0", "workload": "ns.pod-1", "orchestrator": "k8s", "node": "h"}),
    v1("workloadEndpoint", {"name": "eth0", "workload": "c1", "orchestrator": "cni", "node": "h"}),
    v1("ipPool", {"cidr": "10.0.0.0/16"}, ipip={"enabled": True, "mode": "cross-subnet"}, disabled=True),
    v1("ipPool", {"cidr": "fd00::/64"}, **{"nat-outgoing": True}),
    v1("bgpPeer", {"scope": "node", "node": "h", "peerIP": "192.0.2.1"}, asNumber=65001),
    v1("bgpPeer", {"scope": "global", "peerIP": "fd00::1"}, asNumber=65538),
    v1("node", {"name": "h"}, bgp={"asNumber": 64512, "ipv4Address": "192.0.2.1/24"}),
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: f"{d['kind']}-{next(iter(d['metadata'].values()))}")
def test_there_and_back(document: dict[str, Any]) -> None:
    resource = from_v1(document)
    assert problems(resource) == []
    assert to_v1(resource) == written(document)
    assert identity(to_v1(resource)) == identity(document)
    assert from_v1(to_v1(resource)) == resource


def test_every_kind_has_a_document() -> None:
    assert {document["kind"] for document in DOCUMENTS} == FORMS.keys()


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.]{0,8}", fullmatch=True)
PORTS = st.lists(st.integers(1, 65535) | st.just("1:9"), max_size=2)
SELECTORS = st.sampled_from(["has(a) && b == 'c'", "a in {'b'}", "!has(a)", "all()"])


def _side(draw: Any, *, ports: bool) -> dict[str, Any]:
    options = {
        "tag": NAMES,
        "notTag": NAMES,
        "selector": SELECTORS,
        "notSelector": SELECTORS,
        "net": st.just("10.0.0.0/8"),
        "notNet": st.just("10.1.0.0/16"),
        **({"ports": PORTS, "notPorts": PORTS} if ports else {}),
    }
    found = {name: draw(values) for name, values in options.items() if draw(st.booleans())}
    return {name: value for name, value in found.items() if value}


@st.composite
def v1_rules(draw: Any) -> dict[str, Any]:
    protocol = draw(st.sampled_from([None, "tcp", "udp", "icmp", "sctp", 47]))
    rule = {"action": draw(st.sampled_from(["allow", "deny", "log", "pass"]))}
    rule |= {"protocol": protocol} if protocol else {}
    rule |= {"icmp": {"type": draw(st.integers(0, 254))}} if protocol == "icmp" else {}
    ports = protocol in ("tcp", "udp", "sctp")
    return {**rule, "source": _side(draw, ports=ports), "destination": _side(draw, ports=ports)}


@settings(max_examples=60)
@given(st.lists(v1_rules(), max_size=3), st.lists(v1_rules(), max_size=3), NAMES)
def test_any_policy_there_and_back(ingress: list[Any], egress: list[Any], name: str) -> None:
    lists = {end: found for end, found in (("ingress", ingress), ("egress", egress)) if found}
    document = v1("policy", {"name": name}, **lists)
    assert to_v1(from_v1(document)) == written(document)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=100)
@given(
    st.sampled_from(DOCUMENTS),
    st.sampled_from(["metadata", "spec"]),
    st.sampled_from(["name", "node", "cidr", "peerIP", "ingress", "bgp", "ipip", "ipNetworks", "order", "x"]),
    JSON,
)
def test_nothing_but_invalid_is_raised(document: dict[str, Any], part: str, field: str, value: Any) -> None:
    for broken in ({**document, part: {**document[part], field: value}}, {**document, part: value}, value):
        try:
            from_v1(broken)
        except Invalid:
            continue


def test_icmp_without_a_protocol_is_never_everything() -> None:
    document = v1("policy", {"name": "ping"}, ingress=[{"action": "allow", "icmp": {"type": 8}}])
    assert [(rule.protocol, rule.icmp.type) for rule in from_v1(document).spec.ingress] == [("ICMP", 8), ("ICMPv6", 8)]
    assert warnings(document)
    four = v1(
        "policy", {"name": "x"}, ingress=[{"action": "allow", "icmp": {"type": 8}, "source": {"net": "10.0.0.0/8"}}]
    )
    assert [rule.protocol for rule in from_v1(four).spec.ingress] == ["ICMP"]
    with pytest.raises(Invalid, match="notICMP: needs protocol icmp"):
        from_v1(v1("policy", {"name": "x"}, ingress=[{"action": "deny", "notICMP": {"type": 8}}]))


def test_a_policy_is_about_both_directions() -> None:
    assert from_v1(v1("policy", {"name": "x"})).spec.types == ("Ingress", "Egress")


def test_two_exclusions_exclude_what_either_names() -> None:
    rule = {"action": "allow", "source": {"notTag": "t", "notSelector": "a == 'b'"}}
    made = from_v1(v1("policy", {"name": "x"}, ingress=[rule])).spec.ingress[0]
    assert made.source.not_selector == "(a == 'b') || t == ''"


@pytest.mark.parametrize("selector", ["has(web)", "web == ''", 'web == ""'])
def test_a_tag_is_shown_for_either_way_of_writing_it(selector: str) -> None:
    """Issue 4: `t == ''`, or `has(t)` of a label that is given with an empty value."""
    profile = v3("Profile", {"ingress": [{"action": "Allow", "source": {"selector": selector}}]})
    assert to_v1(profile, ["web"])["spec"]["ingress"][0]["source"] == {"tag": "web"}
    own = v3(
        "Profile", {"ingress": [{"action": "Allow", "source": {"selector": selector}}], "labelsToApply": {"web": ""}}
    )
    assert to_v1(own)["spec"]["ingress"][0]["source"] == {"tag": "web"}


def test_a_label_with_values_is_no_tag() -> None:
    profile = v3("Profile", {"ingress": [{"action": "Allow", "source": {"selector": "has(role)"}}]})
    assert to_v1(profile, ["web"])["spec"]["ingress"][0]["source"] == {"selector": "has(role)"}
    slashed = v3("Profile", {"ingress": [{"action": "Allow", "source": {"selector": "a/b == ''"}}]})
    assert to_v1(slashed)["spec"]["ingress"][0]["source"] == {"selector": "a/b == ''"}


def test_one_icmp_rule_comes_back_as_one() -> None:
    """7.1: ours writes two rules for one without a protocol."""
    document = v1("policy", {"name": "x"}, ingress=[{**OPEN, "icmp": {"type": 8}}, {**OPEN, "protocol": "icmp"}])
    assert to_v1(from_v1(document)) == written(document)
    four = {**OPEN, "ipVersion": 4, "protocol": "icmp", "icmp": {"type": 8}}
    assert to_v1(from_v1(v1("policy", {"name": "x"}, ingress=[four])))["spec"]["ingress"] == [four]


@pytest.mark.parametrize(("typed", "stored"), [("1.10", 65546), ("64512", 64512), (65001, 65001)])
def test_an_as_number_is_stored_plain(typed: Any, stored: int) -> None:
    """2.4: a number or dotted."""
    peer = from_v1(v1("bgpPeer", {"scope": "global", "peerIP": "10.0.0.1"}, asNumber=typed))
    node = from_v1(v1("node", {"name": "h"}, bgp={"asNumber": typed, "ipv4Address": "10.0.0.1/24"}))
    assert (peer.spec.as_number, node.spec.bgp.as_number) == (stored, stored)
    assert to_v1(peer)["spec"] == {"asNumber": stored}


def test_a_host_endpoint_of_the_public_converter_has_its_old_name() -> None:
    """7.1: HostEndpoint name `<node>.<name>`."""
    found = v3("HostEndpoint", {"node": "h", "interfaceName": "eth0"}, "h.eth0")
    assert to_v1(found)["metadata"] == {"name": "eth0", "node": "h"}
    assert from_v1(to_v1(found)).name == "h.eth0"
    odd = from_v1(v1("hostEndpoint", {"name": "Eth_0", "node": "h"}, interfaceName="eth0"))
    assert to_v1(odd)["metadata"]["name"] == "Eth_0"
    assert find_v1(v3("HostEndpoint", {"node": "h", "interfaceName": "*"}, "h.all")) is None


def test_a_document_is_recognised_by_its_kind_in_any_capitals() -> None:
    assert recognise({"apiVersion": "v1", "kind": "POLICY", "metadata": {"name": "x"}})["kind"] == "policy"
    assert missing(recognise(v1("bgpPeer", {"scope": "global"}))) == ["peerIP"]
    assert missing(recognise(v1("bgpPeer", {"scope": "node"}))) == ["node", "peerIP"]
    for raw, said in (
        (v1("policy", {"nam": "x"}, ordr=1), "unknown field metadata.nam"),
        ({"apiVersion": "v1", "kind": "policy"}, "metadata is missing"),
        ({**v1("policy", {"name": "x"}), "spec": []}, "spec is no object"),
        ("x", "expected a resource"),
    ):
        with pytest.raises(Invalid, match=said):
            recognise(raw)


BOTH = {"types": ["Ingress", "Egress"]}


@pytest.mark.parametrize(
    ("resource", "lost"),
    [
        (v3("NetworkPolicy", {}, namespace="a"), "no such kind"),
        (v3("GlobalNetworkPolicy", {}), "types"),
        (v3("GlobalNetworkPolicy", {**BOTH, "tier": "security"}), "tier"),
        (v3("GlobalNetworkPolicy", {**BOTH, "applyOnForward": True, "preDNAT": True}), "applyOnForward, preDNAT"),
        (v3("GlobalNetworkPolicy", {**BOTH, "namespaceSelector": "all()"}), "namespaceSelector"),
        (v3("Profile", {"ingress": [{"action": "Allow", "http": {"methods": ["GET"]}}]}), "http"),
        (v3("Profile", {"ingress": [{"action": "Allow", "destination": {"ports": ["web"]}}]}), "named ports"),
        (v3("BGPPeer", {"peerIP": "192.0.2.1", "nodeSelector": "has(a)"}), "nodeSelector"),
    ],
)
def test_what_has_no_old_form_is_told_and_never_lost(resource: Resource[Any], lost: str) -> None:
    assert find_v1(resource) is None
    with pytest.raises(NoOldForm, match=lost):
        to_v1(resource)
    with pytest.raises(NoOldForm, match=lost):
        fill(resource, from_v1(v1("policy", {"name": "x"})))


def test_a_replace_keeps_what_the_old_form_does_not_speak_of() -> None:
    pool = v3("IPPool", {"cidr": "10.0.0.0/16", "blockSize": 30, "later": 1}, "default-ipv4-ippool", uid="u")
    document = {**to_v1(pool), "spec": {"nat-outgoing": True}}
    filled = fill(pool, from_v1(document))
    assert (filled.name, filled.metadata.uid) == ("default-ipv4-ippool", "u")
    assert (filled.spec.block_size, filled.spec.nat_outgoing, filled.spec.unknown) == (30, True, (("later", "1"),))
    node = v3("Node", {"bgp": {"ipv4Address": "10.0.0.1/24", "ipv4IPIPTunnelAddr": "10.1.0.0"}}, "h")
    filled = fill(node, from_v1(v1("node", {"name": "h"}, bgp={"ipv4Address": "10.0.0.2/24"})))
    assert filled.spec.bgp == msgspec.structs.replace(node.spec.bgp, ipv4_address="10.0.0.2/24")


@pytest.mark.parametrize(
    ("document", "faults"),
    [
        (
            {**v1("policy", {"name": "x", "y": 1}, ingress=[{"action": "allow", "sorce": {}}]), "z": 1},
            [
                "policy: unknown field z",
                "policy: unknown field metadata.y",
                "policy: unknown field spec.ingress[0].sorce",
            ],
        ),
        (
            v1(
                "policy", {"name": "x"}, ingress=[{"action": "Allow"}], egress=[{"action": "x", "source": {"net": "y"}}]
            ),
            [
                "Action = 'Allow' (policy: spec.ingress[0].action",
                "Action = 'x' (policy: spec.egress[0].action",
                "Net = 'y' (policy: spec.egress[0].source.net",
            ],
        ),
        (
            v1("profile", {"name": "x", "tags": ["a", "b c"], "labels": {"a": "1"}}),
            ["Tag = 'b c' (metadata.tags", "Tag = 'a' (metadata.tags"],
        ),
        (v1("ipPool", {"cidr": "10.0.0.0/27"}), ["CIDR = '10.0.0.0/27' (ipPool: smaller than /26)"]),
        (v1("bgpPeer", {"scope": "node", "peerIP": "x"}), ["PeerIP = 'x'", "Node = ''", "ASNumber = ''"]),
        (v1("node", {"name": "x"}, bgp={}), ["BGPIP = ''"]),
        (v1("networkPolicy", {"name": "x"}), ["Unknown resource type (networkPolicy)"]),
        (v1("ipPool", {"cidr": "10.0.0.0/16"}, natOutgoing=True), ["ipPool: unknown field spec.natOutgoing"]),
    ],
)
def test_all_faults_of_a_document(document: dict[str, Any], faults: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        from_v1(document)
    assert len(caught.value.problems) == len(faults), caught.value.problems
    for text, beginning in zip(caught.value.problems, faults, strict=True):
        assert text.removeprefix("error with field ").startswith(beginning)


def test_names() -> None:
    assert names.v3_name("abc.d-e") == "abc.d-e"
    assert names.v3_name("Team/Web_1").startswith("team.web-1-")
    assert names.v3_name("a.-.b", marked=False) == "a.b"
    assert names.policy_name("a.b").startswith("a-b-")
    assert names.v3_name("A") != names.v3_name("a")
    assert names.node_name("Host_A") == "host-a"
    assert names.profile_name("k8s_ns.x") == "kns.x"
    assert names.pool_name("10.0.0.0/16") == "10-0-0-0-16"
    assert names.address_name("fd00::1") == "fd00-0000-0000-0000-0000-0000-0000-0001"
