"""BGPConfiguration `default` and `node.NAME`: AS number and mesh."""

from __future__ import annotations

from tortie.model.codec import Value
from tortie.model.resource import Kind


class BGPConfigurationSpec(Value, frozen=True, kw_only=True):
    log_severity_screen: str | None = None
    node_to_node_mesh_enabled: bool | None = None
    as_number: int | None = None


BGP_CONFIGURATION = Kind(name="BGPConfiguration", plural="bgpconfigurations", spec=BGPConfigurationSpec)
