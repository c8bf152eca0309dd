"""One rule of a profile or policy, as the v3 API writes it."""

from __future__ import annotations

from typing import Literal

import msgspec

from tortie.model.codec import Value

Port = int | str
Protocol = int | str


class EntityRule(Value, frozen=True, kw_only=True):
    """One side of a rule. Different fields are ANDed, the values of one list ORed."""

    nets: tuple[str, ...] = ()
    not_nets: tuple[str, ...] = ()
    selector: str = ""
    not_selector: str = ""
    namespace_selector: str = ""
    ports: tuple[Port, ...] = ()
    not_ports: tuple[Port, ...] = ()


ANYBODY = EntityRule()
"""A side without conditions; this very object is left out of the stored form."""


class Icmp(Value, frozen=True, kw_only=True):
    type: int | None = None
    code: int | None = None


class Rule(Value, frozen=True, kw_only=True):
    action: Literal["Allow", "Deny", "Log", "Pass"]
    ip_version: Literal[4, 6] | None = None
    protocol: Protocol | None = None
    not_protocol: Protocol | None = None
    icmp: Icmp | None = None
    not_icmp: Icmp | None = msgspec.field(default=None, name="notICMP")
    source: EntityRule = ANYBODY
    destination: EntityRule = ANYBODY
