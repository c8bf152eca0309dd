"""ClusterInformation `default`: the store's identity and whether it may be used."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.named import check_default
from tortie.model.resource import Kind


class ClusterInformationSpec(Value, frozen=True, kw_only=True):
    cluster_guid: str = msgspec.field(default="", name="clusterGUID")
    cluster_type: str = ""
    calico_version: str = ""
    datastore_ready: bool | None = None
    variant: str = ""


def check(spec: ClusterInformationSpec) -> Iterator[Problem]:
    if spec.cluster_guid and re.fullmatch(r"[0-9a-f]{32}", spec.cluster_guid) is None:
        yield Problem("spec.clusterGUID", "is not 32 hexadecimal digits")


CLUSTER_INFORMATION = Kind(
    name="ClusterInformation",
    plural="clusterinformations",
    spec=ClusterInformationSpec,
    check=check,
    check_whole=check_default,
)
