"""An answer in words, and as plain data for programs. Pure.

Rules are counted from 1, as `calicoctl profile NAME rule show` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tortie.model.kinds.profile import PROFILE
from tortie.model.resource import Resource
from tortie.model.rule import ANYBODY, EntityRule, Rule
from tortie.model.v0.wire import tag_of_selector
from tortie.model.v0.words import rule_text
from tortie.policy.path import Answer, End, Stage, Way
from tortie.policy.policies import key_of
from tortie.policy.verdict import Step, Verdict
from tortie.policy.world import NAMES, Service, World

WIDTH = 80
SHOWN = 12
SIDES = {"leaves": "leaves", "enters": "enters", "forwarded": "passes"}
OUTCOMES = {"allow": "allowed", "deny": "DENIED", "pass": "passed on", "no match": "no rule matched"}
TO_HOST = "defaultEndpointToHostAction"
PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def rule_words(rule: Rule) -> str:
    """The rule in one line: the words of `calicoctl profile … rule add`, and what they cannot say behind them."""
    plain = msgspec.structs.replace(
        rule, http=None, metadata=None, unknown=(), source=_plain(rule.source), destination=_plain(rule.destination)
    )
    extra = [*_more("source", rule.source), *_more("destination", rule.destination)]
    if rule.http is not None:
        extra.append(f"http {msgspec.json.encode(rule.http).decode()}")
    text = rule_text(plain)
    return f"{text} where {', '.join(extra)}" if extra else text


def _plain(side: EntityRule) -> EntityRule:
    plain = msgspec.structs.replace(side, namespace_selector="", service_accounts=None, services=None, unknown=())
    return ANYBODY if plain == ANYBODY else plain


def _more(word: str, side: EntityRule) -> Iterator[str]:
    if side.namespace_selector:
        yield f'namespace of {word} "{side.namespace_selector}"'
    if side.service_accounts is not None:
        listed = " or ".join(side.service_accounts.names)
        by = f'"{side.service_accounts.selector}"' if side.service_accounts.selector else ""
        yield f"service account of {word} {listed or by}" + (f" and {by}" if listed and by else "")
    if side.services is not None:
        yield f"{word} is service {side.services.namespace or '-'}/{side.services.name}"


def owner_words(kind: str, name: str) -> str:
    """A policy or a profile as people call it."""
    if kind != "policy":
        return f"{kind} {name}"
    kind_name, _, rest = name.partition("/")
    staged = "staged " if kind_name.startswith("Staged") else ""
    everywhere = "global " if "Global" in kind_name else ""
    return f"{staged}{everywhere}policy {rest}"


def counter_lines(counted: Sequence[Mapping[str, Any]]) -> list[str]:
    """What rules have counted, a line each."""
    found = [
        f"    {item['host']}: {owner_words(item['kind'], item['name'])}, {item['direction']} rule {item['rule']}: "
        f"{item['packets']} packets, {item['bytes']} bytes"
        for item in counted
    ]
    return ["  counted since these rules were written:", *found] if found else []


class Told:
    """One answer, told from the resources that it was given on."""

    def __init__(self, way: Way, answer: Answer) -> None:
        self._way = way
        self._world: World = way.world
        self._answer = answer

    # For people

    def lines(self) -> list[str]:
        """The whole answer. The first line begins with ALLOWED or DENIED."""
        answer = self._answer
        found = [*self._head(), ""]
        width = max((len(_place(stage)) for stage in answer.stages), default=0)
        for stage in answer.stages:
            word = "allowed" if stage.verdict.allowed else "DENIED"
            found += wrapped(f"  {_place(stage):{width}}  {word:7}  ", self.decider(stage))
            for step in stage.verdict.steps:
                found += self._step(stage, step)
        found += [line for note in self._way.notes(answer) for line in wrapped("  note: ", note)]
        advice = self.advice()
        if advice:
            found += ["  it would be allowed by:", f"    {advice}"]
        return found

    def _head(self) -> list[str]:
        answer = self._answer
        word = "ALLOWED" if answer.allowed else "DENIED"
        ends = [_end(answer.source, answer.packet.source), _end(answer.destination, answer.packet.destination)]
        line = f"{word}  {ends[0]}  ->  {ends[1]}  {answer.service}"
        if len(line) <= WIDTH:
            return [line]
        return [f"{word}  {answer.service}", f"  from {ends[0]}", f"  to   {ends[1]}"]

    def decider(self, stage: Stage) -> str:
        """Who decided, by which rule."""
        verdict, step = stage.verdict, _deciding(stage.verdict)
        if step is not None and step.rule is not None:
            rule = self._rule_words(step, stage, step.rule)
            after = f", and {verdict.by}" if verdict.by.startswith(TO_HOST) else ""
            return f"{owner_words(step.kind, step.name)}, rule {step.rule + 1}: {rule}{after}"
        if step is not None and step.kind == "tier":
            return f"end of tier {step.name}: none of its policies has a rule that matches"
        if verdict.by == "no rule of its profiles matched":
            names = [s.name for s in verdict.steps if s.kind == "profile"]
            return f"profile {', '.join(names)}: no rule matched" if names else "no policy is about it, and no profile"
        return verdict.by

    def _step(self, stage: Stage, step: Step) -> Iterator[str]:
        deciding = step is _deciding(stage.verdict)
        if step.kind == "tier":
            if step.outcome == "pass":
                yield f"    end of tier {step.name}: passed on"
            return
        outcome = OUTCOMES[step.outcome]
        staged = "counts only: would be " if step.staged and step.outcome != "no match" else ""
        said = (
            "" if deciding else f": {staged}{outcome}" + (f" by rule {step.rule + 1}" if step.rule is not None else "")
        )
        rules = self._asked(step, stage)
        if deciding and not rules:
            return
        if len(stage.verdict.steps) > 1 or deciding:
            yield f"    {owner_words(step.kind, step.name)}{said or ', rules before that one'}"
        for number, text, why in rules[:SHOWN]:
            yield from wrapped(f"      {number:>2}  ", text)
            yield from wrapped("          ", f"no: {why}")
        if len(rules) > SHOWN:
            yield f"          and {len(rules) - SHOWN} more that do not match"
        if not rules and step.outcome == "no match":
            yield f"          it has no rules for this direction ({stage.direction})"

    # For programs

    def data(self) -> dict[str, Any]:
        answer = self._answer
        packet = answer.packet
        return {
            "allowed": answer.allowed,
            "source": _end_data(answer.source, packet.source),
            "destination": _end_data(answer.destination, packet.destination),
            "protocol": NAMES.get(packet.protocol, packet.protocol),
            "port": packet.destination_port or None,
            "icmp": None if packet.icmp is None else {"type": packet.icmp[0], "code": packet.icmp[1]},
            "stages": [self._stage_data(stage) for stage in answer.stages],
            "notes": list(self._way.notes(answer)),
            "advice": self.advice(),
        }

    def _stage_data(self, stage: Stage) -> dict[str, Any]:
        resource = self._world.held(stage.key)
        assert resource is not None
        return {
            "side": stage.side,
            "at": stage.at,
            "resource": _reference(resource),
            "direction": stage.direction,
            "allowed": stage.verdict.allowed,
            "by": self._by_data(stage),
            "text": self.decider(stage),
            "steps": [self._step_data(stage, step) for step in stage.verdict.steps],
        }

    def _by_data(self, stage: Stage) -> dict[str, Any]:
        step = _deciding(stage.verdict)
        if step is None:
            return {"kind": "fixed", "name": stage.verdict.by, "direction": stage.direction, "rule": None}
        return {
            "kind": step.kind,
            "name": step.name,
            "direction": stage.direction,
            "rule": None if step.rule is None else step.rule + 1,
        }

    def _step_data(self, stage: Stage, step: Step) -> dict[str, Any]:
        matched = None if step.rule is None else self._rule_words(step, stage, step.rule)
        return {
            "kind": step.kind,
            "name": step.name,
            "outcome": step.outcome,
            "staged": step.staged,
            "rule": None if step.rule is None else step.rule + 1,
            "text": matched,
            "passed": [{"rule": number, "text": text, "why": why} for number, text, why in self._asked(step, stage)],
        }

    # The counters

    def lists(self) -> dict[str, set[tuple[str, str]]]:
        """The policies and profiles that were asked, as (kind, name), by the host that asked them."""
        found: dict[str, set[tuple[str, str]]] = {}
        for node, _, step in self._listed():
            found.setdefault(node, set()).add((step.kind, step.name))
        return found

    def concerned(self, counted: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Of the counters of those, the ones of the rules that were looked at, in that order."""
        by_rule: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
        for item in counted:
            by_rule.setdefault((item["host"], item["kind"], item["name"], item["direction"]), []).append(item)
        found: dict[int, dict[str, Any]] = {}
        for node, stage, step in self._listed():
            for item in by_rule.get((node, step.kind, step.name, stage.direction), ()):
                if step.rule is None or item["rule"] <= step.rule:
                    found[id(item)] = {**item, "rule": item["rule"] + 1}
        return list(found.values())

    def _listed(self) -> Iterator[tuple[str, Stage, Step]]:
        for stage in self._answer.stages:
            resource = self._world.held(stage.key)
            node = resource.spec.node if resource is not None else ""
            yield from ((node, stage, step) for step in stage.verdict.steps if step.kind != "tier" and node)

    # The rules

    def _rules(self, step: Step, stage: Stage) -> Sequence[Rule]:
        key = PROFILE.key(step.name) if step.kind == "profile" else key_of(step.name)
        resource = self._world.held(key)
        found: Sequence[Rule] = getattr(resource.spec, stage.direction) if resource is not None else ()
        return found

    def _rule_words(self, step: Step, stage: Stage, index: int) -> str:
        return rule_words(self._rules(step, stage)[index])

    def _asked(self, step: Step, stage: Stage) -> list[tuple[int, str, str]]:
        """The rules of a list that were passed over: number, words, why."""
        engine = self._world.engine
        find = engine.rules_of_profile if step.kind == "profile" else engine.rules_of_policy
        lists = None if step.kind == "tier" else find(step.name)
        if lists is None:
            return []
        evaluator = engine.evaluator()
        rules = lists.of(stage.direction)[: step.rule]
        packet = self._answer.packet
        whys = ("it only writes a log" if r.action == "Log" else evaluator.mismatch(r, packet) or "" for r in rules)
        return [(n + 1, self._rule_words(step, stage, n), _why(why)) for n, why in enumerate(whys)]

    # What would help

    def advice(self) -> str | None:
        """The command that would allow it, when the only thing that refuses is the end of a profile."""
        refused = [stage for stage in self._answer.stages if not stage.verdict.allowed]
        if len(refused) != 1 or refused[0].verdict.by != "no rule of its profiles matched":
            return None
        stage = refused[0]
        profiles = [step.name for step in stage.verdict.steps if step.kind == "profile"]
        if not profiles or not PLAIN_NAME.fullmatch(profiles[0]) or profiles[0].startswith(("kns.", "ksa.")):
            return None
        inbound = stage.direction == "ingress"
        other = self._answer.source if inbound else self._answer.destination
        words = _service_words(self._answer.service)
        if words is None:
            return None
        protocol, ports = words
        whom = self._side_words(other, self._answer.packet.source if inbound else self._answer.packet.destination)
        sides = f"from {whom}" + (f" to{ports}" if ports else "") if inbound else f"to{ports} {whom}"
        way = "inbound" if inbound else "outbound"
        return f"calicoctl profile {profiles[0]} rule add {way} allow {protocol} {sides}"

    def _side_words(self, end: End, address: str) -> str:
        resource = self._world.held(end.key) if end.key is not None else None
        for name in resource.spec.profiles if resource is not None else ():
            profile = self._world.held(PROFILE.key(name))
            applied = profile.spec.labels_to_apply if profile is not None else {}
            tag = next((label for label, value in applied.items() if not value and PLAIN_NAME.fullmatch(label)), None)
            if tag is not None:
                return f"tag {tag}"
        return f"cidr {address}/{128 if ':' in address else 32}"


def _service_words(service: Service) -> tuple[str, str] | None:
    """Protocol and ports in the words of the 0.19 grammar; None for what it cannot say."""
    name = NAMES.get(service.protocol)
    if name in ("tcp", "udp"):
        return name, f" ports {service.port}"
    if name in ("icmp", "icmpv6"):
        return (name if service.icmp is None else f"{name} type {service.icmp[0]} code {service.icmp[1]}"), ""
    return None


def _deciding(verdict: Verdict) -> Step | None:
    """The step that decided: the last that is not staged, if it is one that ends a list."""
    enforced = [step for step in verdict.steps if not step.staged]
    return enforced[-1] if enforced and enforced[-1].outcome in ("allow", "deny") else None


def _place(stage: Stage) -> str:
    into = {"ingress": "into", "egress": "out of"}[stage.direction]
    return f"{SIDES[stage.side]} {into} {stage.at}" if stage.side == "forwarded" else f"{stage.side} {stage.at}"


def _end(end: End, address: str) -> str:
    name = end.title
    beside = [text for text in (address, end.node if end.role == "workload" else None) if text and text != end.title]
    return f"{name} ({', '.join(beside)})" if beside else name


def _end_data(end: End, address: str) -> dict[str, Any]:
    return {"name": end.title, "role": end.role, "address": address, "host": end.node}


def _reference(resource: Resource[Any]) -> dict[str, Any]:
    meta = resource.metadata
    return {"kind": resource.kind.name, "name": meta.name, "namespace": meta.namespace}


def _why(text: str) -> str:
    """A reason in the words of tags where the rule is about one."""
    for word in ("source", "destination"):
        for said, tagged in ((f"{word} does not match ", "has no tag"), (f"{word} matches ", "has tag")):
            if text.startswith(said):
                tag = tag_of_selector(text.removeprefix(said))
                return f"{word} {tagged} {tag}" if tag is not None else text
    return text


def wrapped(before: str, text: str) -> list[str]:
    """Text behind a beginning, its lines below one another; never wider than a terminal of 80 where blanks allow."""
    import textwrap

    room = max(WIDTH - len(before), 30)
    rows = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    return [(before if number == 0 else " " * len(before)) + row for number, row in enumerate(rows)]
