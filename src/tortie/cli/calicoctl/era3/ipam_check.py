"""`calicoctl ipam check`, with `--repair` of our own: the books of addresses beside what is in use."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence

from tortie.base.errors import Invalid
from tortie.cli.calicoctl.era3.ipam_report import report_of
from tortie.cli.calicoctl.session import Failed, Session
from tortie.cli.options import BadUsage, Options
from tortie.ipam.assign import Pool, pool_of
from tortie.ipam.audit import Audit, Source, Survey
from tortie.ipam.check import GRACE_SECONDS, Finding
from tortie.ipam.inspect import Inspected, Owners, by_node, described, inspect, spoken_for, together, tunnels, workloads
from tortie.ipam.settings import leak_grace
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.store.client import Client

NODES_SHOWN = 20
COUNTED = ("unreadable", "overlap", "outside-pools", "claim", "node-gone", "wrong-handle", "count")
"""The kinds of findings that the scans of the original have no count for."""


def check(options: Options, session: Session) -> str:
    if options.words:
        raise BadUsage(f"unexpected word {options.words[0]!r}")
    show_all = options.has("--show-all-ips")
    show = show_all or options.has("--show-problem-ips")
    with session.client() as client:
        audit = Audit(client.datastore, _sources(client, session.environ))
        # The books first, then who uses what: an endpoint that comes meanwhile is no problem.
        survey = audit.survey(grace=_grace(client))
        ends, endpoints = tunnels(survey.nodes.items), workloads(client.list(WORKLOAD_ENDPOINT).items)
        plugins = spoken_for(survey.books, survey.live)
        used = together(ends, endpoints, plugins)
        active = [pool for item in survey.pools if (pool := pool_of(item)) is not None]
        seen = inspect(survey.books, used, active)
        lines = [
            *_blocks(survey, used, show_all=show_all),
            *_users(active, ends, endpoints, plugins),
            *_nodes(survey),
            *_addresses(seen, used, show=show),
            *_handles(survey, seen, show=show, show_all=show_all),
        ]
        others = _others(survey, seen)
        lines += [*_lines(show, (f"{finding.kind}: {finding.text}" for finding in others))]
        lines.append(f"Found {len(others)} blocks, claims and counts that do not add up.")
        problems = sum(map(len, (seen.leaked, seen.outside, seen.unallocated, seen.idle, seen.missing, others)))
        lines.append(f"Check complete; found {problems} problems.")
        if options.has("--output"):
            _save(options.value("--output"), report_of(client, survey.books, used, seen))
        if options.has("--repair"):
            _repair(audit, client, lines)
    return "\n".join(lines) + "\n"


def _sources(client: Client, environ: Mapping[str, str]) -> list[Source]:
    """Docker's, CNI's and net-modules'. This host's engine is asked besides where there is one; of others the store
    says it all."""
    from tortie.plugins.docker.source import docker_source
    from tortie.plugins.source import cni_source, netmodules_source
    from tortie.wire.docker import DEFAULT_SOCKET

    host = environ.get("DOCKER_HOST") or f"unix://{DEFAULT_SOCKET}"
    socket = host.removeprefix("unix://")
    there = host.startswith("unix://") and os.path.exists(socket)
    engine = (lambda: _engine(socket)) if there else None
    store = client.datastore
    return [docker_source(store, engine), cni_source(store), netmodules_source(store)]


def _engine(socket: str) -> Collection[str]:
    import anyio

    from tortie.plugins.docker.engine import DockerEngine
    from tortie.wire.docker import DockerClient

    async def ask() -> Collection[str]:
        async with DockerClient(socket) as docker:
            return await DockerEngine(docker).endpoint_ids()

    return anyio.run(ask)


def _grace(client: Client) -> float:
    grace = leak_grace(client.datastore)
    return GRACE_SECONDS if grace is None else grace


def _blocks(survey: Survey, used: Owners, *, show_all: bool) -> Iterator[str]:
    books = survey.books
    yield "Checking IPAM for inconsistencies..."
    yield ""
    yield "Loading all IPAM blocks..."
    yield f"Found {len(books.blocks)} IPAM blocks."
    allocated = sorted(books.allocations(), key=lambda a: (a.address.version, int(a.address)))
    for cidr, kept in sorted(books.blocks.items(), key=lambda pair: (pair[0].version, int(pair[0].network_address))):
        yield f" IPAM block {cidr} affinity={kept.value.affinity or '<none>'}:"
        for allocation in allocated:
            if show_all and allocation.cidr == cidr:
                yield f"  {allocation.address} allocated; attrs {described(allocation)}"
                yield from (f"  {allocation.address} belongs to {owner}" for owner in used.get(allocation.address, ()))
    yield f"IPAM blocks record {len(allocated)} allocations."
    yield ""


def _users(active: Sequence[Pool], ends: Owners, endpoints: Owners, plugins: Owners) -> Iterator[str]:
    yield "Loading all IPAM pools..."
    yield from (f"  {pool.cidr}" for pool in active)
    yield f"Found {len(active)} active IP pools."
    yield ""
    yield "Loading all nodes."
    yield f"Found {sum(map(len, ends.values()))} node tunnel IPs."
    yield ""
    yield "Loading all workload endpoints."
    yield f"Found {sum(map(len, endpoints.values()))} workload IPs."
    yield f"Workloads and nodes are using {len({*ends, *endpoints})} IPs."
    only = len(plugins.keys() - ends.keys() - endpoints.keys())
    yield f"Plug-ins keep {only} further IPs."
    yield ""


def _nodes(survey: Survey) -> Iterator[str]:
    yield "Loading all handles"
    yield f"Looking for top (up to {NODES_SHOWN}) nodes by allocations..."
    nodes = by_node(survey.books)
    yield from (f"  {node} has {count} allocations" for node, count in nodes[:NODES_SHOWN])
    if nodes:
        yield f"Node with most allocations has {nodes[0][1]}; median is {nodes[len(nodes) // 2][1]}"
    yield ""


def _addresses(seen: Inspected, used: Owners, *, show: bool) -> Iterator[str]:
    yield "Scanning for IPs that are allocated but not actually in use..."
    yield from _lines(show, (f"{a.address} leaked; attrs {described(a)}" for a in seen.leaked))
    yield f"Found {len(seen.leaked)} IPs that are allocated in IPAM but not actually in use."
    yield "Scanning for IPs that are in use by a workload or node but not allocated in IPAM..."
    yield from _lines(show, (f"{address} has multiple owners." for address, owners in used.items() if _several(owners)))
    nowhere = "is not in any active IP pool."
    yield from _lines(show, (f"{ip} in use by {who} {nowhere}" for ip in seen.outside for who in used[ip]))
    lost = "and in active IPAM pool but has no IPAM allocation."
    yield from _lines(show, (f"{ip} in use by {who} {lost}" for ip in seen.unallocated for who in used[ip]))
    yield f"Found {len(seen.outside)} in-use IPs that are not in active IP pools."
    count = len(seen.unallocated)
    yield f"Found {count} in-use IPs that are in active IP pools but have no corresponding IPAM allocation."
    yield ""


def _several(owners: Sequence[str]) -> bool:
    """A plug-in that speaks for an endpoint's address is no second owner."""
    return sum(owner.startswith(("Workload(", "Node(")) for owner in owners) > 1


def _handles(survey: Survey, seen: Inspected, *, show: bool, show_all: bool) -> Iterator[str]:
    yield "Scanning for IPAM handles with no matching IPs..."
    yield from _lines(show_all, (f"{handle} doesn't have any active IPs." for handle in seen.idle))
    good = len(survey.books.handles) - len(seen.idle)
    yield f"Found {len(seen.idle)} handles with no matching IPs (and {good} handles with matches)."
    yield "Scanning for IPs with missing handle..."
    yield from _lines(show, (f"{handle} is in use in a block but doesn't exist." for handle in seen.missing))
    yield f"Found {len(seen.missing)} handles mentioned in blocks with no matching handle resource."


def _others(survey: Survey, seen: Inspected) -> list[Finding]:
    """What the scans before have not counted."""
    told = {*seen.idle, *seen.missing}
    return [
        finding
        for finding in survey.report.findings
        if finding.kind in COUNTED and not (finding.kind == "count" and finding.subject in told)
    ]


def _lines(show: bool, lines: Iterator[str]) -> Iterator[str]:
    if show:
        yield from (f"  {line}" for line in lines)


def _save(path: str, document: bytes) -> None:
    try:
        with open(path, "wb") as file:
            file.write(document)
    except OSError as error:
        raise Invalid(f"cannot write the report {path}: {error.strerror or error}") from error


def _repair(audit: Audit, client: Client, lines: list[str]) -> None:
    """Raises Failed when something is left that a person has to see to."""
    done = audit.repair(grace=_grace(client))
    lines += ["", "Repairing what two looks find alike..."]
    lines += [f"{source} does not answer: all its addresses count as alive" for source in done.report.silent]
    lines += [f"  mended {finding.kind}: {finding.text}" for finding in done.mended]
    lines += [f"  left {finding.kind}: {finding.text}" for finding in done.failed]
    lines.append(f"Repaired {len(done.mended)} problems; {len(done.failed)} left.")
    if done.failed:
        raise Failed("\n".join(lines), f"{len(done.failed)} problems are left")
