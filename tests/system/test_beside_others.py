"""In one network namespace with an engine that writes iptables rules of its own, and with firewalld: theirs stays byte
for byte, what theirs drops is named with what mends it, and `foreignAccept` works without leaving a trace."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.kernel.netlab import Container, Host, Lab, inside, own_tag, until
from tests.kernel.test_node_kernel import passes
from tests.support.docker_host import DockerHost
from tests.support.machine import needs_iptables_nft
from tests.support.waiting import PATIENCE

from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.resource import Metadata, Resource

pytestmark = [pytest.mark.root, pytest.mark.docker, pytest.mark.timeout(600)]

POLICY = """<busconfig><type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow receive_sender="*"/><allow own="*"/>
<allow user="*"/></policy></busconfig>"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def foreign_accept(lab: Lab, value: str) -> None:
    spec = FelixConfigurationSpec(foreign_accept=value)  # type: ignore[arg-type]
    lab.client.apply(Resource(kind=FELIX_CONFIGURATION, metadata=Metadata(name="default"), spec=spec))


def others(netns: str) -> str:
    """Every table but ours, without the counters of what has passed meanwhile."""
    names = [line.split()[1:] for line in inside(netns, "nft", "list", "tables").splitlines()]
    listed = [inside(netns, "nft", "-a", "list", "table", *name) for name in names if name[1] != "tortie"]
    return re.sub(r"packets \d+ bytes \d+", "packets N bytes N", "\n".join(listed))


def without_handles(text: str) -> str:
    return re.sub(r" # handle \d+", "", text)


def pair(lab: Lab, host: Host) -> tuple[Container, Container, str]:
    """Two containers that policy lets speak, and a namespace outside that one of them lets in."""
    lab.profile("n", own_tag("n"))
    a, b = host.container("a", "10.65.0.1", "n"), host.container("b", "10.65.0.2", "n")
    outside = lab.plug("out", "10.9.0.9")
    inside(outside, "ip", "route", "add", "10.65.0.0/16", "via", host.address)
    return a, b, outside


def drops(host: Host) -> list[dict[str, object]]:
    found: list[dict[str, object]] = host.status()["foreign"]["drops"]
    return found


@needs_iptables_nft
def test_beside_an_engine_that_drops_what_is_forwarded(lab: Lab) -> None:
    with ExitStack() as stack:
        rules = ("--iptables=true", "--bridge=")
        engine = DockerHost("beside", address="10.9.0.1/24", switch=lab.switch, options=rules)
        stack.callback(engine.close)
        engine.start()
        # An engine that finds forwarding on leaves the policy of the chain alone.
        inside(engine.netns, "sysctl", "-qw", "net.ipv4.ip_forward=0")
        engine.start_engine()
        assert "-P FORWARD DROP" in inside(engine.netns, "iptables", "-S", "FORWARD")
        before = others(engine.netns)
        host = Host("h1", engine.netns, "10.9.0.1", lab)
        lab.hosts.append(host)
        host.start()
        host.ready()
        a, b, outside = pair(lab, host)
        named(host, "docker", "ip filter FORWARD drops packets from cali*")
        assert not passes(a.netns, b.address)
        code, findings = doctor(host)
        (named_by_it,) = (f for f in findings if f["what"] == "docker")
        assert code == 1
        assert named_by_it["level"] == "problem"
        assert named_by_it["mend"] == drops(host)[0]["mend"]
        assert others(engine.netns) == before
        foreign_accept(lab, "Enabled")
        until(lambda: passes(a.netns, b.address))
        until(lambda: not drops(host))
        code, findings = doctor(host)
        assert (code, [f for f in findings if f["level"] == "problem"]) == (0, [])
        allow_all(lab)
        until(lambda: passes(outside, b.address))
        # A restart of the engine, or whoever empties its chain, does not end it.
        inside(engine.netns, "iptables", "-F", "DOCKER-USER")
        inside(engine.netns, "iptables", "-A", "DOCKER-USER", "-j", "RETURN")
        until(lambda: passes(a.netns, b.address))
        foreign_accept(lab, "Disabled")
        until(lambda: drops(host))
        assert not passes(a.netns, b.address)
        assert without_handles(others(engine.netns)) == without_handles(before)
        mend_by_hand(host, a, b)


def doctor(host: Host) -> tuple[int, list[dict[str, object]]]:
    """Its exit code and findings, asked on the host."""
    words = ["doctor", "--here", "--json", "--store", host.lab.url, "--socket", str(host.socket)]
    program = f"import sys; from tortie.cli.main import main; sys.argv[1:] = {words!r}; main()"
    ran = subprocess.run(host.words(sys.executable, "-c", program), capture_output=True, text=True, check=False)
    found: list[dict[str, object]] = json.loads(ran.stdout)
    return ran.returncode, found


def named(host: Host, software: str, said: str) -> None:
    found = until(lambda: drops(host))
    assert [drop["software"] for drop in found] == [software]
    assert said in str(found[0]["said"])
    assert f'tortie_node_foreign_drops{{software="{software}"}} 1.0' in (host.ask("/metrics") or "")


def allow_all(lab: Lab) -> None:
    from tortie.model.rule import Rule

    lab.profile("n", Rule(action="Allow"))


def mend_by_hand(host: Host, a: Container, b: Container) -> None:
    """The commands that it names do it."""
    commands = drops(host)[0]["mend"]
    assert isinstance(commands, list)
    for command in commands:
        inside(host.netns, *shlex.split(str(command)))
    until(lambda: passes(a.netns, b.address))
    until(lambda: not drops(host))


@pytest.fixture
def firewalld(lab: Lab, tmp_path: Path) -> Iterator[tuple[str, Callable[..., list[str]]]]:
    """A namespace with firewalld on a message bus of its own, and how to run something beside it."""
    if shutil.which("firewalld") is None or shutil.which("dbus-daemon") is None:
        pytest.skip("firewalld and dbus-daemon are not installed: they bring what this is about")
    netns = lab.plug("fw", "10.9.0.1")
    configuration, bus = tmp_path / "etc", tmp_path / "bus"
    configuration.mkdir()
    (tmp_path / "bus.conf").write_text(POLICY.format(path=bus))
    shared = ["env", f"DBUS_SYSTEM_BUS_ADDRESS=unix:path={bus}"]

    def words(*command: str) -> list[str]:
        script = f'mkdir -p /etc/firewalld && mount --bind {configuration} /etc/firewalld && exec "$@"'
        mounts = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
        return ["nsenter", f"--net=/run/netns/{netns}", *mounts, *shared, *command]

    log = (tmp_path / "firewalld.log").open("wb")
    running = [subprocess.Popen(["dbus-daemon", f"--config-file={tmp_path}/bus.conf", "--nofork"], stderr=log)]
    try:
        until(bus.exists)
        running.append(subprocess.Popen(words("firewalld", "--nofork", "--nopid"), stderr=log))
        until(lambda: answers(words), message="firewalld answers")
        yield netns, words
    finally:
        for process in reversed(running):
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
        log.close()


def answers(words: Callable[..., list[str]]) -> bool:
    return subprocess.run(words("firewall-cmd", "--state"), capture_output=True, check=False).returncode == 0


def test_beside_firewalld(lab: Lab, firewalld: tuple[str, Callable[..., list[str]]], tmp_path: Path) -> None:
    netns, words = firewalld
    before = others(netns)
    host = Host("fw", netns, "10.9.0.1", lab, beside=words)
    lab.hosts.append(host)
    host.start()
    host.ready()
    a, b, outside = pair(lab, host)
    named(host, "firewalld", "inet firewalld filter_FORWARD drops packets from cali*")
    assert not passes(a.netns, b.address)
    assert others(netns) == before
    foreign_accept(lab, "Enabled")
    until(lambda: passes(a.netns, b.address))
    allow_all(lab)
    until(lambda: passes(outside, b.address))
    until(lambda: not drops(host))
    foreign_accept(lab, "Disabled")
    until(lambda: drops(host))
    assert not passes(a.netns, b.address)
    assert without_handles(others(netns)) == without_handles(before)
    left = [str(path) for path in (tmp_path / "etc").rglob("*") if path.is_file() and "tortie" in path.name]
    assert not left
