"""Documents of the v1 form to v3 resources and back.

The way in is `from_v1`, the way back `to_v1`. What has no v1 form raises `NoOldForm`; a front hides it. `fill` is a
replace in the old form: fields that the old form does not speak of stay, and what it would lose is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from tortie.base.errors import Invalid
from tortie.model.codec import UNREADABLE, Value, from_builtins, strangers, to_builtins
from tortie.model.kinds.bgp_peer import BGP_PEER
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.node import NODE
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import Kind, Resource, with_defaults, worded
from tortie.model.v1 import hosts, names, rules, workloads
from tortie.model.v1.documents import VERSION, Document, as_object, fields, unknown_parts
from tortie.model.v1.shapes import (
    HostEndpointMetadata,
    LaterPolicyMetadata,
    LaterPolicySpec,
    Named,
    PeerMetadata,
    PoolMetadata,
    ProfileMetadata,
    V1HostEndpointSpec,
    V1NodeSpec,
    V1PeerSpec,
    V1PolicySpec,
    V1PoolSpec,
    V1ProfileSpec,
    V1WorkloadEndpointSpec,
    WorkloadEndpointMetadata,
)


class NoOldForm(Invalid):
    """The resource says something that the v1 form cannot: hide it there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One v1 kind. `identity`: the metadata that tell two of its resources apart.

    `kept`: the attributes of the v3 spec that the v1 form does not speak of; a replace leaves them as they are.
    """

    name: str
    kind: Kind[Any]
    metadata: type[Value]
    spec: type[Value]
    identity: tuple[str, ...]
    kept: tuple[str, ...]
    read: Callable[[Any, Any], Resource[Any]]
    write: Callable[[Resource[Any]], tuple[Value, Value]]


FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        Form(
            name="bgpPeer",
            kind=BGP_PEER,
            metadata=PeerMetadata,
            spec=V1PeerSpec,
            identity=("scope", "node", "peerIP"),
            kept=(
                "local_as_number",
                "keep_original_next_hop",
                "next_hop_mode",
                "password",
                "source_address",
                "max_restart_time",
                "keepalive_time",
                "num_allowed_local_as_numbers",
                "ttl_security",
                "reachable_by",
                "filters",
                "reverse_peering",
            ),
            read=hosts.peer_from_v1,
            write=hosts.peer_to_v1,
        ),
        Form(
            name="hostEndpoint",
            kind=HOST_ENDPOINT,
            metadata=HostEndpointMetadata,
            spec=V1HostEndpointSpec,
            identity=("node", "name"),
            kept=("ports",),
            read=workloads.host_endpoint_from_v1,
            write=workloads.host_endpoint_to_v1,
        ),
        Form(
            name="ipPool",
            kind=IP_POOL,
            metadata=PoolMetadata,
            spec=V1PoolSpec,
            identity=("cidr",),
            kept=(
                "vxlan_mode",
                "block_size",
                "node_selector",
                "namespace_selector",
                "allowed_uses",
                "assignment_mode",
                "disable_bgp_export",
            ),
            read=hosts.pool_from_v1,
            write=hosts.pool_to_v1,
        ),
        Form(
            name="node",
            kind=NODE,
            metadata=Named,
            spec=V1NodeSpec,
            identity=("name",),
            kept=(
                "ipv4_vxlan_tunnel_addr",
                "ipv6_vxlan_tunnel_addr",
                "vxlan_tunnel_mac_addr",
                "vxlan_tunnel_mac_addr_v6",
                "orch_refs",
                "wireguard",
                "addresses",
                "interfaces",
            ),
            read=hosts.node_from_v1,
            write=hosts.node_to_v1,
        ),
        Form(
            name="policy",
            kind=GLOBAL_NETWORK_POLICY,
            metadata=Named,
            spec=V1PolicySpec,
            identity=("name",),
            kept=("performance_hints",),
            read=workloads.policy_from_v1,
            write=workloads.policy_to_v1,
        ),
        Form(
            name="profile",
            kind=PROFILE,
            metadata=ProfileMetadata,
            spec=V1ProfileSpec,
            identity=("name",),
            kept=(),
            read=workloads.profile_from_v1,
            write=workloads.profile_to_v1,
        ),
        Form(
            name="workloadEndpoint",
            kind=WORKLOAD_ENDPOINT,
            metadata=WorkloadEndpointMetadata,
            spec=V1WorkloadEndpointSpec,
            identity=("node", "orchestrator", "workload", "name"),
            kept=(
                "workload",
                "pod",
                "container_id",
                "service_account_name",
                "ports",
                "allow_spoofed_source_prefixes",
                "qos_controls",
            ),
            read=workloads.workload_endpoint_from_v1,
            write=workloads.workload_endpoint_to_v1,
        ),
    )
}
_BY_KIND = {form.kind.name: form for form in FORMS.values()}


def recognise(raw: Any, *, later: bool = False) -> Document:
    """The document under its kind's own name, with its parts; what it says is not looked at any further.

    Invalid for one of no kind, or with a field that its kind has not. `later` as for `from_v1`.
    """
    given = as_object(raw)
    form = _form(given)
    shapes = _shapes(form, later=later)
    faults = unknown_parts(form.name, given)
    document: Document = {"apiVersion": VERSION, "kind": form.name}
    for name, shape in zip(("metadata", "spec"), shapes, strict=True):
        part = given.get(name)
        part = {} if part is None and name == "spec" else part
        if not isinstance(part, dict):
            faults.append(f"{form.name}: {name} is {'missing' if part is None else 'no object'}")
            continue
        faults += [f"{form.name}: unknown field {name}.{field}" for field in part if field not in fields(shape)]
        document[name] = part
    if faults:
        raise Invalid(*faults)
    return document


def missing(document: Document) -> list[str]:
    """The identifiers that a recognised document lacks."""
    metadata = document["metadata"]
    names = [name for name in FORMS[document["kind"]].identity if not metadata.get(name)]
    optional = document["kind"] == "bgpPeer" and metadata.get("scope") != "node"
    return [name for name in names if not (optional and name == "node")]


def from_v1(document: Any, *, checked: bool = True, later: bool = False) -> Resource[Any]:
    """The v3 resource of one document. Invalid lists what is wrong with it, unknown fields too.

    `checked` false: what v3 would refuse is let through, for a person to mend. `later`: the fields that releases after
    1.3 added to the form are fields too.
    """
    form, metadata, spec = _parse(document, later=later)
    resource = with_defaults(form.read(metadata, spec))
    faults = worded(resource) if checked else []
    if faults:
        raise Invalid(*faults)
    return resource


def warnings(document: Any) -> list[str]:
    """What a person should know about a document that `from_v1` accepts."""
    _, _, spec = _parse(document, later=True)
    said = [*getattr(spec, "ingress", ()), *getattr(spec, "egress", ())]
    return [rules.NO_PROTOCOL] if rules.said_without_protocol(said) else []


def to_v1(resource: Resource[Any], tags: Collection[str] = ()) -> Document:
    """The document. Raises NoOldForm for what the v1 form has no words for.

    `tags`: the labels that profiles give with an empty value; `has(t)` of one of them reads as the tag.
    """
    form = _BY_KIND.get(resource.kind.name)
    if form is None:
        raise NoOldForm(f"{resource.kind.name} {resource.name}: the v1 form has no such kind")
    known = frozenset((*tags, *_own_tags(resource)))
    there = _normal(resource, known)
    document = _document(there, form)
    lost = _lost(there, _filled(form, there, from_v1(document)))
    if lost:
        raise NoOldForm(f"{resource.kind.name} {resource.name}: the v1 form has no words for {', '.join(lost)}")
    return document


def find_v1(resource: Resource[Any], tags: Collection[str] = ()) -> Document | None:
    """As `to_v1`, None for what has no v1 form."""
    try:
        return to_v1(resource, tags)
    except Invalid:
        return None


def identity(document: Document) -> tuple[str, ...]:
    """What tells this v1 resource from all others, its kind first; of a recognised document or one made by us.

    A resource in the store may bear another v3 name than the one that the document converts to.
    """
    form = FORMS[document["kind"]]
    metadata = document["metadata"]
    return (form.name, *(str(metadata.get(name) or "") for name in form.identity))


def may_be(resource: Resource[Any], kind: str, metadata: Mapping[str, Any]) -> bool:
    """False when the resource's v1 form cannot have these identifiers: a look that costs no conversion.

    An identifier that is absent or empty may be any."""
    name = metadata.get("name")
    return not name or FORMS[kind].identity != ("name",) or names.original_of(resource.metadata) == name


def fill(there: Resource[Any], wanted: Resource[Any]) -> Resource[Any]:
    """A replace: the wanted resource in the place of the one there. NoOldForm when that would lose what it says."""
    to_v1(there)
    return _filled(_BY_KIND[there.kind.name], there, wanted)


def _form(document: Document) -> Form:
    """The kind is found whatever its capitals."""
    version, kind = document.get("apiVersion"), document.get("kind")
    form = next((form for name, form in FORMS.items() if name.lower() == str(kind).lower()), None)
    if version != VERSION or form is None:
        raise Invalid(f"Unknown resource type ({kind}) and/or version ({version})")
    return form


LATER: dict[str, tuple[type[Value], type[Value]]] = {"policy": (LaterPolicyMetadata, LaterPolicySpec)}


def _shapes(form: Form, *, later: bool) -> tuple[type[Value], type[Value]]:
    own = (form.metadata, form.spec)
    return LATER.get(form.name, own) if later else own


def _parse(raw: Any, *, later: bool = False) -> tuple[Form, Value, Value]:
    document = as_object(raw)
    form = _form(document)
    shapes = _shapes(form, later=later)
    faults = unknown_parts(form.name, document)
    parts = []
    for name, shape in zip(("metadata", "spec"), shapes, strict=True):
        found = document.get(name)
        try:
            part = from_builtins(shape, {} if found is None else found)
        except UNREADABLE as error:
            faults.append(f"{form.name}: {name}: {error}")
            continue
        faults += [f"{form.name}: unknown field {name}.{path}" for path in strangers(part)]
        parts.append(part)
    if faults:
        raise Invalid(*faults)
    return form, parts[0], parts[1]


def _document(resource: Resource[Any], form: Form) -> Document:
    try:
        metadata, spec = form.write(resource)
    except Invalid as error:
        raise NoOldForm(*(f"{resource.kind.name} {resource.name}: {problem}" for problem in error.problems)) from error
    parts = {"metadata": to_builtins(metadata), "spec": to_builtins(spec)}
    document: Document = msgspec.json.decode(msgspec.json.encode(parts))
    return {"apiVersion": VERSION, "kind": form.name, **document}


def _own_tags(resource: Resource[Any]) -> list[str]:
    return [label for label, value in getattr(resource.spec, "labels_to_apply", {}).items() if not value]


def _filled(form: Form, there: Resource[Any], wanted: Resource[Any]) -> Resource[Any]:
    kept = {name: getattr(there.spec, name) for name in form.kept}
    spec = msgspec.structs.replace(wanted.spec, **kept, unknown=there.spec.unknown)
    if form.name == "node" and there.spec.bgp is not None and spec.bgp is not None:
        own = {name: getattr(there.spec.bgp, name) for name in ("ipv4_ipip_tunnel_addr", "route_reflector_cluster_id")}
        bgp = msgspec.structs.replace(spec.bgp, **own, unknown=there.spec.bgp.unknown)
        spec = msgspec.structs.replace(spec, bgp=bgp)
    labels = wanted.metadata.labels if form.name.endswith("Endpoint") else there.metadata.labels
    metadata = msgspec.structs.replace(there.metadata, labels=labels)
    return replace(there, metadata=metadata, spec=spec)


def _lost(there: Resource[Any], again: Resource[Any]) -> list[str]:
    """The fields of a resource that are others after a way through the v1 form."""
    one, two = (with_defaults(item) for item in (there, again))
    before, after = _said(one), _said(two)
    lost = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return lost if one.metadata.labels == two.metadata.labels else ["labels", *lost]


def _said(resource: Resource[Any]) -> dict[str, Any]:
    """The fields of the spec; one that is false says as much as one that is absent."""
    return {name: value for name, value in to_builtins(resource.spec).items() if value is not False}


def _normal(resource: Resource[Any], tags: frozenset[str]) -> Resource[Any]:
    """Rules in the one way of writing them, addresses with their length."""
    changed: dict[str, Any] = {
        name: tuple(rules.normal_rule(rule, tags) for rule in getattr(resource.spec, name))
        for name in ("ingress", "egress")
        if hasattr(resource.spec, name)
    }
    if hasattr(resource.spec, "ip_networks"):
        changed["ip_networks"] = workloads.with_lengths(resource.spec.ip_networks)
    return replace(resource, spec=msgspec.structs.replace(resource.spec, **changed)) if changed else resource
