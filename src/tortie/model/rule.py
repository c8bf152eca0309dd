"""One rule of a profile or policy, as the v3 API writes it."""

from __future__ import annotations

from typing import Literal

import msgspec

from tortie.model.codec import Value

Port = int | str
Protocol = int | str


class ServiceAccountMatch(Value, frozen=True, kw_only=True):
    names: tuple[str, ...] = ()
    selector: str = ""


class ServiceMatch(Value, frozen=True, kw_only=True):
    name: str = ""
    namespace: str = ""


class EntityRule(Value, frozen=True, kw_only=True):
    """One side of a rule. Different fields are ANDed, the values of one list ORed."""

    nets: tuple[str, ...] = ()
    not_nets: tuple[str, ...] = ()
    selector: str = ""
    not_selector: str = ""
    namespace_selector: str = ""
    ports: tuple[Port, ...] = ()
    not_ports: tuple[Port, ...] = ()
    service_accounts: ServiceAccountMatch | None = None
    services: ServiceMatch | None = None


ANYBODY = EntityRule()
"""A side without conditions; this very object is left out of the stored form."""


class Icmp(Value, frozen=True, kw_only=True):
    type: int | None = None
    code: int | None = None


class HttpPath(Value, frozen=True, kw_only=True):
    """Exactly one of the two."""

    exact: str | None = None
    prefix: str | None = None


class HttpMatch(Value, frozen=True, kw_only=True):
    methods: tuple[str, ...] = ()
    paths: tuple[HttpPath, ...] = ()


class RuleMetadata(Value, frozen=True, kw_only=True):
    """Says nothing about packets."""

    annotations: dict[str, str] = {}


class Rule(Value, frozen=True, kw_only=True):
    action: Literal["Allow", "Deny", "Log", "Pass"]
    ip_version: Literal[4, 6] | None = None
    protocol: Protocol | None = None
    not_protocol: Protocol | None = None
    icmp: Icmp | None = None
    not_icmp: Icmp | None = msgspec.field(default=None, name="notICMP")
    source: EntityRule = ANYBODY
    destination: EntityRule = ANYBODY
    http: HttpMatch | None = None
    metadata: RuleMetadata | None = None
