"""Ports of hosts that no policy closes, as people write them."""

from __future__ import annotations

import ipaddress

from tortie.model.kinds.felix_configuration import HostPort
from tortie.policy.compile import PROTOCOLS, WITH_PORTS
from tortie.policy.verdict import Failsafe


def failsafe(port: HostPort) -> Failsafe:
    """ValueError says what is wrong with it."""
    number = PROTOCOLS.get(str(port.protocol or "TCP").upper())
    if number not in WITH_PORTS or not 0 < port.port < 1 << 16:
        raise ValueError("not a protocol with ports and a port of it")
    return number, port.port, str(ipaddress.ip_network(port.net, strict=False)) if port.net else None
