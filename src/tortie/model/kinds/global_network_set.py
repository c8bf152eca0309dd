"""GlobalNetworkSet: networks outside, picked by the set's labels as endpoints are."""

from __future__ import annotations

from tortie.model.network_sets import Networks, check, check_labels
from tortie.model.resource import Kind


class GlobalNetworkSetSpec(Networks, frozen=True, kw_only=True):
    """The fields of `Networks`."""


GLOBAL_NETWORK_SET = Kind(
    name="GlobalNetworkSet",
    plural="globalnetworksets",
    spec=GlobalNetworkSetSpec,
    check=check,
    check_whole=check_labels,
)
