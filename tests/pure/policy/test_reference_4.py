"""calico-model.md 4.2, 4.4 and 4.5: which labels an endpoint has, and what the v3 selectors become."""

from __future__ import annotations

from typing import Any

import pytest
from tests.pure.policy.small import ALLOW, endpoint, gnp, into_b, made, np, profile, small, source

from tortie.base.errors import Invalid
from tortie.model.rule import EntityRule, Rule, ServiceAccountMatch
from tortie.model.selector import parse
from tortie.policy.namespaces import policy_selector, rewritten
from tortie.policy.restrict import keys_of, needs

OF_NS = 'projectcalico.org/namespace == "ns"'
TRUTH = {
    # 4.2: (label absent, label present as "web", label present and empty)
    "k == 'web'": (False, True, False),
    "k == ''": (False, False, True),
    "k in {'web', ''}": (False, True, True),
    "k in {}": (False, False, False),
    "k contains 'e'": (False, True, False),
    "k contains ''": (False, True, True),
    "k starts with ''": (False, True, True),
    "k ends with 'b'": (False, True, False),
    "k != 'web'": (True, False, True),
    "k not in {'web'}": (True, False, True),
    "k not in {}": (True, True, True),
    "has(k)": (False, True, True),
    "!has(k)": (True, False, False),
    "all()": (True, True, True),
    "global()": (True, True, True),
}


@pytest.mark.parametrize("text", TRUTH)
def test_4_2_absent_and_present_labels(text: str) -> None:
    found = parse(text)
    assert (found.matches({}), found.matches({"k": "web"}), found.matches({"k": ""})) == TRUTH[text]


@pytest.mark.parametrize("text", [text for text in TRUTH if text != "global()"])
def test_4_2_is_what_the_index_says_too(text: str) -> None:
    rule = gnp("p", source(selector=text.replace("k", "colour") if "k " in text or "(k)" in text else text))
    given: tuple[dict[str, str], ...] = ({}, {"colour": "web"}, {"colour": ""})
    found = tuple(into_b(rule, endpoint("a", "10.0.0.1", labels=labels)) for labels in given)
    assert found == TRUTH[text]


@pytest.mark.parametrize("text", [*TRUTH, "has(k) || j != 'x'", "!(k == 'web' && has(j))", "k == 'web' && j != 'x'"])
def test_4_2_what_a_selector_needs_leaves_out_nothing_that_it_matches(text: str) -> None:
    keys = needs(parse(text).node)
    for labels in ({}, {"k": "web"}, {"k": ""}, {"j": "x"}, {"j": "y"}, {"k": "web", "j": "x"}):
        if parse(text).matches(labels):
            assert keys is None or keys & set(keys_of(labels)), labels


def test_4_4_own_labels_then_those_of_the_profiles_in_their_order() -> None:
    rule = gnp("p", source(selector="team == 'red'"))
    one, two = profile("one", labelsToApply={"team": "red"}), profile("two", labelsToApply={"team": "blue"})
    assert into_b(rule, one, two, endpoint("a", "10.0.0.1", profiles=["one", "two"]))
    assert not into_b(rule, one, two, endpoint("a", "10.0.0.1", profiles=["two", "one"]))
    assert into_b(rule, one, two, endpoint("a", "10.0.0.1", profiles=["two"], labels={"team": "red"}))


@pytest.mark.parametrize(
    ("selector", "allowed"),
    [
        ("projectcalico.org/namespace == 'ns'", True),
        ("projectcalico.org/orchestrator == 'cni'", True),
        ("projectcalico.org/serviceaccount == 'robot'", True),
        ("projectcalico.org/namespace == 'lie'", False),
        ("has(pcns.lie) || has(pcsa.lie)", False),
    ],
)
def test_4_4_forced_labels_and_those_that_a_person_may_not_set(selector: str, allowed: bool) -> None:
    lies = {
        "projectcalico.org/namespace": "lie",
        "projectcalico.org/orchestrator": "lie",
        "pcns.lie": "x",
        "pcsa.lie": "x",
    }
    found = endpoint("a", "10.0.0.1", labels=lies, serviceAccountName="robot")
    assert into_b(gnp("p", source(selector=selector)), found) is allowed


def test_4_4_labels_of_namespaces_and_service_accounts_come_by_profiles() -> None:
    found = endpoint("a", "10.0.0.1", profiles=["open", "kns.ns", "ksa.ns.robot"])
    space = profile("kns.ns", labelsToApply={"pcns.stage": "test"})
    account = profile("ksa.ns.robot", labelsToApply={"pcsa.job": "crawl"})
    assert into_b(gnp("p", source(namespaceSelector="stage == 'test'")), found, space)
    assert into_b(gnp("p", source(serviceAccounts={"selector": "job == 'crawl'"})), found, account)
    assert not into_b(gnp("p", source(serviceAccounts={"selector": "job == 'crawl'"})), found)


def test_4_4_network_sets_inherit_from_their_namespace_global_ones_have_their_own_labels_only() -> None:
    outside: dict[str, Any] = {"sender": "192.0.2.1"}
    nets = {"nets": ["192.0.2.0/24"]}
    inside, everywhere = made("NetworkSet", "s", nets, "ns"), made("GlobalNetworkSet", "s", nets)
    space = profile("kns.ns", labelsToApply={"pcns.stage": "test"})
    assert into_b(gnp("p", source(namespaceSelector="stage == 'test'")), inside, space, **outside)
    assert into_b(gnp("p", source(selector="projectcalico.org/namespace == 'ns'")), inside, **outside)
    assert not into_b(gnp("p", source(selector="has(projectcalico.org/namespace)")), everywhere, **outside)
    assert into_b(gnp("p", source(selector="!has(projectcalico.org/namespace)")), everywhere, **outside)


def test_4_4_host_endpoints_have_own_and_profile_labels_and_no_namespace() -> None:
    spec = {"node": "h1", "interfaceName": "eth0", "expectedIPs": ["10.0.9.1"], "profiles": ["machines"]}
    found = (made("HostEndpoint", "h", spec, labels={"role": "gate"}),
             profile("machines", labelsToApply={"kind": "machine"}))  # fmt: skip
    for selector in ("role == 'gate'", "kind == 'machine'", "!has(projectcalico.org/namespace)", "all()"):
        assert into_b(gnp("p", source(selector=selector)), *found, sender="10.0.9.1"), selector


@pytest.mark.parametrize(
    ("said", "canonical"),
    [
        ({"selector": "", "namespace": "ns"}, OF_NS),
        ({"selector": "a == 'b'", "namespace": "ns"}, f'(a == "b" && {OF_NS})'),
        ({"selector": "a == 'b' || has(c)", "namespace": "ns"}, f'((a == "b" || has(c)) && {OF_NS})'),
        ({"selector": "has(a)", "namespace": None, "namespaces": "b == 'c'"}, '(has(a) && pcns.b == "c")'),
        ({"selector": "", "namespace": None, "namespaces": "all()"}, "has(projectcalico.org/namespace)"),
        ({"selector": "", "namespace": "ns", "accounts": "j == 'k' && !has(l)"}, None),
        ({"selector": "", "namespace": None}, "all()"),
    ],
)
def test_4_5_selectors_of_policies(said: dict[str, Any], canonical: str | None) -> None:
    found = policy_selector(**said).canonical
    assert found == (canonical or f'({OF_NS} && (pcsa.j == "k" && !has(pcsa.l)))')


@pytest.mark.parametrize(
    ("entity", "namespace", "selector"),
    [
        ({}, "ns", ""),
        ({"nets": ("10.0.0.0/8",)}, "ns", ""),
        ({"ports": (80,)}, "ns", ""),
        ({"selector": "has(a)"}, "ns", f"(has(a) && {OF_NS})"),
        ({"selector": "has(a)"}, None, "has(a)"),
        ({"not_selector": "has(a)"}, "ns", OF_NS),
        ({"not_selector": "has(a)"}, None, ""),
        ({"namespace_selector": "b == 'c'"}, "ns", 'pcns.b == "c"'),
        ({"namespace_selector": "all()"}, "ns", "has(projectcalico.org/namespace)"),
        ({"namespace_selector": "global()"}, "ns", "!has(projectcalico.org/namespace)"),
        ({"namespace_selector": "!all()"}, None, "!has(projectcalico.org/namespace)"),
        ({"namespace_selector": "b == 'c'", "selector": "has(a)"}, "ns", '(has(a) && pcns.b == "c")'),
        ({"service_accounts": ServiceAccountMatch(names=("x", "y"))}, "ns",
         f'(projectcalico.org/serviceaccount in {{"x", "y"}} && {OF_NS})'),
        ({"service_accounts": ServiceAccountMatch(selector="has(j)")}, None, "has(pcsa.j)"),
    ],
)  # fmt: skip
def test_4_5_sides_of_rules(entity: dict[str, Any], namespace: str | None, selector: str) -> None:
    side = EntityRule(**entity)
    found = rewritten(Rule(action="Allow", source=side), namespace).source
    assert (parse(found.selector).canonical if found.selector else "") == selector
    assert found.not_selector == side.not_selector, "the notSelector itself is never namespaced"
    assert (found.namespace_selector, found.service_accounts) == ("", None) or found == side


@pytest.mark.parametrize("where", ["selector", "serviceAccountSelector", "namespaceSelector"])
def test_4_5_global_is_refused_outside_a_rules_namespace_selector(where: str) -> None:
    with pytest.raises(Invalid, match="global"):
        small(gnp("p", ALLOW, **{where: "has(a) || global()"}))


def test_4_5_a_namespaced_policy_is_about_its_namespace_and_so_are_its_rules_selectors() -> None:
    assert into_b(np("p", ALLOW), sender="c")
    assert not into_b(np("p", source(selector="all()")), sender="c")
    assert into_b(np("p", source(selector="all()")), sender="a")
    assert into_b(np("p", source(selector="all()", namespaceSelector="all()")), sender="c")
    assert into_b(np("p", space="other"), sender="a"), "another namespace's policy"


@pytest.mark.parametrize("where", ["source", "destination"])
def test_4_5_services_cannot_be_enforced_with_this_store_and_close(where: str) -> None:
    assert not into_b(np("p", {"action": "Allow", where: {"services": {"name": "db"}}}, ALLOW))


@pytest.mark.parametrize("written", ["fd00::1", "FD00::1", "fd00:0:0::1", "fd00:0000:0000:0000:0000:0000:0000:0001"])
def test_an_address_is_the_same_however_it_is_written(written: str) -> None:
    assert small(gnp("p", source(selector="app == 'a'"))).verdict(written, "FD00::2", "tcp/80").allowed
