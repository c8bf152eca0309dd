"""Messages of Mesos's v1 HTTP APIs as JSON: what frameworks, the master and agents say to each other.

Field names are the protocol's. A field that is not set is absent from the JSON; fields we do not know are ignored when
read. `bytes` travel as base64. `decode` says what is wrong with a body in the words of a Mesos master.
"""

from __future__ import annotations

import re
import uuid as uuids
from typing import Any, Literal, TypeVar

import msgspec

from tortie.base.errors import Invalid

TaskState = Literal[
    "TASK_STAGING",
    "TASK_STARTING",
    "TASK_RUNNING",
    "TASK_KILLING",
    "TASK_FINISHED",
    "TASK_FAILED",
    "TASK_KILLED",
    "TASK_ERROR",
    "TASK_LOST",
    "TASK_DROPPED",
    "TASK_UNREACHABLE",
    "TASK_GONE",
    "TASK_GONE_BY_OPERATOR",
    "TASK_UNKNOWN",
]
TERMINAL: frozenset[str] = frozenset(
    {
        "TASK_FINISHED",
        "TASK_FAILED",
        "TASK_KILLED",
        "TASK_ERROR",
        "TASK_LOST",
        "TASK_DROPPED",
        "TASK_GONE",
        "TASK_GONE_BY_OPERATOR",
    }
)
CallType = Literal[
    "UNKNOWN",
    "SUBSCRIBE",
    "TEARDOWN",
    "ACCEPT",
    "DECLINE",
    "ACCEPT_INVERSE_OFFERS",
    "DECLINE_INVERSE_OFFERS",
    "REVIVE",
    "SUPPRESS",
    "KILL",
    "SHUTDOWN",
    "ACKNOWLEDGE",
    "ACKNOWLEDGE_OPERATION_STATUS",
    "RECONCILE",
    "RECONCILE_OPERATIONS",
    "MESSAGE",
    "REQUEST",
    "UPDATE_FRAMEWORK",
]


class Message(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message of the protocol; None and empty lists mean "not set"."""


class ID(msgspec.Struct, kw_only=True, frozen=True):
    """TaskID, FrameworkID, AgentID, OfferID, ExecutorID alike."""

    value: str


class ContainerID(Message):
    value: str
    parent: ContainerID | None = None


class Nanoseconds(Message):
    """TimeInfo and DurationInfo."""

    nanoseconds: int

    @property
    def seconds(self) -> float:
        return self.nanoseconds / 1e9


class Label(Message):
    key: str
    value: str | None = None


class Labels(Message):
    labels: list[Label] = []


class Scalar(Message):
    value: float


class Range(Message):
    """Both ends belong to it."""

    begin: int
    end: int


class Ranges(Message):
    range: list[Range] = []


class Set(Message):
    item: list[str] = []


class Text(Message):
    value: str


class AllocationInfo(Message):
    role: str | None = None


class Resource(Message):
    """A role that is not set is `*`."""

    name: str
    type: Literal["SCALAR", "RANGES", "SET", "TEXT"]
    scalar: Scalar | None = None
    ranges: Ranges | None = None
    set: Set | None = None
    role: str | None = None
    allocation_info: AllocationInfo | None = None
    reservation: dict[str, Any] | None = None
    reservations: list[dict[str, Any]] = []
    disk: dict[str, Any] | None = None
    revocable: dict[str, Any] | None = None
    shared: dict[str, Any] | None = None


class Attribute(Message):
    name: str
    type: Literal["SCALAR", "RANGES", "SET", "TEXT"]
    scalar: Scalar | None = None
    ranges: Ranges | None = None
    set: Set | None = None
    text: Text | None = None


class Address(Message):
    port: int
    hostname: str | None = None
    ip: str | None = None


class URL(Message):
    scheme: str
    address: Address
    path: str | None = None
    query: list[dict[str, Any]] = []
    fragment: str | None = None


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


class Variable(Message):
    name: str
    value: str | None = None
    type: str | None = None


class Environment(Message):
    variables: list[Variable] = []


class URI(Message):
    value: str
    executable: bool | None = None
    extract: bool = True
    cache: bool | None = None
    output_file: str | None = None


class CommandInfo(Message):
    uris: list[URI] = []
    environment: Environment | None = None
    shell: bool = True
    value: str | None = None
    arguments: list[str] = []
    user: str | None = None


class Volume(Message):
    mode: Literal["RW", "RO"]
    container_path: str
    host_path: str | None = None
    image: dict[str, Any] | None = None
    source: dict[str, Any] | None = None


class Parameter(Message):
    key: str
    value: str


class DockerPortMapping(Message):
    host_port: int
    container_port: int
    protocol: str | None = None


class DockerInfo(Message):
    image: str
    network: Literal["HOST", "BRIDGE", "NONE", "USER"] | None = None
    port_mappings: list[DockerPortMapping] = []
    privileged: bool | None = None
    parameters: list[Parameter] = []
    force_pull_image: bool | None = None
    volume_driver: str | None = None


class IPAddress(Message):
    protocol: Literal["IPv4", "IPv6"] | None = None
    ip_address: str | None = None


class NetworkInfo(Message):
    ip_addresses: list[IPAddress] = []
    name: str | None = None
    groups: list[str] = []
    labels: Labels | None = None
    port_mappings: list[DockerPortMapping] = []


class ContainerInfo(Message):
    type: Literal["DOCKER", "MESOS"]
    volumes: list[Volume] = []
    hostname: str | None = None
    docker: DockerInfo | None = None
    mesos: dict[str, Any] | None = None
    network_infos: list[NetworkInfo] = []
    linux_info: dict[str, Any] | None = None
    rlimit_info: dict[str, Any] | None = None
    tty_info: dict[str, Any] | None = None


class Port(Message):
    number: int
    name: str | None = None
    protocol: str | None = None
    visibility: Literal["FRAMEWORK", "CLUSTER", "EXTERNAL"] | None = None
    labels: Labels | None = None


class Ports(Message):
    ports: list[Port] = []


class DiscoveryInfo(Message):
    visibility: Literal["FRAMEWORK", "CLUSTER", "EXTERNAL"]
    name: str | None = None
    environment: str | None = None
    location: str | None = None
    version: str | None = None
    ports: Ports | None = None
    labels: Labels | None = None


class HTTPCheck(Message):
    port: int
    scheme: str | None = None
    path: str | None = None
    statuses: list[int] = []
    protocol: Literal["IPv4", "IPv6"] | None = None


class TCPCheck(Message):
    port: int
    protocol: Literal["IPv4", "IPv6"] | None = None


class HealthCheck(Message):
    type: str | None = None
    delay_seconds: float = 15.0
    interval_seconds: float = 10.0
    timeout_seconds: float = 20.0
    consecutive_failures: int = 3
    grace_period_seconds: float = 10.0
    command: CommandInfo | None = None
    http: HTTPCheck | None = None
    tcp: TCPCheck | None = None


class KillPolicy(Message):
    grace_period: Nanoseconds | None = None


class ExecutorInfo(Message):
    executor_id: ID
    type: str | None = None
    framework_id: ID | None = None
    command: CommandInfo | None = None
    container: ContainerInfo | None = None
    resources: list[Resource] = []
    name: str | None = None
    source: str | None = None
    data: bytes | None = None
    discovery: DiscoveryInfo | None = None
    shutdown_grace_period: Nanoseconds | None = None
    labels: Labels | None = None


class TaskInfo(Message):
    name: str
    task_id: ID
    agent_id: ID
    resources: list[Resource] = []
    executor: ExecutorInfo | None = None
    command: CommandInfo | None = None
    container: ContainerInfo | None = None
    health_check: HealthCheck | None = None
    check: dict[str, Any] | None = None
    kill_policy: KillPolicy | None = None
    data: bytes | None = None
    labels: Labels | None = None
    discovery: DiscoveryInfo | None = None
    max_completion_time: Nanoseconds | None = None


class ContainerStatus(Message):
    container_id: ContainerID | None = None
    network_infos: list[NetworkInfo] = []
    cgroup_info: dict[str, Any] | None = None
    executor_pid: int | None = None


class TaskStatus(Message):
    """`uuid` is set only on updates that must be acknowledged."""

    task_id: ID
    state: TaskState
    message: str | None = None
    source: Literal["SOURCE_MASTER", "SOURCE_AGENT", "SOURCE_EXECUTOR"] | None = None
    reason: str | None = None
    data: bytes | None = None
    agent_id: ID | None = None
    executor_id: ID | None = None
    timestamp: float | None = None
    uuid: bytes | None = None
    healthy: bool | None = None
    labels: Labels | None = None
    container_status: ContainerStatus | None = None
    unreachable_time: Nanoseconds | None = None


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


# -- what a framework says ---------------------------------------------------------------------------------------------


class Filters(Message):
    """Not set means the protocol's 5 seconds."""

    refuse_seconds: float | None = None


class Launch(Message):
    task_infos: list[TaskInfo] = []


class TaskGroup(Message):
    tasks: list[TaskInfo] = []


class LaunchGroup(Message):
    executor: ExecutorInfo
    task_group: TaskGroup


class Operation(Message):
    type: str
    launch: Launch | None = None
    launch_group: LaunchGroup | None = None
    reserve: dict[str, Any] | None = None
    unreserve: dict[str, Any] | None = None
    create: dict[str, Any] | None = None
    destroy: dict[str, Any] | None = None


class Subscribe(Message):
    framework_info: FrameworkInfo
    suppressed_roles: list[str] = []
    force: bool | None = None


class Accept(Message):
    offer_ids: list[ID] = []
    operations: list[Operation] = []
    filters: Filters | None = None


class Decline(Message):
    offer_ids: list[ID] = []
    filters: Filters | None = None


class Revive(Message):
    """Also SUPPRESS; no role means all of the framework's."""

    role: str | None = None
    roles: list[str] = []

    @property
    def named(self) -> list[str]:
        return [*self.roles, *([self.role] if self.role else [])]


class Kill(Message):
    task_id: ID
    agent_id: ID | None = None
    kill_policy: KillPolicy | None = None


class Shutdown(Message):
    executor_id: ID
    agent_id: ID


class Acknowledge(Message):
    agent_id: ID
    task_id: ID
    uuid: bytes


class ReconcileTask(Message):
    task_id: ID
    agent_id: ID | None = None


class Reconcile(Message):
    """No tasks: an answer for every task that the master knows."""

    tasks: list[ReconcileTask] = []


class FrameworkMessage(Message):
    agent_id: ID
    executor_id: ID
    data: bytes


class Call(Message):
    type: CallType | None = None
    framework_id: ID | None = None
    subscribe: Subscribe | None = None
    accept: Accept | None = None
    decline: Decline | None = None
    revive: Revive | None = None
    suppress: Revive | None = None
    kill: Kill | None = None
    shutdown: Shutdown | None = None
    acknowledge: Acknowledge | None = None
    reconcile: Reconcile | None = None
    message: FrameworkMessage | None = None
    request: dict[str, Any] | None = None


# -- what the master says ----------------------------------------------------------------------------------------------


class Subscribed(Message):
    framework_id: ID
    heartbeat_interval_seconds: float | None = None
    master_info: MasterInfo | None = None


class Offers(Message):
    offers: list[Offer] = []


class Rescind(Message):
    offer_id: ID


class Update(Message):
    status: TaskStatus


class Failure(Message):
    """Without executor_id: the agent is lost."""

    agent_id: ID | None = None
    executor_id: ID | None = None
    status: int | None = None


class ErrorText(Message):
    message: str


class Event(Message):
    """`type` names the one field that is set: SUBSCRIBED, OFFERS, RESCIND, UPDATE, MESSAGE, FAILURE, ERROR, HEARTBEAT.

    Types that we do not know are left to the reader to skip.
    """

    type: str
    subscribed: Subscribed | None = None
    offers: Offers | None = None
    rescind: Rescind | None = None
    update: Update | None = None
    message: FrameworkMessage | None = None
    failure: Failure | None = None
    error: ErrorText | None = None


# -- bytes -------------------------------------------------------------------------------------------------------------

T = TypeVar("T")
_MISSING = re.compile(r"Object missing required field `(\w+)`(?: - at `\$\.?(.*)`)?$")
_EXPECTED = re.compile(r"Expected `(.+?)`, got `(\w+)`(?: - at `\$\.?(.*)`)?$")
_ENUM = re.compile(r"Invalid enum value '(.*)'")
_JSON_WORDS = {"str": "string", "int": "number", "float": "number", "bool": "boolean", "object": "object"}


def encode(message: Any) -> bytes:
    return msgspec.json.encode(message)


def decode(body: bytes, kind: type[T], what: str = "Call") -> T:
    """The message in `body`; Invalid in a Mesos master's own words otherwise."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"Failed to convert JSON into {what} protobuf: {_in_mesos_words(str(error))}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"Failed to parse body into JSON: {error}") from error


def convert(document: Any, kind: type[T], what: str = "Call") -> T:
    """The same for a document that is parsed already."""
    return decode(msgspec.json.encode(document), kind, what)


def _in_mesos_words(text: str) -> str:
    if found := _MISSING.match(text):
        return f"Missing required fields: {'.'.join(part for part in (found[2], found[1]) if part)}"
    if found := _ENUM.match(text):
        return f"Failed to find enum for '{found[1]}'"
    if "base64" in text:
        path = text.rpartition("`$.")[2].rstrip("`")
        return f"Failed to base64 decode bytes field '{path.rpartition('.')[2]}': {text.partition(' - at')[0]}"
    if found := _EXPECTED.match(text):
        if not found[3]:
            return "Expecting a JSON object"
        return f"Not expecting a JSON {_JSON_WORDS.get(found[2], found[2])} for field '{found[3].rpartition('.')[2]}'"
    return text


def new_uuid() -> bytes:
    """The 16 raw bytes of a status update's identity."""
    return uuids.uuid4().bytes
