"""What the rules of a chain have counted, read from the kernel."""

from __future__ import annotations

import errno
import struct

from tortie.dataplane.kernel.batch import NFTABLES, OURS
from tortie.dataplane.kernel.netlink import NETLINK_NETFILTER, NetlinkError, attributes, dump, open_socket, text
from tortie.dataplane.kernel.nft import GETRULE

RULE_CHAIN, RULE_EXPRESSIONS = 2, 4
NAME, DATA = 1, 2
BYTES, PACKETS = 1, 2
INET = struct.pack(">BBH", 1, 0, 0)


def read_counters(chains: list[str]) -> dict[str, list[tuple[int, int]]]:
    """(packets, bytes) of each rule in its order, by chain; those chains are left out that are not there."""
    sock = open_socket(NETLINK_NETFILTER)
    try:
        found = {}
        for seq, chain in enumerate(chains, 1):
            try:
                parts = dump(sock, NFTABLES | GETRULE, INET + OURS + text(RULE_CHAIN, chain), seq)
            except NetlinkError as error:
                if error.code != errno.ENOENT:
                    raise
                continue
            fields = [dict(attributes(part.body[4:])) for part in parts]
            # A kernel that does not know the question answers with every chain.
            own = [rule for rule in fields if rule.get(RULE_CHAIN, b"").rstrip(b"\0").decode() == chain]
            found[chain] = [_counted(rule.get(RULE_EXPRESSIONS, b"")) for rule in own]
        return found
    finally:
        sock.close()


def _counted(expressions: bytes) -> tuple[int, int]:
    for _, raw in attributes(expressions):
        parts = dict(attributes(raw))
        if parts.get(NAME, b"").rstrip(b"\0") == b"counter":
            numbers = dict(attributes(parts.get(DATA, b"")))
            return int.from_bytes(numbers.get(PACKETS, b""), "big"), int.from_bytes(numbers.get(BYTES, b""), "big")
    return 0, 0
