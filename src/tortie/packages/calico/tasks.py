"""The roller's hand as a Mesos task: which offer holds it, what of the offer it takes, the command that it runs."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Literal

from tortie.base.errors import Invalid
from tortie.mesos import resources
from tortie.packages.rollout.reach import BEGIN
from tortie.wire import mesos

GIVEN = "given"
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

# Runs the hand, and takes what it said to the framework: an answer must outlive neither of them, a step can be asked
# for again. A proxy that the environment names is not for the framework.
_RUNNER = """\
import json, subprocess, sys, time, urllib.request
url, begin, size = sys.argv[1:]
hand = [sys.executable, "-I", "-B", "-c", begin, size]
done = subprocess.run(hand, input=sys.stdin.buffer.read(), capture_output=True)
words = [stream.decode(errors="replace") for stream in (done.stdout, done.stderr)]
said = json.dumps({"code": done.returncode, "out": words[0], "err": words[1]}).encode()
web = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for left in reversed(range(30)):
    try:
        web.open(urllib.request.Request(url, data=said, method="POST"), timeout=10).close()
        break
    except OSError as error:
        print(url, error, file=sys.stderr, flush=True)
        if not left: sys.exit(1)
        time.sleep(1)
"""


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
        free = resources.from_wire(offer.resources)
    except Invalid as error:
        return str(error)
    taken = resources.Resources()
    for name, wanted in (("cpus", needs.cpus), ("mem", needs.mem)):
        fits = [(key, value) for key, value in free if key.name == name and isinstance(value, int)]
        found = next((key for key, value in fits if value >= round(wanted * 1000)), None)
        if found is None:
            most = max((value for _, value in fits if isinstance(value, int)), default=0) / 1000
            return f"{name}: {most:g} of {wanted:g}"
        taken = taken + resources.Resources({found: round(wanted * 1000)})
    return resources.to_wire(taken, offer.allocation_info.role if offer.allocation_info else None)


def task_of(
    name: str, task_id: str, agent: str, taken: list[mesos.Resource], needs: Needs, urls: tuple[str, str], size: int
) -> mesos.TaskInfo:
    """`urls`: where the request is fetched, where the answer goes; `size`: of the hand at the request's beginning."""
    given, answer = urls
    return mesos.TaskInfo(
        name=name,
        task_id=mesos.ID(value=task_id),
        agent_id=mesos.ID(value=agent),
        resources=taken,
        command=mesos.CommandInfo(
            value=command_line(needs, answer, size),
            user="root",
            uris=[mesos.URI(value=given, output_file=GIVEN, extract=False)],
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


def runner(needs: Needs, answer: str, size: int) -> list[str]:
    """The program that reads a request, runs its hand, and takes what that said to `answer`."""
    return [needs.python, "-I", "-B", "-c", _RUNNER, answer, BEGIN, str(size)]


def command_line(needs: Needs, answer: str, size: int) -> str:
    """The shell's line. The request comes from the sandbox, which lies outside of the root that the hand works in."""
    words = runner(needs, answer, size)
    inside = ["chroot", HOST_ROOT, *words] if needs.container == "docker" else words
    return f'exec {shlex.join(inside)} < "$MESOS_SANDBOX/{GIVEN}"'
