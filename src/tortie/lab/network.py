"""What a lab writes to its store before the first node starts: pool, agent settings, IPAM settings.

`python -m tortie.lab.network URL OPTIONS` does it on a host, as soon as the store answers; who comes second finds it
done. OPTIONS are those of the lab, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from typing import Any

from tortie.base.errors import Conflict, TortieError, Unavailable
from tortie.lab.documents import DOCUMENTS
from tortie.lab.first import first
from tortie.lab.plan import FABRIC_AS, MASTER, Options, agents_of, on_subnet, public_agents_of, subnet_of
from tortie.model.ipam import CONFIG_KEY
from tortie.model.kinds.bgp_peer import BGP_PEER, BGPPeerSpec
from tortie.model.kinds.ip_reservation import IP_RESERVATION, IPReservationSpec
from tortie.model.resource import Metadata, Resource
from tortie.node.bootstrap import write_cooldown
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Datastore

DEADLINE_SECONDS = 60.0


def router_peers(options: Options) -> list[Resource[BGPPeerSpec]]:
    """Every node speaks BGP with the router of its own subnet; none where there is no router or no BGP."""
    if options.routing != "bgp" or options.subnets == 1:
        return []
    nodes = {"master": MASTER, **agents_of(options), **public_agents_of(options)}
    return [
        Resource(
            kind=BGP_PEER,
            metadata=Metadata(name=f"router-{node}"),
            spec=BGPPeerSpec(node=node, peer_ip=on_subnet(subnet_of(address), 1), as_number=FABRIC_AS),
        )
        for node, address in nodes.items()
    ]


def write_defaults(datastore: Datastore, options: Options) -> None:
    """What is there already stays: people change it. IPAM's settings, the last ones, say that all was written."""
    if datastore.get(CONFIG_KEY):
        return
    client = Client(datastore)
    wanted = first(options)
    kept = DOCUMENTS[options.document].second_resolver
    reserved = IPReservationSpec(reserved_cidrs=(f"{kept}/32",))
    resources: list[Resource[Any]] = [
        wanted.pool(),
        wanted.felix(),
        *([Resource(kind=IP_RESERVATION, metadata=Metadata(name="resolver"), spec=reserved)] if kept else []),
        *router_peers(options),
    ]
    for resource in resources:
        # One that is there already was written by another host, just now.
        with suppress(Conflict):
            client.create(resource)
    write_cooldown(datastore, wanted.cooldown)


def write_when_there(url: str, options: Options, seconds: float = DEADLINE_SECONDS) -> None:
    """`write_defaults` once the store answers; Unavailable when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            datastore = open_store(url)
            try:
                return write_defaults(datastore, options)
            finally:
                datastore.close()
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def main(arguments: list[str]) -> int:
    url, options = arguments
    try:
        write_when_there(url, Options(**json.loads(options)))
    except TortieError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
