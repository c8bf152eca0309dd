"""Profile: rules that apply to the endpoints that list it, and labels that it gives them.

A tag of the older grammars is a label to apply with an empty value.
"""

from __future__ import annotations

from tortie.model.codec import Value
from tortie.model.resource import Kind
from tortie.model.rule import Rule


class ProfileSpec(Value, frozen=True, kw_only=True):
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    labels_to_apply: dict[str, str] = {}


PROFILE = Kind(name="Profile", plural="profiles", spec=ProfileSpec)
