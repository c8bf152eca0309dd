"""Does this host have what a node needs? Shared by the grammars."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator

from tortie.cli.calicoctl.session import Failed

OLDEST_KERNEL = (4, 18)
PROGRAMS = ("nft", "ip")


def report() -> str:
    """One line per check. Raises Failed with all of them when one did not hold."""
    results = list(_checks())
    width = max(len(name) for name, _, _ in results)
    lines = ["Checking this host...", *(f"  {name.ljust(width)}  {'OK' if ok else why}" for name, ok, why in results)]
    if all(ok for _, ok, _ in results):
        return "\n".join([*lines, "System meets minimum system requirements to run Calico!"]) + "\n"
    raise Failed("\n".join([*lines, "System doesn't meet one or more minimum systems requirements to run Calico"]))


def _checks() -> Iterator[tuple[str, bool, str]]:
    release = platform.release()
    version = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdecimal())
    wanted = ".".join(map(str, OLDEST_KERNEL))
    yield "kernel", platform.system() == "Linux" and version >= OLDEST_KERNEL, f"{release}: at least {wanted} is needed"
    yield "root", os.geteuid() == 0, "must be run as root"
    for program in PROGRAMS:
        yield f"program {program}", shutil.which(program) is not None, "is not installed"
    for path, why in _PATHS.items():
        yield path, _readable(path), why


_PATHS = {
    "/proc/sys/net/ipv4/ip_forward": "IPv4 forwarding is not there",
    "/proc/sys/net/netfilter/nf_conntrack_max": "connection tracking is not loaded: modprobe nf_conntrack",
}


def _readable(path: str) -> bool:
    exists: Callable[[str], bool] = os.path.exists
    return exists(path)
