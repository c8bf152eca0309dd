"""A host whose table of conversations is full: those that are in it go on, new ones are dropped, and it is told of."""

from __future__ import annotations

import errno
import itertools
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.differential.net import within
from tests.faults.prober import Conversation
from tests.faults.world import figures
from tests.kernel.netlab import Host, Lab, inside, own_tag, until
from tests.kernel.test_node_kernel import answered, passes

from tortie.dataplane.kernel.netlink import (
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    Message,
    attr,
    failure,
    message,
    nested,
    open_socket,
    receive,
)

LIMIT = Path("/proc/sys/net/netfilter/nf_conntrack_max")
MANY = 300_000
NEW, NLM_F_CREATE = 1 << 8, 0x400
ORIGINAL, REPLY, STATUS, TIMEOUT = 1, 2, 3, 7
# Answered, worth keeping, and known.
KEPT = 0x2 | 0x4 | 0x8
BATCH = 500

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not LIMIT.exists() or int(LIMIT.read_text()) > MANY, reason=f"room for more than {MANY} conversations"
    ),
]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def entry(number: int, flags: int = 0) -> bytes:
    """A conversation between two machines that nobody knows."""
    one, two = struct.pack(">I", 0x0AC80000 + (number >> 14)), socket.inet_aton("10.201.0.1")
    here, there = struct.pack(">H", 1024 + (number & 0x3FFF)), struct.pack(">H", 9)

    def side(kind: int, source: bytes, target: bytes, sport: bytes, dport: bytes) -> bytes:
        ports = nested(2, attr(1, bytes([socket.IPPROTO_UDP])), attr(2, sport), attr(3, dport))
        return nested(kind, nested(1, attr(1, source), attr(2, target)), ports)

    body = struct.pack(">BBH", socket.AF_INET, 0, 0) + side(ORIGINAL, one, two, here, there)
    body += (
        side(REPLY, two, one, there, here)
        + attr(STATUS, struct.pack(">I", KEPT))
        + attr(TIMEOUT, struct.pack(">I", 3600))
    )
    return message(NEW, NLM_F_REQUEST | NLM_F_CREATE | flags, number + 1, body)


def fill(host: Host) -> None:
    """Until the kernel takes no more. A namespace has a count of its own."""
    with within(host.netns, lambda: open_socket(NETLINK_NETFILTER)) as sock:
        for start in itertools.count(0, BATCH):
            assert start < 2 * MANY, "the table never fills"
            last = start + BATCH - 1
            sock.send(b"".join([*(entry(number) for number in range(start, last)), entry(last, NLM_F_ACK)]))
            codes = [failure(found) for found in _answers(sock, last + 1)]
            assert set(codes) <= {0, errno.ENOMEM}, codes
            if codes[-1]:
                return


def _answers(sock: socket.socket, last: int) -> Iterator[Message]:
    while True:
        for found in receive(sock, 60.0):
            if found.kind == NLMSG_ERROR:
                yield found
                if found.seq == last:
                    return


def test_a_table_that_is_full_keeps_what_goes_on_and_drops_what_begins(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", own_tag("n"))
    a, b = host.container("a", "10.65.0.1", "n"), host.container("b", "10.65.0.2", "n")
    assert answered(a.netns, b.address)
    talk = Conversation("a with b", a.netns, b.netns, b.address)
    try:
        talk.goes_on()
        fill(host)
        # What had no answer yet makes room for what begins: so there is none of that.
        until(lambda: not passes(a.netns, b.address), message="nothing new passes")
        talk.goes_on()
        told = figures(host)
        assert told["tortie_node_conntrack_count"] > 0.9 * told["tortie_node_conntrack_max"]
        assert host.status()["ready"]
        inside(host.netns, "conntrack", "-D", "-p", "udp")
        assert answered(a.netns, b.address)
        talk.goes_on()
    finally:
        talk.stop()
