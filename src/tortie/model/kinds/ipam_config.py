"""IPAMConfig `default`: the form that Calico's Kubernetes datastore gives the address manager's settings."""

from __future__ import annotations

from collections.abc import Iterator

from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.named import check_default
from tortie.model.resource import Kind


class IPAMConfigSpec(Value, frozen=True, kw_only=True):
    strict_affinity: bool | None = None
    auto_allocate_blocks: bool | None = None
    max_blocks_per_host: int | None = None


def check(spec: IPAMConfigSpec) -> Iterator[Problem]:
    yield from checks.between("spec.maxBlocksPerHost", spec.max_blocks_per_host, 0, 2**31 - 1)


IPAM_CONFIG = Kind(name="IPAMConfig", plural="ipamconfigs", spec=IPAMConfigSpec, check=check, check_whole=check_default)
