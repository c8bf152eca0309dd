"""`calicoctl convert`: resources of apiVersion v1 and Kubernetes objects as v3. Needs no store."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tortie.base.errors import Invalid
from tortie.base.sources import documents
from tortie.cli.calicoctl import output
from tortie.cli.calicoctl.era3 import documents as v3
from tortie.cli.calicoctl.era13.shelf import complete
from tortie.cli.calicoctl.session import Session
from tortie.cli.options import BadUsage, Options
from tortie.model.documents import flat
from tortie.model.kubernetes_forms import from_kubernetes, is_kubernetes
from tortie.model.resource import Resource
from tortie.model.v1 import forms

NO_ENDPOINT = "has no endpoint: it is finished, uses its host's network, or has no host or address yet"


def convert(options: Options, session: Session) -> str:
    """One resource bare, several as a List. Raises Invalid with every fault, and then shows nothing."""
    asked = output.parse_format(options.value("--output", "yaml"))
    if asked.name not in ("yaml", "json"):
        raise Invalid(f"unrecognized output format '{asked.name}'")
    if not options.values("--filename"):
        raise BadUsage("convert needs --filename")
    resources: list[Resource[Any]] = []
    faults: list[str] = []
    notes: list[str] = []
    for source in options.values("--filename"):
        for name, text in session.sources.texts(source):
            for raw in flat(documents(name, text)):
                try:
                    found = _converted(raw, notes, checked=not options.has("--ignore-validation"))
                    resources += [found] if found is not None else []
                except Invalid as error:
                    faults += error.problems
    faults += _same_names(resources)
    if faults:
        raise Invalid(*faults)
    for note in notes:
        print(note, file=sys.stderr)
    made = [v3.document(resource) for resource in resources]
    if not made:
        raise Invalid("No resources specified in file")
    return output.structured(made[0] if len(made) == 1 else {"apiVersion": "v1", "items": made, "kind": "List"}, asked)


def _converted(raw: Any, notes: list[str], *, checked: bool) -> Resource[Any] | None:
    """`notes` gets what a person should know about a document that is nevertheless converted, or left out."""
    if is_kubernetes(raw):
        found = from_kubernetes(raw)
        if found is None:
            notes.append(f"Pod {raw['metadata']['name']} {NO_ENDPOINT}")
        return found
    document = forms.recognise(raw, later=True)
    complete(document)
    resource = forms.from_v1(document, checked=checked, later=True)
    notes += [f"{document['kind']} {document['metadata'].get('name', '')}: {said}" for said in forms.warnings(document)]
    return resource


def _same_names(found: Sequence[Resource[Any]]) -> list[str]:
    """Two documents that become one resource: which of them was meant?"""
    places: dict[str, int] = {}
    for resource in found:
        places[resource.key] = places.get(resource.key, 0) + 1
    kinds = {resource.key: resource for resource in found}
    return [
        f"{number} documents convert to {kinds[key].kind.name} {kinds[key].name}"
        for key, number in places.items()
        if number > 1
    ]
