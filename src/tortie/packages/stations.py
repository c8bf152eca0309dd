"""Stations: hosts without a Mesos agent, where the package service runs the roller's hand. What they say of
themselves, and what they are asked. Values only."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid

T = TypeVar("T")
STATIONS = "/tortie/v1/packages/stations/"
REQUESTS = "/tortie/v1/packages/station-requests/"
ADDRESS = "TORTIE_HAND"
"""The variable that holds a request's secret address for the program that works on it."""


class Station(msgspec.Struct, frozen=True):
    """What a station says of itself, with a lease. `boot`: of its host's kernel, `session`: of its process; on one
    host each is the heir of the one before."""

    name: str
    addresses: tuple[str, ...] = ()
    boot: str = ""
    session: str = ""

    def among(self, names: Collection[str]) -> bool:
        """Whether the host goes by one of these names or addresses."""
        return self.name in names or not set(names).isdisjoint(self.addresses)


class Request(msgspec.Struct, frozen=True):
    """What a station is to do: run `argv`, which finds the secret address `given` in its environment, fetches there
    what it works on, and brings its answer there. Another request in its place ends the one before; none in its place
    does, too."""

    id: str
    given: str
    argv: tuple[str, ...]


def station_key(name: str) -> str:
    return f"{STATIONS}{name}"


def request_key(name: str) -> str:
    return f"{REQUESTS}{name}"


def read_station(text: bytes) -> Station:
    """Invalid for what is none."""
    found = _read(text, Station)
    if not found.name or "/" in found.name:
        raise Invalid(f"{found.name!r} is no name of a station")
    return found


def read_request(text: bytes) -> Request:
    """Invalid for what is none."""
    found = _read(text, Request)
    if not found.argv or not found.given.startswith(("http://", "https://")):
        raise Invalid("a request names a program and an address over HTTP")
    return found


def _read(text: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=ready(kind))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(str(error)) from error
