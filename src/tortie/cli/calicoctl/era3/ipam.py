"""`calicoctl ipam` in the 3 grammar."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from ipaddress import ip_address

from tortie.base.errors import Invalid
from tortie.cli.calicoctl.session import Failed, Session
from tortie.cli.calicoctl.table import boxed
from tortie.cli.options import BadUsage, Options
from tortie.ipam import settings
from tortie.ipam.allocator import Allocator
from tortie.ipam.assign import networks, selecting
from tortie.ipam.audit import Audit
from tortie.ipam.block import Address
from tortie.ipam.books import Books
from tortie.ipam.ledger import Ledger
from tortie.ipam.show import allocation_of, borrowed, usage
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.ip_reservation import IP_RESERVATION
from tortie.store.client import Client

Command = Callable[[Options, Session], str]


def command(second: str) -> tuple[Command, Mapping[str, str], Mapping[str, str]]:
    found = _COMMANDS.get(second)
    if found is None:
        raise BadUsage(f"unknown command ipam {second}".rstrip())
    function, flags, values = found
    return function, {flag: flag for flag in flags}, {**{value: value for value in values}, "-o": "--output"}


# show


def show(options: Options, session: Session) -> str:
    _no_words(options)
    with session.client() as client:
        if options.has("--ip"):
            return _show_address(client, options.value("--ip"))
        if options.has("--show-configuration"):
            return _show_configuration(client)
        books = Audit(client.datastore).books()
        if options.has("--show-borrowed"):
            return _show_borrowed(books)
        return _show_pools(client, books, blocks=options.has("--show-blocks"))


def _show_pools(client: Client, books: Books, *, blocks: bool) -> str:
    pools = selecting(client.list(IP_POOL).items, None)
    reserved = networks([cidr for item in client.list(IP_RESERVATION).items for cidr in item.spec.reserved_cidrs])
    rows = [
        (
            row.grouping,
            str(row.cidr),
            f"{row.total:.5g}",
            _share(row.in_use, row.total),
            _share(row.reserved, row.total),
            _share(row.free, row.total),
        )
        for row in usage(books, pools, reserved, blocks=blocks)
    ]
    return boxed(("GROUPING", "CIDR", "IPS TOTAL", "IPS IN USE", "IPS RESERVED", "IPS FREE"), rows)


def _share(part: int, total: int) -> str:
    return f"{part:.5g} ({100 * part / total:.0f}%)"


def _show_borrowed(books: Books) -> str:
    rows = [
        (str(row.address), row.borrower, str(row.block), row.owner, row.type, row.allocated_to)
        for row in borrowed(books)
    ]
    told = boxed(("IP", "BORROWING-NODE", "BLOCK", "BLOCK OWNER", "TYPE", "ALLOCATED-TO"), rows)
    unknown = sum(not allocation.node for allocation in books.allocations())
    if unknown:
        told += (
            f"\nNote: found {unknown} IP allocations without an explicit node association. "
            "Unable to determine if they are borrowed.\n"
        )
    return told


def _show_configuration(client: Client) -> str:
    config, _ = Ledger(client.datastore, "").config()
    rows = [
        ("StrictAffinity", str(config.strict_affinity).lower()),
        ("AutoAllocateBlocks", str(config.auto_allocate_blocks).lower()),
        ("MaxBlocksPerHost", str(config.max_blocks_per_host)),
        ("KubeVirtVMAddressPersistence", config.kube_virt_vm_address_persistence or "Disabled"),
        ("IPCooldownSeconds", str(config.ip_cooldown_seconds)),
    ]
    return boxed(("PROPERTY", "VALUE"), rows)


def _show_address(client: Client, text: str) -> str:
    found = allocation_of(Audit(client.datastore).books(), address_of(text))
    if found is None:
        return f"{address_of(text)} is not assigned\n"
    lines = [f"IP {found.address} is in use", f"Handle ID: {found.attribute.handle_id or '<none>'}"]
    known = sorted(found.attribute.secondary.items())
    lines += ["Active Owner Attributes:"] if known else ["No Active Owner attributes defined"]
    return "\n".join([*lines, *(f"  {name}: {value}" for name, value in known)]) + "\n"


def attributes_of(client: Client, text: str) -> list[str] | None:
    """`name: value` of the address's attributes, None when nobody has it. Raises Invalid."""
    found = allocation_of(Audit(client.datastore).books(), address_of(text))
    return None if found is None else [f"{name}: {value}" for name, value in sorted(found.attribute.secondary.items())]


def address_of(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise Invalid(f"invalid IP address '{text}'") from error


# release, configure, split


def release(options: Options, session: Session) -> str:
    _no_words(options)
    if options.has("--from-report"):
        from tortie.cli.calicoctl.era3.ipam_report import release_from_reports

        paths = [path for value in options.values("--from-report") for path in value.split(",")]
        return release_from_reports(session, paths, force=options.has("--force"))
    if not options.has("--ip"):
        raise BadUsage("ipam release needs --ip or --from-report")
    return release_address(session, options.value("--ip"))


def release_address(session: Session, text: str) -> str:
    """Shared by the grammars. Raises Failed when nobody had the address."""
    address = address_of(text)
    with session.client() as client:
        if not Allocator(client.datastore, "calicoctl").release(address, now=time.time()):
            raise Failed(f"IP address {address} is not assigned")
    return f"Successfully released IP address {address}\n"


def configure(options: Options, session: Session) -> str:
    _no_words(options)
    wanted: dict[str, bool | int | str] = {}
    told = []
    for option, (field, name, read) in _SETTINGS.items():
        if options.has(option):
            wanted[field] = value = read(options.value(option))
            told.append(f"Successfully set {name} to: {str(value).lower() if isinstance(value, bool) else value}")
    if not wanted:
        raise Invalid("at least one configuration option must be specified")
    with session.client() as client:
        settings.configure(client.datastore, **wanted)  # type: ignore[arg-type]
    return "\n".join(told) + "\n"


def _truth(text: str) -> bool:
    """As Go reads one."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise Invalid("invalid value. Use true or false to set strictaffinity")


def _blocks(text: str) -> int:
    return _number(text, "invalid value for maxblockhost. Use a valid number")


def _seconds(text: str) -> int:
    return _number(text, "invalid value for ip-cooldown-seconds. Use a valid number")


def _persistence(text: str) -> str:
    if text not in ("Enabled", "Disabled"):
        raise Invalid("invalid value for --kubevirt-ip-persistence. Use Enabled or Disabled")
    return text


def _number(text: str, fault: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise Invalid(fault)
    return int(text)


_SETTINGS: dict[str, tuple[str, str, Callable[[str], bool | int | str]]] = {
    "--strictaffinity": ("strict_affinity", "StrictAffinity", _truth),
    "--max-blocks-per-host": ("max_blocks_per_host", "MaxBlocksPerHost", _blocks),
    "--kubevirt-ip-persistence": ("kube_virt_vm_address_persistence", "KubeVirtVMAddressPersistence", _persistence),
    "--ip-cooldown-seconds": ("ip_cooldown_seconds", "IPCooldownSeconds", _seconds),
}


def split(options: Options, session: Session) -> str:
    if len(options.words) != 1:
        raise BadUsage("ipam split needs one number")
    (text,) = options.words
    name, cidr = options.value("--name"), options.value("--cidr")
    if bool(name) == bool(cidr):
        raise Invalid("no name or CIDR provided. Provide a name or CIDR to denote the IP pool to split")
    parts = _number(text, f"error reading number to split IP pools into. {text} is not a valid number")
    with session.client() as client:
        made = settings.split_pool(client.datastore, parts, name=name, cidr=cidr)
    whole = made[0].name.removeprefix("split-").removesuffix("-0")
    lines = [f"IP Pool {whole} was successfully split into {parts} smaller pools."]
    lines += [f"Created {pool.name} with CIDR {pool.spec.cidr}." for pool in made]
    return "\n".join([*lines, "Please refer to the documentation for final steps."]) + "\n"


def _check(options: Options, session: Session) -> str:
    from tortie.cli.calicoctl.era3.ipam_check import check

    return check(options, session)


def _no_words(options: Options) -> None:
    if options.words:
        raise BadUsage(f"unexpected word {options.words[0]!r}")


_COMMANDS: dict[str, tuple[Command, tuple[str, ...], tuple[str, ...]]] = {
    "show": (show, ("--show-blocks", "--show-borrowed", "--show-configuration"), ("--ip",)),
    "check": (_check, ("--show-all-ips", "--show-problem-ips", "--repair"), ("--output",)),
    "release": (release, ("--force",), ("--ip", "--from-report")),
    "configure": (
        configure,
        (),
        tuple(_SETTINGS),
    ),
    "split": (split, (), ("--cidr", "--name")),
}
