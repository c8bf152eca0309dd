"""Kernel settings under /proc/sys, in the network namespace of the calling thread."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

ROOT = Path("/proc/sys")


def number(name: str) -> int | None:
    """A `net/…` setting; None where it cannot be read."""
    try:
        return int((ROOT / name).read_text())
    except (OSError, ValueError):
        return None


def change(name: str, old: str, new: str) -> dict[str, str]:
    """Write a `net/…` setting if it has the value `old`; what failed, with the reason. An absent one is no failure."""
    try:
        return write({name: new}) if (ROOT / name).read_text().strip() == old else {}
    except OSError:
        return {}


def write(settings: Mapping[str, str]) -> dict[str, str]:
    """Write each `net/…` setting that has another value; those that failed, with the reason.

    A setting of IPv6 on a kernel without IPv6 is no failure.
    """
    failed: dict[str, str] = {}
    for name, value in settings.items():
        if name.startswith("net/ipv6/") and not (ROOT / "net/ipv6").exists():
            continue
        path = ROOT / name
        try:
            if path.read_text().strip() != value:
                path.write_text(value)
        except OSError as error:
            failed[name] = error.strerror or str(error)
    return failed
