"""Assertions: what shall hold of a policy, written beside it and checked before anything changes. Pure.

    apiVersion: tortie/v1
    kind: Assertion
    metadata: {name: only-web-reaches-db}
    spec:
      from: app == 'web'
      to: app == 'db'
      ports: [tcp/5432]
      expect: allow
      exclusive: true

`from` and `to` are a selector of workload endpoints (inherited labels count), a name as `tortie why` takes it,
`host:NAME`, an address, a network, or a list of these: any of them is meant. `expect` is `allow` or `deny`. Without
`ports` it is about every protocol and port. `exclusive: true`: nobody else reaches `to` on these ports, endpoints,
hosts with a host endpoint and everybody outside included. The fields may also stand at the top, without `spec`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tortie.base.errors import Invalid, TortieError
from tortie.base.meant import meant
from tortie.model.selector import parse
from tortie.policy import nets
from tortie.policy.classes import Group, Look, grouped, groups
from tortie.policy.matrices import answers
from tortie.policy.path import HOST, Answer, End
from tortie.policy.spans import Span, spans, told
from tortie.policy.world import Service, World

VERSION, KIND = "tortie/v1", "Assertion"
FIELDS = ("from", "to", "ports", "expect", "exclusive")
TOP = frozenset(("apiVersion", "kind", "metadata", "spec"))


@dataclass(frozen=True, slots=True)
class Assertion:
    """`place`: where it is written. `services` empty: everything."""

    name: str
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    services: tuple[Service, ...] = ()
    expect: Literal["allow", "deny"] = "allow"
    exclusive: bool = False
    place: str = ""

    def __str__(self) -> str:
        verb = "may reach" if self.expect == "allow" else "may not reach"
        ports = f" on {', '.join(map(str, self.services))}" if self.services else ""
        only = ", nobody else may" if self.exclusive else ""
        return f"{' or '.join(self.sources)} {verb} {' or '.join(self.destinations)}{ports}{only}"


@dataclass(frozen=True, slots=True)
class Broken:
    """Why an assertion does not hold. `answer` None: nobody could be asked."""

    assertion: Assertion
    text: str
    answer: Answer | None = None


def assertion(document: Any, place: str = "") -> Assertion:
    """From one document. Invalid lists everything that is wrong with it."""
    faults = [] if document.get("kind") == KIND else [f"kind {document.get('kind')!r} of {VERSION} is not {KIND}"]
    metadata = document.get("metadata") or {}
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    if not isinstance(metadata, dict) or not isinstance(name, str):
        faults.append("metadata.name is no text")
    bare = {key: value for key, value in document.items() if key not in TOP}
    spec = document.get("spec", bare)
    if not isinstance(spec, dict) or (bare and "spec" in document):
        raise Invalid(*faults, "an assertion's fields stand in spec, or all at the top")
    faults += [f"unknown field {key}{meant(str(key), FIELDS)}" for key in spec if key not in FIELDS]
    sources, destinations = (_texts(spec, field, faults) for field in ("from", "to"))
    services = _services(spec.get("ports"), faults)
    expect, exclusive = spec.get("expect", "allow"), spec.get("exclusive", False)
    if expect not in ("allow", "deny"):
        faults.append(f"expect {expect!r} is neither allow nor deny")
    if not isinstance(exclusive, bool):
        faults.append(f"exclusive {exclusive!r} is neither true nor false")
    elif exclusive and expect == "deny":
        faults.append("exclusive says who alone may; it does not go with expect: deny")
    if faults:
        raise Invalid(*faults)
    return Assertion(name, sources, destinations, services, expect, exclusive, place)


def _texts(spec: dict[str, Any], field: str, faults: list[str]) -> tuple[str, ...]:
    value = spec.get(field)
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed or not all(isinstance(text, str) and text.strip() for text in listed):
        said = "is missing" if value is None else "is no text and no list of texts"
        faults.append(f"{field} {said}: a selector, a name, an address or a network")
        return ()
    return tuple(text.strip() for text in listed)


def _services(value: Any, faults: list[str]) -> tuple[Service, ...]:
    listed = [] if value is None else [value] if isinstance(value, str | int) else value
    if not isinstance(listed, list) or (value is not None and not listed):
        faults.append("ports is no list of services, as in [tcp/80, udp/53, icmp]")
        return ()
    found = []
    for text in listed:
        try:
            found.append(Service.parse(str(text)))
        except Invalid as error:
            faults += [f"ports: {problem}" for problem in error.problems]
    return tuple(found)


def check(world: World, found: Iterable[Assertion]) -> list[Broken]:
    """Those that do not hold, each with everybody who breaks it. One that is about nobody cannot be shown to hold."""
    return [broken for item in found for broken in _check(world, item)]


def _check(world: World, item: Assertion) -> Iterator[Broken]:
    whole = [Span(service, str(service), service.port) for service in item.services] or spans([world])
    look = Look(world, [span.service for span in whole])
    everybody = groups([look], apart=_networks((*item.sources, *item.destinations)))
    sides, faults = [], []
    for field, texts in (("from", item.sources), ("to", item.destinations)):
        ends: dict[tuple[str, str], End] = {}
        for text in texts:
            try:
                chosen = _chosen(look, everybody, text)
            except TortieError as error:
                faults += [f"{field}: {line}" for line in str(error).splitlines()[:1]]
                continue
            if not chosen:
                faults.append(f"{field}: {text} is nobody, so nothing can be shown")
            ends |= {(end.role, end.key or end.title): end for end in chosen}
        sides.append(list(ends.values()))
    if faults:
        yield from (Broken(item, text) for text in faults)
        return
    sources, destinations = sides
    wanted = item.expect == "allow"
    yield from _pairs(look, item, _grouped(look, sources), _grouped(look, destinations), whole, wanted)
    if item.exclusive:
        named = {(end.role, end.key or end.title) for end in sources}
        others = [end for group in everybody for end in group.ends if (end.role, end.key or end.title) not in named]
        yield from _pairs(look, item, _grouped(look, others), _grouped(look, destinations), whole, False)


def _grouped(look: Look, ends: Sequence[End]) -> list[Group]:
    return grouped(ends, look.sign)


def _pairs(
    look: Look, item: Assertion, sources: list[Group], destinations: list[Group], whole: Sequence[Span], wanted: bool
) -> Iterator[Broken]:
    for one in sources:
        for other in destinations:
            speaker, spoken_to = _apart(one, other)
            found = answers(look.way, speaker, spoken_to, [span.service for span in whole])
            wrong = [(s, a) for s, a in zip(whole, found, strict=True) if a is not None and a.allowed is not wanted]
            if wrong:
                chosen = [span for span, _ in wrong]
                said = ", ".join([span.text for span in chosen] if item.services else told(chosen, whole))
                verb = "cannot reach" if wanted else "can reach"
                yield Broken(item, f"{names(speaker)} {verb} {names(spoken_to)} on {said}", wrong[0][1])


def _apart(one: Group, other: Group) -> tuple[Group, Group]:
    """Two groups that share members: nobody speaks to himself."""
    if one.ends == other.ends:
        return one, other
    if len(other.ends) == 1:
        return _without(one, other), other
    if len(one.ends) == 1:
        return one, _without(other, one)
    # Of two groups with more than one member each, the last of one and the first of the other differ, or the reverse.
    return (one, other) if one.one != other.one else (one, Group(other.ends[::-1]))


def _without(group: Group, other: Group) -> Group:
    return Group(tuple(end for end in group.ends if end not in other.ends) or group.ends)


def _chosen(look: Look, everybody: Sequence[Group], text: str) -> list[End]:
    """Who is meant. Raises Invalid or NotFound."""
    for net in _networks((text,)):
        known = [end for group in everybody for end in group.ends]
        return [end for end in known if any(nets.within(address, (net,)) for address in end.addresses)]
    try:
        selector = None if text.startswith(HOST) else parse(text)
    except Invalid:
        selector = None
    if selector is None:
        return [look.placed(look.way.end(text))]
    keys = look.world.select(selector.canonical)
    return [look.placed(look.way.workload(key)) for key in sorted(keys)]


def _networks(texts: Iterable[str]) -> list[str]:
    """Those that are networks or addresses."""
    found = []
    for text in texts:
        try:
            found.append(str(ipaddress.ip_network(text, strict=False)))
        except ValueError:
            continue
    return found


SHOWN = 3


def names(group: Group) -> str:
    """The first few of a group."""
    titles = list(dict.fromkeys(end.title for end in group.ends))
    more = f" and {len(titles) - SHOWN} more" if len(titles) > SHOWN else ""
    return ", ".join(titles[:SHOWN]) + more
