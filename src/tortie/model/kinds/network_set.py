"""NetworkSet: a GlobalNetworkSet for the policies of one namespace."""

from __future__ import annotations

from tortie.model.network_sets import Networks, check, check_labels
from tortie.model.resource import Kind


class NetworkSetSpec(Networks, frozen=True, kw_only=True):
    """The fields of `Networks`."""


NETWORK_SET = Kind(
    name="NetworkSet",
    plural="networksets",
    spec=NetworkSetSpec,
    namespaced=True,
    check=check,
    check_whole=check_labels,
)
