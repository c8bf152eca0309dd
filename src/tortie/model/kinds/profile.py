"""Profile: rules that apply to the endpoints that list it, and labels that it gives them.

A tag of the older grammars is a label to apply with an empty value.
"""

from __future__ import annotations

from collections.abc import Iterator

from tortie.model import checks, rule_checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.resource import Kind
from tortie.model.rule import Rule


class ProfileSpec(Value, frozen=True, kw_only=True):
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    labels_to_apply: dict[str, str] = {}


def check(spec: ProfileSpec) -> Iterator[Problem]:
    yield from rule_checks.rules(spec.ingress, spec.egress)
    for key, value in spec.labels_to_apply.items():
        # Wider than a label of a person: a tag of the 0.x era is a label here, with an empty value.
        yield from checks.inherited_label("spec.labelsToApply", key, value)


PROFILE = Kind(name="Profile", plural="profiles", spec=ProfileSpec, check=check, name_pattern=checks.LOOSE_NAME)
