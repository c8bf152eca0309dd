"""Brings one host into being: `python -m tortie.lab.boot SPEC` makes its namespaces, wires it, leaves process 1 behind.

Ends with 0 once process 1 supervises; else with 1 and one line on standard error, and nothing left.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tortie.base.errors import TortieError
from tortie.lab import cgroups, files, linux, net, root, ssh, state
from tortie.lab.daemons import cgroup
from tortie.lab.documents import DOCUMENTS
from tortie.lab.plan import ENVIRONMENT, Daemon, Host, daemon_from
from tortie.lab.supervisor import Supervisor


def host_from(raw: Mapping[str, Any]) -> Host:
    daemons: tuple[Daemon, ...] = tuple(daemon_from(daemon) for daemon in raw["daemons"])
    routes = tuple((destination, gateway) for destination, gateway in raw["routes"])
    return Host(raw["name"], raw["address"], raw["role"], daemons, routes, raw["nameserver"], tuple(raw["others"]))


def boot(spec: Mapping[str, Any]) -> None:
    """Make the host; returns in its process 1, ready to supervise. The parent never returns."""
    hosts = [host_from(raw) for raw in spec["hosts"]]
    host = next(h for h in hosts if h.name == spec["host"])
    where, document = state.places(spec["lab"]), DOCUMENTS[spec["document"]]
    linux.unshare(linux.CLONE_NEWNET | linux.CLONE_NEWNS | linux.CLONE_NEWUTS)
    linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE)
    net.apply_settings(host, bare=spec["bare"])
    if host.role == "switch":
        net.make_switch(host)
    else:
        net.join_switch(host, spec["switch_pid"], second_resolver=document.second_resolver)
    cgroups.join(f"{cgroup(where.name)}/{host.name}.supervisor")
    linux.set_hostname(host.name)
    # From here on no other child: the first process in the new namespace is its process 1.
    linux.unshare(linux.CLONE_NEWPID)
    _become_process_1(where.host_run(host.name) / "pid.json")
    own = root.HostFiles(
        data=where.data / host.name,
        run=where.host_run(host.name),
        store=where.store,
        keep=[Path(path) for path in spec["keep"]],
        shared=[(source, at) for source, at in spec["shared"]],
    )
    built = root.build(own)
    wanted = [
        *files.of_host(
            host,
            hosts,
            document=document,
            python=spec["python"],
            path=spec["path"],
            store=spec["store"],
            bare=spec["bare"],
        ),
        *files.authority(spec["ca"]["certificate"], spec["ca"]["hashed"]),
        *ssh.of_host(host, spec["ssh"]),
        *root.documents(host, document),
    ]
    root.put(built, wanted)
    linux.pivot_into(str(built))
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    _supervise(host, spec["sockets"])


def _become_process_1(pid_file: Path) -> None:
    """Fork; the parent notes the child, waits until it supervises or has failed, and ends with its verdict. The child
    goes on once it is noted: its new root becomes the parent's, too, and there the file has no such place."""
    read, write = os.pipe()
    noted_read, noted_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.close(noted_write)
        if os.read(noted_read, 1) != b"+":
            os._exit(1)
        os.close(noted_read)
        os.setsid()
        os.dup2(write, READY_FD)
        os.close(write)
        return
    os.close(write)
    os.close(noted_read)
    state.note_pid(pid_file, child)
    os.write(noted_write, b"+")
    os.close(noted_write)
    ready = os.read(read, 1) == b"+"
    if not ready:
        os.waitpid(child, 0)
        pid_file.unlink(missing_ok=True)
    os._exit(0 if ready else 1)


READY_FD = 200
OPEN_FILES = 65536


def _supervise(host: Host, sockets: Mapping[str, int]) -> None:
    logs = Path("/var/log/tortie")
    supervisor = Supervisor(
        host.daemons, control=Path("/run/lab/control.sock"), logs=logs, env=ENVIRONMENT, sockets=sockets
    )
    supervisor.open()
    os.write(READY_FD, b"+")
    os.close(READY_FD)
    log = os.open(logs / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open("/dev/null", os.O_RDONLY)
    for fd, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(fd, target)
    supervisor.run()


def _plain_process() -> None:
    """Nothing of the process that called `up`: its umask, its limit of open files."""
    os.umask(0o022)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def main() -> None:
    _plain_process()
    spec = state.read(Path(sys.argv[1]))
    try:
        boot(spec)
    except (OSError, TortieError) as error:
        print(f"host {spec['host']}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


if __name__ == "__main__":
    main()
