"""The options of a host's resolver: texts in, values or every problem out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from tortie.base.errors import Invalid
from tortie.dns import dcos
from tortie.dns.config import host_port, resolver_address, split_address, zone_name
from tortie.dns.forward import Forwarder, make_zones
from tortie.dns.resolver import Resolver
from tortie.dns.zone import wire_name

T = TypeVar("T")
_AT_ONCE = 2


class _Reader:
    def __init__(self) -> None:
        self.problems: list[str] = []

    def each(self, option: str, items: Iterable[str], check: Callable[[str], T]) -> list[T]:
        good = []
        for item in items:
            try:
                good.append(check(item))
            except ValueError as error:
                self.problems.append(f"--{option} {item}: {error}")
        return good


def settings(
    *listen: str,
    master: tuple[str, ...] = (),
    forward: tuple[str, ...] = (),
    upstream: tuple[str, ...] = (),
    cluster_id: str | None = None,
    http: str | None = None,
) -> tuple[Resolver, Forwarder]:
    """Invalid names every problem."""
    read = _Reader()
    address = read.each("listen", listen, resolver_address)
    masters = read.each("master", master, host_port)
    pairs = read.each("forward", forward, _forward)
    others = read.each("upstream", upstream, resolver_address)
    label = read.each("cluster-id", [cluster_id] if cluster_id else [], _label)
    pages = read.each("http", [http] if http else [], host_port)
    read.problems += [
        f"--{option} {asked}: that is this resolver itself"
        for option, asked in [*(("forward", at) for _, at in pairs), *(("upstream", at) for at in others)]
        if asked in address
    ]
    if read.problems:
        raise Invalid(*read.problems)
    zones: dict[str, list[str]] = {}
    for zone, at in pairs:
        zones.setdefault(zone, []).append(at)
    own = Resolver(
        tuple(split_address(item, 53) for item in dict.fromkeys(address)),
        masters=tuple(dict.fromkeys(masters)),
        cluster_id=label[0] if label else "",
        http=split_address(pages[0], None) if pages else None,
    )
    return own, _forwarder(zones, others, alias=bool(masters))


def _forwarder(zones: dict[str, list[str]], others: list[str], *, alias: bool) -> Forwarder:
    """Names of the cluster's own domain never leave the host; `mesos` below it is Mesos-DNS's zone."""
    aliases = {}
    if "mesos" in zones and alias:
        aliases = {wire_name(f"mesos.{parent}"): wire_name("mesos") for parent in (dcos.DIRECTORY, dcos.GLOBAL)}
    kept: dict[str, list[str]] = {dcos.DIRECTORY: [], dcos.GLOBAL: []}
    return Forwarder(make_zones(kept | zones), others, at_once=_AT_ONCE, aliases=aliases)


def _forward(item: str) -> tuple[str, str]:
    zone, equals, address = item.partition("=")
    if not equals:
        raise ValueError("not ZONE=ADDRESS")
    name = zone_name(zone)
    if any(name == own or name.endswith(f".{own}") for own in (dcos.DIRECTORY, dcos.GLOBAL, "spartan", "localhost")):
        raise ValueError("this resolver answers for that zone itself")
    return name, resolver_address(address)


def _label(text: str) -> str:
    label = zone_name(text)
    if "." in label:
        raise ValueError("not one label")
    return label
