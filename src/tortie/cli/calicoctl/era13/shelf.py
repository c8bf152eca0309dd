"""The store as the 1.3 grammar sees it: resources with their v1 form, found by the era's identifiers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tortie.base.errors import Invalid
from tortie.base.sources import documents
from tortie.cli.calicoctl.session import Session
from tortie.cli.options import Options
from tortie.model.documents import flat
from tortie.model.kinds.profile import PROFILE
from tortie.model.resource import Resource
from tortie.model.v1 import forms
from tortie.model.v1.documents import VERSION, Document, fields
from tortie.store.client import Client

ALIASES = {
    "node": "node nodes no nos",
    "hostEndpoint": "hostendpoint hostendpoints hep heps",
    "workloadEndpoint": "workloadendpoint workloadendpoints wep weps",
    "profile": "profile profiles pro pros",
    "policy": "policy policies pol pols",
    "ipPool": "ippool ippools ipp ipps pool pools",
    "bgpPeer": "bgppeer bgppeers bgpp bgpps bp bps",
}
NAME_OF = {"ipPool": "cidr", "bgpPeer": "peerIP"}
IDENTIFIERS = ("node", "orchestrator", "workload", "scope")


@dataclass(frozen=True, slots=True)
class Entry:
    """A resource of the store; `form` is None when v1 cannot say it."""

    resource: Resource[Any]
    form: Document | None


def kind_of(word: str) -> str:
    """Raises Invalid."""
    for kind, names in ALIASES.items():
        if word.lower() in names.split():
            return kind
    raise Invalid(f"resource type '{word}' is not supported")


def entries(client: Client, wanted: Document, key: str = "") -> Iterator[Entry]:
    """Those that may have the identifiers of a document, and what lies at a key."""
    kind = wanted["kind"]
    listed = client.list(forms.FORMS[kind].kind).items
    found = [item for item in listed if item.key == key or forms.may_be(item, kind, wanted["metadata"])]
    tags = _tags(client) if kind in ("policy", "profile") and found else frozenset()
    for resource in found:
        yield Entry(resource, forms.find_v1(resource, tags))


def find(client: Client, document: Document, resource: Resource[Any]) -> Entry | None:
    """The resource with the identity of the document; one without a v1 form is found by its v3 name."""
    wanted = forms.identity(document)
    for entry in entries(client, document, resource.key):
        if entry.form is None and entry.resource.key == resource.key:
            return entry
        if entry.form is not None and forms.identity(entry.form) == wanted:
            return entry
    return None


def _tags(client: Client) -> frozenset[str]:
    """Every label that some profile gives with an empty value."""
    applied = (item.spec.labels_to_apply for item in client.list(PROFILE).items)
    return frozenset(label for labels in applied for label, value in labels.items() if not value)


def complete(document: Document) -> None:
    """Raises Invalid for an identifier that is missing."""
    if lacking := forms.missing(document):
        raise Invalid(f"insufficient identifiers, missing '{lacking[0]}'")


def identity_text(document: Document) -> str:
    """`Policy(name=x)`"""
    kind, metadata = document["kind"], document["metadata"]
    if kind == "bgpPeer":
        node = metadata.get("node")
        parts = [f"node={node}"] if node else []
        return f"{'NodeBGPPeer' if node else 'GlobalBGPPeer'}({', '.join([*parts, 'ip=' + str(metadata['peerIP'])])})"
    title = "IPPool" if kind == "ipPool" else kind[0].upper() + kind[1:]
    told = [f"{name}={metadata.get(name, '')}" for name in forms.FORMS[kind].identity]
    return f"{title}({', '.join(told)})"


def named(options: Options) -> Document:
    """What KIND, NAME and the identifiers of a command line say; what they leave out is absent."""
    kind = kind_of(options.words[0])
    metadata = {name: options.value(f"--{name}") for name in IDENTIFIERS if options.has(f"--{name}")}
    if len(options.words) > 1:
        metadata[NAME_OF.get(kind, "name")] = options.words[1]
    known = fields(forms.FORMS[kind].metadata)
    if unknown := [name for name in metadata if name not in known]:
        raise Invalid(f"a {kind} has no {unknown[0]}")
    return {"apiVersion": VERSION, "kind": kind, "metadata": metadata, "spec": {}}


def of_files(options: Options, session: Session) -> list[Document]:
    """The resources of the file: one, a list kind, or an array. Raises Invalid with every fault."""
    found: list[Document] = []
    faults: list[str] = []
    for source in options.values("--filename"):
        for name, text in session.sources.texts(source):
            for document in flat(documents(name, text, several=False)):
                try:
                    found.append(forms.recognise(document))
                except Invalid as error:
                    faults += error.problems
    if faults:
        raise Invalid(*faults)
    if not found:
        raise Invalid("No resources specified in file")
    return found
