"""`calicoctl create`, `apply`, `replace` and `delete` in the 1.3 grammar: in order, to the first error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from tortie.base.errors import Invalid, NotFound, TortieError
from tortie.cli.calicoctl import write
from tortie.cli.calicoctl.era3 import documents as v3
from tortie.cli.calicoctl.era3.initial import initialise
from tortie.cli.calicoctl.era13 import forms, shelf
from tortie.cli.calicoctl.era13.main import worded
from tortie.cli.calicoctl.options import BadUsage, Options
from tortie.cli.calicoctl.progress import Progress, each, failed, one_kind, partly, success
from tortie.cli.calicoctl.session import Failed, Session
from tortie.model.resource import Resource
from tortie.store.client import Client

VERBS = {"create": "created", "apply": "applied", "replace": "replaced", "delete": "deleted"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A document and, where it is to be written, its resource."""

    document: forms.Document
    resource: Resource[Any] | None = None


def change(word: str, options: Options, session: Session) -> str:
    """Everything is checked before the first resource is written."""
    if not options.values("--filename") or options.words:
        raise BadUsage(word)
    wanted = _checked([_with_name(word, document) for document in shelf.of_files(options, session)])
    with session.client() as client:
        initialise(client)
        progress = each(wanted, _step(word, client, skip=options.has("--skip-exists")), stop=True)
    return _told(word, wanted, progress)


def delete(options: Options, session: Session) -> str:
    if options.values("--filename"):
        wanted = [Wanted(document) for document in shelf.of_files(options, session)]
    elif options.words and len(options.words) <= 2:
        wanted = [Wanted(shelf.named(options))]
    else:
        raise BadUsage("delete")
    with session.client() as client:
        progress = each(wanted, _step("delete", client, skip=options.has("--skip-not-exists")), stop=True)
    return _told("delete", wanted, progress)


def _with_name(word: str, document: forms.Document) -> forms.Document:
    """A workload endpoint that is created without a name gets one, as from the original."""
    if word != "create" or document["kind"] != "workloadEndpoint" or document["metadata"].get("name"):
        return document
    from uuid import uuid4

    return {**document, "metadata": {**document["metadata"], "name": str(uuid4())}}


def _checked(found: Sequence[forms.Document]) -> list[Wanted]:
    made: list[Wanted] = []
    faults: list[str] = []
    for document in found:
        try:
            forms.complete(document)
            resource = v3.item(forms.to_v3(document)).resource
        except Invalid as error:
            faults += error.problems
            continue
        faults += v3.faults(resource)
        made.append(Wanted(document, resource))
    if faults:
        raise Invalid(*faults)
    return made


def _step(word: str, client: Client, *, skip: bool) -> Callable[[Wanted], object]:
    def create(wanted: Wanted) -> None:
        assert wanted.resource is not None
        if shelf.find(client, wanted.document):
            if skip:
                return
            raise write.Exists(wanted.resource.name)
        write.create(client, wanted.resource)

    def over(wanted: Wanted) -> None:
        there = shelf.find(client, wanted.document)
        if there is None:
            raise NotFound(str(wanted.document["metadata"]))
        _replace(client, wanted, there)

    def apply(wanted: Wanted) -> None:
        there = shelf.find(client, wanted.document)
        if there is None:
            create(wanted)
        else:
            _replace(client, wanted, there)

    def remove(wanted: Wanted) -> None:
        forms.complete(wanted.document)
        there = _there_for_delete(client, wanted)
        if there is not None:
            write.delete(client, there.resource)
        elif not skip:
            raise NotFound(str(wanted.document["metadata"]))

    return {"create": create, "replace": over, "apply": apply, "delete": remove}[word]


def _there_for_delete(client: Client, wanted: Wanted) -> shelf.Entry | None:
    """What has no v1 form is hidden: a delete does not find it."""
    identity = forms.identity(wanted.document)
    found = (entry for entry in shelf.entries(client, wanted.document["kind"]) if entry.form is not None)
    return next((entry for entry in found if entry.form and forms.identity(entry.form) == identity), None)


def _replace(client: Client, wanted: Wanted, there: shelf.Entry) -> None:
    """What v1 has no field for stays; a resource that it cannot say at all is not touched."""
    assert wanted.resource is not None
    if there.form is None:
        raise Invalid(
            f"{forms.identity_text(wanted.document)} holds what apiVersion v1 cannot say; "
            "replacing it would lose that: use apiVersion projectcalico.org/v3"
        )
    ours, its = wanted.resource, there.resource
    given = {info.name for info in msgspec.structs.fields(type(ours.spec)) if info.encode_name in _SAID[its.kind.name]}
    spec = msgspec.structs.replace(its.spec, **{name: getattr(ours.spec, name) for name in given})
    annotations = {**its.metadata.annotations, **ours.metadata.annotations}
    metadata = msgspec.structs.replace(its.metadata, labels=_labels(ours, its), annotations=annotations)
    write.replace(client, replace(its, spec=spec, metadata=metadata), its.revision)


def _labels(ours: Resource[Any], its: Resource[Any]) -> dict[str, str]:
    if ours.kind.name not in ("WorkloadEndpoint", "HostEndpoint"):
        return its.metadata.labels
    kept = {key: value for key, value in its.metadata.labels.items() if key.startswith(forms.CALICO_LABELS)}
    return {**kept, **ours.metadata.labels}


# The fields of a v3 spec that a v1 resource speaks of.
_SAID = {
    "GlobalNetworkPolicy": frozenset(
        ["order", "selector", "ingress", "egress", "types", "doNotTrack", "applyOnForward"]
    ),
    "Profile": frozenset(["ingress", "egress", "labelsToApply"]),
    "WorkloadEndpoint": frozenset(
        ["ipNetworks", "ipNATs", "ipv4Gateway", "ipv6Gateway", "profiles", "interfaceName", "mac", "containerID"]
    ),
    "HostEndpoint": frozenset(["interfaceName", "expectedIPs", "profiles"]),
    "IPPool": frozenset(["ipipMode", "natOutgoing", "disabled"]),
    "BGPPeer": frozenset(("asNumber",)),
    "Node": frozenset(("bgp",)),
}


def _told(word: str, wanted: Sequence[Wanted], progress: Progress[Wanted]) -> str:
    kind = one_kind(item.document["kind"] for item in wanted)
    if not progress.errors:
        return success(VERBS[word], progress.done, kind) + "\n"
    item, error = progress.errors[0]
    why = reason(item.document, error)
    if not progress.done:
        raise Failed(f"Failed to {failed(word, progress.total, kind)}: {why}")
    raise Failed(f"{partly(VERBS[word], progress.done, progress.total, kind)}\nHit error: {why}")


def reason(document: forms.Document, error: TortieError) -> str:
    match error:
        case write.Exists():
            return f"resource already exists: {forms.identity_text(document)}"
        case NotFound():
            return f"resource does not exist: {forms.identity_text(document)}"
        case write.Stale():
            return f"update conflict: '{forms.identity_text(document)}'"
        case Invalid():
            return worded(error.problems)
    return str(error)
