"""What other programs stored stands in lines of BIRD's language: it never ends a word, and a fault is said (3.5)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tortie.base.errors import Invalid
from tortie.dataplane.bgp import number
from tortie.dataplane.render.bird import Configuration, configuration
from tortie.model.kinds import KINDS
from tortie.node.brain import Brain
from tortie.store.port import Event

PEER = {"peerIP": "192.0.2.9", "asNumber": 65001, "filters": ["f"]}


def told(*values: tuple[str, str, dict[str, Any]]) -> Brain:
    brain = Brain("host-a", "192.0.2.1/24")
    node = ("Node", "host-a", {"bgp": {"ipv4Address": "192.0.2.1/24"}})
    for kind, name, spec in (node, ("BGPPeer", "p", PEER), ("BGPFilter", "f", {}), *values):
        value = {"metadata": {"name": name}, "spec": spec}
        brain.learn(Event(KINDS[kind].key(name), json.dumps(value).encode(), 1))
    return brain


def written(brain: Brain) -> Configuration:
    plan = brain.speakers.plan({})
    assert plan is not None
    made = configuration(plan, brain.announced(), "/log")
    return replace(made, problems=(*plan.problems, *made.problems))


def test_a_sound_peer_and_filter_are_written() -> None:
    rule = {"action": "Accept", "cidr": "10.0.0.0/8", "matchOperator": "In", "interface": "eth*"}
    assert 'ifname ~ "eth*"' in written(told(("BGPFilter", "f", {"importV4": [rule]}))).text


@pytest.mark.parametrize(
    ("kind", "name", "spec"),
    [
        ("BGPFilter", "f", {"importV4": [{"action": "Accept", "cidr": "10.0.0.0/8) || (1", "matchOperator": "In"}]}),
        ("BGPFilter", "f", {"importV4": [{"action": "Accept", "interface": 'eth0"; reject; "'}]}),
        ("BGPFilter", "f", {"importV4": [{"action": "Accept", "interface": "ü"}]}),
        ("BGPFilter", "f", {"importV4": [{"action": "Accept", "communities": {"values": []}}]}),
        ("BGPFilter", "f", {"importV4": [{"action": "Accept", "operations": [{}]}]}),
        ("BGPConfiguration", "default", {"ignoredInterfaces": ['"; }']}),
        ("BGPConfiguration", "default", {"prefixAdvertisements": [{"cidr": "", "communities": ["1:2"]}]}),
        ("BGPPeer", "p", {**PEER, "reachableBy": "192.0.2.1; }"}),
    ],
)
def test_what_could_end_a_word_is_left_out_and_told(kind: str, name: str, spec: dict[str, Any]) -> None:
    found = written(told((kind, name, spec)))
    assert found.problems
    # A session whose filter or way is gone would say too much; the settings of all stand for themselves.
    assert ("192.0.2.9" in found.text) == (kind == "BGPConfiguration")
    assert all(word not in found.text for word in ("192.0.2.1; }", "|| (1", 'eth0"; reject', '""; }', "ü"))


@pytest.mark.parametrize("value", ["default", "1.2.3", "1.65536", "4294967296", "-1", "9" * 5000, "²"])
def test_an_as_number_that_is_none_is_said_and_the_clusters_is_taken(value: str) -> None:
    with pytest.raises(Invalid, match="no AS number"):
        number(value)
    plan = told(("Node", "host-a", {"bgp": {"ipv4Address": "192.0.2.1/24", "asNumber": value}})).speakers.plan({})
    assert plan is not None
    assert plan.as_number == 64512
    assert any("no AS number" in problem for problem in plan.problems)
