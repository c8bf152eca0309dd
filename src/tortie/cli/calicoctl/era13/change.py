"""`calicoctl create`, `apply`, `replace` and `delete` in the 1.3 grammar: in order, to the first error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tortie.base.errors import Invalid, NotFound, TortieError
from tortie.cli.calicoctl import write
from tortie.cli.calicoctl.era3.initial import initialise
from tortie.cli.calicoctl.era13 import shelf
from tortie.cli.calicoctl.era13.wording import worded
from tortie.cli.calicoctl.progress import Progress, each, failed, one_kind, partly, success
from tortie.cli.calicoctl.session import Failed, Session
from tortie.cli.options import BadUsage, Options
from tortie.model.resource import Resource
from tortie.model.v1 import forms
from tortie.model.v1.documents import Document
from tortie.store.client import Client

VERBS = {"create": "created", "apply": "applied", "replace": "replaced", "delete": "deleted"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A document and, where it is to be written, its resource."""

    document: Document
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


def _with_name(word: str, document: Document) -> Document:
    """A workload endpoint that is created without a name gets one, as from the original."""
    if word != "create" or document["kind"] != "workloadEndpoint" or document["metadata"].get("name"):
        return document
    from uuid import uuid4

    return {**document, "metadata": {**document["metadata"], "name": str(uuid4())}}


def _checked(found: Sequence[Document]) -> list[Wanted]:
    made: list[Wanted] = []
    faults: list[str] = []
    for document in found:
        try:
            shelf.complete(document)
            made.append(Wanted(document, forms.from_v1(document)))
        except Invalid as error:
            faults += error.problems
    if faults:
        raise Invalid(*faults)
    return made


def _step(word: str, client: Client, *, skip: bool) -> Callable[[Wanted], object]:
    def create(wanted: Wanted) -> None:
        if _find(client, wanted):
            if skip:
                return
            raise write.Exists(_resource(wanted).name)
        write.create(client, _resource(wanted))

    def over(wanted: Wanted) -> None:
        there = _find(client, wanted)
        if there is None:
            raise NotFound(str(wanted.document["metadata"]))
        _replace(client, wanted, there)

    def apply(wanted: Wanted) -> None:
        there = _find(client, wanted)
        if there is None:
            create(wanted)
        else:
            _replace(client, wanted, there)

    def remove(wanted: Wanted) -> None:
        shelf.complete(wanted.document)
        there = _there_for_delete(client, wanted)
        if there is not None:
            write.delete(client, there.resource)
        elif not skip:
            raise NotFound(str(wanted.document["metadata"]))

    return {"create": create, "replace": over, "apply": apply, "delete": remove}[word]


def _resource(wanted: Wanted) -> Resource[Any]:
    assert wanted.resource is not None, "every word but delete has made it"
    return wanted.resource


def _find(client: Client, wanted: Wanted) -> shelf.Entry | None:
    return shelf.find(client, wanted.document, _resource(wanted))


def _there_for_delete(client: Client, wanted: Wanted) -> shelf.Entry | None:
    """What has no v1 form is hidden: a delete does not find it."""
    identity = forms.identity(wanted.document)
    found = (entry for entry in shelf.entries(client, wanted.document) if entry.form is not None)
    return next((entry for entry in found if entry.form and forms.identity(entry.form) == identity), None)


def _replace(client: Client, wanted: Wanted, there: shelf.Entry) -> None:
    """What v1 has no field for stays; a resource that it cannot say at all is not touched."""
    if there.form is None:
        raise Invalid(
            f"{shelf.identity_text(wanted.document)} holds what apiVersion v1 cannot say; "
            "replacing it would lose that: use apiVersion projectcalico.org/v3"
        )
    write.replace(client, forms.fill(there.resource, _resource(wanted)), there.resource.revision)


def _told(word: str, wanted: Sequence[Wanted], progress: Progress[Wanted]) -> str:
    kind = one_kind(item.document["kind"] for item in wanted)
    if not progress.errors:
        return success(VERBS[word], progress.done, kind) + "\n"
    item, error = progress.errors[0]
    why = reason(item.document, error)
    if not progress.done:
        raise Failed(f"Failed to {failed(word, progress.total, kind)}: {why}")
    raise Failed(f"{partly(VERBS[word], progress.done, progress.total, kind)}\nHit error: {why}")


def reason(document: Document, error: TortieError) -> str:
    match error:
        case write.Exists():
            return f"resource already exists: {shelf.identity_text(document)}"
        case NotFound():
            return f"resource does not exist: {shelf.identity_text(document)}"
        case write.Stale():
            return f"update conflict: '{shelf.identity_text(document)}'"
        case Invalid():
            return worded(error.problems)
    return str(error)
