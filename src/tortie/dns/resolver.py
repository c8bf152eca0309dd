"""The resolver of one host: what it is told, and DC/OS's own zones, made from the masters' state."""

from __future__ import annotations

from dataclasses import dataclass

from tortie.dns import dcos
from tortie.dns.listing import Listing
from tortie.dns.state import Cluster
from tortie.dns.zone import Zone


@dataclass(frozen=True, slots=True)
class Resolver:
    """What one host's resolver is told: where it answers and for whom. Without `masters` it has no zones of a cluster.

    `cluster_id`: the label of the cluster below `dcos.directory`, where its zones answer as well. `http`: where its
    HTTP API listens, if at all.
    """

    listen: tuple[tuple[str, int], ...]
    masters: tuple[str, ...] = ()
    cluster_id: str = ""
    http: tuple[str, int] | None = None


def _aliases(label: str, cluster_id: str) -> list[str]:
    """The other names of the zone `label.thisdcos.directory`."""
    labels = (label, "dclb") if label == "l4lb" else (label,)
    below = [dcos.DIRECTORY, dcos.GLOBAL, *([f"{cluster_id}.dcos.directory"] if cluster_id else [])]
    return [f"{name}.{parent}" for name in labels for parent in below][1:]


def host_listings(addresses: tuple[str, ...]) -> list[Listing]:
    """The zones that hang on no cluster, filled: the resolver's own names, and localhost, which leaves no host."""
    listings = [
        Listing(giver, Zone(dcos.apex(giver.domain)))
        for giver in (dcos.HostRecords("spartan", addresses), dcos.HostRecords("localhost", addresses))
    ]
    for listing in listings:
        for _ in listing.whole(Cluster()):
            pass
    return listings


def cluster_listings(resolver: Resolver) -> list[Listing]:
    givers = (dcos.TaskRecords(resolver.masters), dcos.VipRecords(), dcos.ComponentRecords(resolver.masters))
    return [
        Listing(
            giver, Zone(dcos.apex(giver.domain), aliases=_aliases(giver.domain.partition(".")[0], resolver.cluster_id))
        )
        for giver in givers
    ]
