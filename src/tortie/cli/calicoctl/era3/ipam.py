"""`calicoctl ipam` in the 3 grammar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address, ip_network

import msgspec

from tortie.base.errors import Conflict, Invalid
from tortie.cli.calicoctl.options import BadUsage, Options
from tortie.cli.calicoctl.session import Failed, Session
from tortie.model.codec import from_json, to_json
from tortie.model.ipam import BLOCKS, CONFIG_KEY, DEFAULT_CONFIG, Block, IpamConfig, parse_block
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.store.client import Client
from tortie.store.port import Compare, CompareFailed, Put

Command = Callable[[Options, Session], str]
ATTEMPTS = 5


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
        blocks = _blocks(client)
        if options.has("--show-borrowed"):
            return _show_borrowed(blocks)
        return _show_pools(client, blocks, blocks_too=options.has("--show-blocks"))


def _blocks(client: Client) -> list[Block]:
    found = [parse_block(kv.value, kv.key) for kv in client.datastore.list(BLOCKS).items]
    return sorted((block for block in found if not block.deleted), key=lambda b: _order(b.cidr))


def _order(cidr: str) -> tuple[int, int]:
    network = ip_network(cidr)
    return network.version, int(network.network_address)


def _show_pools(client: Client, blocks: list[Block], *, blocks_too: bool) -> str:
    rows = []
    for item in sorted(client.list(IP_POOL).items, key=lambda item: _order(item.spec.cidr)):
        pool = ip_network(item.spec.cidr)
        inside = [b for b in blocks if (n := ip_network(b.cidr)).version == pool.version and n.subnet_of(pool)]  # type: ignore[arg-type]
        rows.append(_row("IP Pool", item.spec.cidr, pool.num_addresses, sum(_used(block) for block in inside)))
        if blocks_too:
            rows += [_row("Block", b.cidr, len(b.allocations), _used(b)) for b in inside]
    return boxed(("GROUPING", "CIDR", "IPS TOTAL", "IPS IN USE", "IPS FREE"), rows)


def _used(block: Block) -> int:
    return sum(index is not None for index in block.allocations)


def _row(grouping: str, cidr: str, total: int, used: int) -> tuple[str, ...]:
    free = total - used
    return (grouping, cidr, f"{total:.5g}", _share(used, total), _share(free, total))


def _share(part: int, total: int) -> str:
    return f"{part:.5g} ({round(100 * part / total)}%)"


def _show_borrowed(blocks: list[Block]) -> str:
    rows = []
    for block in blocks:
        base = ip_network(block.cidr)
        for ordinal, index in enumerate(block.allocations):
            if index is None:
                continue
            attribute = block.attributes[index]
            node = attribute.secondary.get("node", "")
            if node and node != block.node:
                kind = attribute.secondary.get("type", "workload")
                owner = attribute.secondary.get("pod") or attribute.handle_id or ""
                rows.append((str(base[ordinal]), node, block.cidr, block.node or "", kind, owner))
    return boxed(("IP", "BORROWING-NODE", "BLOCK", "BLOCK OWNER", "TYPE", "ALLOCATED-TO"), rows)


def _show_configuration(client: Client) -> str:
    config, _ = _config(client)
    rows = [
        ("StrictAffinity", str(config.strict_affinity).lower()),
        ("AutoAllocateBlocks", str(config.auto_allocate_blocks).lower()),
        ("MaxBlocksPerHost", str(config.max_blocks_per_host)),
    ]
    return boxed(("PROPERTY", "VALUE"), rows)


def _show_address(client: Client, text: str) -> str:
    lines = attributes_of(client, text)
    if lines is None:
        return f"{ip_address(text)} is not assigned\n"
    return "\n".join([f"IP {ip_address(text)} is in use", "Attributes:", *(f"  {line}" for line in lines)]) + "\n"


def attributes_of(client: Client, text: str) -> list[str] | None:
    """`name: value` of the address's handle and attributes, None when nobody has it. Raises Invalid."""
    try:
        address = ip_address(text)
    except ValueError as error:
        raise Invalid(f"invalid IP address '{text}'") from error
    for block in _blocks(client):
        network = ip_network(block.cidr)
        if address.version != network.version or address not in network:
            continue
        index = block.allocations[int(address) - int(network.network_address)]
        if index is None:
            return None
        attribute = block.attributes[index]
        handle = [f"Handle ID: {attribute.handle_id}"] if attribute.handle_id else []
        return handle + [f"{name}: {value}" for name, value in sorted(attribute.secondary.items())]
    return None


def boxed(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """The frame that the Go programs' table writer draws: headings centred, cells left."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    ruler = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    lines = [ruler, _boxed_row([h.center(w) for h, w in zip(headings, widths, strict=True)]), ruler]
    lines += [_boxed_row([cell.ljust(w) for cell, w in zip(row, widths, strict=True)]) for row in rows]
    return "\n".join([*lines, ruler]) + "\n"


def _boxed_row(cells: list[str]) -> str:
    return "|" + "|".join(f" {cell} " for cell in cells) + "|"


# release, configure


def release(options: Options, session: Session) -> str:
    _no_words(options)
    if options.has("--from-report"):
        raise Invalid("--from-report is not supported yet; release addresses one by one with --ip")
    if not options.has("--ip"):
        raise BadUsage("ipam release needs --ip")
    return release_address(session, options.value("--ip"), "Successfully released IP address {}\n")


def release_address(session: Session, text: str, done: str) -> str:
    """Shared by the grammars. Raises Failed when nobody had the address."""
    import time

    from tortie.ipam.allocator import Allocator

    try:
        address = ip_address(text)
    except ValueError as error:
        raise Invalid(f"invalid IP address '{text}'") from error
    with session.client() as client:
        if not Allocator(client.datastore, "calicoctl").release(address, now=time.time()):
            raise Failed(f"IP address {address} is not assigned")
    return done.format(address)


def configure(options: Options, session: Session) -> str:
    _no_words(options)
    changes: dict[str, bool | int] = {}
    told = []
    for option, field, name in (
        ("--strictaffinity", "strict_affinity", "StrictAffinity"),
        ("--max-blocks-per-host", "max_blocks_per_host", "MaxBlocksPerHost"),
        ("--ip-cooldown-seconds", "ip_cooldown_seconds", "IPCooldownSeconds"),
    ):
        if options.has(option):
            value = options.value(option)
            changes[field] = _truth(option, value) if field == "strict_affinity" else _number(option, value)
            told.append(f"Successfully set {name} to: {value.lower()}")
    if not changes:
        raise BadUsage("ipam configure needs something to set")
    with session.client() as client:
        for _ in range(ATTEMPTS):
            config, revision = _config(client)
            wanted = msgspec.structs.replace(config, **changes)
            try:
                client.datastore.commit([Put(CONFIG_KEY, to_json(wanted))], [Compare(CONFIG_KEY, revision)])
            except CompareFailed:
                continue
            return "\n".join(told) + "\n"
    raise Conflict(f"the address configuration was changed by others {ATTEMPTS} times in a row")


def _config(client: Client) -> tuple[IpamConfig, int]:
    kv = client.datastore.get(CONFIG_KEY)
    return (from_json(IpamConfig, kv.value, "ipam config"), kv.revision) if kv else (DEFAULT_CONFIG, 0)


def _truth(option: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise Invalid(f"invalid value '{value}' of {option}: true or false")
    return value.lower() == "true"


def _number(option: str, value: str) -> int:
    if not value.isdecimal() or len(value) > 9:
        raise Invalid(f"invalid value '{value}' of {option}: a whole number from 0")
    return int(value)


# check


def check(options: Options, session: Session) -> str:
    """Every block against its handles, its affinity and the endpoints in the store; exit code 0 as the original."""
    _no_words(options)
    if options.has("--output"):
        raise Invalid("--output of a report is not supported yet")
    from tortie.cli.calicoctl.era3.ipam_check import findings

    with session.client() as client:
        lines = ["Checking IPAM for inconsistencies...", "", "Loading all IPAM blocks..."]
        blocks = _blocks(client)
        lines.append(f"Found {len(blocks)} IPAM blocks.")
        lines += [f" IPAM block {b.cidr} affinity={b.affinity or '<none>'}:" for b in blocks]
        found = list(findings(client, blocks))
        if options.has("--show-all-ips"):
            lines += [f" {address} allocated" for block in blocks for address in _addresses(block)]
    lines += [f"  {problem}" for problem in found]
    return "\n".join([*lines, "", f"Check complete; found {len(found)} problems."]) + "\n"


def _addresses(block: Block) -> Iterator[str]:
    base = ip_network(block.cidr)
    return (str(base[ordinal]) for ordinal, index in enumerate(block.allocations) if index is not None)


def split(_options: Options, _session: Session) -> str:
    raise Invalid("ipam split is not supported yet: make the smaller pools anew and move workloads to them")


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
