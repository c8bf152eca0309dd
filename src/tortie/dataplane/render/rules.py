"""Compiled rules in nft's language.

A list of more than one item is a named set, named after its content: an anonymous set makes the kernel search all sets
of the table each time one is loaded. What a rule says of selectors and named ports is looked up in sets that change
while they live; where such a set may be one of two (addresses, networks), or a port one of several lists, the rule is
written once for each.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from tortie.dataplane import hits
from tortie.dataplane.hits import Hit
from tortie.dataplane.render import language
from tortie.dataplane.render.language import ICMP, Version, Word
from tortie.dataplane.want import Chain, SetDef, name_of
from tortie.policy.values import (
    CompiledRule,
    Direction,
    Hook,
    IcmpMatch,
    NamedPort,
    PortRange,
    RuleLists,
    Side,
)

LONGEST_LOG = 120
NAMES = re.compile(r"%[knp%]")
Matches = list[str]
Refusal = Literal["drop", "reject"]
Wide = Mapping[tuple[str, int], Sequence[int]]
NO_NETS: Wide = MappingProxyType({})
NO_SIDE = Side()


@dataclass(frozen=True, slots=True)
class Marks:
    """Bits of a packet's mark. `accepted`: an untracked or preDNAT policy let it in, so later policy of that host
    endpoint is skipped. `passed`: its tier is to be left; set and looked at within one tier only."""

    accepted: int = 0x00010000
    passed: int = 0x00020000


@dataclass(frozen=True, slots=True)
class Manner:
    """What is the same in all rules of a host. `flows`: what decides says so; `refusal`: what Deny means where the
    kernel can answer; `log`: how a line of the kernel's log begins."""

    marks: Marks = Marks()
    flows: bool = False
    refusal: Refusal = "drop"
    log: str = "calico-packet"


@dataclass(frozen=True, slots=True)
class Listed:
    """The rules of a policy or profile in one direction, as those who jump there need them: what allowing means depends
    on the hook, and a staged policy only counts. `silent`: some packets come along where the kernel cannot answer."""

    kind: Literal["policy", "profile"]
    name: str
    direction: Direction
    hook: Hook = "normal"
    staged: bool = False
    silent: bool = False

    @property
    def owner(self) -> tuple[Literal["policy", "profile"], str]:
        return self.kind, self.name

    @property
    def chain(self) -> str:
        kind = "pr" if self.kind == "profile" else "st" if self.staged else "p"
        way = "i" if self.direction == "ingress" else "o"
        hook = {"normal": "", "untracked": "u", "preDNAT": "d"}[self.hook] + ("h" if self.silent else "")
        return name_of(f"{kind}{way}{hook}", self.name)

    @property
    def title(self) -> str:
        staged = "staged " if self.staged else ""
        return f"{staged}{self.kind} {self.name} {self.direction}"


@dataclass(slots=True)
class Written:
    """Rules of one chain as they are written, and the content sets that they need. `live`: the names of the sets of
    selectors and named ports that are there; one without members may be absent, and then nothing is asked of it.
    `wide`: the prefix lengths of a selector's networks."""

    rules: list[str] = field(default_factory=list)
    sets: dict[str, SetDef] = field(default_factory=dict)
    uses: set[str] = field(default_factory=set)
    live: Collection[str] = ()
    wide: Wide = field(default_factory=lambda: NO_NETS)

    def list_set(self, prefix: str, kind: str, values: Iterable[str], *, interval: bool) -> str:
        """`@NAME` of a set with this content."""
        content = tuple(sorted(values))
        name = name_of(prefix, kind, *content)
        self.sets[name] = SetDef(kind, interval=interval, content=content)
        self.uses.add(name)
        return f"@{name}"

    def nets(self, version: int, nets: Sequence[str]) -> str:
        """One network, or the set of several."""
        return nets[0] if len(nets) == 1 else self.list_set("nl", f"ipv{version}_addr", nets, interval=True)

    def ports(self, ports: Sequence[PortRange]) -> str:
        items = [str(low) if low == high else f"{low}-{high}" for low, high in ports]
        return items[0] if len(items) == 1 else self.list_set("pl", "inet_service", items, interval=True)

    def members(self, *names: str) -> list[str]:
        """`@NAME` of those that are there."""
        found = [name for name in names if name in self.live]
        self.uses.update(found)
        return [f"@{name}" for name in found]

    def asked(self, selector: str, version: Version, word: Word) -> list[tuple[str, str]]:
        """What of a packet is looked up in which of a selector's sets."""
        field = language.address(version, word)
        found = [(field, at) for at in self.members(selector_set(selector, version))]
        for length in self.wide.get((selector, version), ()):
            name = selector_nets(selector, version, length)
            self.uses.add(name)
            found.append((f"{field} & {language.mask(version, length)}", f"@{name}"))
        return found

    def jump(self, chain: str, word: Literal["jump", "goto"] = "jump") -> None:
        self.rules.append(f"{word} {chain}")
        self.uses.add(chain)

    def chain(self, note: str = "", base: str = "") -> Chain:
        return Chain(tuple(self.rules), base=base, uses=frozenset(self.uses), note=note)


def selector_set(selector: str, version: int) -> str:
    """The name of the set of a selector's addresses of one family."""
    return name_of(f"s{version}", selector)


def selector_nets(selector: str, version: int, length: int) -> str:
    """The name of the set of a selector's networks with prefixes of this length."""
    return name_of(f"n{version}_{length}", selector)


def ends_of(nets: Sequence[str]) -> str:
    """What stands in the place of a selector in the name of the set of tunnel ends of the hosts in these networks."""
    return f"tunnel ends in {' '.join(nets)}"


def source_nets(rules: RuleLists | None) -> frozenset[tuple[str, ...]]:
    """The lists of networks that sources are held against, wanted or not."""
    listed = (*rules.ingress, *rules.egress) if rules else ()
    sides = (rule.source for rule in listed)
    return frozenset(nets for side in sides for nets in (side.nets, side.not_nets) if nets)


def port_set(port: NamedPort, version: int) -> str:
    """The name of the set of what a named port stands for."""
    return name_of(f"p{version}", port.name, str(port.protocol), port.selector)


def write_rules(
    rules: RuleLists | None, listed: Listed, live: Collection[str], manner: Manner, wide: Wide = NO_NETS
) -> Written:
    """One direction of a policy or profile; None: it does not exist, and closes."""
    written = Written(live=live, wide=wide)
    if rules is None:
        written.rules.append("counter drop")
        return written
    written.rules += [line for _, line in _lines(written, rules, listed, manner)]
    if not written.rules:
        written.rules.append("return")
    return written


def rule_places(
    rules: RuleLists, listed: Listed, live: Collection[str], manner: Manner, wide: Wide = NO_NETS
) -> list[int]:
    """For each line that `write_rules` writes of rules: of which rule it is, by its place in the list."""
    return [place for place, _ in _lines(Written(live=live, wide=wide), rules, listed, manner)]


def _lines(written: Written, rules: RuleLists, listed: Listed, manner: Manner) -> Iterator[tuple[int, str]]:
    for place, rule in enumerate(rules.of(listed.direction)):
        for matches in _alternatives(written, rule):
            for first, ending in _endings(rule, place, listed, manner, asks=bool(matches)):
                yield place, language.line(first, *matches, ending)


def passes(rules: RuleLists | None, listed: Listed) -> bool:
    """Whether the chain may leave its tier."""
    if listed.kind == "profile" or listed.staged or rules is None:
        return False
    return any(rule.action == "Pass" for rule in rules.of(listed.direction))


def _endings(rule: CompiledRule, place: int, listed: Listed, manner: Manner, *, asks: bool) -> list[tuple[str, str]]:
    """What stands before the matches and what behind them, in each line that a rule needs. `asks`: something of a
    packet.

    What allows a conversation says so of its first packet: those that follow while nobody has answered yet pass by a
    line that only decides, and what begins is asked only whether it is such a one. Whatever may go on and on is told in
    part, and decided by a second line; so is what asks nothing, where that costs nothing.
    """
    end = _end(rule, listed, manner)
    decided = language.line("counter", end)
    if rule.action == "Log" or not manner.flows:
        return [("", decided)]
    kind = "staged" if listed.staged else listed.kind
    told = language.told(Hit(rule.action, kind, listed.direction, listed.name, place))
    if rule.action != "Allow" or listed.staged or listed.hook == "untracked":
        return [("", language.line(language.FEW, "counter", told, end)), ("", decided)]
    if asks:
        return [(language.GOES_ON, decided), ("", language.line("counter", told, end))]
    return [(language.BEGINS, language.line(language.MANY, "counter", told, end)), ("", decided)]


def _end(rule: CompiledRule, listed: Listed, manner: Manner) -> str:
    if listed.staged:
        return "" if rule.action == "Log" else "return"
    if rule.action == "Log":
        return logged(listed, manner)
    if rule.action == "Deny":
        return "drop" if listed.silent or listed.hook != "normal" else manner.refusal
    if rule.action == "Pass":
        # In a profile it ends that profile only.
        leave = language.set_mark(manner.marks.passed) if listed.kind == "policy" else ""
        return language.line(leave, "return")
    if listed.kind == "profile" or listed.hook == "normal":
        return "accept"
    notrack = "notrack" if listed.hook == "untracked" else ""
    return language.line(notrack, language.set_mark(manner.marks.accepted), "accept")


def logged(listed: Listed, manner: Manner) -> str:
    """A line in the kernel's log, as Felix begins it: `%k`, `%n`, `%p` are kind, name, and name with its namespace."""
    *kind, name = listed.name.split("/") if listed.kind == "policy" else ("Profile", listed.name)
    words = {"%k": kind[0] if kind else "", "%n": name, "%p": "/".join([*kind[1:], name]), "%%": "%"}
    text = NAMES.sub(lambda found: words[found[0]], manner.log)
    return f'log prefix "{hits.plain(text)[:LONGEST_LOG]}: " level info'


def _alternatives(written: Written, rule: CompiledRule) -> Iterable[Matches]:
    """The lines of matches that a rule needs: a packet matches the rule if it matches one of them. What is looked up in
    a set comes last: most packets that do not match are out before that."""
    for version in _versions(rule):
        needs = Written(live=written.live, wide=written.wide)
        parts = [
            *_icmp(rule),
            _side(needs, rule.source, "s", version),
            _side(needs, rule.destination, "d", version),
        ]
        for chosen in itertools.product(*parts):
            yield [*_head(rule, version), *sorted(itertools.chain(*chosen), key=lambda match: "@" in match)]
        if needs.uses and all(parts):
            written.sets |= needs.sets
            written.uses |= needs.uses


def _versions(rule: CompiledRule) -> Sequence[Version | None]:
    """The families to write a rule for: one rule for all (None) where nothing in it names a family."""
    if rule.icmp or rule.not_icmp:
        version: Version = 4 if rule.protocol == ICMP else 6
        return (version,) if rule.ip_version in (None, version) else ()
    if rule.ip_version:
        return (rule.ip_version,)
    return (4, 6) if any(_names_addresses(side) for side in (rule.source, rule.destination)) else (None,)


def _names_addresses(side: Side) -> bool:
    selectors = side.selector is not None or side.not_selector is not None
    return selectors or bool(side.nets or side.not_nets or side.named or side.not_named)


def _head(rule: CompiledRule, version: Version | None) -> Matches:
    found = [] if version is None else [language.family(version)]
    if rule.protocol is not None:
        found.append(language.protocol(rule.protocol))
    if rule.not_protocol is not None:
        found.append(language.protocol(rule.not_protocol, negated=True))
    return found


def _icmp(rule: CompiledRule) -> list[list[Matches]]:
    """For each of `icmp` and `notICMP` its alternatives. Another type, or this type with another code."""
    number = rule.protocol or ICMP

    def lines(match: IcmpMatch, negated: bool) -> list[Matches]:
        kind = language.icmp(number, "type", match.type)
        if match.code is None:
            return [[language.icmp(number, "type", match.type, negated=negated)]]
        code = language.icmp(number, "code", match.code, negated=negated)
        return [[kind, code], [language.icmp(number, "type", match.type, negated=True)]] if negated else [[kind, code]]

    return [lines(match, negated) for match, negated in ((rule.icmp, False), (rule.not_icmp, True)) if match]


def _side(written: Written, side: Side, word: Word, version: Version | None) -> list[Matches]:
    """The alternatives of one side; none when no packet of that family can match."""
    if side == NO_SIDE:
        return [[]]
    everywhere: Matches = []
    wanted: list[list[str]] = []
    if version is not None:
        name = language.address(version, word)
        nets = _of_version(side.nets, version)
        if side.nets:
            found = [written.nets(version, nets)] if nets else []
            found += _ends(written, side.nets, word, version)
            wanted.append([language.match(name, one) for one in found])
        if side.selector is not None:
            wanted.append([language.match(*one) for one in written.asked(side.selector, version, word)])
        if nets := _of_version(side.not_nets, version):
            everywhere.append(language.match(name, written.nets(version, nets), negated=True))
            ends = _ends(written, side.not_nets, word, version)
            everywhere += [language.match(name, one, negated=True) for one in ends]
        if side.not_selector is not None:
            sets = written.asked(side.not_selector, version, word)
            everywhere += [language.match(*one, negated=True) for one in sets]
    ports, without = _ports(written, side, word, version)
    if side.ports or side.named:
        wanted.append(ports)
    return [[*everywhere, *without, *chosen] for chosen in itertools.product(*wanted)]


def _ends(written: Written, nets: Sequence[str], word: Word, version: Version) -> list[str]:
    """The set of what the hosts in these networks speak from, of a source; see `ends`."""
    return written.members(selector_set(ends_of(nets), version)) if word == "s" else []


def _ports(written: Written, side: Side, word: Word, version: Version | None) -> tuple[list[str], list[str]]:
    """(one of these, and all of these)."""
    if not (side.ports or side.not_ports or side.named or side.not_named):
        return [], []
    plain = f"th {word}port"
    wanted = [language.match(plain, written.ports(side.ports))] if side.ports else []
    without = [language.match(plain, written.ports(side.not_ports), negated=True)] if side.not_ports else []
    if version is not None:
        named = f"{language.address(version, word)} . meta l4proto . {plain}"
        wanted += [language.match(named, found) for found in _named(written, side.named, version)]
        without += [language.match(named, found, negated=True) for found in _named(written, side.not_named, version)]
    return wanted, without


def _named(written: Written, ports: Sequence[NamedPort], version: Version) -> list[str]:
    return written.members(*(port_set(port, version) for port in ports))


def _of_version(nets: Sequence[str], version: int) -> list[str]:
    return [net for net in nets if (":" in net) == (version == 6)]
