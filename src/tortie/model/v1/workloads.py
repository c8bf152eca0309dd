"""Policies, profiles and endpoints of the v1 form."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from tortie.base.errors import Invalid
from tortie.model import checks
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT, HostEndpointSpec
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.kinds.workload_endpoint import (
    ORCHESTRATOR_LABEL,
    WORKLOAD_ENDPOINT,
    Nat,
    WorkloadEndpointSpec,
    name_of,
)
from tortie.model.network_sets import NAMESPACE_LABEL
from tortie.model.policy_parts import DEFAULT_TIER, PolicyType
from tortie.model.resource import Metadata, Resource
from tortie.model.v1 import names
from tortie.model.v1.documents import fault
from tortie.model.v1.rules import TAG, in_namespace, rules_from_v1, rules_to_v1
from tortie.model.v1.shapes import (
    HostEndpointMetadata,
    LaterPolicySpec,
    Named,
    ProfileMetadata,
    V1HostEndpointSpec,
    V1Nat,
    V1PolicySpec,
    V1ProfileSpec,
    V1WorkloadEndpointSpec,
    WorkloadEndpointMetadata,
)

NAMESPACE = "default"
_NAME = r"[a-zA-Z0-9_./-]{1,128}"
_INTERFACE = r"[a-zA-Z0-9_-]{1,15}"


def policy_from_v1(metadata: Named, spec: V1PolicySpec) -> Resource[GlobalNetworkPolicySpec]:
    """About both directions, whatever rules there are, unless it says itself which."""
    later = spec if isinstance(spec, LaterPolicySpec) else LaterPolicySpec()
    _check_name("policy", metadata.name)
    ingress, egress = _rules("policy", spec)
    made = GlobalNetworkPolicySpec(
        tier=DEFAULT_TIER,
        order=spec.order,
        selector=in_namespace(spec.selector),
        types=_types(later),
        do_not_track=spec.do_not_track,
        pre_dnat=later.pre_dnat,
        apply_on_forward=spec.do_not_track or later.pre_dnat or later.apply_on_forward,
        ingress=ingress,
        egress=egress,
    )
    name = names.policy_name(metadata.name)
    return Resource(kind=GLOBAL_NETWORK_POLICY, metadata=names.remembered(name, metadata.name), spec=made)


def _types(spec: LaterPolicySpec) -> tuple[PolicyType, ...]:
    if not spec.types:
        return ("Ingress",) if spec.pre_dnat else ("Ingress", "Egress")
    return tuple("Ingress" if text.lower() == "ingress" else "Egress" for text in spec.types)


def policy_to_v1(resource: Resource[GlobalNetworkPolicySpec]) -> tuple[Named, V1PolicySpec]:
    spec = resource.spec
    made = V1PolicySpec(
        order=spec.order,
        ingress=rules_to_v1(spec.ingress),
        egress=rules_to_v1(spec.egress),
        selector=spec.selector,
        do_not_track=spec.do_not_track,
    )
    return Named(name=names.original_of(resource.metadata)), made


def profile_from_v1(metadata: ProfileMetadata, spec: V1ProfileSpec) -> Resource[ProfileSpec]:
    _check_name("profile", metadata.name)
    faults = [fault("Tag", tag, "metadata.tags: no tag") for tag in metadata.tags if re.fullmatch(TAG, tag) is None]
    faults += [
        fault("Tag", tag, f"metadata.tags: also a label, with the value {metadata.labels[tag]!r}")
        for tag in metadata.tags
        if metadata.labels.get(tag)
    ]
    if faults:
        raise Invalid(*faults)
    ingress, egress = _rules("profile", spec)
    labels = {**dict.fromkeys(metadata.tags, ""), **metadata.labels}
    made = ProfileSpec(ingress=ingress, egress=egress, labels_to_apply=labels)
    name = names.profile_name(metadata.name)
    return Resource(kind=PROFILE, metadata=names.remembered(name, metadata.name), spec=made)


def profile_to_v1(resource: Resource[ProfileSpec]) -> tuple[ProfileMetadata, V1ProfileSpec]:
    spec = resource.spec
    applied = spec.labels_to_apply
    metadata = ProfileMetadata(
        name=names.original_of(resource.metadata),
        tags=tuple(label for label, value in applied.items() if not value and re.fullmatch(TAG, label)),
        labels={label: value for label, value in applied.items() if value or not re.fullmatch(TAG, label)},
    )
    made = V1ProfileSpec(
        ingress=rules_to_v1(spec.ingress),
        egress=rules_to_v1(spec.egress),
    )
    return metadata, made


def host_endpoint_from_v1(metadata: HostEndpointMetadata, spec: V1HostEndpointSpec) -> Resource[HostEndpointSpec]:
    _check_name("hostEndpoint", metadata.name)
    if spec.interface_name and re.fullmatch(_INTERFACE, spec.interface_name) is None:
        raise Invalid(fault("InterfaceName", spec.interface_name, "up to 15 letters, digits, '_' and '-'"))
    node = names.node_name(metadata.node)
    made = HostEndpointSpec(
        node=node,
        interface_name=spec.interface_name,
        expected_ips=spec.expected_ips,
        profiles=tuple(names.profile_name(profile) for profile in spec.profiles),
    )
    own = names.remembered(names.v3_name(metadata.name), metadata.name)
    whole = msgspec.structs.replace(own, name=f"{node}.{own.name}", labels=metadata.labels)
    return Resource(kind=HOST_ENDPOINT, metadata=whole, spec=made)


def host_endpoint_to_v1(resource: Resource[HostEndpointSpec]) -> tuple[HostEndpointMetadata, V1HostEndpointSpec]:
    spec = resource.spec
    name = names.original_of(resource.metadata).removeprefix(f"{spec.node}.")
    metadata = HostEndpointMetadata(name=name, node=spec.node, labels=resource.metadata.labels)
    made = V1HostEndpointSpec(
        interface_name=spec.interface_name, expected_ips=spec.expected_ips, profiles=spec.profiles
    )
    return metadata, made


def workload_endpoint_from_v1(
    metadata: WorkloadEndpointMetadata, spec: V1WorkloadEndpointSpec
) -> Resource[WorkloadEndpointSpec]:
    """The workload of k8s is `namespace.pod`; that of cni the container's id unless another is given."""
    if not metadata.name:
        raise Invalid(fault("Name", "", "workloadEndpoint: is missing"))
    orchestrator, workload = metadata.orchestrator, metadata.workload
    namespace, dot, pod = workload.partition(".")
    kubernetes = orchestrator == "k8s" and bool(dot)
    made = WorkloadEndpointSpec(
        orchestrator=orchestrator,
        workload="" if kubernetes else workload,
        node=names.node_name(metadata.node),
        container_id=metadata.active_instance_id or (workload if orchestrator == "cni" else ""),
        pod=pod if kubernetes else "",
        endpoint=metadata.name,
        ip_networks=with_lengths(spec.ip_networks),
        ip_nats=tuple(Nat(internal_ip=nat.internal_ip, external_ip=nat.external_ip) for nat in spec.ip_nats),
        ipv4_gateway=spec.ipv4_gateway,
        ipv6_gateway=spec.ipv6_gateway,
        profiles=tuple(names.profile_name(profile) for profile in spec.profiles),
        interface_name=spec.interface_name,
        mac=spec.mac,
    )
    computed = name_of(made)
    name = computed if re.fullmatch(checks.SUBDOMAIN, computed) else names.v3_name(computed)
    own = Metadata(name=name, namespace=namespace if kubernetes else NAMESPACE, labels=metadata.labels)
    return Resource(kind=WORKLOAD_ENDPOINT, metadata=own, spec=made)


def workload_endpoint_to_v1(
    resource: Resource[WorkloadEndpointSpec],
) -> tuple[WorkloadEndpointMetadata, V1WorkloadEndpointSpec]:
    spec = resource.spec
    workload = spec.workload or (f"{resource.metadata.namespace}.{spec.pod}" if spec.pod else spec.container_id)
    instance = "" if spec.orchestrator == "cni" and spec.container_id == workload else spec.container_id
    forced = (NAMESPACE_LABEL, ORCHESTRATOR_LABEL)
    metadata = WorkloadEndpointMetadata(
        name=spec.endpoint,
        workload=workload,
        orchestrator=spec.orchestrator,
        node=spec.node,
        active_instance_id=instance,
        labels={key: value for key, value in resource.metadata.labels.items() if key not in forced},
    )
    made = V1WorkloadEndpointSpec(
        ip_networks=spec.ip_networks,
        ip_nats=tuple(V1Nat(internal_ip=nat.internal_ip, external_ip=nat.external_ip) for nat in spec.ip_nats),
        ipv4_gateway=spec.ipv4_gateway,
        ipv6_gateway=spec.ipv6_gateway,
        profiles=spec.profiles,
        interface_name=spec.interface_name,
        mac=spec.mac,
    )
    return metadata, made


def with_lengths(networks: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses as networks of one address each."""
    return tuple(text if "/" in text else f"{text}/{128 if ':' in text else 32}" for text in networks)


def _rules(kind: str, spec: V1PolicySpec | V1ProfileSpec) -> tuple[Any, Any]:
    made: list[Any] = []
    faults: list[str] = []
    for end, found in (("ingress", spec.ingress), ("egress", spec.egress)):
        try:
            made.append(rules_from_v1(f"{kind}: spec.{end}", found))
        except Invalid as error:
            faults += error.problems
    if faults:
        raise Invalid(*faults)
    return made[0], made[1]


def _check_name(kind: str, name: str) -> None:
    if re.fullmatch(_NAME, name) is None:
        raise Invalid(fault("Name", name, f"{kind}: up to 128 letters, digits, '_', '.', '-' and '/'"))
