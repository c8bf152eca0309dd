"""`calicoctl ipam` in the 3 grammar."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from tortie.base.errors import Invalid
from tortie.base.sources import documents
from tortie.cli.calicoctl.options import BadUsage, Options
from tortie.cli.calicoctl.session import Failed, Session
from tortie.ipam import settings
from tortie.ipam.allocator import Allocator
from tortie.ipam.assign import networks, selecting
from tortie.ipam.audit import Audit
from tortie.ipam.block import Address
from tortie.ipam.books import Books
from tortie.ipam.check import Report
from tortie.ipam.ledger import Ledger
from tortie.ipam.show import allocation_of, borrowed, usage
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.ip_reservation import IP_RESERVATION
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Resource
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
            lines = attributes_of(client, options.value("--ip"))
            if lines is None:
                return f"{options.value('--ip')} is not assigned\n"
            told = [f"IP {options.value('--ip')} is in use", "Attributes:", *(f"  {line}" for line in lines)]
            return "\n".join(told) + "\n"
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
    return f"{part:.5g} ({round(100 * part / total)}%)"


def _show_borrowed(books: Books) -> str:
    rows = [
        (str(row.address), row.borrower, str(row.block), row.owner, row.type, row.allocated_to)
        for row in borrowed(books)
    ]
    return boxed(("IP", "BORROWING-NODE", "BLOCK", "BLOCK OWNER", "TYPE", "ALLOCATED-TO"), rows)


def _show_configuration(client: Client) -> str:
    config, _ = Ledger(client.datastore, "").config()
    rows = [
        ("StrictAffinity", str(config.strict_affinity).lower()),
        ("AutoAllocateBlocks", str(config.auto_allocate_blocks).lower()),
        ("MaxBlocksPerHost", str(config.max_blocks_per_host)),
        ("IPCooldownSeconds", str(config.ip_cooldown_seconds)),
    ]
    return boxed(("PROPERTY", "VALUE"), rows)


def attributes_of(client: Client, text: str) -> list[str] | None:
    """`name: value` of the address's handle and attributes, None when nobody has it. Raises Invalid."""
    found = allocation_of(Audit(client.datastore).books(), address_of(text))
    if found is None:
        return None
    attribute = found.attribute
    handle = [f"Handle ID: {attribute.handle_id}"] if attribute.handle_id else []
    return handle + [f"{name}: {value}" for name, value in sorted(attribute.secondary.items())]


def address_of(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise Invalid(f"invalid IP address '{text}'") from error


def boxed(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """The frame that the Go programs' table writer draws: headings centred, cells left."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    ruler = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    lines = [ruler, _boxed_row([h.center(w) for h, w in zip(headings, widths, strict=True)]), ruler]
    lines += [_boxed_row([cell.ljust(w) for cell, w in zip(row, widths, strict=True)]) for row in rows]
    return "\n".join([*lines, ruler]) + "\n"


def _boxed_row(cells: list[str]) -> str:
    return "|" + "|".join(f" {cell} " for cell in cells) + "|"


# release, configure, split


def release(options: Options, session: Session) -> str:
    _no_words(options)
    if options.has("--from-report"):
        return _release_from_report(options, session)
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
    wanted: dict[str, bool | int] = {}
    told = []
    for option, (field, name) in _SETTINGS.items():
        if options.has(option):
            value = options.value(option).lower()
            wanted[field] = _truth(option, value) if field == "strict_affinity" else _number(option, value)
            told.append(f"Successfully set {name} to: {value}")
    if not wanted:
        raise BadUsage("ipam configure needs something to set")
    with session.client() as client:
        settings.configure(client.datastore, **wanted)  # type: ignore[arg-type]
    return "\n".join(told) + "\n"


_SETTINGS = {
    "--strictaffinity": ("strict_affinity", "StrictAffinity"),
    "--max-blocks-per-host": ("max_blocks_per_host", "MaxBlocksPerHost"),
    "--ip-cooldown-seconds": ("ip_cooldown_seconds", "IPCooldownSeconds"),
}


def _truth(option: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise Invalid(f"invalid value '{value}' of {option}: true or false")
    return value == "true"


def _number(option: str, value: str) -> int:
    if not value.isdecimal() or len(value) > 9:
        raise Invalid(f"invalid value '{value}' of {option}: a whole number from 0")
    return int(value)


def split(options: Options, session: Session) -> str:
    if len(options.words) != 1 or options.has("--cidr") == options.has("--name"):
        raise BadUsage("ipam split needs a number, and either --cidr or --name")
    parts = _number("<NUMBER>", options.words[0])
    with session.client() as client:
        made = settings.split_pool(client.datastore, parts, name=options.value("--name"), cidr=options.value("--cidr"))
    return "".join(f"Created IPPool {pool.name} {pool.spec.cidr}\n" for pool in made)


# check


def check(options: Options, session: Session) -> str:
    """The books against themselves and the endpoints in the store. Only a host knows which containers live."""
    _no_words(options)
    with session.client() as client:
        audit = Audit(client.datastore)
        books, report = audit.books(), audit.look()
        endpoints = client.list(WORKLOAD_ENDPOINT).items
        document = _report(client, books, report) if options.has("--output") else None
    lines = ["Checking IPAM for inconsistencies...", "", "Loading all IPAM blocks..."]
    lines.append(f"Found {len(books.blocks)} IPAM blocks.")
    for cidr, kept in sorted(books.blocks.items(), key=lambda pair: (pair[0].version, pair[0])):
        lines.append(f" IPAM block {cidr} affinity={kept.value.affinity or '<none>'}:")
    addresses = sorted(str(allocation.address) for allocation in books.allocations())
    if options.has("--show-all-ips"):
        lines += [f"  {address} allocated" for address in addresses]
    lines.append(f"IPAM blocks record {len(addresses)} allocations.")
    problems = [f"{finding.kind}: {finding.text}" for finding in report.findings]
    problems += _of_endpoints(endpoints, set(addresses))
    lines += ["", *(f"  {problem}" for problem in problems)]
    if document is not None:
        _save(options.value("--output"), document)
    return "\n".join([*lines, f"Check complete; found {len(problems)} problems."]) + "\n"


def _of_endpoints(endpoints: Sequence[Resource[WorkloadEndpointSpec]], taken: set[str]) -> list[str]:
    found = []
    users: dict[str, str] = {}
    for endpoint in endpoints:
        for text in endpoint.spec.ip_networks:
            address = text.partition("/")[0]
            if address in users:
                found.append(f"{address} is used by {users[address]} and by {endpoint.name}")
            users[address] = endpoint.name
            if address not in taken:
                found.append(f"{address} is used by {endpoint.name} but not allocated")
    return found


def _report(client: Client, books: Books, report: Report) -> dict[str, Any]:
    info = client.find(CLUSTER_INFORMATION, "default")
    allocations: dict[str, list[dict[str, str]]] = {}
    for allocation in books.allocations():
        handle = allocation.attribute.handle_id or ""
        allocations[str(allocation.address)] = [{"handle": handle, "node": allocation.node}]
    return {
        "version": 1,
        "clusterGUID": info.spec.cluster_guid if info else "",
        "datastoreLocked": info is not None and info.spec.datastore_ready is False,
        "clusterInformationRevision": str(info.revision) if info else "",
        "clusterType": info.spec.cluster_type if info else "",
        "allocations": allocations,
        "leakedHandles": [finding.subject for finding in report.findings if finding.kind == "leak"],
    }


def _save(path: str, document: dict[str, Any]) -> None:
    import json

    try:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
    except OSError as error:
        raise Invalid(f"cannot write the report {path}: {error.strerror or error}") from error


def _release_from_report(options: Options, session: Session) -> str:
    """The leaked handles of a report of this very cluster, while its datastore is locked, or with --force."""
    reports = [_read_report(session, path) for path in options.value("--from-report").split(",")]
    # A leak of one report may live on the host that made another: only what all name is released.
    leaked = set.intersection(*(set(report["leakedHandles"]) for report in reports))
    with session.client() as client:
        info = client.find(CLUSTER_INFORMATION, "default")
        guid = info.spec.cluster_guid if info else ""
        if any(report["clusterGUID"] != guid for report in reports):
            raise Invalid("the report is of another cluster")
        locked = info is not None and info.spec.datastore_ready is False
        if not options.has("--force") and not (locked and all(report["datastoreLocked"] for report in reports)):
            raise Invalid("the datastore must be locked, now and when the report was made; or use --force")
        releaser = Allocator(client.datastore, "calicoctl")
        released = [
            address for handle in sorted(leaked) for address in releaser.release_by_handle(handle, now=time.time())
        ]
    return f"Released {len(released)} IPs successfully\n"


def _read_report(session: Session, path: str) -> dict[str, Any]:
    ((name, text),) = session.sources.texts(path) or [(path, "")]
    try:
        (report,) = documents(name, text)
        handles = report["leakedHandles"]
        if isinstance(report["clusterGUID"], str) and all(isinstance(handle, str) for handle in handles):
            return {"datastoreLocked": False, **report}
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid(f"{path}: not a report of ipam check") from error
    raise Invalid(f"{path}: not a report of ipam check")


def _no_words(options: Options) -> None:
    if options.words:
        raise BadUsage(f"unexpected word {options.words[0]!r}")


_COMMANDS: dict[str, tuple[Command, tuple[str, ...], tuple[str, ...]]] = {
    "show": (show, ("--show-blocks", "--show-borrowed", "--show-configuration"), ("--ip",)),
    "check": (check, ("--show-all-ips", "--show-problem-ips"), ("--output",)),
    "release": (release, ("--force",), ("--ip", "--from-report")),
    "configure": (
        configure,
        (),
        ("--strictaffinity", "--max-blocks-per-host", "--ip-cooldown-seconds"),
    ),
    "split": (split, (), ("--cidr", "--name")),
}
