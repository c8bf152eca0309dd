"""What the driver answers, decided from the request alone: the words and refusals of Calico's own Docker driver."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any

from tortie.base.errors import Invalid
from tortie.plugins.docker.messages import CreateNetwork, Interface, RequestAddress, RequestPool
from tortie.plugins.docker.names import CONTAINER_PREFIX, peer_interface

GATEWAY = "169.254.1.1"
CONNECTED = 1
POOL_V4, POOL_V6 = "CalicoPoolIPv4", "CalicoPoolIPv6"
ANY_V4, ANY_V6 = "0.0.0.0/0", "::/0"
GATEWAY_DATA = "com.docker.network.gateway"

ACTIVATE = {"Implements": ["NetworkDriver", "IpamDriver"]}
NETWORK_CAPABILITIES = {"Scope": "local"}
IPAM_CAPABILITIES = {"RequiresMACAddress": False, "RequiresRequestReplay": False}
ADDRESS_SPACES = {
    "LocalDefaultAddressSpace": "CalicoLocalAddressSpace",
    "GlobalDefaultAddressSpace": "CalicoGlobalAddressSpace",
}

NO_SUCH_POOL = "The requested subnet must match the CIDR of a configured Calico IP Pool."
POOL_GONE = (
    "The network references a Calico pool which has been deleted. Please re-instate the Calico pool before using the "
    "network."
)
NO_SUB_POOL = (
    "Calico IPAM does not support sub pool configuration on 'docker create network'. Calico IP Pools should be "
    "configured first and IP assignment is from those pre-configured pools."
)
NO_OPTIONS = "Arbitrary options are not supported"
NO_GATEWAY = "Calico IPAM does not support specifying a gateway."
FOREIGN_IPAM = "Non-Calico IPAM driver is used. Note: Docker before 1.12.3 is unsupported"

_KNOWN_FLAGS = frozenset({"com.docker.network.enable_ipv6", "com.docker.network.enable_ipv4"})


def request_pool(request: RequestPool, pools: Collection[str]) -> dict[str, Any]:
    """The pool for a new network; `pools` are the CIDRs of the configured ones. Invalid says why there is none."""
    if request.sub_pool:
        raise Invalid(NO_SUB_POOL)
    if request.options:
        raise Invalid(NO_OPTIONS)
    whole = ANY_V6 if request.v6 else ANY_V4
    data = {GATEWAY_DATA: whole}
    if not request.pool:
        if request.v6 and not any(":" in pool for pool in pools):
            raise Invalid("There is no configured Calico IPv6 pool.")
        return {"PoolID": POOL_V6 if request.v6 else POOL_V4, "Pool": whole, "Data": data}
    if not known_pool(request.pool, pools):
        raise Invalid(NO_SUCH_POOL)
    return {"PoolID": request.pool, "Pool": request.pool, "Data": data}


def known_pool(subnet: str, pools: Collection[str]) -> str | None:
    """The configured pool that is this very subnet, in its stored spelling."""
    try:
        wanted = ip_network(subnet)
    except ValueError:
        return None
    return next((pool for pool in pools if ip_network(pool) == wanted), None)


def address_wanted(request: RequestAddress, pools: Collection[str]) -> tuple[str | None, str | None]:
    """(pool to take an address from or None for any, the address asked for or None). Invalid refuses."""
    options: Mapping[str, Any] = request.options or {}
    if options.get("RequestAddressType") == GATEWAY_DATA:
        raise Invalid(NO_GATEWAY)
    if request.pool_id == POOL_V6 or ":" in request.pool_id or ":" in request.address:
        raise Invalid("IPv6 addresses are not assigned by this driver")
    pool = None
    if request.pool_id != POOL_V4:
        pool = known_pool(request.pool_id, pools)
        if pool is None:
            raise Invalid(POOL_GONE)
    if not request.address:
        return pool, None
    try:
        address = str(IPv4Address(request.address))
    except ValueError as error:
        raise Invalid(f"{request.address} is not an address") from error
    if not any(ip_address(address) in ip_network(p) for p in pools if ":" not in p):
        raise Invalid(f"The address {address} is not in one of the configured Calico IP pools")
    return pool, address


def check_network(request: CreateNetwork) -> None:
    """Invalid names what the network asks for and the driver does not do: nothing is ignored in silence."""
    for option, value in sorted((request.options or {}).items()):
        refused = _refused_flag(option, value)
        if refused:
            raise Invalid(f"Calico driver does not support the {refused}.")
    data = [*(request.ipv4 or ()), *(request.ipv6 or ())]
    if not request.ipv4:
        raise Invalid("Calico driver does not support a network without IPv4.")
    if len(request.ipv4) > 1 or len(request.ipv6 or ()) > 1:
        raise Invalid("Calico driver does not support more than one subnet of a family in a network.")
    if any(subnet.gateway not in {ANY_V4, ANY_V6} for subnet in data):
        raise Invalid(FOREIGN_IPAM)
    if any(subnet.aux_addresses for subnet in data):
        raise Invalid("Calico driver does not support the flag --aux-address.")


def _refused_flag(option: str, value: Any) -> str:
    """How the refusal names the option; empty when it is known or not set."""
    if option in _KNOWN_FLAGS:
        return ""
    if isinstance(value, bool):
        return f"flag --{option.removeprefix('com.docker.network.')}" if value else ""
    if isinstance(value, dict):
        return f"flag{'s' if len(value) > 1 else ''} {', '.join(sorted(value))}" if value else ""
    return f"flag {option} ({value})"


def endpoint_address(interface: Interface | None) -> str:
    """The IPv4 address that IPAM gave the endpoint, without its prefix length."""
    address = interface.address.partition("/")[0] if interface else ""
    try:
        return str(IPv4Address(address))
    except ValueError as error:
        raise Invalid("the endpoint has no IPv4 address of Calico's IPAM") from error


def join(endpoint_id: str) -> dict[str, Any]:
    """The interface to move into the sandbox, its gateway, and the route that makes the gateway reachable."""
    return {
        "InterfaceName": {"SrcName": peer_interface(endpoint_id), "DstPrefix": CONTAINER_PREFIX},
        "Gateway": GATEWAY,
        "StaticRoutes": [{"Destination": f"{GATEWAY}/32", "RouteType": CONNECTED, "NextHop": ""}],
    }
