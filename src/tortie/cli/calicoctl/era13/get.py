"""`calicoctl get` in the 1.3 grammar: a filter, so that what is not there is an empty list."""

from __future__ import annotations

from typing import Any

from tortie.base.errors import Invalid, TortieError
from tortie.cli.calicoctl import output
from tortie.cli.calicoctl.columns import Columns, Document, at, columns
from tortie.cli.calicoctl.era13 import shelf
from tortie.cli.calicoctl.session import Failed, Session
from tortie.cli.options import BadUsage, Options
from tortie.model.v1 import documents as v1
from tortie.model.v1.forms import FORMS
from tortie.store.client import Client


def get(options: Options, session: Session) -> str:
    asked = output.parse_format(options.value("--output", "ps"))
    if asked.name == "name":
        raise Invalid("unrecognized output format 'name'")
    if options.values("--filename") and not options.words:
        wanted = shelf.of_files(options, session)
    elif options.words and len(options.words) <= 2 and not options.values("--filename"):
        wanted = [shelf.named(options)]
    else:
        raise BadUsage("get")
    with session.client() as client:
        try:
            found = [(document["kind"], _matching(client, document)) for document in wanted]
        except TortieError as error:
            raise Failed(f"Failed to get resources: {error}") from error
    if asked.is_table:
        kinds = dict.fromkeys(kind for kind, _ in found)
        return "".join(
            output.table(COLUMNS[kind], [one for its, group in found if its == kind for one in group], asked)
            for kind in kinds
        )
    return output.structured([one for _, group in found for one in group], asked)


def _matching(client: Client, wanted: v1.Document) -> list[v1.Document]:
    metadata = {name: str(wanted["metadata"].get(name) or "") for name in FORMS[wanted["kind"]].identity}
    return [
        entry.form
        for entry in shelf.entries(client, wanted)
        if entry.form is not None
        and all(not value or str(entry.form["metadata"].get(name) or "") == value for name, value in metadata.items())
    ]


def _asn(document: Document) -> str:
    bgp = document["spec"].get("bgp")
    return "" if bgp is None else str(bgp.get("asNumber") or "(64512)")


def _nats(document: Document) -> str:
    found: Any = document["spec"].get("ipNATs") or ()
    return ",".join(f"{nat.get('internalIP')}->{nat.get('externalIP')}" for nat in found)


COLUMNS: dict[str, Columns] = {
    "policy": columns(
        "NAME", "NAME ORDER SELECTOR", NAME="metadata.name", ORDER=at("spec.order", "<nil>"), SELECTOR="spec.selector"
    ),
    "profile": columns("NAME", "NAME TAGS", NAME="metadata.name", TAGS="metadata.tags"),
    "ipPool": columns(
        "CIDR",
        "CIDR NAT IPIP",
        CIDR="metadata.cidr",
        NAT=at("spec.nat-outgoing", "false"),
        IPIP=at("spec.ipip.enabled", "false"),
    ),
    "node": columns(
        "NAME",
        "NAME ASN IPV4 IPV6",
        NAME="metadata.name",
        ASN=_asn,
        IPV4="spec.bgp.ipv4Address",
        IPV6="spec.bgp.ipv6Address",
    ),
    "workloadEndpoint": columns(
        "NODE ORCHESTRATOR WORKLOAD NAME",
        "NODE ORCHESTRATOR WORKLOAD NAME NETWORKS NATS INTERFACE PROFILES",
        NODE="metadata.node",
        ORCHESTRATOR="metadata.orchestrator",
        WORKLOAD="metadata.workload",
        NAME="metadata.name",
        NETWORKS="spec.ipNetworks",
        NATS=_nats,
        INTERFACE="spec.interfaceName",
        PROFILES="spec.profiles",
        IPV4GATEWAY="spec.ipv4Gateway",
        IPV6GATEWAY="spec.ipv6Gateway",
        MAC="spec.mac",
    ),
    "hostEndpoint": columns(
        "NODE NAME",
        "NODE NAME INTERFACE IPS PROFILES",
        NODE="metadata.node",
        NAME="metadata.name",
        INTERFACE="spec.interfaceName",
        IPS="spec.expectedIPs",
        PROFILES="spec.profiles",
    ),
    "bgpPeer": columns(
        "SCOPE PEERIP NODE ASN",
        SCOPE="metadata.scope",
        PEERIP="metadata.peerIP",
        NODE="metadata.node",
        ASN="spec.asNumber",
    ),
}
