"""Names of net-modules that both of its sides must know, and the file by which one finds the other."""

from __future__ import annotations

import json

ISOLATOR = "com_mesosphere_mesos_NetworkIsolator"
HOOK = "com_mesosphere_mesos_NetworkHook"
ISOLATOR_COMMAND, IPAM_COMMAND = "isolator_command", "ipam_command"
PUBLIC = "public"
"""The group that everybody reaches."""
NO_ENDPOINT = "No endpoint found with container-id"
"""What `cleanup` answers about a container that has no network: for who only wants it gone, it is."""


def modules(command: str) -> str:
    """A modules.json in which one program does both jobs. The library is for the original's agent."""
    parameters = [{"key": key, "value": command} for key in (ISOLATOR_COMMAND, IPAM_COMMAND)]
    listed = [{"name": ISOLATOR, "parameters": parameters}, {"name": HOOK}]
    library = {"file": "/usr/local/lib/mesos/libmesos_network_isolator.so", "modules": listed}
    return json.dumps({"libraries": [library]}, indent=2) + "\n"
