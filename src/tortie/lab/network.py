"""What a lab writes to its store before the first node starts: pool, agent settings, IPAM settings."""

from __future__ import annotations

import json
from pathlib import Path

from tortie.lab.plan import POOL
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.resource import Metadata, Resource
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Put

IPAM_CONFIG_KEY = "/calico/ipam/v2/config"
IPAM_CONFIG = {"strict_affinity": False, "auto_allocate_blocks": True, "ipCooldownSeconds": 30}
POOL_NAME = "default-ipv4-ippool"


def write_defaults(store: Path) -> None:
    """Sources stay visible (no NAT, no encapsulation), hosts take what their own containers send them."""
    datastore = open_store(f"sqlite://{store}")
    try:
        client = Client(datastore)
        pool = IPPoolSpec(cidr=POOL, block_size=26, nat_outgoing=False, vxlan_mode="Never", ipip_mode="Never")
        client.apply(Resource(kind=IP_POOL, metadata=Metadata(name=POOL_NAME), spec=pool))
        felix = FelixConfigurationSpec(default_endpoint_to_host_action="Return", host_services="Enabled")
        client.apply(Resource(kind=FELIX_CONFIGURATION, metadata=Metadata(name="default"), spec=felix))
        datastore.commit([Put(IPAM_CONFIG_KEY, json.dumps(IPAM_CONFIG).encode())])
    finally:
        datastore.close()
