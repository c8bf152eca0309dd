"""`calicoctl convert`: resources of apiVersion v1 as v3. Needs no store."""

from __future__ import annotations

from typing import Any

from tortie.base.errors import Invalid
from tortie.base.sources import documents
from tortie.cli.calicoctl import output
from tortie.cli.calicoctl.era3 import documents as v3
from tortie.cli.calicoctl.era13 import forms
from tortie.cli.calicoctl.era13.shelf import flat
from tortie.cli.calicoctl.options import BadUsage, Options
from tortie.cli.calicoctl.session import Session


def convert(options: Options, session: Session) -> str:
    """One resource bare, several as a List. Raises Invalid with every fault, and then shows nothing."""
    asked = output.parse_format(options.value("--output", "yaml"))
    if asked.name not in ("yaml", "json"):
        raise Invalid(f"unrecognized output format '{asked.name}'")
    if not options.values("--filename"):
        raise BadUsage("convert needs --filename")
    made: list[dict[str, Any]] = []
    faults: list[str] = []
    for source in options.values("--filename"):
        for name, text in session.sources.texts(source):
            for raw in flat(documents(name, text)):
                try:
                    made.append(_converted(raw, check=not options.has("--ignore-validation")))
                except Invalid as error:
                    faults += error.problems
    if faults:
        raise Invalid(*faults)
    if not made:
        raise Invalid("No resources specified in file")
    return output.structured(made[0] if len(made) == 1 else {"apiVersion": "v1", "items": made, "kind": "List"}, asked)


def _converted(raw: Any, *, check: bool) -> dict[str, Any]:
    document = forms.check(raw)
    forms.complete(document)
    resource = v3.item(forms.to_v3(document)).resource
    if check and (faults := v3.faults(resource)):
        raise Invalid(*faults)
    return v3.document(resource)
