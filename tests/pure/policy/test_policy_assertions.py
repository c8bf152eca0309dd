"""Assertions: what they say, how they are refused, who breaks them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.policy_worlds import named, workload

from tortie.base.errors import Invalid
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.node import NODE, NodeBgp, NodeSpec
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.rule import EntityRule, Rule
from tortie.policy.assertions import assertion, check
from tortie.policy.reading import world_of
from tortie.policy.world import World

HEAD = {"apiVersion": "tortie/v1", "kind": "Assertion"}
ALLOW = Rule(action="Allow")


def world(*rules: Rule) -> World:
    """Three web, two db and two others; `rules` let in to db."""
    spec = GlobalNetworkPolicySpec(selector="app == 'db'", types=("Ingress",), ingress=rules)
    apps = [
        workload(f"{app}{n}", f"10.0.{k}.{n}", app=app)
        for k, (app, size) in enumerate((("web", 3), ("db", 2), ("job", 2)))
        for n in range(1, size + 1)
    ]
    open_to_all = named(PROFILE, ProfileSpec(ingress=(ALLOW,), egress=(ALLOW,), labels_to_apply={"tag": ""}), "p0")
    node = named(NODE, NodeSpec(bgp=NodeBgp(ipv4_address="10.0.9.1/24")), "h1")
    return world_of([open_to_all, node, *apps, named(GLOBAL_NETWORK_POLICY, spec, "db")])


FROM_WEB = Rule(
    action="Allow",
    protocol="TCP",
    source=EntityRule(selector="app == 'web'"),
    destination=EntityRule(ports=(5432,)),
)
FROM_OFFICE = Rule(action="Allow", source=EntityRule(nets=("198.51.100.0/24",)))


def broken(found: World, **spec: Any) -> list[str]:
    fields = {name.rstrip("_"): value for name, value in spec.items()}
    return [item.text for item in check(found, [assertion({**HEAD, "spec": fields})])]


WEB_TO_DB = {"from_": "app == 'web'", "to": "app == 'db'", "ports": ["tcp/5432"]}


def test_one_that_holds() -> None:
    assert broken(world(FROM_WEB), **WEB_TO_DB) == []
    assert broken(world(FROM_WEB), **WEB_TO_DB, exclusive=True) == []
    assert broken(world(FROM_WEB), from_="app == 'job'", to="app == 'db'", expect="deny") == []


def test_allow_that_is_denied_names_who_and_what() -> None:
    assert broken(world(), **WEB_TO_DB) == ["web1, web2, web3 cannot reach db1, db2 on tcp/5432"]
    found = broken(world(FROM_WEB), from_="app == 'web'", to="app == 'db'")
    assert found == ["web1, web2, web3 cannot reach db1, db2 on tcp (not 5432), udp, icmp, other protocols"]


def test_deny_that_is_allowed() -> None:
    found = broken(world(FROM_WEB), from_="app == 'web'", to="db1", expect="deny")
    assert found == ["web1, web2, web3 can reach db1 on tcp/5432"]


def test_exclusive_names_every_other_one_the_world_outside_included() -> None:
    found = broken(world(FROM_WEB, FROM_OFFICE), **WEB_TO_DB, exclusive=True)
    assert found == ["198.51.100.0/24 can reach db1, db2 on tcp/5432"]
    found = broken(world(ALLOW), **WEB_TO_DB, exclusive=True)
    # Databases may reach one another as well; a host outside is anywhere else.
    assert sorted(found) == [
        "anywhere else can reach db1, db2 on tcp/5432",
        "db1, db2 can reach db1, db2 on tcp/5432",
        "job1, job2 can reach db1, db2 on tcp/5432",
    ]


def test_exclusive_with_several_sources() -> None:
    both = {**WEB_TO_DB, "from_": ["app == 'web'", "198.51.100.0/24"], "exclusive": True}
    assert broken(world(FROM_WEB, FROM_OFFICE), **both) == []
    part = {**both, "from_": ["app == 'web'", "198.51.100.0/25"]}
    assert broken(world(FROM_WEB, FROM_OFFICE), **part) == ["198.51.100.0/24 can reach db1, db2 on tcp/5432"]


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("web1", True),
        ("ns/h1-cni-web1-eth0", True),
        ("10.0.0.1", True),
        ("10.0.0.0/30", False),  # 10.0.0.0 is in it, too
        ("has(tag)", False),
        ("host:h1", False),
        ("192.0.2.1", False),
        ("job1", False),
    ],
)
def test_how_a_side_may_be_named(source: str, holds: bool) -> None:
    assert (broken(world(FROM_WEB), from_=source, to="db2", ports="tcp/5432") == []) is holds


def test_a_network_is_whoever_is_in_it_endpoints_and_others() -> None:
    found = broken(world(FROM_OFFICE), from_="198.51.100.0/23", to="db1", ports="tcp/1")
    assert found == ["198.51.100.0/23 cannot reach db1 on tcp/1"]
    assert broken(world(FROM_OFFICE), from_="198.51.100.128/25", to="db1", ports="tcp/1") == []


@pytest.mark.parametrize("side", ["app == 'nobody'", "nobody", "host:nobody"])
def test_one_about_nobody_does_not_hold(side: str) -> None:
    assert len(broken(world(FROM_WEB), from_=side, to="db1", expect="deny")) == 1
    assert len(broken(world(FROM_WEB), from_="web1", to=side, expect="deny")) == 1


def test_an_endpoint_is_not_asked_about_itself() -> None:
    assert broken(world(), from_="db1", to="db1", ports="tcp/1") == []
    assert broken(world(), from_="app == 'db'", to="db1", ports="tcp/1") == ["db2 cannot reach db1 on tcp/1"]
    assert broken(world(), from_="db1", to="app == 'db'", ports="tcp/1") == ["db1 cannot reach db2 on tcp/1"]


def test_the_fields_may_stand_at_the_top() -> None:
    found = assertion(
        {**HEAD, "metadata": {"name": "x"}, "from": "a", "to": ["b", "c"], "ports": "icmp"}, "f, document 2"
    )
    assert str(found) == "a may reach b or c on icmp"
    assert (found.name, found.place) == ("x", "f, document 2")
    assert str(assertion({**HEAD, "spec": {"from": "a", "to": "b", "exclusive": True}})).endswith(", nobody else may")


@pytest.mark.parametrize(
    ("document", "faults"),
    [
        ({}, ["from is missing", "to is missing"]),
        ({"spec": []}, ["fields stand in spec"]),
        ({"spec": {"from": "a", "to": "b"}, "from": "a"}, ["fields stand in spec"]),
        ({"from": "a", "to": "b", "form": "x"}, ["unknown field form; did you mean from?"]),
        ({"from": [], "to": [1]}, ["from is no text", "to is no text"]),
        ({"from": "a", "to": " "}, ["to is no text"]),
        ({"from": "a", "to": "b", "ports": []}, ["ports is no list"]),
        (
            {"from": "a", "to": "b", "ports": ["tcp", "tcp/80", "udp/x"]},
            ["'tcp': tcp needs a port", "'udp/x': port 'x'"],
        ),
        ({"from": "a", "to": "b", "expect": "maybe"}, ["expect 'maybe' is neither"]),
        ({"from": "a", "to": "b", "expect": ["allow"]}, ["expect ['allow'] is neither"]),
        ({"from": "a", "to": "b", "exclusive": "yes"}, ["exclusive 'yes' is neither"]),
        ({"from": "a", "to": "b", "expect": "deny", "exclusive": True}, ["does not go with expect: deny"]),
        ({"from": "a", "to": "b", "metadata": {"name": 3}}, ["metadata.name is no text"]),
        ({"from": "a", "to": "b", "metadata": "x"}, ["metadata.name is no text"]),
        ({"from": "a", "to": "b", "kind": "Assert"}, ["kind 'Assert' of tortie/v1 is not Assertion"]),
    ],
)
def test_faults_are_all_named(document: dict[str, Any], faults: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        assertion({**HEAD, **document})
    assert len(caught.value.problems) == len(faults)
    for fault, problem in zip(faults, caught.value.problems, strict=True):
        assert fault in problem
