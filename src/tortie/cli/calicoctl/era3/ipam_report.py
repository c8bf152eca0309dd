"""The report that `ipam check -o` writes and `ipam release --from-report` goes by, in the original's JSON."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Conflict, Invalid
from tortie.cli.calicoctl.era3.about import own_version
from tortie.cli.calicoctl.session import Session
from tortie.ipam.books import Allocation, Books
from tortie.ipam.inspect import Inspected, Owners
from tortie.ipam.release import Releaser, releaser
from tortie.model.codec import UNREADABLE
from tortie.model.ipam import handle_key
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION, ClusterInformationSpec
from tortie.model.resource import Resource
from tortie.store.client import Client
from tortie.store.port import Compare, CompareFailed, Datastore, Drop

REVISION = re.compile("[1-9][0-9]{0,18}")


class _Allocation(msgspec.Struct, rename="camel", omit_defaults=True):
    ip: str
    handle: str = ""
    sequence_number: int | None = None
    pod: str = ""
    namespace: str = ""
    node: str = ""
    type: str = ""
    creation_timestamp: str = ""
    in_use: bool | msgspec.UnsetType = msgspec.UNSET
    borrowed: bool = False
    owners: list[str] | msgspec.UnsetType | None = msgspec.UNSET


class _Handle(msgspec.Struct):
    """`Revision`: the handle is deleted only when it is still at this one."""

    id: str = msgspec.field(name="ID")
    uid: str | None = msgspec.field(default=None, name="UID")
    revision: str = msgspec.field(default="", name="Revision")


class _Report(msgspec.Struct, rename="camel"):
    version: str
    cluster_guid: str = msgspec.field(name="clusterGUID")
    datastore_locked: bool = False
    cluster_information_revision: str = ""
    cluster_type: str = ""
    allocations: dict[str, list[_Allocation]] = {}
    leaked_handles: list[_Handle] = []


def report_of(client: Client, books: Books, used: Owners, seen: Inspected) -> bytes:
    info = client.find(CLUSTER_INFORMATION, "default")
    spec = info.spec if info else ClusterInformationSpec()
    allocations: dict[str, list[_Allocation]] = {}
    for allocation in books.allocations():
        allocations[str(allocation.address)] = [_told(allocation, books, used.get(allocation.address, ()))]
    report = _Report(
        version=own_version(),
        cluster_guid=spec.cluster_guid,
        datastore_locked=spec.datastore_ready is False,
        cluster_information_revision=str(info.revision) if info else "",
        cluster_type=spec.cluster_type,
        allocations=dict(sorted(allocations.items())),
        leaked_handles=[_Handle(handle, None, str(books.handles[handle].revision)) for handle in seen.idle],
    )
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def _told(allocation: Allocation, books: Books, owners: Sequence[str]) -> _Allocation:
    block, known = books.blocks[allocation.cidr].value, allocation.attribute.secondary
    ordinal = int(allocation.address) - int(allocation.cidr.network_address)
    node = allocation.node or block.node or ""
    return _Allocation(
        ip=str(allocation.address),
        handle=allocation.attribute.handle_id or "",
        sequence_number=block.sequence_number_for_allocation.get(str(ordinal), 0),
        pod=known.get("pod", ""),
        namespace=known.get("namespace", ""),
        node=node,
        type=known.get("type", ""),
        creation_timestamp=known.get("timestamp", ""),
        in_use=bool(owners),
        borrowed=node != (block.node or ""),
        owners=list(owners) or None,
    )


def release_from_reports(session: Session, paths: Sequence[str], *, force: bool) -> str:
    """What every one of the reports calls leaked, and is still as they say. Raises Invalid for a report that will not
    do: of another cluster, older than the cluster's present information, made while the datastore was not locked."""
    reports = [(path, _read(session, path)) for path in paths]
    with session.client() as client:
        info = client.get(CLUSTER_INFORMATION, "default")
        lines = list(_warnings(info, reports, force=force))
        now, back = time.time(), releaser(client.datastore)
        leaked = set.intersection(*(set(_leaked(report)) for _, report in reports))
        lines += _release(back, leaked, now) if leaked else ["Report didn't contain any leaked IPs to clean up."]
        idle = set.intersection(*({(h.id, h.revision) for h in report.leaked_handles} for _, report in reports))
        lines += _drop(client.datastore, idle) if idle else ["Report didn't contain any handles to clean up."]
    return "\n".join([*lines, "You may now unlock the data store."]) + "\n"


def _warnings(
    info: Resource[ClusterInformationSpec], reports: Sequence[tuple[str, _Report]], *, force: bool
) -> Iterator[str]:
    for path, report in reports:
        if report.cluster_guid != info.spec.cluster_guid:
            raise Invalid(
                f"cluster does not match the provided report ({path}): mismatched cluster GUID. Refusing to release"
            )
        if report.version != own_version():
            if not force:
                raise Invalid(
                    f"the provided report ({path}) was produced using a different version ({report.version}) of "
                    "calicoctl. Refusing to release"
                )
            yield "WARNING: Report was produced using a different version of calicoctl. Ignoring due to --force option"
    if all(report.cluster_information_revision != str(info.revision) for _, report in reports):
        raise Invalid(
            "the provided reports are all stale - at least one should be up-to-date. "
            "Please generate a new report while the data store is locked and try again"
        )
    if info.spec.datastore_ready is not False:
        if not force:
            raise Invalid("data store is not locked. Either lock the data store, or re-run with --force")
        yield "WARNING: Data store is not locked. Ignoring due to --force option"


def _leaked(report: _Report) -> Iterator[tuple[str, str, int | None]]:
    """Only what a report says not to be in use; one that does not say keeps its address."""
    for allocations in report.allocations.values():
        for allocation in allocations:
            if allocation.in_use is False:
                yield allocation.ip, allocation.handle, allocation.sequence_number


def _release(back: Releaser, leaked: Collection[tuple[str, str, int | None]], now: float) -> Iterator[str]:
    yield f"Releasing {len(leaked)} old IPs..."
    released, gone = 0, 0
    for address, handle, sequence in sorted(leaked, key=lambda one: (one[0], one[1], one[2] or 0)):
        try:
            if back.release(address, handle or None, now=now, sequence=sequence):
                released += 1
            else:
                gone += 1
        except Conflict as error:
            yield f"  {address} is not released: {error}"
    yield f"Released {released} IPs successfully"
    if gone:
        yield f"{gone} addresses marked as leaked in the report had already been cleaned up."


def _drop(datastore: Datastore, idle: Collection[tuple[str, str]]) -> Iterator[str]:
    yield f"Deleting {len(idle)} handles..."
    dropped = 0
    for handle, revision in sorted(idle):
        key = handle_key(handle)
        if not REVISION.fullmatch(revision):
            continue
        try:
            datastore.commit([Drop(key)], [Compare(key, int(revision))])
        except CompareFailed:
            continue
        dropped += 1
    yield f"Released {dropped} handles; {len(idle) - dropped} skipped; 0 errors."


def _read(session: Session, path: str) -> _Report:
    texts = session.sources.texts(path)
    if len(texts) != 1:
        raise Invalid(f"{path}: one report is wanted, there are {len(texts)} files")
    try:
        report: Any = msgspec.json.decode(texts[0][1], type=ready(_Report))
    except UNREADABLE as error:
        raise Invalid(f"{path}: not a report of ipam check: {error}") from error
    assert isinstance(report, _Report)
    return report
