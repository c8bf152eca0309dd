"""A master as a program: from its options to its end."""

from __future__ import annotations

import ipaddress
import logging
import signal
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio

from tortie.base.errors import Invalid, TortieError
from tortie.mesos.clock import SteadyClock
from tortie.mesos.master.cluster import Cluster, Settings
from tortie.mesos.master.front import router
from tortie.mesos.master.runtime import Master
from tortie.mesos.master.state import Identity
from tortie.mesos.protocol import VERSION
from tortie.store.open import open_store
from tortie.web.serve import serve, tcp_listener
from tortie.wire import mesos as wire

log = logging.getLogger("master")


@dataclass(frozen=True, slots=True)
class Options:
    ip: str
    port: int
    store: str
    hostname: str
    cluster: str | None = None
    allocation_interval: float = 1.0
    settings: Settings = field(default_factory=Settings)
    flags: Mapping[str, str] = field(default_factory=dict)


def packed(ip: str) -> int:
    """The address as MasterInfo carries it: network order read as a little-endian number; 0 for IPv6."""
    address = ipaddress.ip_address(ip)
    return int.from_bytes(address.packed, "little") if address.version == 4 else 0


def build(options: Options) -> Master:
    """Raises Invalid for an address that is none, Unavailable when the store does not open."""
    try:
        address = ipaddress.ip_address(options.ip)
    except ValueError as error:
        raise Invalid(f"--ip {options.ip}: {error}") from error
    shown = f"[{address}]" if address.version == 6 else str(address)
    pid = f"master@{shown}:{options.port}"
    info = wire.MasterInfo(
        id=str(uuid.uuid4()),
        ip=packed(options.ip),
        port=options.port,
        pid=pid,
        hostname=options.hostname,
        version=VERSION,
        address=wire.Address(hostname=options.hostname, ip=options.ip, port=options.port),
    )
    me = Identity(pid, options.hostname, SteadyClock()(), options.cluster, options.flags)
    cluster = Cluster(info, options.settings)
    return Master(cluster, me, open_store(options.store), allocation_interval=options.allocation_interval)


async def run(options: Options) -> None:
    """Serves until SIGTERM or SIGINT."""
    listener = tcp_listener(options.ip, options.port)
    try:
        master = build(options)
        await master.recover()
    except BaseException:
        listener.close()
        raise
    log.info("master id=%s pid=%s store=%s", master.cluster.id, master.me.pid, options.store)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(master.run)
            group.start_soon(serve, router(master), [listener])
            with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                async for _ in signals:
                    group.cancel_scope.cancel()
                    break
    except* TortieError as failed:
        raise first(failed) from failed
    finally:
        master.store.close()


def first(group: BaseExceptionGroup[TortieError]) -> TortieError:
    """The first failure in a group of groups."""
    error = group.exceptions[0]
    return first(error) if isinstance(error, BaseExceptionGroup) else error
