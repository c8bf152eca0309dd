"""The network that labs begin with. Values only."""

from __future__ import annotations

from typing import Any

from tortie.lab.plan import POOL, Options
from tortie.node.first import First, Mode


def first(options: Options) -> First:
    """Sources stay visible (no NAT, no encapsulation unless asked), hosts take what their own containers send them."""
    return First(
        cidr=POOL,
        nat_outgoing=False,
        vxlan_mode=vxlan_mode(options),
        endpoint_to_host="Return",
        host_services="Enabled",
        flow_logs="Enabled",
        cooldown=30,
    )


SETTLE = 2
"""Seconds. The hosts of a lab are one machine: a node that starts here starts there, and a person waits for each."""
BACKENDS = {"direct": "direct", "vxlan": "direct", "bgp": "bird"}
"""Who brings the routes of pools without encapsulation, by `--routing`."""


def package_defaults(options: Options) -> dict[str, Any]:
    """The same as options of the package calico, for labs whose network comes by it."""
    wanted = first(options)
    return {
        "calico": {
            "Run Calico-Node": {"networking-backend": BACKENDS[options.routing]},
            "Framework Settings": {"use-docker": options.runtime == "docker", "settle": SETTLE},
            "Network": {
                "pool-cidr": wanted.cidr,
                "block-size": wanted.block_size,
                "nat-outgoing": wanted.nat_outgoing,
                "vxlan-mode": wanted.vxlan_mode,
                "ipip-mode": wanted.ipip_mode,
                "endpoint-to-host-action": wanted.endpoint_to_host,
                "host-services": wanted.host_services == "Enabled",
                "flow-logs": wanted.flow_logs == "Enabled",
                "ip-cooldown": wanted.cooldown,
            },
        }
    }


def vxlan_mode(options: Options) -> Mode:
    """Only `--routing vxlan` encapsulates: everything on one subnet, what crosses the router with several."""
    if options.routing != "vxlan":
        return "Never"
    return "Always" if options.subnets == 1 else "CrossSubnet"
