"""ClusterInformation `default`: the store's identity and whether it may be used."""

from __future__ import annotations

import msgspec

from tortie.model.codec import Value
from tortie.model.resource import Kind


class ClusterInformationSpec(Value, frozen=True, kw_only=True):
    cluster_guid: str = msgspec.field(default="", name="clusterGUID")
    cluster_type: str = ""
    calico_version: str = ""
    datastore_ready: bool | None = None


CLUSTER_INFORMATION = Kind(name="ClusterInformation", plural="clusterinformations", spec=ClusterInformationSpec)
