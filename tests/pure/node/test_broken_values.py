"""Values that another program wrote wrongly: the key says what a resource is (5.1, 5.2), whatever its value says."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tortie.base.errors import Invalid
from tortie.model.kinds import KINDS
from tortie.model.resource import decode_at, printable
from tortie.node.brain import Brain
from tortie.policy.values import Resolved
from tortie.store.port import Event

ENDPOINT, GLOBAL, LOCAL = (KINDS[name] for name in ("WorkloadEndpoint", "GlobalNetworkPolicy", "NetworkPolicy"))
ALLOW: dict[str, Any] = {"selector": "all()", "ingress": [{"action": "Allow"}]}


def told(*values: tuple[str, dict[str, Any], dict[str, Any]]) -> dict[str, Resolved]:
    """What a node makes of (key, metadata, spec), beside one endpoint of its own in namespace x."""
    brain = Brain("host-a", "192.0.2.1/24")
    spec = {"node": "host-a", "interfaceName": "cali1", "ipNetworks": ["10.0.0.1/32"], "orchestrator": "k8s"}
    for key, metadata, body in ((ENDPOINT.key("w", "x"), {"name": "w", "namespace": "x"}, spec), *values):
        brain.learn(Event(key, json.dumps({"metadata": metadata, "spec": body}).encode(), 1))
    return brain.engine.local()


def policies(found: dict[str, Resolved]) -> list[str]:
    return sorted(found[ENDPOINT.key("w", "x")].policies())


def test_a_policy_that_changes_its_name_inside_its_value_is_still_one() -> None:
    key = GLOBAL.key("p")
    found = told((key, {"name": "p"}, ALLOW), (key, {"name": "q"}, {"selector": "all()", "ingress": []}))
    assert policies(found) == ["GlobalNetworkPolicy/p"]


@pytest.mark.parametrize("metadata", [{"name": "n"}, {"name": "n", "namespace": "x"}, {"name": "n", "namespace": None}])
def test_a_policy_is_about_the_namespace_of_its_key_alone(metadata: dict[str, Any]) -> None:
    assert policies(told((LOCAL.key("n", "y"), metadata, ALLOW))) == []
    assert policies(told((LOCAL.key("n", "x"), metadata, ALLOW))) == ["NetworkPolicy/x/n"]


def test_two_keys_with_one_name_in_their_values_are_two_policies() -> None:
    found = told((GLOBAL.key("p"), {"name": "p"}, ALLOW), (GLOBAL.key("q"), {"name": "p"}, ALLOW))
    assert policies(found) == ["GlobalNetworkPolicy/p", "GlobalNetworkPolicy/q"]


@pytest.mark.parametrize("rest", ["", "a/b", "/", "a\udcff"])
def test_what_is_no_key_of_the_kind_is_not_read(rest: str) -> None:
    with pytest.raises(Invalid, match="no key of a GlobalNetworkPolicy"):
        decode_at(GLOBAL, GLOBAL.prefix + rest, b'{"metadata":{"name":"a"}}')


def test_a_key_that_is_no_text_is_listed_as_one() -> None:
    brain = Brain("host-a", "192.0.2.1/24")
    key = os.fsdecode(LOCAL.key("n", "x").encode() + b"\xff")
    brain.learn(Event(key, b'{"metadata":{"name":"n"},"spec":{}}', 1))
    (told,) = map(printable, brain.unreadable)
    assert told.encode().endswith(rb"/n\udcff")
    assert brain.unreadable[key].isascii()
