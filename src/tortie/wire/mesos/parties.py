"""Who speaks: frameworks, agents and masters as they describe themselves, and what an agent has to offer."""

from __future__ import annotations

from typing import Any

from tortie.wire.mesos.values import ID, URL, Address, AllocationInfo, Attribute, Labels, Message, Resource


class Capability(Message):
    type: str = "UNKNOWN"


class FrameworkInfo(Message):
    user: str
    name: str
    id: ID | None = None
    failover_timeout: float | None = None
    checkpoint: bool | None = None
    role: str | None = None
    roles: list[str] = []
    hostname: str | None = None
    principal: str | None = None
    webui_url: str | None = None
    capabilities: list[Capability] = []
    labels: Labels | None = None

    def can(self, capability: str) -> bool:
        return any(c.type == capability for c in self.capabilities)


class AgentInfo(Message):
    hostname: str
    port: int = 5051
    resources: list[Resource] = []
    attributes: list[Attribute] = []
    id: ID | None = None


class MasterInfo(Message):
    id: str
    ip: int
    port: int
    pid: str | None = None
    hostname: str | None = None
    version: str | None = None
    address: Address | None = None


class Offer(Message):
    id: ID
    framework_id: ID
    agent_id: ID
    hostname: str
    url: URL | None = None
    resources: list[Resource] = []
    attributes: list[Attribute] = []
    executor_ids: list[ID] = []
    allocation_info: AllocationInfo | None = None
    unavailability: dict[str, Any] | None = None
