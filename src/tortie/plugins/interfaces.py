"""The names and values of a container's interface that do not depend on who asked for it. Pure."""

from __future__ import annotations

import hashlib
import re

HOST_PREFIX = "cali"
FIRST = "eth0"
STAMP_ANNOTATION = "org.tortie/network-namespace"
"""Which network namespace the interface is in, as `device:inode`: a late clean-up of an earlier one is told by it."""
_OF_ITS_OWN = re.compile(r"[0-9a-f]{12,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def host_interface(container: str, interface: str = FIRST) -> str:
    """The host's end. The beginning of an id does where it is unlike that of any other; else a hash of all of it."""
    if interface == FIRST and _OF_ITS_OWN.fullmatch(container):
        return HOST_PREFIX + container[:11]
    return hashed_interface(container, interface)


def hashed_interface(text: str, interface: str) -> str:
    whole = text if interface == FIRST else f"{text}/{interface}"
    return HOST_PREFIX + hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest()[:11]


def masked(address: str) -> str:
    """A workload's network is its address alone."""
    return f"{address}/{128 if ':' in address else 32}"


def mac_of(container: str, interface: str = FIRST) -> str:
    """A locally administered address of the interface's own, the same at every attempt."""
    digest = hashlib.sha256(f"{container}/{interface}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))
