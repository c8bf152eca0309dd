"""What a change of resources changes, against asking every pair before and after."""

from __future__ import annotations

import random

import pytest
from tests.support.policy_worlds import OUTSIDE, SERVICES, changed, named, resources, workload

from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT, HostEndpointSpec
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.rule import EntityRule, Rule
from tortie.policy.classes import Group, looks_at
from tortie.policy.path import End, Way
from tortie.policy.reading import world_of
from tortie.policy.spans import Span, spans, told
from tortie.policy.tables import change_lines
from tortie.policy.whatif import changes
from tortie.policy.world import Service, World

ALLOW = Rule(action="Allow")
OPEN = named(PROFILE, ProfileSpec(ingress=(ALLOW,), egress=(ALLOW,), labels_to_apply={"t": ""}), "p0")


class Both:
    """Two worlds, asked pair by pair, and what the changes between them say of each pair."""

    def __init__(self, before: World, after: World) -> None:
        self.found = changes(before, after)
        self.whole = spans([before, after])
        self.looks = looks_at((before, after), [span.service for span in self.whole])
        self.ends: list[dict[str, End]] = []
        for look in self.looks:
            self.ends.append({end.key or end.title: end for end in look.ends()})
        for known, other in zip(self.ends, self.ends[::-1], strict=True):
            known |= {name: end for name, end in other.items() if end.role == "host" and name not in known}
        taken = {address for known in self.ends for end in known.values() for address in end.addresses}
        for known in self.ends:
            known |= {address: End("address", address, (address,)) for address in OUTSIDE if address not in taken}

    def says(self, number: int, name: str, to: str, service: Service) -> bool:
        one, other = (self.ends[number].get(end) for end in (name, to))
        return one is not None and other is not None and self.looks[number].way.ask(one, other, service).allowed

    def pairs(self) -> list[tuple[str, str]]:
        names = {**self.ends[0], **self.ends[1]}
        outside = {name for name, end in names.items() if end.role == "address"}
        return [(a, b) for a in names for b in names if a != b and not {a, b} <= outside]

    def told(self, name: str, to: str) -> dict[Span, bool]:
        """What the changes say that the pair gains (True) and loses (False)."""
        return {
            span: item.gains
            for item in self.found.items
            if self._in(name, item.source) and self._in(to, item.destination)
            for span in item.spans
        }

    def _in(self, name: str, group: Group) -> bool:
        end = self.ends[0].get(name) or self.ends[1][name]
        if end.role != "address":
            return any((known.role, known.key or known.title) == (end.role, name) for known in group.ends)
        sign = [look.sign(end) for look in self.looks]
        return any(
            known.role == "address" and [look.sign(known) for look in self.looks] == sign for known in group.ends
        )

    def span_of(self, service: Service) -> Span:
        """Whose part a service falls into, read from the texts of the parts."""
        own = [span for span in self.whole if span.service.protocol == service.protocol]
        if not own:
            return self.whole[-1]
        if service.icmp is not None:
            kind, code = service.icmp
            text = str(Service(service.protocol)).split("/")[0]
            wanted = (f"{text}/{kind}/{code}", f"{text}/{kind} other codes", f"{text}/{kind}")
            return next((span for name in wanted for span in own if span.text == name), own[-1])
        inside = (span for span in own if span.high and span.service.port <= service.port <= span.high)
        return next(inside, own[-1])


@pytest.mark.parametrize("seed", range(30))
def test_changes_say_what_asking_every_pair_says(seed: int) -> None:
    pick = random.Random(seed)
    old = resources(pick)
    before, after = world_of(old.values()), world_of(changed(pick, old).values())
    both = Both(before, after)
    assert change_lines(both.found, (Way(before), Way(after)))
    parts = {service: both.span_of(service) for service in SERVICES}
    for name, to in both.pairs():
        said = both.told(name, to)
        for service, part in parts.items():
            was, will = (both.says(number, name, to, service) for number in (0, 1))
            wanted = will if was is not will else None
            assert said.get(part) is wanted, (seed, name, to, str(service), part.text, was, will)


def policy(name: str, *rules: Rule, selector: str = "app == 'b'") -> object:
    spec = GlobalNetworkPolicySpec(selector=selector, types=("Ingress",), ingress=rules, tier="default")
    return named(GLOBAL_NETWORK_POLICY, spec, name)


def cluster(*more: object) -> World:
    apps = [workload(f"{app}{n}", f"10.0.{k}.{n}", app=app) for k, app in enumerate("abc") for n in range(1, 30)]
    return world_of([OPEN, *apps, *more])  # type: ignore[list-item]


def said(world: World, other: World) -> list[tuple[bool, int, int, tuple[str, ...]]]:
    items = changes(world, other).items
    return [(item.gains, len(item.source.ends), len(item.destination.ends), item.services) for item in items]


def test_the_same_world_has_no_change_and_asks_nobody() -> None:
    found = changes(cluster(policy("p", ALLOW)), cluster(policy("p", ALLOW)))
    assert (found.items, found.looked) == ((), 0)


def test_a_policy_that_closes_everything_is_one_loss() -> None:
    # 29 of a, 29 of c, 28 others of b and everywhere else lose what they had; groups are asked, not pairs.
    assert said(cluster(), cluster(policy("p"))) == [(False, 29 * 3 + 1, 29, ("everything",))]


def test_ports_that_are_opened_are_named_as_ranges() -> None:
    only = Rule(
        action="Allow",
        protocol="TCP",
        source=EntityRule(selector="app == 'a'"),
        destination=EntityRule(ports=(80, "81:90", 443)),
    )
    assert said(cluster(policy("p")), cluster(policy("p", only))) == [(True, 29, 29, ("tcp/80-90", "tcp/443"))]


def test_what_opens_to_the_outside_is_told() -> None:
    one = Rule(action="Allow", protocol="UDP", source=EntityRule(nets=("198.51.100.0/24",)))
    before, after = cluster(policy("p")), cluster(policy("p", one))
    items = changes(before, after).items
    assert [(i.gains, [e.title for e in i.source.ends], i.services) for i in items] == [
        (True, ["198.51.100.0/24"], ("udp",))
    ]


def test_a_staged_or_unused_policy_changes_nothing() -> None:
    assert said(cluster(), cluster(policy("p", selector="app == 'nobody'"))) == []


def test_endpoints_that_come_gain_and_that_go_lose() -> None:
    new = workload("z1", "10.0.9.9", app="a")
    assert sorted(said(cluster(), cluster(new))) == [
        (True, 1, 29 * 3 + 1, ("everything",)),
        (True, 29 * 3 + 1, 1, ("everything",)),
    ]
    assert {gains for gains, *_ in said(cluster(new), cluster())} == {False}


def test_the_parts_cover_every_port_once() -> None:
    rules = (
        Rule(action="Allow", protocol="TCP", destination=EntityRule(ports=("5:9", 7, 65535, "0:1"))),
        Rule(action="Deny", protocol="UDP", destination=EntityRule(not_ports=(4788, 53))),
        Rule(action="Allow", protocol="TCP", destination=EntityRule(ports=("http",))),
    )
    world = cluster(policy("p", *rules))
    # Some endpoints name a port: 8080. Ranges of one rule that touch are one.
    tcp = {span.text for span in spans([world]) if span.service.protocol == 6}
    assert tcp == {"tcp/1", "tcp/5-9", "tcp/8080", "tcp/65535", "other tcp"}
    udp = {span.text: span.service.port for span in spans([world]) if span.service.protocol == 17}
    assert udp == {"udp/53": 53, "udp/4788": 4788, "other udp": 1}
    assert told(spans([world]), spans([world])) == ["everything"]


def test_a_host_that_gets_a_host_endpoint_loses_it_was_open_before() -> None:
    """8.5, trap 50: a host without a host endpoint is not policed."""
    host = named(HOST_ENDPOINT, HostEndpointSpec(node="h1", interface_name="*", expected_ips=("10.0.9.1",)), "h1-all")
    found = changes(cluster(), cluster(host))
    assert found.items
    assert {item.gains for item in found.items} == {False}
    assert all(
        "host:h1" in {end.title for g in (item.source, item.destination) for end in g.ends} for item in found.items
    )
    assert {item.gains for item in changes(cluster(host), cluster()).items} == {True}
