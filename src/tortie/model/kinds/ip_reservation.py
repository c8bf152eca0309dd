"""IPReservation: addresses that are never given out automatically; one asked for explicitly is given all the same."""

from __future__ import annotations

import msgspec

from tortie.model.codec import Value
from tortie.model.resource import Kind


class IPReservationSpec(Value, frozen=True, kw_only=True):
    reserved_cidrs: tuple[str, ...] = msgspec.field(default=(), name="reservedCIDRs")


IP_RESERVATION = Kind(name="IPReservation", plural="ipreservations", spec=IPReservationSpec)
