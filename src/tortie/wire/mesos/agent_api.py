"""The v1 API of an agent: what operators ask of it, and the streams of its containers."""

from __future__ import annotations

from typing import Literal

from tortie.wire.mesos.containers import CommandInfo, ContainerInfo
from tortie.wire.mesos.values import ContainerID, Message, Nanoseconds


class WindowSize(Message):
    rows: int
    columns: int


class TTYInfo(Message):
    window_size: WindowSize | None = None


class Heartbeat(Message):
    interval: Nanoseconds | None = None


class Control(Message):
    type: str | None = None
    tty_info: TTYInfo | None = None
    heartbeat: Heartbeat | None = None


class Data(Message):
    """No `data` on STDIN is the end of the input."""

    type: Literal["UNKNOWN", "STDIN", "STDOUT", "STDERR"] | None = None
    data: bytes = b""


class ProcessIO(Message):
    type: Literal["UNKNOWN", "DATA", "CONTROL"] | None = None
    data: Data | None = None
    control: Control | None = None


class LaunchNested(Message):
    """LAUNCH_NESTED_CONTAINER, LAUNCH_CONTAINER, LAUNCH_NESTED_CONTAINER_SESSION."""

    container_id: ContainerID
    command: CommandInfo | None = None
    container: ContainerInfo | None = None


class OfContainer(Message):
    """WAIT_, KILL_ (which has a signal), REMOVE_, ATTACH_CONTAINER_OUTPUT."""

    container_id: ContainerID
    signal: int | None = None


class AttachInput(Message):
    type: Literal["UNKNOWN", "CONTAINER_ID", "PROCESS_IO"] | None = None
    container_id: ContainerID | None = None
    process_io: ProcessIO | None = None


class GetContainers(Message):
    show_nested: bool = False
    show_standalone: bool = False


class GetMetrics(Message):
    timeout: Nanoseconds | None = None


class SetLoggingLevel(Message):
    level: int
    duration: Nanoseconds


class ListFiles(Message):
    path: str


class ReadFile(Message):
    path: str
    offset: int
    length: int | None = None


class Call(Message):
    """mesos.v1.agent.Call: `type` names the field that is set."""

    type: str | None = None
    get_metrics: GetMetrics | None = None
    set_logging_level: SetLoggingLevel | None = None
    list_files: ListFiles | None = None
    read_file: ReadFile | None = None
    get_containers: GetContainers | None = None
    launch_nested_container: LaunchNested | None = None
    launch_container: LaunchNested | None = None
    launch_nested_container_session: LaunchNested | None = None
    wait_nested_container: OfContainer | None = None
    wait_container: OfContainer | None = None
    kill_nested_container: OfContainer | None = None
    kill_container: OfContainer | None = None
    remove_nested_container: OfContainer | None = None
    remove_container: OfContainer | None = None
    attach_container_output: OfContainer | None = None
    attach_container_input: AttachInput | None = None
