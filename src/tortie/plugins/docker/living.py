"""Which addresses Docker's endpoints have, for the check of the address manager's books. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import ip_interface

from tortie.ipam.check import Living
from tortie.model.kinds.workload_endpoint import WorkloadEndpointSpec
from tortie.model.resource import Resource
from tortie.plugins.docker.holdings import Stored
from tortie.plugins.docker.names import ORCHESTRATOR, handle_of

HANDLES = f"{ORCHESTRATOR}."
"""How every handle of this driver begins."""


def living(
    records: Iterable[Stored],
    endpoints: Iterable[Resource[WorkloadEndpointSpec]],
    engine: Collection[str] = (),
) -> Living:
    """Whatever has a record, an endpoint in the store or, as ids, an endpoint of the engine.

    A record without a living endpoint counts too: the collector of its host retires it, and frees the address then.
    """
    handles = {handle_of(endpoint_id) for endpoint_id in engine}
    addresses: dict[str, str] = {}
    for stored in records:
        handles.add(stored.holding.handle)
        if stored.holding.endpoint:
            handles.add(handle_of(stored.holding.endpoint))
    for endpoint in endpoints:
        if endpoint.metadata.namespace == ORCHESTRATOR and endpoint.spec.endpoint:
            handle = handle_of(endpoint.spec.endpoint)
            handles.add(handle)
            addresses |= {str(ip_interface(network).ip): handle for network in endpoint.spec.ip_networks}
    return Living(handles, addresses)
