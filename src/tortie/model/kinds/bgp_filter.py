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
        for end, length in (("min", rule.prefix_length.min), ("max", rule.prefix_length.max)):
            yield from checks.between(f"{field}.prefixLength.{end}", length, 0, 32 if version == 4 else 128)
    if rule.communities is not None and len(rule.communities.values) != 1:
        yield Problem(f"{field}.communities.values", "needs exactly one value")
    for value in rule.communities.values if rule.communities else ():
        yield from checks.community(f"{field}.communities.values", value)
    if rule.operations and rule.action != "Accept":
        yield Problem(f"{field}.operations", "are for the action Accept only")
    if len(rule.operations) > MAX_OPERATIONS:
        yield Problem(f"{field}.operations", f"has more than {MAX_OPERATIONS} operations")
    for operation in rule.operations:
        if len(operation) != 1 or not operation.keys() <= {"addCommunity", "prependASPath", "setPriority"}:
            yield Problem(f"{field}.operations", "each is one of addCommunity, prependASPath, setPriority")


BGP_FILTER = Kind(name="BGPFilter", plural="bgpfilters", spec=BGPFilterSpec, check=check)
