"""What is known of the labs on this machine: directories, the lock of each name, processes 1 of hosts."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tortie.base.errors import NotFound
from tortie.base.meant import meant
from tortie.lab.plan import DEFAULT_NAME, check_name

RUN = Path("/run/tortie/labs")
DATA = Path("/var/lib/tortie-labs")
BOOT_MODULE = "tortie.lab.boot"


@dataclass(frozen=True, slots=True)
class Places:
    """Where one lab keeps what it has: `run` ends with the machine's run, `data` lies on a real file system."""

    name: str

    @property
    def run(self) -> Path:
        return RUN / self.name

    @property
    def data(self) -> Path:
        return DATA / self.name

    @property
    def store(self) -> Path:
        return self.data / "store"

    def host_run(self, host: str) -> Path:
        return self.run / host

    def control(self, host: str) -> Path:
        return self.run / host / "control.sock"

    def log(self, host: str, daemon: str) -> Path:
        return self.data / host / "log" / f"{daemon}.log"


def places(name: str) -> Places:
    """Invalid when `name` cannot be a lab's."""
    return Places(check_name(name))


def write(path: Path, value: Any) -> None:
    """As JSON, whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(value))
    beside.replace(path)


def read(path: Path) -> Any:
    """None when it is absent or was never finished."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def born(pid: int) -> str | None:
    """When a process was started, in the kernel's ticks: tells it from a later one of the same number. None when there
    is no such process; a dead one that nobody has collected yet is still there."""
    fields = _stat(pid)
    return fields[19] if fields else None


def start_time(pid: int) -> str | None:
    """`born` of a process that lives; None for a dead one."""
    fields = _stat(pid)
    return fields[19] if fields and fields[0] != "Z" else None


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, which may hold anything; none when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def note_pid(path: Path, pid: int) -> None:
    write(path, {"pid": pid, "started": start_time(pid)})


def live_pid(path: Path) -> int | None:
    """The process noted there, if it is still the same one and alive."""
    noted = read(path)
    if not noted or noted["started"] is None or start_time(noted["pid"]) != noted["started"]:
        return None
    return int(noted["pid"])


def boot_processes(name: str) -> list[int]:
    """Every process that is, or is about to become, process 1 of a host of this lab, whatever was noted of it."""
    prefix = f"{RUN / name}/".encode()
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                argv = Path(f"/proc/{entry.name}/cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if BOOT_MODULE.encode() in argv and any(word.startswith(prefix) for word in argv):
                found.append(int(entry.name))
    return found


def members(name: str) -> dict[int, str]:
    """Every process of the lab and when it was started: by its cgroup, and by what was noted of the hosts. A dead one
    that has not been collected is among them: it still holds its PID namespace."""
    mark = f"/tortie-{name}/"
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark in Path(f"/proc/{entry}/cgroup").read_text():
                found[int(entry)] = born(int(entry))
        except OSError:  # it has just ended
            continue
    for path in (RUN / name).glob("*/pid.json"):
        noted = read(path)
        if noted and noted["started"] is not None and born(noted["pid"]) == noted["started"]:
            found[noted["pid"]] = noted["started"]
    return {pid: started for pid, started in found.items() if started is not None}


@contextlib.contextmanager
def locked(name: str, waiting: Callable[[str], None] | None = None) -> Iterator[Path]:
    """Hold the lab's name alone; `waiting` is told once who else holds it. Gives the lock's file, which goes when no
    lab of this name is there at the end."""
    path = RUN / f"{name}.lock"
    RUN.mkdir(parents=True, exist_ok=True)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    waiting(f"lab {name} is being worked on by {_holder(path)}: waiting for its end")
                fcntl.flock(fd, fcntl.LOCK_EX)
            # The file may have been removed by who held it: who waited on the old one takes the new one.
            if _is(path, fd):
                try:
                    path.write_text(f"process {os.getpid()}, `{shlex.join(['tortie', *sys.argv[1:]])}`")
                    yield path
                finally:
                    if not (RUN / name).exists():
                        path.unlink(missing_ok=True)
                return
        finally:
            os.close(fd)


def _holder(path: Path) -> str:
    """As it has said itself, if it came to that."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text() or "another command"
    return "another command"


def _is(path: Path, fd: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False


def described(noted: Mapping[str, Any], others: Collection[str] = ()) -> str:
    """`hello --bare, nothing typed`: the lab's document and how far it is, with those of its `others` options."""
    options, until = noted["options"], noted["until"]
    said = [options["document"], *(["--bare"] if options["bare"] else [])]
    said += [f"--{name.replace('_', '-')} {options[name]}" for name in options if name in others]
    return f"{' '.join(said)}, {'nothing typed' if until == '0' else f'typed to step {until}'}"


def labs() -> list[str]:
    """The names of all labs of which anything exists."""
    named = {path.name for base in (RUN, DATA) if base.is_dir() for path in base.glob("[!.]*") if path.is_dir()}
    return sorted(named)


def state_of(where: Places) -> dict[str, Any]:
    """What `up` noted. Raises NotFound when there is no such lab."""
    state: dict[str, Any] | None = read(where.run / "state.json")
    if state is None:
        option = "" if where.name == DEFAULT_NAME else f" --name {where.name}"
        others = ", ".join(f"{name} (--name {name})" for name in labs())
        raise NotFound(
            f"no lab {where.name} is up{meant(where.name, labs())}\n"
            f"type: tortie up{option}" + (f"    (there is {others})" if others else ""),
        )
    return state
