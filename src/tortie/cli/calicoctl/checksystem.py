"""Does this host have what a node needs? Shared by the grammars."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator

from tortie.cli.calicoctl.session import Failed

OLDEST_KERNEL = (4, 18)
PROGRAMS = ("nft", "ip")
FORWARDING = "/proc/sys/net/ipv4/ip_forward"


MODULE = "nf_conntrack"
ENGINE = "/var/run/docker.sock"
SECONDS = 30


def report(*, fix: bool = False, docker: bool = False) -> str:
    """One line per check; with `docker` also for the engine. Raises Failed with all of them when one did not hold.

    `fix` first does what can be done about them: forwarding on, modules loaded.
    """
    if fix:
        _fix()
    results = list(_checks())
    if docker:
        results.append((ENGINE, os.path.exists(ENGINE), "no Docker engine listens there"))
    width = max(len(name) for name, _, _ in results)
    lines = ["Checking this host...", *(f"  {name.ljust(width)}  {'OK' if ok else why}" for name, ok, why in results)]
    if all(ok for _, ok, _ in results):
        return "\n".join([*lines, "System meets minimum system requirements to run Calico!"]) + "\n"
    raise Failed("\n".join([*lines, "System doesn't meet one or more minimum systems requirements to run Calico"]))


def _checks() -> Iterator[tuple[str, bool, str]]:
    release = platform.release()
    version = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdecimal())
    wanted = ".".join(map(str, OLDEST_KERNEL))
    yield "kernel", platform.system() == "Linux" and version >= OLDEST_KERNEL, f"{release}: at least {wanted} is needed"
    yield "root", os.geteuid() == 0, "must be run as root"
    for program in PROGRAMS:
        yield f"program {program}", shutil.which(program) is not None, "is not installed"
    for path, why in _PATHS.items():
        yield path, os.path.exists(path), why


def _fix() -> None:
    """Whether it did any good, the checks tell."""
    try:
        with open(FORWARDING, "w", encoding="ascii") as file:
            file.write("1")
    except OSError as error:
        print(f"{FORWARDING}: {error.strerror}")
    if (modprobe := shutil.which("modprobe")) is None:
        print("modprobe is not installed")
        return
    try:
        done = subprocess.run([modprobe, MODULE], capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"modprobe {MODULE}: {error}")
        return
    if done.returncode != 0:
        print(done.stderr.strip())


_PATHS = {
    FORWARDING: "IPv4 forwarding is not there",
    "/proc/sys/net/netfilter/nf_conntrack_max": "connection tracking is not loaded: modprobe nf_conntrack",
}
