"""The incremental engine against the slow twin that scans everything, over random walks through the empty state."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from tortie.model.kinds.profile import ProfileSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, Rule
from tortie.model.selector import parse
from tortie.policy.compile import compile_profile
from tortie.policy.engine import PolicyEngine
from tortie.policy.values import (
    Changed,
    EndpointChanged,
    MembersChanged,
    ProfileChanged,
    Resolved,
    RuleLists,
    SelectorGone,
)

SELECTORS = ("a == ''", "b == ''", "has(a) && !has(b)", "a != 'x'", "app in {'web', 'db'}", "")
NAMES = ("p", "q", "r")
KEYS = ("e1", "e2", "e3", "e4")
ADDRESSES = ("10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32")

Endpoint = Resource[WorkloadEndpointSpec]


def endpoint(node: str, labels: dict[str, str], profiles: Sequence[str], addresses: Sequence[str]) -> Endpoint:
    return Resource(
        kind=WORKLOAD_ENDPOINT,
        metadata=Metadata(name="x", namespace="libnetwork", labels=labels),
        spec=WorkloadEndpointSpec(
            node=node, orchestrator="libnetwork", ip_networks=tuple(addresses), profiles=tuple(profiles),
            interface_name="calix",
        ),
    )  # fmt: skip


def profile(selectors: Sequence[str], labels: dict[str, str]) -> ProfileSpec:
    rules = tuple(Rule(action="Allow", source=EntityRule(selector=s)) for s in selectors)
    return ProfileSpec(ingress=rules, egress=(Rule(action="Allow"),), labels_to_apply=labels)


LABELS = st.dictionaries(st.sampled_from(("a", "b", "app")), st.sampled_from(("", "x", "web", "db")), max_size=3)
ENDPOINTS = st.builds(
    endpoint,
    st.sampled_from(("here", "there")),
    LABELS,
    st.lists(st.sampled_from(NAMES), max_size=3),
    st.lists(st.sampled_from(ADDRESSES), max_size=2, unique=True),
)
PROFILES = st.builds(profile, st.lists(st.sampled_from(SELECTORS), max_size=3), LABELS)
STEPS = st.one_of(
    st.tuples(st.just("endpoint"), st.sampled_from(KEYS), st.none() | ENDPOINTS),
    st.tuples(st.just("profile"), st.sampled_from(NAMES), st.none() | PROFILES),
)


class Follower:
    """Keeps what the engine's answers add up to, and refuses answers that do not follow from what was said before."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Resolved] = {}
        self.profiles: dict[str, RuleLists] = {}
        self.members: dict[str, set[str]] = {}

    def learn(self, changes: Sequence[Changed]) -> None:
        for change in changes:
            match change:
                case EndpointChanged(key, None):
                    del self.endpoints[key]
                case EndpointChanged(key, resolved) if resolved is not None:
                    self.endpoints[key] = resolved
                case ProfileChanged(name, None):
                    self.profiles.pop(name, None)
                case ProfileChanged(name, rules) if rules is not None:
                    self.profiles[name] = rules
                case MembersChanged(selector, added, removed):
                    known = self.members.setdefault(selector, set())
                    assert not added & known
                    assert removed <= known
                    self.members[selector] = (known | added) - removed
                case SelectorGone(selector):
                    del self.members[selector]


def bare(networks: Sequence[str]) -> tuple[str, ...]:
    return tuple(text.removesuffix("/32") for text in networks)


def full_scan(
    endpoints: dict[str, Endpoint], profiles: dict[str, ProfileSpec]
) -> tuple[dict[str, Resolved], dict[str, RuleLists], dict[str, set[str]]]:
    """Everything worked out anew."""
    local = {
        key: Resolved(
            "calix", tuple(a.removesuffix("/32") for a in e.spec.ip_networks), tuple(dict.fromkeys(e.spec.profiles))
        )
        for key, e in endpoints.items()
        if e.spec.node == "here" and e.spec.ip_networks
    }
    listed = {name for resolved in local.values() for name in resolved.profiles if name in profiles}
    rules = {name: compile_profile(profiles[name]) for name in listed}
    members: dict[str, set[str]] = {s: set() for lists in rules.values() for s in lists.selectors()}
    for e in endpoints.values():
        labels: dict[str, str] = {}
        for name in reversed(e.spec.profiles):
            labels |= profiles[name].labels_to_apply if name in profiles else {}
        labels |= e.metadata.labels
        labels["projectcalico.org/namespace"] = "libnetwork"
        labels["projectcalico.org/orchestrator"] = "libnetwork"
        for selector, addresses in members.items():
            if parse(selector).matches(labels):
                addresses |= {a.removesuffix("/32") for a in e.spec.ip_networks}
    return local, rules, members


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=25), st.booleans())
def test_every_walk_ends_where_the_full_scan_is(
    steps: Sequence[tuple[str, str, object]], through_nothing: bool
) -> None:
    engine, follower = PolicyEngine("here"), Follower()
    endpoints: dict[str, Endpoint] = {}
    profiles: dict[str, ProfileSpec] = {}

    def take(kind: str, key: str, value: object) -> None:
        if kind == "endpoint":
            assert value is None or isinstance(value, Resource)
            endpoints.pop(key, None)
            if value is not None:
                endpoints[key] = value
            follower.learn(engine.set_endpoint(key, value))
        else:
            assert value is None or isinstance(value, ProfileSpec)
            profiles.pop(key, None)
            if value is not None:
                profiles[key] = value
            follower.learn(engine.set_profile(key, value))

    for step in steps:
        take(*step)
        assert (follower.endpoints, follower.profiles, follower.members) == full_scan(endpoints, profiles)
    if through_nothing:
        for kind, keys in (("endpoint", KEYS), ("profile", NAMES)):
            for key in keys:
                take(kind, key, None)
        assert (follower.endpoints, follower.profiles, follower.members) == ({}, {}, {})
        for step in steps:
            take(*step)
        assert (follower.endpoints, follower.profiles, follower.members) == full_scan(endpoints, profiles)


def test_a_label_of_the_endpoint_wins_over_those_of_its_profiles_and_the_first_profile_over_the_next() -> None:
    engine, follower = PolicyEngine("here"), Follower()
    follower.learn(engine.set_profile("p", profile(["app == 'own'", "app == 'p'", "app == 'q'"], {"app": "p"})))
    follower.learn(engine.set_profile("q", profile([], {"app": "q"})))
    follower.learn(engine.set_endpoint("e1", endpoint("here", {"app": "own"}, ["p", "q"], ["10.0.0.1/32"])))
    follower.learn(engine.set_endpoint("e2", endpoint("here", {}, ["p", "q"], ["10.0.0.2/32"])))
    assert {s: m for s, m in follower.members.items() if m} == {
        parse("app == 'own'").canonical: {"10.0.0.1"},
        parse("app == 'p'").canonical: {"10.0.0.2"},
    }


def test_what_other_hosts_use_is_not_followed() -> None:
    engine = PolicyEngine("here")
    assert engine.set_profile("p", profile(["has(a)"], {"a": ""})) == []
    assert engine.set_endpoint("e1", endpoint("there", {}, ["p"], ["10.0.0.1/32"])) == []
