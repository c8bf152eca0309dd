"""`calicoctl profile …`: each command line becomes a function of the store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from tortie.base.errors import Conflict, Invalid, NotFound
from tortie.cli.calicoctl.era019 import usage
from tortie.cli.calicoctl.era019.line import Failure, Line, UsageError, read
from tortie.cli.calicoctl.table import table
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.rule import Rule
from tortie.model.v0.profile import fresh_profile, tags
from tortie.model.v0.wire import from_wire, tag_of_selector, to_wire
from tortie.model.v0.words import BAD_TAG, NAME, NotARule, rule_of_words, rule_text
from tortie.store.client import Client

BAD_PROFILE = (
    "Profile names must be < 40 character long and can only contain numbers, letters, dots, dashes and underscores."
)
NETWORKS = "/tortie/v1/docker/networks/"
ATTEMPTS = 50

Job = Callable[[Client], str]


def command(arguments: Sequence[str]) -> Job:
    """What the words after `profile` ask for. Raises UsageError, and Failure for values that can never be right."""
    line = read(arguments, usage.PROFILE, flags=("--detailed", "--no-check"), values=("--at",))
    words = line.words
    match words:
        case ("show",) if not (line.flags - {"--detailed"} or line.values):
            detailed = "--detailed" in line.flags
            return lambda client: _show(client, detailed)
        case ("add", name) if not (line.flags or line.values):
            _check(profile=name)
            return lambda client: _add(client, name)
        case ("remove", name) if not (line.flags - {"--no-check"} or line.values):
            _check(profile=name)
            return lambda client: _remove(client, name, check="--no-check" not in line.flags)
        case (name, "tag", *rest) if not (line.flags or line.values):
            return _tag_command(name, rest)
        case (name, "rule", *rest) if not line.flags:
            return _rule_command(name, rest, line)
    raise UsageError(usage.PROFILE)


def _tag_command(name: str, words: Sequence[str]) -> Job:
    match words:
        case ["show"]:
            _check(profile=name)
            return lambda client: "\n".join(tags(_profile(client, name)))
        case ["add", tag]:
            _check(profile=name, tag=tag)
            return lambda client: _tag_add(client, name, tag)
        case ["remove", tag]:
            _check(profile=name, tag=tag)
            return lambda client: _tag_remove(client, name, tag)
    raise UsageError(usage.PROFILE)


def _rule_command(name: str, words: Sequence[str], line: Line) -> Job:
    at = line.values.get("--at")
    match words:
        case ["show"] if at is None:
            _check(profile=name)
            return lambda client: _rules_text(_profile(client, name))
        case ["json"] if at is None:
            _check(profile=name)
            return lambda client: _rules_json(name, _profile(client, name))
        case ["update"] if at is None:
            _check(profile=name)
            return lambda client: _rules_update(client, name, sys.stdin.buffer.read())
        case ["add", "inbound" | "outbound" as direction, *spec]:
            rule = _rule(name, spec)
            position = _position(at)
            return lambda client: _rule_add(client, name, direction, rule, position)
        case ["remove", "inbound" | "outbound" as direction] if at is not None:
            _check(profile=name)
            position = _position(at)
            return lambda client: _rule_remove_at(client, name, direction, position or 0)
        case ["remove", "inbound" | "outbound" as direction, *spec] if at is None:
            rule = _rule(name, spec)
            return lambda client: _rule_remove(client, name, direction, rule)
    raise UsageError(usage.PROFILE)


def _check(*, profile: str, tag: str = "x", more: Sequence[str] = ()) -> None:
    """Every fault of the values at once."""
    problems = [] if NAME.fullmatch(profile) else [BAD_PROFILE]
    problems += [] if NAME.fullmatch(tag) else [BAD_TAG]
    problems += more
    if problems:
        raise Failure("\n".join(problems))


def _rule(profile: str, spec: Sequence[str]) -> Rule:
    try:
        rule = rule_of_words(spec)
    except NotARule as error:
        raise UsageError(usage.PROFILE) from error
    except Invalid as error:
        _check(profile=profile, more=error.problems)
        raise
    _check(profile=profile)
    return rule


def _position(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(text)
    except ValueError as error:
        print(f"--at={text}: not a whole number", file=sys.stderr)
        raise Failure("") from error


# profile show, add, remove


def _show(client: Client, detailed: bool) -> str:
    names = sorted(item.name for item in client.list(PROFILE).items)
    if not detailed:
        return table(["Name"], [[name] for name in names])
    members: dict[str, list[list[str]]] = {name: [] for name in names}
    for endpoint in client.list(WORKLOAD_ENDPOINT).items:
        spec = endpoint.spec
        for name in spec.profiles:
            if name in members:
                row = [name, spec.node, spec.orchestrator, spec.workload or "None", spec.endpoint, "active"]
                members[name].append(row)
    rows = [row for name in names for row in sorted(members[name]) or [[name, *["None"] * 5]]]
    return table(["Name", "Host", "Orchestrator ID", "Workload ID", "Endpoint ID", "State"], rows)


def _add(client: Client, name: str) -> str:
    try:
        client.create(fresh_profile(name))
    except Conflict:
        return f"Profile {name} already exists."
    return f"Created profile {name}"


def _remove(client: Client, name: str, *, check: bool) -> str:
    if client.find(PROFILE, name) is None:
        return f"Profile {name} not found."
    if check and any(name in endpoint.spec.profiles for endpoint in client.list(WORKLOAD_ENDPOINT).items):
        return (
            "Cannot remove profile - profile in use by endpoint(s).\n"
            "Use the '--no-check' flag to remove the profile anyway."
        )
    try:
        client.delete(PROFILE, name)
    except NotFound:
        return f"Profile {name} not found."
    return f"Deleted profile {name}"


# tags


def _tag_add(client: Client, name: str, tag: str) -> str:
    def change(spec: ProfileSpec) -> ProfileSpec:
        if spec.labels_to_apply.get(tag, "") != "":
            raise Failure(f"{tag} is a label of profile {name} with the value {spec.labels_to_apply[tag]}, not a tag")
        return msgspec.structs.replace(spec, labels_to_apply={**spec.labels_to_apply, tag: ""})

    _change(client, name, change, tags_used=[tag])
    return f"Tag {tag} added to profile {name}"


def _tag_remove(client: Client, name: str, tag: str) -> str:
    def change(spec: ProfileSpec) -> ProfileSpec:
        if tag not in tags(spec):
            raise Failure(f"Tag {tag} is not on profile {name}")
        left = {label: value for label, value in spec.labels_to_apply.items() if label != tag}
        return msgspec.structs.replace(spec, labels_to_apply=left)

    _change(client, name, change)
    return f"Tag {tag} removed from profile {name}"


# rules


def _rules_text(spec: ProfileSpec) -> str:
    lines = []
    for heading, rules in (("Inbound rules:", spec.ingress), ("Outbound rules:", spec.egress)):
        lines += [heading, *(f" {number:3d} {rule_text(rule)}" for number, rule in enumerate(rules, 1))]
    return "\n".join(lines)


def _rules_json(name: str, spec: ProfileSpec) -> str:
    import json

    rules = {
        "id": name,
        "inbound_rules": [to_wire(rule) for rule in spec.ingress],
        "outbound_rules": [to_wire(rule) for rule in spec.egress],
    }
    return json.dumps(rules, indent=2) + "\n"


def _rules_update(client: Client, name: str, text: bytes) -> str:
    inbound, outbound = _rules_of_json(name, text)

    def change(spec: ProfileSpec) -> ProfileSpec:
        return msgspec.structs.replace(spec, ingress=inbound, egress=outbound)

    _change(client, name, change, tags_used=[tag for rule in (*inbound, *outbound) for tag in _tags_used(rule)])
    return f"Successfully updated rules on profile {name}"


def _rules_of_json(name: str, text: bytes) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    from tortie.base.sources import json_value

    try:
        raw = json_value(text)
    except Invalid as error:
        raise Failure(f"The rules are not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise Failure("The rules are no JSON object")
    if raw.get("id") != name:
        raise Failure(f'Rules JSON "id"={raw.get("id")} doesn\'t match profile name {name}.')
    problems = [f"unknown key '{key}'" for key in raw if key not in ("id", "inbound_rules", "outbound_rules")]
    lists = [_rules_in(raw, key, problems) for key in ("inbound_rules", "outbound_rules")]
    if problems:
        raise Failure("\n".join(problems))
    return lists[0], lists[1]


def _rules_in(raw: Mapping[str, Any], key: str, problems: list[str]) -> tuple[Rule, ...]:
    """The rules under the key; what is wrong with them is added to `problems`."""
    found = raw.get(key)
    if not isinstance(found, list):
        problems.append(f"{key} is not a list")
        return ()
    rules = []
    for number, wire in enumerate(found, 1):
        if not isinstance(wire, dict):
            problems.append(f"{key}, rule {number}: not an object")
            continue
        try:
            rules.append(from_wire(wire))
        except Invalid as error:
            problems += [f"{key}, rule {number}: {problem}" for problem in error.problems]
    return tuple(rules)


def _rule_add(client: Client, name: str, direction: str, rule: Rule, position: int | None) -> str:
    told: list[str] = []

    def change(spec: ProfileSpec) -> ProfileSpec:
        rules = list(_rules(spec, direction))
        told.clear()
        if any(_same(rule, other) for other in rules):
            told.append("Rule already present, skipping.")
            return spec
        if position is not None and not 1 <= position <= len(rules) + 1:
            told.append(f"Position {position} is out-of-range.")
        rules.insert(len(rules) if position is None else position - 1, rule)
        return _with_rules(spec, direction, rules)

    _change(client, name, change, tags_used=_tags_used(rule))
    return "\n".join(told)


def _rule_remove(client: Client, name: str, direction: str, rule: Rule) -> str:
    def change(spec: ProfileSpec) -> ProfileSpec:
        rules = list(_rules(spec, direction))
        place = next((number for number, other in enumerate(rules) if _same(rule, other)), None)
        if place is None:
            raise Failure("Rule not found.")
        return _with_rules(spec, direction, rules[:place] + rules[place + 1 :])

    _change(client, name, change)
    return ""


def _rule_remove_at(client: Client, name: str, direction: str, position: int) -> str:
    told: list[str] = []

    def change(spec: ProfileSpec) -> ProfileSpec:
        rules = list(_rules(spec, direction))
        told.clear()
        if not 1 <= position <= len(rules):
            told.append("Rule position out-of-range.")
            return spec
        return _with_rules(spec, direction, rules[: position - 1] + rules[position:])

    _change(client, name, change)
    return "\n".join(told)


def _rules(spec: ProfileSpec, direction: str) -> tuple[Rule, ...]:
    return spec.ingress if direction == "inbound" else spec.egress


def _with_rules(spec: ProfileSpec, direction: str, rules: Sequence[Rule]) -> ProfileSpec:
    if direction == "inbound":
        return msgspec.structs.replace(spec, ingress=tuple(rules))
    return msgspec.structs.replace(spec, egress=tuple(rules))


def _same(one: Rule, other: Rule) -> bool:
    """Equal as this grammar writes them: `t == ''` and `has(t)` are one tag."""
    try:
        return to_wire(one) == to_wire(other)
    except Invalid:
        return False


def _tags_used(rule: Rule) -> list[str]:
    selectors = (side.selector for side in (rule.source, rule.destination) if side.selector)
    return [tag for selector in selectors if (tag := tag_of_selector(selector)) is not None]


# the store


def _profile(client: Client, name: str) -> ProfileSpec:
    found = client.find(PROFILE, name)
    if found is None:
        raise Failure(f"Profile {name} not found.")
    return found.spec


def _change(
    client: Client, name: str, change: Callable[[ProfileSpec], ProfileSpec], tags_used: Sequence[str] = ()
) -> None:
    """Reads, changes, writes the profile; again when somebody else wrote it in between."""
    for _ in range(ATTEMPTS):
        found = client.find(PROFILE, name)
        if found is None:
            raise Failure(f"Profile {name} not found.")
        _check_networks(client, name, tags_used)
        changed = change(found.spec)
        if changed == found.spec:
            return
        try:
            client.update(replace(found, spec=changed))
        except (Conflict, NotFound):
            continue
        return
    raise Conflict(f"Profile {name} was changed by others {ATTEMPTS} times in a row")


def _check_networks(client: Client, name: str, tags_used: Sequence[str]) -> None:
    """A rule of a network's profile may name networks, profiles and tags that exist: a typing error opens nothing."""
    if not tags_used or client.datastore.get(NETWORKS + name) is None:
        return
    for tag in tags_used:
        if client.datastore.get(NETWORKS + tag) or client.find(PROFILE, tag):
            continue
        if any(tag in tags(item.spec) for item in client.list(PROFILE).items):
            continue
        raise Failure(
            f"You are referencing a Docker network ({tag}) that does not exist.  "
            "Create the network first and then update this profile rule to reference it."
        )
