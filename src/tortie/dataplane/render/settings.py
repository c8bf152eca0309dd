"""The settings of a host that shape its table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tortie.base.errors import Invalid

PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,14}")


@dataclass(frozen=True, slots=True)
class Settings:
    """`host_services`: udp/53 and DHCP from a workload to its own host pass before its egress policy.

    `pools`: every pool, disabled ones too; `masqueraded`: those whose addresses are hidden behind the host's own when
    they speak to what is in no pool.
    """

    interface_prefixes: tuple[str, ...] = ("cali",)
    endpoint_to_host: Literal["Drop", "Return", "Accept"] = "Drop"
    host_services: bool = False
    pools: tuple[str, ...] = ()
    masqueraded: tuple[str, ...] = ()


def parse_prefixes(text: str) -> tuple[str, ...]:
    """The beginnings of workloads' interface names, from a list with commas."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if wrong := [part for part in found if not PREFIX.fullmatch(part)]:
        raise Invalid(*(f"interface prefix {part!r} is not 1 to 14 letters, digits, dots, dashes" for part in wrong))
    return found
