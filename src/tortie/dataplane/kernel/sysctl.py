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


def text(name: str) -> str | None:
    """A `net/…` setting as it is written; None where it cannot be read."""
    try:
        return (ROOT / name).read_text().strip()
    except OSError:
        return None


def interfaces() -> list[str]:
    """Every name that has settings of IPv4 or IPv6 of its own: interfaces, `all`, `default`."""
    return sorted({path.name for family in ("ipv4", "ipv6") for path in (ROOT / "net" / family / "conf").glob("*")})


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
