"""BGPFilter: which routes are told to peers and which are taken from them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any, Literal

import msgspec

from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.resource import Kind

MAX_OPERATIONS = 10
OPERATIONS = {"addCommunity": "value", "prependASPath": "prefix", "setPriority": "value"}


class PrefixLength(Value, frozen=True, kw_only=True):
    min: int | None = None
    max: int | None = None


class Communities(Value, frozen=True, kw_only=True):
    values: tuple[str, ...] = ()


class FilterRule(Value, frozen=True, kw_only=True):
    """`operations` are kept as written: one of addCommunity, prependASPath, setPriority each."""

    action: Literal["Accept", "Reject"]
    cidr: str = ""
    match_operator: Literal["Equal", "NotEqual", "In", "NotIn"] | None = None
    prefix_length: PrefixLength | None = None
    source: Literal["RemotePeers"] | None = None
    interface: str = ""
    peer_type: Literal["eBGP", "iBGP"] | None = None
    communities: Communities | None = None
    as_path_prefix: tuple[int, ...] = msgspec.field(default=(), name="asPathPrefix")
    priority: int | None = None
    operations: tuple[dict[str, Any], ...] = ()


class BGPFilterSpec(Value, frozen=True, kw_only=True):
    export_v4: tuple[FilterRule, ...] = msgspec.field(default=(), name="exportV4")
    import_v4: tuple[FilterRule, ...] = msgspec.field(default=(), name="importV4")
    export_v6: tuple[FilterRule, ...] = msgspec.field(default=(), name="exportV6")
    import_v6: tuple[FilterRule, ...] = msgspec.field(default=(), name="importV6")


def check(spec: BGPFilterSpec) -> Iterator[Problem]:
    for end, rules, version in (
        ("exportV4", spec.export_v4, 4),
        ("importV4", spec.import_v4, 4),
        ("exportV6", spec.export_v6, 6),
        ("importV6", spec.import_v6, 6),
    ):
        for number, rule in enumerate(rules):
            yield from _rule(f"spec.{end}[{number}]", rule, version)


def _rule(field: str, rule: FilterRule, version: int) -> Iterator[Problem]:
    if bool(rule.cidr) != bool(rule.match_operator):
        yield Problem(f"{field}.cidr", "CIDR and MatchOperator must both be set or both be empty")
    if rule.cidr:
        faults = list(checks.cidr(f"{field}.cidr", rule.cidr))
        yield from faults
        if not faults and ip_network(rule.cidr).version != version:
            yield Problem(f"{field}.cidr", f"{rule.cidr} is no IPv{version} network")
    if rule.prefix_length is not None:
        if not rule.cidr:
            yield Problem(f"{field}.prefixLength", "needs a cidr")
        yield from _prefix_length(f"{field}.prefixLength", rule.prefix_length, 32 if version == 4 else 128)
    for number in rule.as_path_prefix:
        yield from checks.as_number(f"{field}.asPathPrefix", number)
    yield from checks.between(f"{field}.priority", rule.priority, 1, 2**31 - 1)
    if rule.communities is not None and len(rule.communities.values) != 1:
        yield Problem(f"{field}.communities.values", "needs exactly one value")
    for value in rule.communities.values if rule.communities else ():
        yield from checks.community(f"{field}.communities.values", value)
    yield from _operations(f"{field}.operations", rule)


def _operations(field: str, rule: FilterRule) -> Iterator[Problem]:
    if rule.operations and rule.action != "Accept":
        yield Problem(field, "are for the action Accept only")
    if len(rule.operations) > MAX_OPERATIONS:
        yield Problem(field, f"has more than {MAX_OPERATIONS} operations")
    for number, operation in enumerate(rule.operations):
        yield from _operation(f"{field}[{number}]", operation)


def _prefix_length(field: str, length: PrefixLength, most: int) -> Iterator[Problem]:
    for end, value in (("min", length.min), ("max", length.max)):
        yield from checks.between(f"{field}.{end}", value, 0, most)
    if (length.min or 0) > (most if length.max is None else length.max):
        yield Problem(field, "the min is greater than the max")


def _operation(field: str, operation: dict[str, Any]) -> Iterator[Problem]:
    name, value = next(iter(operation.items()), ("", None))
    if len(operation) != 1 or name not in OPERATIONS:
        yield Problem(field, f"each is one of {', '.join(OPERATIONS)}")
        return
    within = value.get(OPERATIONS[name]) if isinstance(value, dict) else None
    at = f"{field}.{name}.{OPERATIONS[name]}"
    if name == "addCommunity" and isinstance(within, str):
        yield from checks.community(at, within)
    elif name == "prependASPath" and isinstance(within, list) and within:
        for number in within:
            yield from checks.as_number(at, number if isinstance(number, int | str) else "")
    elif name == "setPriority" and isinstance(within, int) and not isinstance(within, bool):
        yield from checks.between(at, within, 1, 2**31 - 1)
    else:
        yield Problem(at, "is missing, or of another type")


BGP_FILTER = Kind(name="BGPFilter", plural="bgpfilters", spec=BGPFilterSpec, check=check)
