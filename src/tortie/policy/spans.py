"""Every protocol and port there is, in parts that no rule of some worlds divides: what is true of one service of a
part is true of all. So a question about "anything" has an exact answer. Pure.

Two things are left aside: conditions on source ports are judged for a client's usual port only, and tunnels (IP-in-IP,
the port of VXLAN), which no workload may send whatever its policy says, are not asked about unless a rule names them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tortie.model.kinds.host_endpoint import HOST_ENDPOINT
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.policy import endpoints
from tortie.policy.compile import ICMP, ICMPV6, PROTOCOLS, TCP, WITH_PORTS
from tortie.policy.hosts import Hosts
from tortie.policy.nets import address
from tortie.policy.values import CompiledRule, NamedPort
from tortie.policy.verdict import IPIP, UDP, VXLAN
from tortie.policy.world import ECHOES, NAMES, Service, World

HIGHEST = 65535
UNUSED = 253
"""A protocol's number that is kept for experiments."""


@dataclass(frozen=True, slots=True)
class Span:
    """`service` speaks for all that `text` says. `high`: the last port of a range that begins with the service's."""

    service: Service
    text: str
    high: int = 0


def spans(worlds: Sequence[World]) -> list[Span]:
    """All parts: TCP, UDP, ICMP, what the rules mention besides, and everything else."""
    rules = [rule for world in worlds for lists in world.engine.rules_in_use() for rule in lists.ingress + lists.egress]
    mentioned = {number for rule in rules for number in (rule.protocol, rule.not_protocol) if number is not None}
    ports = sorted({TCP, UDP} | (mentioned & WITH_PORTS))
    found = [span for protocol in ports for span in _of_ports(protocol, _edges(protocol, rules, worlds))]
    versions = {address(own)[0] for world in worlds for end in world.endpoints().values() for own in end.addresses}
    for protocol, version in ((ICMP, 4), (ICMPV6, 6)):
        if version in versions or (version == 4 and not versions):
            found += _of_icmp(protocol, rules)
    rest = sorted(mentioned - WITH_PORTS - {ICMP, ICMPV6})
    found += [Span(Service(number), f"protocol {number}") for number in rest]
    other = next(number for number in range(UNUSED, 0, -1) if number not in {*rest, *PROTOCOLS.values(), IPIP})
    return [*found, Span(Service(other), "other protocols")]


def mentioned_ports(world: World) -> list[Service]:
    """The ports that rules in use name one by one, or as the first of a range; of their protocol."""
    rules = [rule for lists in world.engine.rules_in_use() for rule in (*lists.ingress, *lists.egress)]
    found = {Service(r.protocol, low) for r in rules if r.protocol for low, _ in r.destination.ports if low}
    found |= {Service(protocol, port) for protocol, port in _named([world], rules)}
    return sorted(found, key=lambda service: (service.protocol, service.port))


def told(chosen: Iterable[Span], whole: Sequence[Span]) -> list[str]:
    """The texts of some spans of the whole; neighbouring ports as one range, all or nearly all of a protocol by its
    name."""
    picked = set(chosen)
    if picked == set(whole):
        return ["everything"]
    found: list[str] = []
    for protocol in dict.fromkeys(span.service.protocol for span in whole):
        own = [span for span in whole if span.service.protocol == protocol]
        mine = [span for span in own if span in picked]
        if mine and len(mine) == len(own):
            found.append(NAMES.get(protocol, own[0].text))
        elif any(span.service.port and not span.high for span in mine):
            without = [span.text.partition("/")[2] for span in _touching([s for s in own if s not in picked])]
            found.append(f"{NAMES[protocol]} (not {', '.join(without)})")
        else:
            found += [span.text for span in _touching(mine)]
    return found


def _touching(found: Sequence[Span]) -> Iterator[Span]:
    """Ranges of ports that touch as one."""
    held: Span | None = None
    for span in found:
        if held is not None and span.high and held.high + 1 == span.service.port:
            held = _of_range(held.service.protocol, held.service.port, span.high)
            continue
        if held is not None:
            yield held
        held = span
    if held is not None:
        yield held


def _of_range(protocol: int, low: int, high: int) -> Span:
    name = NAMES[protocol]
    return Span(Service(protocol, low), f"{name}/{low}" if low == high else f"{name}/{low}-{high}", high)


def _edges(protocol: int, rules: Sequence[CompiledRule], worlds: Sequence[World]) -> list[tuple[int, int]]:
    """The ranges of destination ports that conditions speak of."""
    found = {
        span
        for rule in rules
        if rule.protocol == protocol
        for span in (*rule.destination.ports, *rule.destination.not_ports)
    }
    found |= {(port, port) for its, port in _named(worlds, rules) if its == protocol}
    for world in worlds:
        if world.all_of(HOST_ENDPOINT):
            hosts = Hosts(world)
            every = [rule for node in hosts.endpoints() for rule in (hosts.rules(node),)]
            safe = [item for rule in every for item in (*rule.failsafe_in, *rule.failsafe_out)]
            found |= {(port, port) for its, port, _ in safe if its == protocol}
    return sorted(found)


def _named(worlds: Sequence[World], rules: Sequence[CompiledRule]) -> Iterator[tuple[int, int]]:
    names: set[NamedPort] = {port for rule in rules for port in rule.named_ports()}
    wanted = {(port.name, port.protocol) for port in names}
    if not wanted:
        return
    for world in worlds:
        for kind, read in ((WORKLOAD_ENDPOINT, endpoints.workload), (HOST_ENDPOINT, endpoints.host)):
            for item in world.all_of(kind):
                party = read(item)
                for name, protocol, port in party.ports if party else ():
                    if (name, protocol) in wanted:
                        yield protocol, port


def _of_ports(protocol: int, edges: Sequence[tuple[int, int]]) -> Iterator[Span]:
    """The parts that somebody speaks of, one by one; the others are one."""
    cuts = sorted({1, *(low for low, _ in edges), *(high + 1 for _, high in edges)} - {0})
    name, rest = NAMES[protocol], None
    for number, low in enumerate(cuts):
        high = cuts[number + 1] - 1 if number + 1 < len(cuts) else HIGHEST
        if low > HIGHEST:
            continue
        if any(first <= low and high <= last for first, last in edges):
            yield _of_range(protocol, low, high)
        elif rest is None:
            rest = low + 1 if (protocol, low) == (UDP, VXLAN) and high > low else low
    if rest is not None:
        yield Span(Service(protocol, rest), f"other {name}" if edges else name)


def _of_icmp(protocol: int, rules: Sequence[CompiledRule]) -> Iterator[Span]:
    matches = {match for rule in rules if rule.protocol == protocol for match in (rule.icmp, rule.not_icmp) if match}
    kinds = sorted({match.type for match in matches})
    for kind in kinds:
        codes = sorted({match.code for match in matches if match.type == kind and match.code is not None})
        for code in codes:
            yield Span(Service(protocol, icmp=(kind, code)), f"{NAMES[protocol]}/{kind}/{code}")
        free = next((code for code in range(256) if code not in codes), None)
        if free is not None:
            text = f"{NAMES[protocol]}/{kind}" + (" other codes" if codes else "")
            yield Span(Service(protocol, icmp=(kind, free)), text)
    # Type 0 of ICMPv6 and 255 of both are nobody's.
    order = (ECHOES[protocol][0], *range(1, 255))
    free = next((kind for kind in order if kind not in kinds), None)
    if free is not None:
        yield Span(Service(protocol, icmp=(free, 0)), f"other {NAMES[protocol]}" if kinds else NAMES[protocol])
