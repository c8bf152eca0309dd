"""What the plug-ins of one host need from its agent, in the agent's words."""

from __future__ import annotations

from typing import Protocol


class EndpointGate(Protocol):
    """Tells when an endpoint of this host is programmed."""

    async def wait_programmed(self, key: str, revision: int, timeout: float) -> None:
        """Returns once the WorkloadEndpoint at `key`, as of `revision` or later, is in force in the kernel:
        policy, legal source, route, interface. Raises Unavailable, saying what is missing, after `timeout` seconds."""
        ...

    async def wait_removed(self, key: str, timeout: float) -> None:
        """Returns once nothing of the endpoint is left in the kernel. Raises Unavailable after `timeout` seconds."""
        ...
