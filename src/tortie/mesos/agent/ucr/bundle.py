"""A container as an OCI runtime is told of it: `config.json` of a bundle. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tortie.base.errors import Invalid
from tortie.mesos.agent.docker_run import MIN_MEMORY, MIN_SHARES, SANDBOX
from tortie.mesos.agent.streams import Session
from tortie.mesos.agent.ucr.process import Process, User
from tortie.mesos.resources import Resources
from tortie.wire import mesos as wire

OCI_VERSION = "1.0.2"
PERIOD = 100_000
CAPABILITIES = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE"),
    *("CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT", "CAP_AUDIT_WRITE"),
)
"""Those of Docker. Mesos gives root all of the host's; NET_RAW stays because ping of many images needs it."""
ALL_CAPABILITIES = (
    *(
        f"CAP_{name}"
        for name in ("AUDIT_CONTROL", "BLOCK_SUSPEND", "DAC_READ_SEARCH", "IPC_LOCK", "IPC_OWNER", "LEASE")
    ),
    *(f"CAP_{name}" for name in ("LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "NET_ADMIN", "NET_BROADCAST")),
    *(f"CAP_{name}" for name in ("SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT")),
    *(
        f"CAP_{name}"
        for name in ("SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM")
    ),
    *(f"CAP_{name}" for name in ("BPF", "CHECKPOINT_RESTORE", "PERFMON")),
    *CAPABILITIES,
)
MASKED = (
    *("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list"),
    *("/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"),
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_LIMIT_PREFIX = "RLMT_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A file or folder of the host in the container."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`cpus`: a share, and with `hard` a ceiling, too; `memory` in bytes; 0: none. `processes`: how many at most."""

    cpus: float = 0.0
    memory: int = 0
    processes: int = 0
    hard: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """`root`: the folder that is the container's /. `network`: path of its network namespace, empty for the host's.
    `pid`, `ipc`: paths of namespaces to share with another container; `agents_pid`: the agent's namespace of processes
    is its own. `cgroup`: its path, from the top."""

    process: Process
    root: str
    cgroup: str
    hostname: str = ""
    network: str = ""
    pid: str = ""
    ipc: str = ""
    agents_pid: bool = False
    mounts: Sequence[Mount] = ()
    limits: Limits = Limits()
    container: wire.ContainerInfo | None = None
    privileged: bool = False


def limits_of(resources: Resources, *, hard: bool = False, processes: int = 0) -> Limits:
    memory = resources.scalar("mem")
    size = max(int(memory * 1024 * 1024), MIN_MEMORY) if memory else 0
    return Limits(cpus=resources.scalar("cpus"), memory=size, processes=processes, hard=hard)


def config(shape: Shape) -> dict[str, Any]:
    """Raises Invalid for what the task asks of the runtime and cannot have."""
    told = process(shape.process, shape.container, privileged=shape.privileged)
    # Who may mount can take away what hides or protects a path.
    free = told["user"]["uid"] == 0 and "CAP_SYS_ADMIN" in told["capabilities"]["effective"]
    return {
        "ociVersion": OCI_VERSION,
        "process": told,
        "root": {"path": shape.root, "readonly": False},
        **({"hostname": shape.hostname} if shape.hostname else {}),
        "mounts": [*_system_mounts(own_network=bool(shape.network)), *map(_bind, shape.mounts)],
        "linux": {
            "namespaces": _namespaces(shape),
            "resources": _resources(shape.limits),
            "cgroupsPath": shape.cgroup,
            "maskedPaths": [] if free else list(MASKED),
            "readonlyPaths": [] if free else list(READ_ONLY),
        },
    }


def process(
    wanted: Process, container: wire.ContainerInfo | None = None, *, privileged: bool = False
) -> dict[str, Any]:
    """Of the container itself, or of a session in it."""
    allowed = list(ALL_CAPABILITIES) if privileged else _capabilities(container)
    shown: dict[str, Any] = {
        "terminal": wanted.terminal,
        "user": _user(wanted.user),
        "args": list(wanted.arguments),
        "env": [f"{name}={value}" for name, value in wanted.environment.items()],
        "cwd": wanted.directory,
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), allowed),
        "noNewPrivileges": False,
    }
    if limits := _rlimits(container):
        shown["rlimits"] = limits
    size = ((container.tty_info if container else None) or {}).get("window_size") or {}
    if wanted.terminal and size.get("rows") and size.get("columns"):
        shown["consoleSize"] = {"height": size["rows"], "width": size["columns"]}
    return shown


def session_process(told: Mapping[str, Any], session: Session, user: User | None) -> dict[str, Any]:
    """`told`: the process of the container that it is in, whose variables, limits, place and user it has."""
    variables = dict(line.partition("=")[::2] for line in told["env"])
    found = {key: value for key, value in told.items() if key != "consoleSize"}
    found |= {"args": list(session.arguments), "terminal": session.terminal}
    found["env"] = [f"{name}={value}" for name, value in {**variables, **session.environment}.items()]
    if user is not None:
        found["user"] = _user(user)
    if session.terminal and session.rows and session.columns:
        found["consoleSize"] = {"height": session.rows, "width": session.columns}
    return found


def _user(user: User) -> dict[str, Any]:
    return {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)}


def _capabilities(container: wire.ContainerInfo | None) -> list[str]:
    """What `linux_info` asks for instead of the usual ones: 1.2's word, and the later ones."""
    info = (container.linux_info if container else None) or {}
    asked = next(
        (info[key] for key in ("effective_capabilities", "bounding_capabilities", "capability_info") if key in info),
        None,
    )
    if asked is None:
        return list(CAPABILITIES)
    names = asked.get("capabilities") if isinstance(asked, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Invalid("linux_info: a list of capabilities is needed")
    found = [f"CAP_{name}" if not name.startswith("CAP_") else name for name in names]
    if unknown := set(found) - set(ALL_CAPABILITIES):
        raise Invalid(f"linux_info: {', '.join(sorted(unknown))} is no capability")
    return found


def _rlimits(container: wire.ContainerInfo | None) -> list[dict[str, Any]]:
    given = ((container.rlimit_info if container else None) or {}).get("rlimits") or []
    found = []
    for limit in given:
        kind = str(limit.get("type", ""))
        soft, hard = limit.get("soft"), limit.get("hard")
        if not kind.startswith(_LIMIT_PREFIX) or (soft is None) != (hard is None):
            raise Invalid(f"rlimit_info: {kind or 'a limit'}: a type and either both soft and hard or none are needed")
        unlimited = (1 << 64) - 1
        name = f"RLIMIT_{kind.removeprefix(_LIMIT_PREFIX)}"
        found.append(
            {"type": name, "soft": unlimited if soft is None else soft, "hard": unlimited if hard is None else hard}
        )
    return found


def _namespaces(shape: Shape) -> list[dict[str, str]]:
    found = [{"type": "mount"}, {"type": "uts"}]
    for kind, path in (("pid", shape.pid), ("ipc", shape.ipc)):
        if kind == "pid" and shape.agents_pid:
            continue
        found.append({"type": kind, "path": path} if path else {"type": kind})
    if shape.network:
        found.append({"type": "network", "path": shape.network})
    return found


def _resources(limits: Limits) -> dict[str, Any]:
    found: dict[str, Any] = {"devices": _devices()}
    if limits.cpus:
        cpu = {"shares": max(int(limits.cpus * 1024), MIN_SHARES)}
        if limits.hard:
            cpu |= {"quota": max(int(limits.cpus * PERIOD), 1000), "period": PERIOD}
        found["cpu"] = cpu
    if limits.memory:
        found["memory"] = {"limit": limits.memory}
    if limits.processes:
        found["pids"] = {"limit": limits.processes}
    return found


def _devices() -> list[dict[str, Any]]:
    """Nothing but the harmless ones: null, zero, full, random, urandom, tty, ptmx and terminals."""
    known = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, None))
    allowed = [
        {"allow": True, "type": "c", "major": major, **({} if minor is None else {"minor": minor}), "access": "rwm"}
        for major, minor in known
    ]
    return [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "access": "m"}, *allowed]


def _system_mounts(*, own_network: bool) -> list[dict[str, Any]]:
    """A fresh sysfs shows the devices of the network namespace it is made in, which only an own one may do. Of the
    host's, nothing comes along that is mounted below it."""
    still = ["nosuid", "noexec", "nodev"]
    sys = ("sysfs", "sysfs", [*still, "ro"]) if own_network else ("none", "/sys", ["bind", *still, "ro"])
    kind, source, options = sys
    return [
        _mount("/proc", "proc", "proc", still),
        _mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount(
            "/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        ),
        _mount("/dev/shm", "tmpfs", "shm", [*still, "mode=1777", "size=65536k"]),
        _mount("/dev/mqueue", "mqueue", "mqueue", still),
        _mount("/sys", kind, source, options),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", [*still, "relatime", "ro"]),
    ]


def _mount(target: str, kind: str, source: str, options: Sequence[str]) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


def _bind(mount: Mount) -> dict[str, Any]:
    return _mount(mount.target, "none", mount.source, ["rbind", "rprivate", "ro" if mount.read_only else "rw"])


def volumes(container: wire.ContainerInfo | None, sandbox: str, *, own_root: bool = True) -> list[Mount]:
    """The sandbox, then what the task asks for. Invalid in the original's words.

    Without a root of its own the container sees the sandbox where the host has it.
    """
    home = SANDBOX if own_root else sandbox
    found = [Mount(source=sandbox, target=SANDBOX)] if own_root else []
    for volume in container.volumes if container else ():
        inside = volume.container_path if volume.container_path.startswith("/") else f"{home}/{volume.container_path}"
        read_only = volume.mode == "RO"
        if ".." in inside.split("/"):
            raise Invalid(f"The container_path '{volume.container_path}' of a volume leads out of its place")
        if volume.source and volume.source.get("type") == "SANDBOX_PATH":
            path = (volume.source.get("sandbox_path") or {}).get("path") or ""
            found.append(Mount(source=_below(sandbox, path), target=inside, read_only=read_only))
        elif volume.source or volume.image:
            raise Invalid("Only volumes with a host path or a path of the sandbox as source are supported")
        elif not volume.host_path:
            raise Invalid("Host path or volume source is required")
        elif volume.host_path.startswith("/"):
            found.append(Mount(source=volume.host_path, target=inside, read_only=read_only))
        else:
            found.append(Mount(source=_below(sandbox, volume.host_path), target=inside, read_only=read_only))
    return found


def _below(sandbox: str, path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise Invalid(f"The relative path '{path}' of a volume leaves the sandbox")
    return f"{sandbox}/{path}"
