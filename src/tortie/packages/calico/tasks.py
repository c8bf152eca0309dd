"""The roller's hand as a Mesos task: which offer holds it, what of the offer it takes, the command that it runs."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from tortie.base.errors import Invalid
from tortie.mesos import resources as amounts
from tortie.packages.rollout.reach import BEGIN
from tortie.packages.stations import ADDRESS
from tortie.wire import mesos

HOST_ROOT = "/host"
PUBLIC = "slave_public"

Container = Literal["docker", "mesos"]
OF_ROOT = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "SETGID", "SETUID", "KILL", "SYS_CHROOT"),
    *("NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"),
)
"""What a hand may need: files of anybody, processes of the host, and what a node that is uninstalled takes away."""

GRANTED = (
    ("pid", "host"),
    ("cap-add", "NET_ADMIN"),
    *(("security-opt", what) for what in ("seccomp=unconfined", "apparmor=unconfined", "label=disable")),
)
"""What a hand may besides what every container may: see the host's processes, and take a node's rules and routes out of
the kernel. Not `privileged`: that asks for every capability there is, which an engine that has not all refuses."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a hand takes. `docker`: a container of `image` that goes to the host's root; `mesos`: a plain process among
    the agent's, which is there already. `python`: the hosts' interpreter."""

    cpus: float = 0.2
    mem: float = 256.0
    container: Container = "docker"
    image: str = "tortie/tortie:0.1.0"
    python: str = "/usr/bin/python3"


def room(offer: mesos.Offer, needs: Needs) -> list[mesos.Resource] | str:
    """What of an offer a hand takes, reserved or not; or why it is too small."""
    try:
        free = amounts.from_wire(offer.resources)
    except Invalid as error:
        return str(error)
    taken = amounts.Resources()
    for name, wanted in (("cpus", needs.cpus), ("mem", needs.mem)):
        fits = [(key, value) for key, value in free if key.name == name and isinstance(value, int)]
        found = next((key for key, value in fits if value >= round(wanted * 1000)), None)
        if found is None:
            most = max((value for _, value in fits if isinstance(value, int)), default=0) / 1000
            return f"{name}: {most:g} of {wanted:g}"
        taken = taken + amounts.Resources({found: round(wanted * 1000)})
    return amounts.to_wire(taken, offer.allocation_info.role if offer.allocation_info else None)


def task_of(
    name: str, task_id: str, agent: str, taken: list[mesos.Resource], needs: Needs, address: str, size: int
) -> mesos.TaskInfo:
    """`address`: where the request is fetched and where the answer goes, a secret; `size`: of the hand at the request's
    beginning."""
    return mesos.TaskInfo(
        name=name,
        task_id=mesos.ID(value=task_id),
        agent_id=mesos.ID(value=agent),
        resources=taken,
        command=mesos.CommandInfo(
            value=command_line(needs, size),
            user="root",
            environment=mesos.Environment(variables=[mesos.Variable(name=ADDRESS, value=address)]),
        ),
        container=_container(needs),
    )


def _container(needs: Needs) -> mesos.ContainerInfo:
    """One that sees the host's processes: a unit's restart is known by its process."""
    if needs.container == "mesos":
        rights = {"effective_capabilities": {"capabilities": list(OF_ROOT)}, "share_pid_namespace": True}
        return mesos.ContainerInfo(type="MESOS", linux_info=rights)
    docker = mesos.DockerInfo(image=needs.image, network="HOST")
    docker.parameters = [mesos.Parameter(key=key, value=value) for key, value in GRANTED]
    root = mesos.Volume(mode="RW", container_path=HOST_ROOT, host_path="/")
    return mesos.ContainerInfo(type="DOCKER", docker=docker, volumes=[root])


@cache
def _runner() -> str:
    return resources.files("tortie.packages.calico").joinpath("runner.py").read_text()


def runner(needs: Needs, size: int) -> list[str]:
    """The program that fetches a request, runs its hand, and brings what that said. Everybody on the host can read
    it: the address of both is in the environment, as `ADDRESS`."""
    return [needs.python, "-I", "-B", "-c", _runner(), ADDRESS, BEGIN, str(size)]


def command_line(needs: Needs, size: int) -> str:
    """The shell's line."""
    words = runner(needs, size)
    inside = ["chroot", HOST_ROOT, *words] if needs.container == "docker" else words
    return f"exec {shlex.join(inside)}"
