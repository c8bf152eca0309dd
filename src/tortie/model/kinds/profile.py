"""Profile: rules that apply to the endpoints that list it, and labels that it gives them.

A tag of the older grammars is a label to apply with an empty value.
"""

from __future__ import annotations

from collections.abc import Iterator

from tortie.model import checks, rule_checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.resource import Kind, Metadata, Resource
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


def check_whole(profile: Resource[ProfileSpec]) -> Iterator[Problem]:
    if profile.name == DEFAULT_ALLOW_NAME:
        yield Problem("metadata.name", f"{DEFAULT_ALLOW_NAME} is built in and cannot be written")


PROFILE = Kind(
    name="Profile",
    plural="profiles",
    spec=ProfileSpec,
    check=check,
    check_whole=check_whole,
    name_pattern=checks.LOOSE_NAME,
)

DEFAULT_ALLOW_NAME = "projectcalico-default-allow"
DEFAULT_ALLOW = Resource(
    kind=PROFILE,
    metadata=Metadata(name=DEFAULT_ALLOW_NAME),
    spec=ProfileSpec(ingress=(Rule(action="Allow"),), egress=(Rule(action="Allow"),)),
    revision=1,
)
"""In force without being stored."""
