"""FelixConfiguration `default` and `node.NAME` (the node's fields win one by one): settings of the node agent.

`hostServices` is ours: Enabled lets udp/53 and DHCP from a workload to its own host pass before egress policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.resource import Kind


class FelixConfigurationSpec(Value, frozen=True, kw_only=True):
    """None means not set here; the agent's default applies (Drop, Disabled, cali)."""

    default_endpoint_to_host_action: Literal["Drop", "Return", "Accept"] | None = None
    host_services: Literal["Enabled", "Disabled"] | None = None
    interface_prefix: str | None = None


def check(spec: FelixConfigurationSpec) -> Iterator[Problem]:
    for prefix in (spec.interface_prefix or "cali").split(","):
        yield from checks.interface("spec.interfacePrefix", prefix)


FELIX_CONFIGURATION = Kind(
    name="FelixConfiguration", plural="felixconfigurations", spec=FelixConfigurationSpec, check=check
)
