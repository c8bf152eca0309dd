"""One rule of a profile or policy, as the v3 API writes it."""

from __future__ import annotations

from typing import Literal

import msgspec

Port = int | str
Protocol = int | str


class EntityRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One side of a rule. Different fields are ANDed, the values of one list ORed."""

    nets: tuple[str, ...] = ()
    not_nets: tuple[str, ...] = ()
    selector: str = ""
    not_selector: str = ""
    namespace_selector: str = ""
    ports: tuple[Port, ...] = ()
    not_ports: tuple[Port, ...] = ()


class Icmp(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    type: int | None = None
    code: int | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    action: Literal["Allow", "Deny", "Log", "Pass"]
    ip_version: Literal[4, 6] | None = None
    protocol: Protocol | None = None
    not_protocol: Protocol | None = None
    icmp: Icmp | None = None
    not_icmp: Icmp | None = msgspec.field(default=None, name="notICMP")
    source: EntityRule = EntityRule()
    destination: EntityRule = EntityRule()
