"""Kubernetes NetworkPolicies, Namespaces and ServiceAccounts as Calico resources; values in, values out.

`kubernetes_pods` has the Pods.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from tortie.base.errors import Invalid
from tortie.model.codec import UNREADABLE, Value, from_builtins
from tortie.model.kinds.network_policy import NETWORK_POLICY, NetworkPolicySpec
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.policy_parts import DEFAULT_TIER, PolicyType
from tortie.model.resource import Metadata, Resource, problems, with_defaults
from tortie.model.rule import ANYBODY, EntityRule, Port, Rule

ORDER = 1000
PODS_ONLY = "projectcalico.org/orchestrator == 'k8s'"
METADATA_NAME = "kubernetes.io/metadata.name"
NAMESPACE_PREFIX, ACCOUNT_PREFIX, NAME = "pcns.", "pcsa.", "projectcalico.org/name"
_PROTOCOLS = {"TCP", "UDP", "SCTP"}


class Requirement(Value, frozen=True, kw_only=True):
    key: str
    operator: str
    values: tuple[str, ...] = ()


class LabelSelector(Value, frozen=True, kw_only=True):
    match_labels: dict[str, str] = {}
    match_expressions: tuple[Requirement, ...] = ()


class IPBlock(Value, frozen=True, kw_only=True):
    cidr: str
    excluded: tuple[str, ...] = msgspec.field(default=(), name="except")


class Peer(Value, frozen=True, kw_only=True):
    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = msgspec.field(default=None, name="ipBlock")


class PolicyPort(Value, frozen=True, kw_only=True):
    protocol: str = "TCP"
    port: int | str | None = None
    end_port: int | None = None


class IngressRule(Value, frozen=True, kw_only=True):
    peers: tuple[Peer, ...] = msgspec.field(default=(), name="from")
    ports: tuple[PolicyPort, ...] = ()


class EgressRule(Value, frozen=True, kw_only=True):
    peers: tuple[Peer, ...] = msgspec.field(default=(), name="to")
    ports: tuple[PolicyPort, ...] = ()


class PolicySpec(Value, frozen=True, kw_only=True):
    pod_selector: LabelSelector = LabelSelector()
    ingress: tuple[IngressRule, ...] = ()
    egress: tuple[EgressRule, ...] = ()
    policy_types: tuple[PolicyType, ...] = ()


class Policy(Value, frozen=True, kw_only=True):
    metadata: Metadata
    spec: PolicySpec = PolicySpec()


class Owner(Value, frozen=True, kw_only=True):
    metadata: Metadata


def network_policy(document: Any) -> Resource[NetworkPolicySpec]:
    """A NetworkPolicy of networking.k8s.io; without policyTypes about ingress only. Invalid says what is wrong."""
    try:
        policy = from_builtins(Policy, document)
    except UNREADABLE as error:
        raise Invalid(f"NetworkPolicy: {error}") from error
    spec = NetworkPolicySpec(
        tier=DEFAULT_TIER,
        order=ORDER,
        selector=_pods(policy.spec.pod_selector),
        types=policy.spec.policy_types or ("Ingress",),
        ingress=tuple(rule for item in policy.spec.ingress for rule in _rules(item.peers, item.ports, incoming=True)),
        egress=tuple(rule for item in policy.spec.egress for rule in _rules(item.peers, item.ports, incoming=False)),
    )
    metadata = Metadata(name=policy.metadata.name, namespace=policy.metadata.namespace or "default")
    resource = with_defaults(Resource(kind=NETWORK_POLICY, metadata=metadata, spec=spec))
    faults = [f"NetworkPolicy {metadata.name}: {problem}" for problem in problems(resource)]
    if faults:
        raise Invalid(*faults)
    return resource


def namespace_profile(document: Any) -> Resource[ProfileSpec]:
    """Profile `kns.NAMESPACE`: everything is allowed, its endpoints inherit the namespace's labels."""
    metadata = _owner("Namespace", document)
    allow = (Rule(action="Allow"),)
    # The API server gives every namespace this label; a manifest does not say it.
    labels = {f"{NAMESPACE_PREFIX}{METADATA_NAME}": metadata.name, **_inherited(NAMESPACE_PREFIX, metadata)}
    spec = ProfileSpec(ingress=allow, egress=allow, labels_to_apply=labels)
    return Resource(kind=PROFILE, metadata=Metadata(name=f"kns.{metadata.name}"), spec=spec)


def account_profile(document: Any) -> Resource[ProfileSpec]:
    """Profile `ksa.NAMESPACE.ACCOUNT`: labels, and no rules."""
    metadata = _owner("ServiceAccount", document)
    name = f"ksa.{metadata.namespace or 'default'}.{metadata.name}"
    spec = ProfileSpec(labels_to_apply=_inherited(ACCOUNT_PREFIX, metadata))
    return Resource(kind=PROFILE, metadata=Metadata(name=name), spec=spec)


def selector_text(selector: LabelSelector) -> str:
    """The expression of a label selector; "" for one that is empty. Invalid for an operator that nobody knows."""
    terms = [f"{key} == '{value}'" for key, value in sorted(selector.match_labels.items())]
    terms += [_requirement(item) for item in selector.match_expressions]
    return " && ".join(terms)


def _requirement(item: Requirement) -> str:
    values = "{ " + ", ".join(f"'{value}'" for value in item.values) + " }"
    texts = {
        "In": f"{item.key} in {values}",
        "NotIn": f"{item.key} not in {values}",
        "Exists": f"has({item.key})",
        "DoesNotExist": f"! has({item.key})",
    }
    if item.operator not in texts:
        raise Invalid(f"matchExpressions: operator {item.operator!r} is none of {', '.join(texts)}")
    return texts[item.operator]


def _pods(selector: LabelSelector) -> str:
    text = selector_text(selector)
    return f"{PODS_ONLY} && {text}" if text else PODS_ONLY


def _rules(peers: Sequence[Peer], ports: Sequence[PolicyPort], *, incoming: bool) -> Iterator[Rule]:
    """One rule for each protocol and peer, protocols outside."""
    sides = [_side(peer) for peer in peers] or [ANYBODY]
    for protocol, listed in _by_protocol(ports):
        for side in sides:
            if incoming:
                target = EntityRule(ports=listed) if listed else ANYBODY
                yield Rule(action="Allow", protocol=protocol, source=side, destination=target)
            else:
                target = msgspec.structs.replace(side, ports=listed) if listed else side
                yield Rule(action="Allow", protocol=protocol, destination=target)


def _side(peer: Peer) -> EntityRule:
    if peer.ip_block is not None:
        if peer.pod_selector is not None or peer.namespace_selector is not None:
            raise Invalid("a peer with an ipBlock cannot have selectors")
        return EntityRule(nets=(peer.ip_block.cidr,), not_nets=peer.ip_block.excluded)
    if peer.pod_selector is None and peer.namespace_selector is None:
        raise Invalid("a peer needs a podSelector, a namespaceSelector or an ipBlock")
    # The orchestrator's term stands there without a podSelector too: no host ever matches.
    selector = _pods(peer.pod_selector or LabelSelector())
    if peer.namespace_selector is None:
        return EntityRule(selector=selector)
    return EntityRule(selector=selector, namespace_selector=selector_text(peer.namespace_selector) or "all()")


def _by_protocol(ports: Sequence[PolicyPort]) -> list[tuple[str | None, tuple[Port, ...]]]:
    """(protocol, its ports; empty for all of them). Without any port: every protocol."""
    if not ports:
        return [(None, ())]
    unknown = [port.protocol for port in ports if port.protocol not in _PROTOCOLS]
    if unknown:
        raise Invalid(*(f"protocol {protocol!r} is none of TCP, UDP, SCTP" for protocol in unknown))
    found: list[tuple[str | None, tuple[Port, ...]]] = []
    for protocol in sorted({port.protocol for port in ports}):
        own = [port for port in ports if port.protocol == protocol]
        everything = any(port.port is None for port in own)
        found.append((protocol, () if everything else _merged(own)))
    return found


def _merged(ports: Sequence[PolicyPort]) -> tuple[Port, ...]:
    """Numbers and ranges in order, those that touch as one; then the names."""
    spans = sorted((port.port, port.end_port or port.port) for port in ports if isinstance(port.port, int))
    merged: list[tuple[int, int]] = []
    for low, high in spans:
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    numbers: list[Port] = [low if low == high else f"{low}:{high}" for low, high in merged]
    return (*numbers, *sorted({port.port for port in ports if isinstance(port.port, str)}))


def _owner(kind: str, document: Any) -> Metadata:
    try:
        return from_builtins(Owner, document).metadata
    except UNREADABLE as error:
        raise Invalid(f"{kind}: {error}") from error


def _inherited(prefix: str, metadata: Metadata) -> dict[str, str]:
    labels = {f"{prefix}{key}": value for key, value in metadata.labels.items()}
    return {**labels, f"{prefix}{NAME}": metadata.name}
