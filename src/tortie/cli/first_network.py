"""Options for the network of a store that has none yet, by the variables that the original's node knew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, get_args

import click

from tortie.base.errors import Invalid
from tortie.node.first import AS_EVER, First, Mode

F = TypeVar("F", bound=Callable[..., Any])
MODES = click.Choice(get_args(Mode))
VARIABLES: Mapping[str, str] = {
    "CALICO_IPV4POOL_CIDR": "pool_cidr",
    "CALICO_IPV4POOL_BLOCK_SIZE": "pool_block_size",
    "CALICO_IPV4POOL_NAT_OUTGOING": "pool_nat_outgoing",
    "CALICO_IPV4POOL_VXLAN": "pool_vxlan",
    "CALICO_IPV4POOL_IPIP": "pool_ipip",
    "TORTIE_FIRST_ENDPOINT_TO_HOST": "endpoint_to_host",
    "TORTIE_FIRST_HOST_SERVICES": "host_services",
    "TORTIE_FIRST_FLOW_LOGS": "flow_logs",
    "TORTIE_FIRST_IP_COOLDOWN": "ip_cooldown",
}
"""By the option of a command that each stands for."""
_OPTIONS: Mapping[str, dict[str, Any]] = {
    "pool_cidr": {"default": AS_EVER.cidr, "help": "The first pool, made where the store has none."},
    "pool_block_size": {"type": int, "default": AS_EVER.block_size, "help": "Prefix length of its blocks."},
    "pool_nat_outgoing": {"type": bool, "default": AS_EVER.nat_outgoing, "help": "Hide containers behind their hosts."},
    "pool_vxlan": {"type": MODES, "default": AS_EVER.vxlan_mode, "help": "Tunnels between its hosts."},
    "pool_ipip": {"type": MODES, "default": AS_EVER.ipip_mode, "help": "The same with the other kind of tunnel."},
    "endpoint_to_host": {
        "type": click.Choice(["Drop", "Return", "Accept"]),
        "help": "What hosts do with what their own containers send them, where the store does not say it.",
    },
    "host_services": {"type": bool, "help": "Containers reach name service and DHCP of their own host."},
    "flow_logs": {"type": bool, "help": "Hosts tell who spoke with whom."},
    "ip_cooldown": {"type": int, "default": AS_EVER.cooldown, "help": "Seconds that an address rests once it is free."},
}


def options(command: F) -> F:
    """The command with an option for each of them; `first` reads them."""
    for variable, name in reversed(list(VARIABLES.items())):
        about = {"show_default": "default" in _OPTIONS[name], "show_envvar": True, **_OPTIONS[name]}
        command = click.option(f"--{name.replace('_', '-')}", name, envvar=variable, **about)(command)
    return command


def first(given: dict[str, Any]) -> First:
    """Takes its own out of what the command was given. Invalid names every one that cannot be."""
    own = {name: given.pop(name) for name in VARIABLES.values()}
    found = First(
        cidr=own["pool_cidr"],
        block_size=own["pool_block_size"],
        nat_outgoing=own["pool_nat_outgoing"],
        vxlan_mode=own["pool_vxlan"],
        ipip_mode=own["pool_ipip"],
        endpoint_to_host=own["endpoint_to_host"],
        host_services=_able(own["host_services"]),
        flow_logs=_able(own["flow_logs"]),
        cooldown=own["ip_cooldown"],
    )
    if faults := found.faults():
        raise Invalid(*(f"the first network: {text}" for text in faults))
    return found


def _able(wanted: bool | None) -> Literal["Enabled", "Disabled"] | None:
    return None if wanted is None else "Enabled" if wanted else "Disabled"
