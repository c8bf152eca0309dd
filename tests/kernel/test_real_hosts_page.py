"""The page about real hosts is true: its commands are ones that their programs take, what can be run is run."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.support.etcd_server import ETCD
from tests.support.host_state import difference
from tests.support.machine import needs_vxlan
from tests.support.pages import Block, blocks, commands, fault, help_of, program
from tests.support.real_host import RealHost
from tests.support.waiting import PATIENCE, wait_until

PAGE = blocks("real-hosts.md")
ANALYZE = shutil.which("systemd-analyze")
FILES = {block.file: block.text for block in PAGE if block.file}
LINES = [line for block in PAGE if block.kind == "sh" for line in block.lines]
COMMANDS = {shlex.join(words): words for line in LINES for words in commands(line)}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_each_command_is_one_that_its_program_takes(words: list[str]) -> None:
    name = words[0].rpartition("/")[2]
    if program(name) is None:
        pytest.skip(f"this machine has no {name}")
    assert fault(words) == ""


def test_each_daemon_s_options_are_its_own() -> None:
    unit = FILES["/etc/systemd/system/tortie@.service"]
    (started,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    for daemon in ("master", "marathon", "agent", "packages"):
        (options,) = re.findall(r"^OPTIONS=(.*)$", FILES[f"/etc/tortie/{daemon}.conf"], re.MULTILINE)
        line = started.replace("%i", daemon).replace("$OPTIONS", options)
        assert fault(shlex.split(line)) == ""


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze on this machine (package systemd)")
def test_systemd_takes_the_unit_of_the_daemons(tmp_path: Path) -> None:
    assert ANALYZE is not None
    unit = tmp_path / "tortie@master.service"
    text = FILES["/etc/systemd/system/tortie@.service"].replace("/usr/local/bin/tortie", str(program("tortie")))
    unit.write_text(text.replace("EnvironmentFile=", "EnvironmentFile=-"))
    ran = subprocess.run([ANALYZE, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.skipif(ETCD is None, reason="no etcd on this machine (package etcd-server)")
def test_each_variable_of_etcd_is_an_option_of_it() -> None:
    for name in settings("/etc/default/etcd"):
        assert f"--{name.removeprefix('ETCD_').lower().replace('_', '-')}" in help_of("etcd"), name


def settings(path: str) -> dict[str, str]:
    pairs = (line.partition("=")[::2] for line in FILES[path].splitlines())
    return dict(pairs)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[RealHost]:
    with RealHost(tmp_path, "10.0.0.1/24") as host:
        yield host


def typed(host: RealHost, block: Block) -> None:
    for line in block.lines:
        host.must(line)


def typed_after(host: RealHost, daemon: str) -> None:
    """What the page types while it runs; it may need a moment for what is asked."""
    for line in (line for block in PAGE if block.after == daemon for line in block.lines):
        said: list[object] = []

        def works(line: str = line, said: list[object] = said) -> bool:
            ran = host.run(line)
            said[:] = line, ran.returncode, ran.stdout, ran.stderr
            return ran.returncode == 0

        wait_until(works, message=lambda said=said: said)  # type: ignore[misc]


def marked(word: str) -> list[Block]:
    return [block for block in PAGE if word in block.words]


def begin(host: RealHost) -> subprocess.Popen[bytes]:
    """What systemd does with the unit, until the agent is ready."""
    unit = host.must("cat /etc/systemd/system/calico-node.service")
    (before,), (line,) = (re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE) for key in ("ExecStartPre", "ExecStart"))
    host.must(before)
    daemon = host.start(line)

    def ready() -> bool:
        assert daemon.poll() is None, host.log()
        asked = "curl -s -o /dev/null -w '%{http_code}' --unix-socket /run/tortie/node.sock http://node/readiness"
        return host.run(asked).stdout == "204"

    wait_until(ready, message=host.log)
    return daemon


@pytest.mark.root
@needs_vxlan
@pytest.mark.skipif(ETCD is None, reason="no etcd on this machine (package etcd-server)")
@pytest.mark.skipif(shutil.which("bird", path="/usr/sbin:/usr/bin") is None, reason="no BIRD on this machine")
def test_from_the_first_line_to_an_uninstallation_that_leaves_nothing(host: RealHost) -> None:
    ending = marked("uninstall")
    for line in (line for block in ending for line in block.lines):
        if line.startswith("rm "):
            host.must(line.replace("rm -r ", "rm -rf "))  # what this machine has of the product is no part of the story
    host.must("mkdir -p /var/lib/etcd /etc/cni/net.d /run/mount")
    before = host.there()
    host.install()
    etcd = host.start("etcd", **settings("/etc/default/etcd"))
    for block in marked("run"):
        typed(host, block)
    daemon = begin(host)
    typed_after(host, "node")
    wait_until(lambda: "\none " in host.run("calicoctl get nodes -o wide").stdout, message=host.log)
    a_container_comes_and_goes(host)

    host.end(daemon)
    for path in ("/etc/tortie/node.conf", "/root/router.yaml"):
        host.write(path, FILES[path])
    daemon = begin(host)
    typed_after(host, "bird")
    peer = yaml.safe_load(FILES["/root/router.yaml"].split("---")[0])["spec"]["peerIP"]
    wait_until(lambda: peer in host.run("calicoctl node status").stdout, message=host.log)
    for block in ending:
        typed(host, block)
    daemon.wait(PATIENCE)  # the command has ended it
    host.end(etcd)
    host.must("rm -r /root/router.yaml /var/lib/etcd/default")
    wait_until(lambda: not difference(before, host.there()), message=lambda: difference(before, host.there()))


def a_container_comes_and_goes(host: RealHost) -> None:
    """As a runtime asks for it, with the page's network."""
    name = "/etc/cni/net.d/10-web.conflist"
    host.write(name, FILES[name])
    network = json.loads(FILES[name])
    config = {"cniVersion": network["cniVersion"], "name": network["name"], **network["plugins"][0]}
    host.write("/run/config.json", json.dumps(config))
    host.must("mkdir -p /run/netns && ip netns add box")
    call = "CNI_COMMAND={} CNI_CONTAINERID=box CNI_NETNS=/run/netns/box CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin"
    call += " /opt/cni/bin/calico < /run/config.json"
    said = json.loads(host.must(call.format("ADD")))
    address = said["ips"][0]["address"].partition("/")[0]
    assert address.startswith("192.168.")
    wait_until(lambda: host.run(f"ping -c1 -W1 {address}").returncode == 0, message="the host reaches it")
    refused = host.run("tortie node uninstall")
    assert (refused.returncode, refused.stdout) == (4, "")
    assert refused.stderr.startswith(
        "tortie: 1 endpoint of a container is still on this host: default/one-cni-box-eth0"
    )
    host.must(call.format("DEL"))
    host.must("ip netns delete box && rm /run/config.json && umount /run/netns && rmdir /run/netns")
