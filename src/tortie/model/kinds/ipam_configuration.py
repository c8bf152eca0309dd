"""IPAMConfiguration `default`: how addresses are given out, as people set it.

What the address manager reads lies under a key of its own, in another shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.named import check_default
from tortie.model.resource import Kind

MAX_COOLDOWN = 1200


class IPAMConfigurationSpec(Value, frozen=True, kw_only=True):
    strict_affinity: bool | None = None
    auto_allocate_blocks: bool | None = None
    max_blocks_per_host: int | None = None
    kubevirt_address_persistence: Literal["Enabled", "Disabled"] | None = msgspec.field(
        default=None, name="kubeVirtVMAddressPersistence"
    )
    ip_cooldown_seconds: int | None = None


def check(spec: IPAMConfigurationSpec) -> Iterator[Problem]:
    yield from checks.between("spec.maxBlocksPerHost", spec.max_blocks_per_host, 0, 2**31 - 1)
    yield from checks.between("spec.ipCooldownSeconds", spec.ip_cooldown_seconds, 0, MAX_COOLDOWN)


IPAM_CONFIGURATION = Kind(
    name="IPAMConfiguration",
    plural="ipamconfigurations",
    spec=IPAMConfigurationSpec,
    check=check,
    check_whole=check_default,
)
