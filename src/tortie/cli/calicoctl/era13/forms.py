"""Resources of apiVersion v1 as v3 documents and back. Pure.

What v1 cannot say has no v1 form: `to_v1` answers None, the front hides it and refuses to replace it. Names that v3
does not allow get the upgrade's name, and the annotation ORIGINAL keeps the one that was given.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from ipaddress import ip_address
from typing import Any

from tortie.base.errors import Invalid
from tortie.cli.calicoctl.era13 import rules
from tortie.model.kinds.workload_endpoint import endpoint_name
from tortie.model.resource import API_VERSION

ORIGINAL = "tortie/v1-name"
CALICO_LABELS = "projectcalico.org/"

Document = dict[str, Any]

FIELDS: dict[str, tuple[str, str, str]] = {
    # kind: (kind of v3, fields of metadata, fields of spec)
    "policy": ("GlobalNetworkPolicy", "name annotations", "order ingress egress selector doNotTrack"),
    "profile": ("Profile", "name tags labels", "ingress egress"),
    "workloadEndpoint": (
        "WorkloadEndpoint",
        "name workload orchestrator node activeInstanceID labels",
        "ipNetworks ipNATs ipv4Gateway ipv6Gateway profiles interfaceName mac",
    ),
    "hostEndpoint": ("HostEndpoint", "name node labels", "interfaceName expectedIPs profiles"),
    "ipPool": ("IPPool", "cidr", "ipip nat-outgoing disabled"),
    "bgpPeer": ("BGPPeer", "scope node peerIP", "asNumber"),
    "node": ("Node", "name", "bgp"),
}
IDENTITY = {
    "policy": ("name",),
    "profile": ("name",),
    "workloadEndpoint": ("node", "orchestrator", "workload", "name"),
    "hostEndpoint": ("node", "name"),
    "ipPool": ("cidr",),
    "bgpPeer": ("scope", "node", "peerIP"),
    "node": ("name",),
}
KIND_OF_V3 = {v3: v1 for v1, (v3, _, _) in FIELDS.items()}


def identity(document: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells the resource from all others of its kind."""
    return tuple(str(document["metadata"].get(name) or "") for name in IDENTITY[document["kind"]])


def identity_text(document: Mapping[str, Any]) -> str:
    """`Policy(name=x)`"""
    kind, metadata = document["kind"], document["metadata"]
    names = {"bgpPeer": {"peerIP": "ip"}}.get(kind, {})
    parts = [
        f"{names.get(name, name)}={metadata.get(name, '')}"
        for name in IDENTITY[kind]
        if not (kind == "bgpPeer" and (name == "scope" or (name == "node" and not metadata.get("node"))))
    ]
    shown = {"ipPool": "IPPool", "bgpPeer": "NodeBGPPeer" if metadata.get("node") else "GlobalBGPPeer"}
    return f"{shown.get(kind, kind[0].upper() + kind[1:])}({', '.join(parts)})"


def check(raw: Any) -> Document:
    """A v1 document with metadata and spec. Raises Invalid with every unknown field and missing identifier."""
    if not isinstance(raw, dict):
        raise Invalid(f"expected a resource, found {type(raw).__name__} {str(raw)[:40]!r}")
    kind = next((name for name in FIELDS if name.lower() == str(raw.get("kind")).lower()), None)
    if raw.get("apiVersion") != "v1" or kind is None:
        raise Invalid(f"Unknown resource type ({raw.get('kind')}) and/or version ({raw.get('apiVersion')})")
    _, of_metadata, of_spec = FIELDS[kind]
    metadata, spec = raw.get("metadata"), raw.get("spec")
    faults = [f"unknown field {name}" for name in raw if name not in ("apiVersion", "kind", "metadata", "spec")]
    if not isinstance(metadata, dict):
        raise Invalid(*faults, f"{kind}: metadata is missing")
    if not isinstance(spec, dict | None):
        raise Invalid(*faults, f"{kind}: spec is no object")
    faults += [f"unknown field metadata.{name}" for name in metadata if name not in of_metadata.split()]
    faults += [f"unknown field spec.{name}" for name in spec or {} if name not in of_spec.split()]
    if faults:
        raise Invalid(*faults)
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec or {}}


def complete(document: Document) -> None:
    """Raises Invalid for an identifier that is missing."""
    wanted = [name for name in IDENTITY[document["kind"]] if not document["metadata"].get(name)]
    if document["kind"] == "bgpPeer" and document["metadata"].get("scope") != "node":
        wanted = [name for name in wanted if name != "node"]
    if wanted:
        raise Invalid(f"insufficient identifiers, missing '{wanted[0]}'")


def to_v3(document: Document) -> Document:
    """The v3 document of one that `check` and `complete` accepted. Raises Invalid with every fault."""
    faults: list[str] = []
    metadata, spec = _UP[document["kind"]](document["metadata"], document["spec"], faults)
    if faults:
        raise Invalid(*faults)
    return {"apiVersion": API_VERSION, "kind": FIELDS[document["kind"]][0], "metadata": metadata, "spec": spec}


def to_v1(document: Mapping[str, Any], tags: Collection[str] = ()) -> Document | None:
    """The v1 document of a v3 one, None when v1 cannot say it."""
    kind = KIND_OF_V3.get(document["kind"])
    made = _DOWN[kind](document["metadata"], document.get("spec") or {}, tags) if kind else None
    if made is None:
        return None
    metadata, spec = made
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}


def v3_name(name: str, *, dots: bool = True) -> str:
    """The upgrade's name: lower case, `/` a dot, what is illegal a dash; a hash behind it when anything changed."""
    made = re.sub(r"[^a-z0-9.-]", "-", name.lower().replace("/", "."))
    made = re.sub(r"[.-]*\.[.-]*", ".", made).strip(".-")
    if not dots:
        made = made.replace(".", "-")
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:8]
    return made if made == name else f"{made}-{digest}".lstrip("-")


def _named(name: str, made: str) -> Document:
    return {"name": made, **({"annotations": {ORIGINAL: name}} if made != name else {})}


def _name(metadata: Mapping[str, Any]) -> str:
    return str((metadata.get("annotations") or {}).get(ORIGINAL) or metadata["name"])


# policy, profile


def _policy_up(metadata: Document, spec: Document, faults: list[str]) -> tuple[Document, Document]:
    made: Document = {
        "tier": "default",
        "selector": spec.get("selector") or "",
        "types": ["Ingress", "Egress"],
        "ingress": rules.to_v3(spec.get("ingress"), "spec.ingress", faults),
        "egress": rules.to_v3(spec.get("egress"), "spec.egress", faults),
    }
    if spec.get("order") is not None:
        made["order"] = spec["order"]
    if spec.get("doNotTrack"):
        made |= {"doNotTrack": True, "applyOnForward": True}
    name = _name_checked(metadata["name"], faults)
    return _named(name, v3_name(name, dots=False)), made


def _name_checked(name: Any, faults: list[str]) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[a-zA-Z0-9_./-]{1,128}", name):
        faults.append(f"error with field Name = '{name}' (up to 128 letters, digits, '_', '.', '/' and '-')")
    return str(name)


def _policy_down(
    metadata: Mapping[str, Any], spec: Mapping[str, Any], tags: Collection[str]
) -> tuple[Document, Document] | None:
    known = {"tier", "order", "selector", "types", "ingress", "egress", "doNotTrack", "applyOnForward"}
    ingress, egress = (rules.to_v1(spec.get(way) or (), tags) for way in ("ingress", "egress"))
    said = spec.keys() <= known and spec.get("tier") in (None, "", "default")
    said = said and set(spec.get("types") or ()) == {"Ingress", "Egress"}
    said = said and bool(spec.get("doNotTrack")) == bool(spec.get("applyOnForward"))
    if not said or ingress is None or egress is None:
        return None
    selector = spec.get("selector") or ""
    made: Document = {"egress": egress, "ingress": ingress, "selector": "" if selector == "all()" else selector}
    if spec.get("order") is not None:
        made["order"] = spec["order"]
    if spec.get("doNotTrack"):
        made["doNotTrack"] = True
    return {"name": _name(metadata)}, made


def _profile_up(metadata: Document, spec: Document, faults: list[str]) -> tuple[Document, Document]:
    labels, tags = metadata.get("labels") or {}, metadata.get("tags") or []
    if not isinstance(labels, dict) or not isinstance(tags, list):
        faults.append("error with field Metadata (tags is a list, labels an object)")
        labels, tags = {}, []
    applied = {str(key): str(value) for key, value in labels.items()}
    for tag in tags:
        if not isinstance(tag, str) or not re.fullmatch(r"[a-zA-Z0-9_.-]{1,128}", tag):
            faults.append(f"error with field Tag = '{tag}' (not a tag)")
        elif applied.setdefault(tag, "") != "":
            faults.append(f"error with field Tag = '{tag}' (a label of this name has the value '{applied[tag]}')")
    made = {
        "ingress": rules.to_v3(spec.get("ingress"), "spec.ingress", faults),
        "egress": rules.to_v3(spec.get("egress"), "spec.egress", faults),
        "labelsToApply": applied,
    }
    name = _name_checked(metadata["name"], faults)
    return _named(name, name if "/" not in name else v3_name(name)), made


def _profile_down(
    metadata: Mapping[str, Any], spec: Mapping[str, Any], tags: Collection[str]
) -> tuple[Document, Document] | None:
    applied = spec.get("labelsToApply") or {}
    ours = {*tags, *(label for label, value in applied.items() if value == "")}
    ingress, egress = (rules.to_v1(spec.get(way) or (), ours) for way in ("ingress", "egress"))
    if ingress is None or egress is None or not spec.keys() <= {"ingress", "egress", "labelsToApply"}:
        return None
    made: Document = {"name": _name(metadata)}
    if labels := {label: value for label, value in applied.items() if value}:
        made["labels"] = labels
    if own := [label for label, value in applied.items() if not value]:
        made["tags"] = own
    return made, {"egress": egress, "ingress": ingress}


# endpoints


def _workload_up(metadata: Document, spec: Document, faults: list[str]) -> tuple[Document, Document]:
    node, orchestrator, workload, name = (str(metadata[key]) for key in IDENTITY["workloadEndpoint"])
    container = str(metadata.get("activeInstanceID") or "")
    segment = {"libnetwork": "libnetwork", "cni": container or workload}.get(orchestrator, workload)
    made = {key: value for key, value in spec.items() if value not in (None, [], "")}
    networks = made.get("ipNetworks")
    if isinstance(networks, list):
        made["ipNetworks"] = [_host_network(text, faults) for text in networks]
    made |= {"node": node, "orchestrator": orchestrator, "workload": workload, "endpoint": name}
    if container:
        made["containerID"] = container
    wanted: Document = {
        "name": endpoint_name(node, orchestrator, segment.replace("/", "."), name),
        "namespace": "default",
    }
    if metadata.get("labels"):
        wanted["labels"] = metadata["labels"]
    return wanted, made


def _host_network(text: Any, faults: list[str]) -> str:
    try:
        address, _, length = str(text).partition("/")
        bits = ip_address(address).max_prefixlen
        if length in ("", str(bits)):
            return f"{address}/{bits}"
    except ValueError:
        pass
    faults.append(f"error with field IPNetworks = '{text}' (expected an address, or one with /32 or /128)")
    return str(text)


def _workload_down(
    metadata: Mapping[str, Any], spec: Mapping[str, Any], _tags: Collection[str]
) -> tuple[Document, Document]:
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if not k.startswith(CALICO_LABELS)}
    made: Document = {
        "name": spec.get("endpoint", ""),
        "node": spec.get("node", ""),
        "orchestrator": spec.get("orchestrator", ""),
        "workload": spec.get("workload") or spec.get("containerID") or "",
    }
    if spec.get("containerID"):
        made["activeInstanceID"] = spec["containerID"]
    if labels:
        made["labels"] = labels
    wanted = FIELDS["workloadEndpoint"][2].split()
    return made, {name: spec[name] for name in wanted if spec.get(name)}


def _host_up(metadata: Document, spec: Document, faults: list[str]) -> tuple[Document, Document]:
    if not (spec.get("interfaceName") or spec.get("expectedIPs")):
        faults.append("error with field InterfaceName = '' (no interface or expected IPs have been specified)")
    node, name = str(metadata["node"]), str(metadata["name"])
    wanted = _named(f"{node}.{name}", v3_name(f"{node}.{name}"))
    if metadata.get("labels"):
        wanted["labels"] = metadata["labels"]
    return wanted, {"node": node, **{key: value for key, value in spec.items() if value}}


def _host_down(
    metadata: Mapping[str, Any], spec: Mapping[str, Any], _tags: Collection[str]
) -> tuple[Document, Document] | None:
    if spec.get("interfaceName") == "*" or spec.get("ports"):
        return None
    node = spec.get("node", "")
    made: Document = {"name": _name(metadata).removeprefix(f"{node}."), "node": node}
    if metadata.get("labels"):
        made["labels"] = metadata["labels"]
    return made, {name: spec[name] for name in FIELDS["hostEndpoint"][2].split() if spec.get(name)}


# pools, peers, nodes


def _pool_up(metadata: Document, spec: Document, faults: list[str]) -> tuple[Document, Document]:
    cidr, ipip = str(metadata["cidr"]), spec.get("ipip") or {}
    mode = {"always": "Always", "cross-subnet": "CrossSubnet", "": "Always"}
    asked = ipip.get("mode") or "" if isinstance(ipip, dict) else None
    if asked not in mode or set(ipip) - {"enabled", "mode"}:
        faults.append(f"error with field IPIP = '{ipip}' (expected enabled, and mode always or cross-subnet)")
        return {}, {}
    made = {
        "cidr": cidr,
        "ipipMode": mode[asked] if ipip.get("enabled") else "Never",
        "natOutgoing": bool(spec.get("nat-outgoing")),
        "disabled": bool(spec.get("disabled")),
        "blockSize": 122 if ":" in cidr else 26,
    }
    return {"name": re.sub(r"[.:/]+", "-", cidr).strip("-")}, made


def _pool_down(
    metadata: Mapping[str, Any], spec: Mapping[str, Any], _tags: Collection[str]
) -> tuple[Document, Document] | None:
    usual = spec.get("vxlanMode", "Never") == "Never" and spec.get("nodeSelector", "all()") in ("", "all()")
    usual = usual and spec.get("blockSize", 26) in (26, 122) and spec.get("assignmentMode", "Automatic") == "Automatic"
    if not usual or spec.get("namespaceSelector") or spec.get("disableBGPExport"):
        return None
    made: Document = {}
    if spec.get("ipipMode", "Never") != "Never":
        mode = {"Always": "always", "CrossSubnet": "cross-subnet"}[spec["ipipMode"]]
        made["ipip"] = {"enabled": True, "mode": mode}
    made |= {name: True for name, ours in (("nat-outgoing", "natOutgoing"), ("disabled", "disabled")) if spec.get(ours)}
    return {"cidr": spec["cidr"]}, made


def _peer_up(metadata: Document, spec: Document, faults: list[str]) -> tuple[Document, Document]:
    scope, node, peer = metadata.get("scope"), metadata.get("node") or "", str(metadata["peerIP"])
    if scope not in ("global", "node") or (scope == "global" and node):
        faults.append(f"error with field Scope = '{scope}' (global without a node, or node with one)")
    try:
        dashed = re.sub(r"[.:]", "-", ip_address(peer).exploded)
    except ValueError:
        faults.append(f"error with field PeerIP = '{peer}' (not an address)")
        return {}, {}
    made: Document = {"peerIP": peer, "asNumber": _as_number(spec.get("asNumber"), faults)}
    return {"name": f"{node}.{dashed}" if node else dashed}, {**made, **({"node": node} if node else {})}


def _as_number(value: Any, faults: list[str]) -> Any:
    """Plain, or dotted: 1.10 is 65546."""
    match = re.fullmatch(r"(?:(\d{1,5})\.)?(\d{1,10})", str(value))
    number = (int(match[1] or 0) << 16) + int(match[2]) if match else -1
    if not 0 < number < 2**32:
        faults.append(f"error with field ASNumber = '{value}' (not an AS number)")
    return number


def _peer_down(
    metadata: Mapping[str, Any], spec: Mapping[str, Any], _tags: Collection[str]
) -> tuple[Document, Document] | None:
    if not spec.get("peerIP") or any(
        value for name, value in spec.items() if name not in ("peerIP", "asNumber", "node")
    ):
        return None
    made: Document = {"peerIP": spec["peerIP"], "scope": "node" if spec.get("node") else "global"}
    return {**made, **({"node": spec["node"]} if spec.get("node") else {})}, {"asNumber": spec.get("asNumber")}


def _node_up(metadata: Document, spec: Document, faults: list[str]) -> tuple[Document, Document]:
    bgp = spec.get("bgp")
    if bgp is not None and (not isinstance(bgp, dict) or set(bgp) - {"asNumber", "ipv4Address", "ipv6Address"}):
        faults.append(f"error with field BGP = '{bgp}' (expected asNumber, ipv4Address, ipv6Address)")
        return {}, {}
    if bgp is not None and not (bgp.get("ipv4Address") or bgp.get("ipv6Address")):
        faults.append("error with field BGPIP = '' (no BGP IP address and subnet specified)")
    made = {name: value for name, value in (bgp or {}).items() if value is not None}
    if "asNumber" in made:
        made["asNumber"] = _as_number(made["asNumber"], faults)
    return {"name": str(metadata["name"]).lower()}, {"bgp": made} if made else {}


def _node_down(
    metadata: Mapping[str, Any], spec: Mapping[str, Any], _tags: Collection[str]
) -> tuple[Document, Document]:
    bgp = {n: v for n, v in (spec.get("bgp") or {}).items() if n in ("asNumber", "ipv4Address", "ipv6Address") and v}
    return {"name": metadata["name"]}, {"bgp": bgp} if bgp else {}


_UP: dict[str, Callable[[Document, Document, list[str]], tuple[Document, Document]]] = {
    "policy": _policy_up,
    "profile": _profile_up,
    "workloadEndpoint": _workload_up,
    "hostEndpoint": _host_up,
    "ipPool": _pool_up,
    "bgpPeer": _peer_up,
    "node": _node_up,
}
_DOWN: dict[
    str, Callable[[Mapping[str, Any], Mapping[str, Any], Collection[str]], tuple[Document, Document] | None]
] = {
    "policy": _policy_down,
    "profile": _profile_down,
    "workloadEndpoint": _workload_down,
    "hostEndpoint": _host_down,
    "ipPool": _pool_down,
    "bgpPeer": _peer_down,
    "node": _node_down,
}
