"""Against what one would pick instead: Docker's own bridge, between containers and by a published port, on this kernel.

A real dockerd with its own iptables rules in a host of namespaces; the programs that measure are this machine's, run in
the containers' networks. Needs root, docker, iperf3, taskset.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.kernel.netlab import TAG, Lab, inside, own_tag, sh
from tests.support.docker_host import DockerHost
from tests.support.waiting import wait_until

from bench._paths import ECHO_PORT, MEASURES, PORT, Way, measure, ratios
from tortie.model.rule import Rule

INSIDE, OUTSIDE = "two containers", "from outside"
ADDRESS = "10.9.0.50"


def run() -> list[tuple[str, str]]:
    """(what was measured, the figure) pairs."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as undo:
        lab = Lab(Path(directory))
        undo.callback(lab.close)
        outside = lab.plug("out", "10.9.0.9")
        ways = _ours(lab, outside)
        rules = ("--iptables=true", "--bridge=")
        docker = DockerHost("bench", address=f"{ADDRESS}/24", switch=lab.switch, options=rules)
        with docker:
            ways |= _theirs(docker, outside, undo)
            for way in ways.values():
                way.check()
            pairs = [(f"ours, {where}", f"Docker, {where}") for where in (INSIDE, OUTSIDE)]
            return [row for what, how in MEASURES.items() for row in ratios(measure(ways, how), what, how.unit, pairs)]


def _ours(lab: Lab, outside: str) -> dict[str, Way]:
    """The address of the container itself, from everywhere: no port has to be published."""
    for name in ("n", "m"):
        lab.profile(name, own_tag(name))
    lab.profile("open", Rule(action="Allow"))
    host = lab.host("ours", "10.9.0.1")
    one, two = host.container("a", "10.65.0.1", "n"), host.container("b", "10.65.0.2", "n")
    shut, open_ = host.container("c", "10.65.0.3", "m"), host.container("d", "10.65.0.4", "open")
    inside(outside, "ip", "route", "add", "10.65.0.0/16", "via", host.address)
    return {
        f"ours, {INSIDE}": Way(one.netns, two.netns, two.address, shut.address),
        f"ours, {OUTSIDE}": Way(outside, open_.netns, open_.address, shut.address),
    }


def _theirs(docker: DockerHost, outside: str, undo: ExitStack) -> dict[str, Way]:
    ports = [f"{PORT}:{PORT}", f"{PORT}:{PORT}/udp", f"{ECHO_PORT}:{ECHO_PORT}/udp"]
    one = _container(docker, "one", 864_001, undo)
    two = _container(docker, "two", 864_002, undo)
    published = _container(docker, "published", 864_003, undo, *(word for port in ports for word in ("-p", port)))
    address = docker.docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "two").stdout.strip()
    return {f"Docker, {INSIDE}": Way(one, two, address), f"Docker, {OUTSIDE}": Way(outside, published, ADDRESS)}


def _container(docker: DockerHost, name: str, seconds: int, undo: ExitStack, *options: str) -> str:
    """A name for the network of a container that sleeps: by that its process is found."""
    docker.docker("run", "-d", "--name", name, *options, docker.image, "/bin/sleep", str(seconds))
    pid = wait_until(lambda: _process(seconds), message=f"the process of container {name}")
    netns = f"{TAG}-docker-{name}"
    sh("ip", "netns", "attach", netns, str(pid))
    undo.callback(sh, "ip", "netns", "del", netns, check=False)
    return netns


def _process(seconds: int) -> int:
    wanted = ["/bin/sleep", str(seconds), ""]
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if Path(f"/proc/{entry}/cmdline").read_text().split("\0") == wanted:
                return int(entry)
        except OSError:
            continue
    return 0
