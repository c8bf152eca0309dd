"""Gives a host back as it was before its node, and takes nothing of others.

Every part looks at the host and at what was written down there, so that it can be cut short anywhere and done again.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec.structs import replace

from tortie.base.delta import Delta
from tortie.base.errors import Conflict, TortieError, Unavailable
from tortie.dataplane.kernel import nft, sysctl, tunnel, veth
from tortie.dataplane.kernel.netlink import NETLINK_NETFILTER, open_socket
from tortie.dataplane.kernel.rtnl import Rtnl
from tortie.dataplane.routes import GATEWAY
from tortie.dataplane.tunnels import KINDS
from tortie.dataplane.want import TABLE, Route, host_of
from tortie.node import foreign
from tortie.node.before import Before, Files, configured, digest, digest_before, restore
from tortie.node.bird import Bird
from tortie.node.giveback import File, Setting, asked_for, back, dotted, fate

Verb = Literal["removed", "gave back", "left"]
OWN = ("/run/tortie", "/var/lib/tortie", "/var/lib/tortie/cni")
"""Folders that are ours by their name, once nothing is in them."""


KEPT = re.compile(r"\.?(broken-)?\d{20}-\d+")
"""Names in the spool of plug-ins."""


class Change(NamedTuple):
    """One thing that becomes what it was, or (`left`) does not, and why."""

    verb: Verb
    what: str
    do: Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What there may be of a node on this host. `state`: where it keeps what the host was; `sockets`: where it answers;
    `spool`: of its plug-ins."""

    prefixes: Sequence[str]
    bird: Bird
    state: Path
    sockets: Sequence[Path]
    spool: Path


def workloads(prefixes: Sequence[str]) -> list[str]:
    """The interfaces of workloads on this host: those that begin so, and whatever they are called those that a route
    of ours to one address ends at. How they begin is a setting in the store, which may be out of reach."""
    with closing(Rtnl()) as rtnl:
        names = {link.name for link in rtnl.links().values()}
        routed = {route.device for destination, route in rtnl.routes().items() if _to_workload(destination, route)}
    return sorted(name for name in names if name.startswith(tuple(prefixes)) or name in routed)


def _to_workload(destination: str, route: Route) -> bool:
    plain = route.kind == "link" and route.device not in KINDS
    return plain and destination != GATEWAY and bool(host_of(destination))


def preview(parts: Parts) -> Iterator[Change]:
    """What `uninstall` would do, with force where that is needed. Nothing is changed."""
    for look in _looks(parts):
        yield from _said(look())


def uninstall(parts: Parts, *, force: bool) -> Iterator[Change]:
    """Each change once it is done. Conflict, and nothing done, while a node owns the table, or (without `force`) while
    workloads are there: nothing would guard them any more. Unavailable when the kernel or a file refuses; what is
    done stays done, and the next call goes on."""
    with open_socket(NETLINK_NETFILTER) as sock:
        _own(sock)
        if not force and (left := workloads(parts.prefixes)):
            raise Conflict(f"{len(left)} endpoints of containers are still here ({left[0]} is one)")
        for look in _looks(parts, sock):
            yield from _said(_done(look()))


def _done(changes: Iterable[Change]) -> Iterator[Change]:
    for change in changes:
        change.do()
        yield change


def _said(changes: Iterator[Change]) -> Iterator[Change]:
    """A file that refuses is told of as everything else that does."""
    try:
        yield from changes
    except OSError as error:
        raise Unavailable(f"{error.filename or 'this host'}: {error.strerror or error}") from error


def _looks(parts: Parts, sock: socket.socket | None = None) -> list[Callable[[], Iterator[Change]]]:
    """In this order: who is forwarded is cut off first, the table that closes goes behind everything that forwards."""
    before, files = Before(parts.state), Files(parts.state)
    return [
        _foreign,
        partial(_workloads, parts.prefixes),
        partial(_bird, parts.bird),
        _routes,
        partial(_tunnels, before),
        partial(_settings, before),
        partial(_table, sock),
        partial(_sockets, parts.sockets, ending=sock is None),
        partial(_plugins, files),
        partial(_own_files, parts),
        partial(_folders, before, files),
    ]


def _own(sock: socket.socket) -> None:
    """A table of ours is this process's from now on."""
    if nft.table_flags(sock) is None:
        return
    try:
        nft.take_table(sock, nft.OWNER | nft.PERSIST)
    except TortieError as error:
        # One that was made without these flags is nobody's.
        if (nft.table_flags(sock) or 0) & nft.OWNER:
            raise Conflict(f"table {TABLE} belongs to a node that runs: end that first") from error


# what is in the kernel


def _foreign() -> Iterator[Change]:
    commands = foreign.pending()
    if commands:
        yield Change("removed", f"what foreignAccept wrote: {'; '.join(commands)}", foreign.remove)


def _workloads(prefixes: Sequence[str]) -> Iterator[Change]:
    for name in workloads(prefixes):
        yield Change("removed", f"interface {name}", partial(veth.delete, name))


def _bird(bird: Bird) -> Iterator[Change]:
    if bird.alive():
        yield Change("removed", "BIRD and its routes", bird.stop)


def _routes() -> Iterator[Change]:
    with closing(Rtnl()) as rtnl:
        for destination, route in sorted(rtnl.routes().items()):
            yield Change("removed", f"route {destination}", partial(_drop_route, rtnl, destination, route))


def _drop_route(rtnl: Rtnl, destination: str, route: Route) -> None:
    if failed := rtnl.apply(Delta({}, frozenset((destination,))), {destination: route}):
        raise Unavailable(f"route {destination}: {failed[destination]}")


def _tunnels(before: Before) -> Iterator[Change]:
    taken = before.record().links
    for name, kind in KINDS.items():
        # The kernel's own interface for IPIP may be somebody else's.
        if tunnel.exists(name, kind) and (kind == "vxlan" or (name in taken and not tunnel.idle(name))):
            yield Change("removed", f"interface {name}", partial(tunnel.remove, name, kind))


def _table(sock: socket.socket | None) -> Iterator[Change]:
    with open_socket(NETLINK_NETFILTER) as asking:
        if nft.table_flags(asking) is not None:
            yield Change("removed", f"table {TABLE}", partial(nft.drop_table, sock or asking))


def _settings(before: Before) -> Iterator[Change]:
    """The latest first."""
    record = before.record()
    present = sysctl.interfaces()
    asked = asked_for(configured(), record.settings)
    for name, setting in reversed(record.settings.items()):
        names = (name, *setting.sides, *(setting.giving or ()))
        now = {each: have for each in names if (have := sysctl.text(each)) is not None}
        found = back(name, setting, now, present, asked)
        if found.left:
            yield Change("left", f"{dotted(name)}={now[name]} as it is: {found.left}", partial(_forget, before, name))
        elif found.writes:
            rest = {side: value for side, value in found.writes.items() if side != name}
            giving = replace(setting, giving=rest)
            what = f"{dotted(name)}={setting.before}"
            yield Change("gave back", what, partial(_give, before, name, giving, found.writes))


def _give(before: Before, name: str, giving: Setting, writes: Mapping[str, str]) -> None:
    record = before.record()
    before.store(replace(record, settings={**record.settings, name: giving}))
    # The first of them changes the others.
    if failed := sysctl.write({name: writes[name]}) or sysctl.write(writes):
        raise Unavailable("; ".join(f"{dotted(each)}: {why}" for each, why in failed.items()))
    _forget(before, name)


def _forget(before: Before, name: str) -> None:
    record = before.record()
    settings = {each: setting for each, setting in record.settings.items() if each != name}
    before.store(replace(record, settings=settings))


# what is in the file system


def _sockets(sockets: Sequence[Path], *, ending: bool) -> Iterator[Change]:
    """`ending`: who answers there is yet to end. One that somebody answers at behind that is another's."""
    for path in sockets:
        if path.is_socket() and (ending or not _answers(path)):
            yield Change("removed", str(path), partial(path.unlink, missing_ok=True))


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(1.0)
        return sock.connect_ex(str(path)) == 0


def _plugins(files: Files) -> Iterator[Change]:
    for name, file in files.record().files.items():
        path = Path(name)
        match fate(file, digest(path), digest_before(file)):
            case "leave":
                yield Change("left", f"{name} as it is: it is not what was put there", partial(_passed, files, name))
            case "remove":
                yield Change("removed", name, partial(path.unlink, missing_ok=True))
            case "restore":
                yield Change("gave back", name, partial(_restore, files, path, file))
            case "gone":
                pass


def _restore(files: Files, path: Path, file: File) -> None:
    restore(file, path)
    _passed(files, str(path))


def _passed(files: Files, name: str) -> None:
    """What is there is as it was, or somebody else's: another call is to leave it alone."""
    record = files.record()
    files.store(replace(record, files={each: file for each, file in record.files.items() if each != name}))


def _own_files(parts: Parts) -> Iterator[Change]:
    kept = [path for path in sorted(parts.spool.glob("*")) if KEPT.fullmatch(path.name)]
    waiting = sum(not path.name.startswith(".") for path in kept)
    if kept:
        undone = f" ({waiting} clean-ups were never done: `calicoctl ipam check` tells of their addresses)"
        yield Change("removed", f"what {parts.spool} holds{undone if waiting else ''}", partial(_unlink, kept))
    yield from _empty([parts.spool])
    bird = parts.bird.socket.parent
    for path in parts.bird.files():
        yield Change("removed", str(path), partial(path.unlink, missing_ok=True))
    yield from _empty([bird])


def _unlink(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _folders(before: Before, files: Files) -> Iterator[Change]:
    """What was written down goes last, behind all that it tells of."""
    made = {Path(name) for name in (*before.record().folders, *files.record().folders, *OWN)}
    around = {before.folder, *before.folder.parents}
    yield from _empty(made - around)
    if notes := [*files.notes(), *before.notes()]:
        yield Change("removed", f"what was written down in {before.folder}", partial(_unlink, notes))
    yield from _empty({*(made & around), before.folder, before.folder / "kept"})


def _empty(folders: Iterable[Path]) -> Iterator[Change]:
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            yield Change("removed", str(folder), folder.rmdir)
