"""CNI as a source of the living, for `Audit`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from ipaddress import ip_interface

from tortie.base.errors import Invalid
from tortie.ipam.audit import Source
from tortie.ipam.check import Living
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.plugins.cni.names import ALLOCATION, is_ours
from tortie.plugins.profile import HANDLE_ANNOTATION
from tortie.store.client import Client
from tortie.store.port import Datastore


def cni_source(datastore: Datastore, busy: Callable[[], Collection[str]] = frozenset, *, node: str = "") -> Source:
    """Speaks for the addresses that this plug-in took on one node, or on every node: those of an endpoint are alive,
    and those that a call is working with now (`busy`). Addresses that it took for other plug-ins are not its affair."""

    def ask() -> Living:
        working = set(busy())  # asked before the endpoints: a call that ends meanwhile has written its own
        endpoints = Client(datastore).list(WORKLOAD_ENDPOINT)
        if endpoints.unreadable:
            raise Invalid(f"endpoints that make no sense: {', '.join(endpoints.unreadable)}")
        addresses: dict[str, str] = {}
        for endpoint in endpoints.items:
            if is_ours(endpoint, endpoint.spec.node):
                handle = endpoint.metadata.annotations[HANDLE_ANNOTATION]
                working.add(handle)
                addresses |= {str(ip_interface(network).ip): handle for network in endpoint.spec.ip_networks}
        return Living(working, addresses)

    return Source("cni", "", ask, node, ALLOCATION)
