"""Real packets from inside a network namespace: TCP connects, UDP datagrams, ICMP echoes, many at once."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tortie.base.errors import Unavailable
from tortie.lab.walks.matrix import Probe, Seen

CLONE_NEWNET = 0x40000000
MANY, OTHER_FILES = 16384, 128
"""Sockets at the same time, at most; files that this process may have open beside them."""
DNS_QUESTION = struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\0" + struct.pack("!2H", 2, 1)
"""Who serves the root's names: any server answers it, if only that it will not."""
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Target:
    address: str
    probe: Probe


def probe_all(work: Mapping[Path, Sequence[Target]], timeout: float) -> dict[Path, list[Seen]]:
    """Try every target from every namespace, as many at the same time as this process may have sockets; one without an
    answer after `timeout` seconds is silent.

    Keys are files of network namespaces. Raises Unavailable when a namespace cannot be entered.
    """
    results: dict[Path, list[Seen]] = {}
    for part in parts(work, room_for_sockets()):
        results |= _probe_at_once(part, timeout)
    return results


def room_for_sockets() -> int:
    """How many sockets this process may open, once it has taken what it is allowed to take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY if hard == resource.RLIM_INFINITY else min(hard, MANY)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(wanted - OTHER_FILES, 1)


def parts(work: Mapping[Path, Sequence[Target]], room: int) -> Iterator[dict[Path, Sequence[Target]]]:
    """The work in parts that have at most `room` targets each, a single namespace's always together."""
    part: dict[Path, Sequence[Target]] = {}
    for netns, targets in work.items():
        if part and sum(map(len, part.values())) + len(targets) > room:
            yield part
            part = {}
        part[netns] = targets
    if part:
        yield part


def _probe_at_once(work: Mapping[Path, Sequence[Target]], timeout: float) -> dict[Path, list[Seen]]:
    results: dict[Path, list[Seen]] = {}
    failures: list[str] = []

    def run(netns: Path, targets: Sequence[Target]) -> None:
        try:
            enter(netns)
            results[netns] = _try_all(targets, timeout)
        except OSError as error:
            failures.append(f"probing from {netns}: {error}")

    # A thread that entered another namespace must end, not return to a pool.
    threads = [threading.Thread(target=run, args=item) for item in work.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise Unavailable("; ".join(failures))
    return results


def enter(netns: Path) -> None:
    """Move the calling thread into a network namespace; the thread must end there."""
    fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(fd)


def _try_all(targets: Sequence[Target], timeout: float) -> list[Seen]:
    seen = [Seen.DROPPED] * len(targets)
    waiting: dict[int, tuple[socket.socket, int]] = {}
    poller = select.poll()
    echoes = {_echo_id(i): i for i, target in enumerate(targets) if target.probe.protocol == "icmp"}
    icmp = _send_echoes(targets, echoes) if echoes else None
    for i, target in enumerate(targets):
        if target.probe.protocol == "icmp":
            continue
        sock, outcome = _start(target)
        if outcome is not None:
            seen[i] = outcome
            sock.close()
            continue
        waiting[sock.fileno()] = (sock, i)
        poller.register(sock, select.POLLOUT if target.probe.protocol == "tcp" else select.POLLIN)
    if icmp:
        poller.register(icmp, select.POLLIN)
    deadline = time.monotonic() + timeout
    while waiting or echoes:
        ready = poller.poll(max(deadline - time.monotonic(), 0) * 1000)
        # What has come by the deadline counts, also when this thread was not there to read it.
        if not ready:
            break
        for fd, _ in ready:
            if icmp and fd == icmp.fileno():
                _read_echoes(icmp, targets, echoes, seen)
                continue
            sock, i = waiting.pop(fd)
            poller.unregister(fd)
            seen[i] = _outcome(sock, targets[i])
            sock.close()
    for sock, _ in waiting.values():
        sock.close()
    if icmp:
        icmp.close()
    return seen


def _start(target: Target) -> tuple[socket.socket, Seen | None]:
    """Send the first packet; an outcome that is known at once comes back with the socket."""
    kind = socket.SOCK_STREAM if target.probe.protocol == "tcp" else socket.SOCK_DGRAM
    sock = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    code = sock.connect_ex((target.address, target.probe.port))
    if target.probe.protocol == "udp" and code == 0:
        sock.send(DNS_QUESTION if target.probe.port == 53 else b"probe")
        return sock, None
    return sock, None if code == errno.EINPROGRESS else _of_error(code)


def _outcome(sock: socket.socket, target: Target) -> Seen:
    if target.probe.protocol == "tcp":
        return _of_error(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    try:
        sock.recv(100)
    except OSError as error:
        return _of_error(error.errno or 0)
    return Seen.OPEN


def _of_error(code: int) -> Seen:
    if code == 0:
        return Seen.OPEN
    # An unreachable network or host is silence with an explanation, not an answer of the other side.
    return Seen.REFUSED if code in (errno.ECONNREFUSED, errno.ECONNRESET) else Seen.DROPPED


def _echo_id(index: int) -> int:
    return (threading.get_native_id() + index) & 0xFFFF


def _send_echoes(targets: Sequence[Target], echoes: Mapping[int, int]) -> socket.socket:
    sock = socket.socket(
        socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMP
    )
    for ident, i in echoes.items():
        header = struct.pack("!BBHHH", 8, 0, 0, ident, 1)
        packet = struct.pack("!BBHHH", 8, 0, _checksum(header), ident, 1)
        try:
            sock.sendto(packet, (targets[i].address, 0))
        except OSError as error:
            if error.errno not in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPERM):
                raise
    return sock


def _read_echoes(sock: socket.socket, targets: Sequence[Target], echoes: dict[int, int], seen: list[Seen]) -> None:
    packet, (address, *_) = sock.recvfrom(2048)
    header = (packet[0] & 15) * 4
    kind, _, _, ident, _ = struct.unpack("!BBHHH", packet[header : header + 8])
    index = echoes.get(ident)
    if kind == 0 and index is not None and targets[index].address == address:
        seen[index] = Seen.OPEN
        del echoes[ident]


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    folded: int = total + (total >> 16)
    return ~folded & 0xFFFF
