"""Service ports for apps that bring none: chosen by a hash, alike in every balancer with the same apps. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from tortie.base.errors import Invalid

_TRIES = 50


def parse_range(text: str) -> range:
    """`20001-29999` as a range with both ends in it; Invalid says what is wrong."""
    low, dash, high = text.partition("-")
    if not dash or not low.isdecimal() or not high.isdecimal():
        raise Invalid(f"service ports: {text!r} is not MIN-MAX")
    return port_range(int(low), int(high))


def port_range(low: int, high: int) -> range:
    """Both zero: off, an empty range."""
    if low == high == 0:
        return range(0)
    if low == 0 or high == 0:
        raise Invalid("either specify both of --min-serv-port-ip-per-task and --max-serv-port-ip-per-task or neither")
    if low > high:
        raise Invalid(f"cannot set the lowest service port to {low}: it is above the highest, {high}")
    if high > 65535:
        raise Invalid(f"service ports: {high} is above 65535")
    return range(low, high + 1)


def choose(app_id: str, task_port: int, ports: range, taken: Collection[int]) -> int | None:
    """The port for one port of an app; None when the range is full or off."""
    if not ports:
        return None
    for turn in range(_TRIES):
        digest = hashlib.sha1(f"{app_id}-{task_port}-{turn}".encode(), usedforsecurity=False).hexdigest()
        port = ports[int(digest[:8], 16) % len(ports)]
        if port not in taken:
            return port
    return next((port for port in ports if port not in taken), None)
