"""What cgroup files of either version say of a container's use, as Mesos's ResourceStatistics. Values only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

Read = Callable[[str, str], str | None]
"""The text of a controller's file for the container; None when there is none."""
UNLIMITED = 1 << 60


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A mounted hierarchy. No controllers: it is version 2, which has all that version 1 has not."""

    mount: str
    root: str
    controllers: frozenset[str]


def hierarchies(mountinfo: str) -> Iterator[Hierarchy]:
    """Of /proc/self/mountinfo."""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        before, after = left.split(), right.split()
        if len(before) < 5 or len(after) < 3 or after[0] not in ("cgroup", "cgroup2"):
            continue
        options = frozenset(after[2].split(",")) - {"rw", "ro"} if after[0] == "cgroup" else frozenset()
        yield Hierarchy(before[4], before[3], options)


def places(cgroup: str, mounted: list[Hierarchy]) -> dict[str, str]:
    """Controller -> its directory for the process whose /proc/PID/cgroup this is; version 2's is called ``."""
    found: dict[str, str] = {}
    for line in cgroup.splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        for hierarchy in mounted:
            if number == "0" and not hierarchy.controllers:
                found[""] = _inside(hierarchy, path)
            elif names and hierarchy.controllers & set(names.split(",")):
                found.update(dict.fromkeys(names.split(","), _inside(hierarchy, path)))
    return found


def _inside(hierarchy: Hierarchy, path: str) -> str:
    root = hierarchy.root.rstrip("/")
    if root and (path == root or path.startswith(f"{root}/")):
        path = path[len(root) :]
    return hierarchy.mount + path.rstrip("/")


def statistics(read: Read, ticks: int) -> dict[str, float | int]:
    """`ticks`: how many of the kernel's make a second. What cannot be read is left out."""
    return {**_cpu(read, ticks), **_memory(read), **_processes(read)}


def _cpu(read: Read, ticks: int) -> dict[str, float | int]:
    found: dict[str, float | int] = {}
    old = table(read("cpuacct", "cpuacct.stat"))
    if old:
        found["cpus_user_time_secs"] = old.get("user", 0) / ticks
        found["cpus_system_time_secs"] = old.get("system", 0) / ticks
    stat = table(read("cpu", "cpu.stat"))
    if "user_usec" in stat:
        found["cpus_user_time_secs"] = stat["user_usec"] / 1e6
        found["cpus_system_time_secs"] = stat.get("system_usec", 0) / 1e6
    if "nr_periods" in stat:
        found["cpus_nr_periods"] = stat["nr_periods"]
        found["cpus_nr_throttled"] = stat.get("nr_throttled", 0)
        waited = stat.get("throttled_time", 0) / 1e9 + stat.get("throttled_usec", 0) / 1e6
        found["cpus_throttled_time_secs"] = waited
    return found


def _memory(read: Read) -> dict[str, float | int]:
    stat = table(read("memory", "memory.stat"))
    found: dict[str, float | int] = {}
    for name, old, new in (
        ("mem_rss_bytes", "total_rss", "anon"),
        ("mem_cache_bytes", "total_cache", "file"),
        ("mem_mapped_file_bytes", "total_mapped_file", "file_mapped"),
        ("mem_unevictable_bytes", "total_unevictable", "unevictable"),
    ):
        value = stat.get(old, stat.get(new))
        if value is not None:
            found[name] = value
    for name, files in (
        ("mem_total_bytes", ("memory.usage_in_bytes", "memory.current")),
        ("mem_limit_bytes", ("memory.limit_in_bytes", "memory.max")),
    ):
        for file in files:
            number = whole(read("memory", file))
            if number is not None and number < UNLIMITED:
                found[name] = number
    return found


def _processes(read: Read) -> dict[str, float | int]:
    """The pids controller counts threads."""
    threads = whole(read("pids", "pids.current"))
    procs = read("pids", "cgroup.procs")
    found: dict[str, float | int] = {}
    if threads is not None:
        found["threads"] = threads
    if procs is not None:
        found["processes"] = len(procs.split())
    return found


def interfaces(net_dev: str) -> dict[str, int]:
    """Of /proc/PID/net/dev: everything but the loop to itself."""
    names = ("bytes", "packets", "errors", "dropped")
    total = {f"net_{way}_{name}": 0 for way in ("rx", "tx") for name in names}
    for line in net_dev.splitlines()[2:]:
        device, _, rest = line.partition(":")
        numbers = rest.split()
        if device.strip() == "lo" or len(numbers) < 16:
            continue
        for way, start in (("rx", 0), ("tx", 8)):
            for place, name in enumerate(names):
                total[f"net_{way}_{name}"] += int(numbers[start + place])
    return total


def table(text: str | None) -> Mapping[str, int]:
    """Lines of a name and a whole number."""
    found = {}
    for line in (text or "").splitlines():
        name, _, value = line.partition(" ")
        number = whole(value)
        if number is not None:
            found[name] = number
    return found


def whole(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isdigit() and len(text) < 20 else None
