"""A profile of the 0.x era: tags and rules, on the v3 resource."""

from __future__ import annotations

from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, Rule
from tortie.model.v0.wire import selector_of_tag


def fresh_profile(name: str) -> Resource[ProfileSpec]:
    """What a new profile or network gets: its members reach each other and everything else; nobody reaches them."""
    spec = ProfileSpec(
        ingress=(Rule(action="Allow", source=EntityRule(selector=selector_of_tag(name))),),
        egress=(Rule(action="Allow"),),
        labels_to_apply={name: ""},
    )
    return Resource(kind=PROFILE, metadata=Metadata(name=name), spec=spec)


def tags(spec: ProfileSpec) -> list[str]:
    """The labels to apply that stand for tags."""
    return [label for label, value in spec.labels_to_apply.items() if value == ""]
