"""`calicoctl pool add`, `pool range add`, `pool remove` and `ipam`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network, summarize_address_range

import msgspec

from tortie.base.errors import Invalid
from tortie.cli.calicoctl import write
from tortie.cli.calicoctl.era019 import usage
from tortie.cli.calicoctl.era019.line import Failure, Line, UsageError, read
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.resource import Metadata, Resource, with_defaults
from tortie.store.client import Client

Job = Callable[[Client], str]
SMALLEST = {4: 26, 6: 122}


def command(arguments: Sequence[str]) -> Job:
    """Everything of `pool` but `show`. Raises UsageError, and Failure for values that can never be right."""
    line = read(arguments, usage.POOL, flags=("--ipip", "--nat-outgoing"))
    match line.words:
        case ("add", *cidrs) if cidrs:
            pools = [_wanted(text, line) for text in cidrs]
            return lambda client: _add(client, pools)
        case ("range", "add", first, last):
            pools = [_wanted(text, line) for text in _range(first, last)]
            return lambda client: _add(client, pools)
        case ("remove", *cidrs) if cidrs and not line.flags:
            texts = [_cidr(text) for text in cidrs]
            return lambda client: "\n".join(_remove(client, text) for text in texts)
    raise UsageError(usage.POOL)


def _cidr(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise Failure(f"Invalid CIDR specified {text}") from error


def _wanted(text: str, line: Line) -> IPPoolSpec:
    network = ip_network(_cidr(text))
    if network.prefixlen > SMALLEST[network.version]:
        raise Failure(f"Pool {text} is too small: the smallest is /{SMALLEST[network.version]}")
    ipip = "--ipip" in line.flags
    if ipip and network.version == 6:
        raise Failure("IP in IP not supported for IPv6 pools")
    return IPPoolSpec(
        cidr=str(network), ipip_mode="Always" if ipip else "Never", nat_outgoing="--nat-outgoing" in line.flags
    )


def _range(first: str, last: str) -> list[str]:
    try:
        start, end = ip_address(first), ip_address(last)
    except ValueError as error:
        raise Failure("Invalid START_IP or END_IP specified.") from error
    if start.version != end.version:
        raise Failure("START_IP and END_IP must be the same ip version")
    if int(start) >= int(end):
        raise Failure("START_IP must be a smaller ip address than END_IP")
    if isinstance(start, IPv4Address) and isinstance(end, IPv4Address):
        return [str(network) for network in summarize_address_range(start, end)]
    assert isinstance(start, IPv6Address)
    assert isinstance(end, IPv6Address)
    return [str(network) for network in summarize_address_range(start, end)]


def _add(client: Client, wanted: Sequence[IPPoolSpec]) -> str:
    """The same CIDR again changes the pool's options; one that overlaps another is refused before any is written."""
    there = {item.spec.cidr: item for item in client.list(IP_POOL).items}
    for spec in wanted:
        network = ip_network(spec.cidr)
        for cidr in there:
            other = ip_network(cidr)
            if spec.cidr not in there and other.version == network.version and other.overlaps(network):
                raise Failure(f"Cannot add IP Pool {spec.cidr}: it overlaps with the pool {cidr}")
    for spec in wanted:
        found = there.get(spec.cidr)
        if found is None:
            name = spec.cidr.replace(".", "-").replace(":", "-").replace("/", "-").strip("-")
            write.create(client, with_defaults(Resource(kind=IP_POOL, metadata=Metadata(name=name), spec=spec)))
            continue
        changed = msgspec.structs.replace(found.spec, ipip_mode=spec.ipip_mode, nat_outgoing=spec.nat_outgoing)
        write.replace(client, replace(found, spec=changed), found.revision)
    return ""


def _remove(client: Client, cidr: str) -> str:
    found = next((item for item in client.list(IP_POOL).items if item.spec.cidr == cidr), None)
    if found is None:
        raise Failure(f"{cidr} is not a configured pool.")
    write.delete(client, found)
    return "Disabling IP Pool\nRemoving IPAM configuration for pool\nDeleted IP Pool"


def ipam(arguments: Sequence[str]) -> Job:
    match read(arguments, usage.IPAM).words:
        case ("release", text):
            return lambda client: _release(client, text)
        case ("info", text):
            return lambda client: _info(client, text)
    raise UsageError(usage.IPAM)


def _release(client: Client, text: str) -> str:
    from tortie.ipam.allocator import Allocator

    address = _address(text)
    if not Allocator(client.datastore, "calicoctl").release(address, now=time.time()):
        raise Failure("Failed to release address")
    return "Address successfully released"


def _info(client: Client, text: str) -> str:
    from tortie.ipam.audit import Audit
    from tortie.ipam.show import allocation_of

    found = allocation_of(Audit(client.datastore).books(), _address(text))
    if found is None:
        return f"IP {text} is not currently assigned"
    return str(dict(found.attribute.secondary)) if found.attribute.secondary else f"No attributes defined for {text}"


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise Invalid(f"Invalid IP address specified {text}") from error
