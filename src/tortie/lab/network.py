"""What a lab writes to its store before the first node starts: pool, agent settings, IPAM settings.

`python -m tortie.lab.network URL` does it on a host, as soon as the store answers; who comes second finds it done.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress

from tortie.base.errors import Conflict, TortieError, Unavailable
from tortie.lab.plan import POOL
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.resource import Metadata, Resource
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Compare, CompareFailed, Datastore, Put

IPAM_CONFIG_KEY = "/calico/ipam/v2/config"
IPAM_CONFIG = {"strict_affinity": False, "auto_allocate_blocks": True, "ipCooldownSeconds": 30}
POOL_NAME = "default-ipv4-ippool"
DEADLINE_SECONDS = 60.0


def write_defaults(datastore: Datastore) -> None:
    """Sources stay visible (no NAT, no encapsulation), hosts take what their own containers send them.

    What is there already stays: people change it. The key of IPAM's settings, written last, says that all was written.
    """
    if datastore.get(IPAM_CONFIG_KEY):
        return
    client = Client(datastore)
    pool = IPPoolSpec(cidr=POOL, block_size=26, nat_outgoing=False, vxlan_mode="Never", ipip_mode="Never")
    felix = FelixConfigurationSpec(default_endpoint_to_host_action="Return", host_services="Enabled")
    # One that is there already was written by another host, just now.
    with suppress(Conflict):
        client.create(Resource(kind=IP_POOL, metadata=Metadata(name=POOL_NAME), spec=pool))
    with suppress(Conflict):
        client.create(Resource(kind=FELIX_CONFIGURATION, metadata=Metadata(name="default"), spec=felix))
    with suppress(CompareFailed):
        datastore.commit([Put(IPAM_CONFIG_KEY, json.dumps(IPAM_CONFIG).encode())], [Compare(IPAM_CONFIG_KEY, 0)])


def write_when_there(url: str, seconds: float = DEADLINE_SECONDS) -> None:
    """`write_defaults` once the store answers; Unavailable when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            datastore = open_store(url)
            try:
                return write_defaults(datastore)
            finally:
                datastore.close()
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def main(arguments: list[str]) -> int:
    (url,) = arguments
    try:
        write_when_there(url)
    except TortieError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
