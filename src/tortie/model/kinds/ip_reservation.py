"""IPReservation: addresses that are never given out automatically; one asked for explicitly is given all the same."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.resource import Kind


class IPReservationSpec(Value, frozen=True, kw_only=True):
    reserved_cidrs: tuple[str, ...] = msgspec.field(default=(), name="reservedCIDRs")


def check(spec: IPReservationSpec) -> Iterator[Problem]:
    for cidr in spec.reserved_cidrs:
        yield from checks.cidr("spec.reservedCIDRs", cidr, plain=True)


IP_RESERVATION = Kind(name="IPReservation", plural="ipreservations", spec=IPReservationSpec, check=check)
