"""BGPConfiguration `default` and `node.NAME`: AS number and mesh."""

from __future__ import annotations

from collections.abc import Iterator

from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.resource import Kind


class BGPConfigurationSpec(Value, frozen=True, kw_only=True):
    log_severity_screen: str | None = None
    node_to_node_mesh_enabled: bool | None = None
    as_number: int | None = None


def check(spec: BGPConfigurationSpec) -> Iterator[Problem]:
    yield from checks.as_number("spec.asNumber", spec.as_number)


BGP_CONFIGURATION = Kind(name="BGPConfiguration", plural="bgpconfigurations", spec=BGPConfigurationSpec, check=check)
