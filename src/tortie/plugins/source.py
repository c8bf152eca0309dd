"""The launchers' plug-ins as sources of the living, for `Audit`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from ipaddress import ip_interface

from tortie.base.errors import Invalid
from tortie.ipam.audit import Source
from tortie.ipam.check import Living
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Resource
from tortie.plugins.cni import names as cni
from tortie.plugins.netmodules import names as netmodules
from tortie.plugins.profile import HANDLE_ANNOTATION
from tortie.store.client import Client
from tortie.store.port import Datastore

Busy = Callable[[], Collection[str]]


def cni_source(datastore: Datastore, busy: Busy = frozenset, *, node: str = "") -> Source:
    """Addresses that CNI took for other plug-ins are not its affair."""
    return Source("cni", "", _asking(datastore, cni.is_ours, busy), node, cni.ALLOCATION)


def netmodules_source(datastore: Datastore, busy: Busy = frozenset, *, node: str = "") -> Source:
    """An address that was taken and never came to a container is a leak once its grace is over."""
    return Source(
        "net-modules",
        netmodules.HANDLE_PREFIX,
        _asking(datastore, netmodules.is_ours, busy),
        node,
        netmodules.ALLOCATION,
    )


def _asking(
    datastore: Datastore, is_ours: Callable[[Resource[WorkloadEndpointSpec], str], bool], busy: Busy
) -> Callable[[], Living]:
    """Speaks for the addresses that a plug-in took on one node, or on every node: those of an endpoint are alive, and
    those that a call is working with now (`busy`)."""

    def ask() -> Living:
        working = set(busy())  # asked before the endpoints: a call that ends meanwhile has written its own
        endpoints = Client(datastore).list(WORKLOAD_ENDPOINT)
        if endpoints.unreadable:
            raise Invalid(f"endpoints that make no sense: {', '.join(endpoints.unreadable)}")
        addresses: dict[str, str] = {}
        for endpoint in endpoints.items:
            handle = endpoint.metadata.annotations.get(HANDLE_ANNOTATION)
            if handle and is_ours(endpoint, endpoint.spec.node):
                working.add(handle)
                addresses |= {str(ip_interface(network).ip): handle for network in endpoint.spec.ip_networks}
        return Living(working, addresses)

    return ask
