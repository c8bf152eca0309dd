"""What the kinds of policy have in common: fields, checks, defaults, names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, TypeVar

import msgspec

from tortie.model import checks, rule_checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import Rule

DEFAULT_TIER = "default"
TIER_LABEL = "projectcalico.org/tier"
STAGED_ACTIONS = ("Set", "Delete", "Learn", "Ignore")

PolicyType = Literal["Ingress", "Egress"]
StagedAction = Literal["Set", "Delete", "Learn", "Ignore"]


class PolicyHead(Value, frozen=True, kw_only=True):
    """`order` None comes after every number; an empty `types` is filled on a write, from the rules."""

    tier: str = ""
    order: int | float | None = None
    selector: str = ""
    service_account_selector: str = ""
    types: tuple[PolicyType, ...] = ()


class PolicyRules(PolicyHead, frozen=True, kw_only=True):
    """The fields of a policy inside one namespace."""

    performance_hints: tuple[str, ...] = ()
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()


class GlobalPolicyRules(PolicyHead, frozen=True, kw_only=True):
    """The fields of a policy for all namespaces and for hosts."""

    namespace_selector: str = ""
    do_not_track: bool = False
    apply_on_forward: bool = False
    pre_dnat: bool = msgspec.field(default=False, name="preDNAT")
    performance_hints: tuple[str, ...] = ()
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()


P = TypeVar("P", bound=PolicyRules | GlobalPolicyRules)


def check_local(spec: PolicyRules) -> Iterator[Problem]:
    yield from _check_head(spec)
    yield from rule_checks.rules(spec.ingress, spec.egress, everywhere=False)


def check_global(spec: GlobalPolicyRules) -> Iterator[Problem]:
    yield from _check_head(spec)
    yield from checks.selector("spec.namespaceSelector", spec.namespace_selector)
    if spec.do_not_track and spec.pre_dnat:
        yield Problem("spec.preDNAT", "PreDNAT and DoNotTrack cannot both be true, for a given PolicySpec")
    if spec.pre_dnat and spec.egress:
        yield Problem("spec.egress", "PreDNAT PolicySpec cannot have any Egress rules")
    if spec.pre_dnat and "Egress" in spec.types:
        yield Problem("spec.types", "PreDNAT PolicySpec cannot have 'Egress' Type")
    if (spec.pre_dnat or spec.do_not_track) and not spec.apply_on_forward:
        yield Problem("spec.applyOnForward", "ApplyOnForward must be true if either PreDNAT or DoNotTrack is true")
    yield from rule_checks.rules(spec.ingress, spec.egress)


def _check_head(spec: PolicyRules | GlobalPolicyRules) -> Iterator[Problem]:
    if spec.tier and re.fullmatch(checks.DNS_LABEL, spec.tier) is None:
        yield Problem("spec.tier", f"{spec.tier!r} is no name of a tier")
    yield from checks.selector("spec.selector", spec.selector)
    yield from checks.selector("spec.serviceAccountSelector", spec.service_account_selector)
    if len(set(spec.types)) < len(spec.types):
        yield Problem("spec.types", "names one type twice")
    for hint in spec.performance_hints:
        yield from checks.one_of("spec.performanceHints", hint, ("AssumeNeededOnEveryNode",))


def check_staged(spec: Any, action: StagedAction | None) -> Iterator[Problem]:
    """With the action Delete nothing but the tier may be said."""
    if action != "Delete":
        return
    said = [
        field.encode_name
        for field in msgspec.structs.fields(spec)
        if field.name not in ("tier", "staged_action", "unknown") and getattr(spec, field.name) != field.default
    ]
    if said:
        yield Problem("spec.stagedAction", f"with Delete nothing else may be set: {', '.join(said)}")


def default_types(ingress: tuple[Any, ...], egress: tuple[Any, ...]) -> tuple[PolicyType, ...]:
    """What a policy without types is about: egress only when it has egress rules and no others."""
    if not egress:
        return ("Ingress",)
    return ("Ingress", "Egress") if ingress else ("Egress",)


def defaults(metadata: Metadata, spec: P) -> tuple[Metadata, P]:
    """Tier, types, and the label that tells the tier. A staged Delete gets no types: it may say nothing else."""
    tier = spec.tier or DEFAULT_TIER
    deletes = getattr(spec, "staged_action", None) == "Delete"
    types = () if deletes else default_types(spec.ingress, spec.egress)
    filled = msgspec.structs.replace(spec, tier=tier, types=spec.types or types)
    return with_tier_label(metadata, tier), filled


def staged_defaults(metadata: Metadata, spec: P) -> tuple[Metadata, P]:
    action = getattr(spec, "staged_action", None) or "Set"
    return defaults(metadata, msgspec.structs.replace(spec, staged_action=action))


def with_tier_label(metadata: Metadata, tier: str) -> Metadata:
    return msgspec.structs.replace(metadata, labels={**metadata.labels, TIER_LABEL: tier})


def check_local_name(resource: Resource[Any]) -> Iterator[Problem]:
    """A label, `tier.label`, or a name that was made from a Kubernetes or OpenStack policy."""
    name = resource.name
    if not name.startswith(("knp.default.", "ossg.default.")) and name.count(".") > 1:
        yield Problem("metadata.name", f"{name!r} has more than one dot")
    yield from _check_prefix(resource)


def check_global_name(resource: Resource[Any]) -> Iterator[Problem]:
    if resource.name.count(".") > 1:
        yield Problem("metadata.name", f"{resource.name!r} has more than one dot")
    yield from _check_prefix(resource)


def _check_prefix(resource: Resource[Any]) -> Iterator[Problem]:
    """A name of another tier's form would be read as that tier's policy by programs of an older era."""
    tier, dot, _ = resource.name.partition(".")
    own = resource.spec.tier or DEFAULT_TIER
    if dot and tier not in (own, "knp", "ossg"):
        yield Problem("metadata.name", f"{resource.name!r} begins with another tier than {own}")
