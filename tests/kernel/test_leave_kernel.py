"""`tortie node uninstall` on a host of its own: refused while there are endpoints, then the host is as it was."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.host_state import difference
from tests.support.machine import needs_vxlan
from tests.support.netns import within
from tests.support.real_host import RealHost
from tests.support.waiting import PATIENCE, wait_until

from tortie.node.uninstall import workloads

pytestmark = [pytest.mark.root, needs_vxlan, pytest.mark.timeout(900)]

PROGRAM = "/opt/tortie/venv/bin/tortie"
ROOT = Path(__file__).parents[2]
CONFIG = '{"cniVersion": "1.0.0", "name": "web", "type": "calico", "ipam": {"type": "calico-ipam"}}'
CALL = "CNI_COMMAND={} CNI_CONTAINERID={} CNI_NETNS=/run/netns/{} CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin"
CALL += " /opt/cni/bin/calico < /root/config.json"
# As an administrator left them: one interface forwards, and no redirect is taken.
HARDENED = (
    "net.ipv4.conf.uplink.forwarding=1 net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.cable.accept_redirects=0"
)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[RealHost]:
    with RealHost(tmp_path, "10.0.0.1/24") as host:
        host.must("rm -rf /etc/tortie /var/lib/tortie /opt/cni; mkdir -p /run/netns /run/mount")
        host.must(f"sysctl -qw net.ipv4.ip_forward=0 {HARDENED}")
        yield host


def begin(host: RealHost, *options: str) -> subprocess.Popen[bytes]:
    """The agent, once it is ready."""
    daemon = host.start(" ".join((f"{PROGRAM} node run --hostname one --address 10.0.0.1/24", *options)))

    def ready() -> bool:
        assert daemon.poll() is None, host.log()
        asked = "curl -s -o /dev/null -w '%{http_code}' --unix-socket /run/tortie/node.sock http://node/readiness"
        return host.run(asked).stdout == "204"

    wait_until(ready, message=host.log)
    return daemon


def add(host: RealHost, name: str) -> None:
    host.write("/root/config.json", CONFIG)
    host.must(f"ip netns add {name}")
    host.must(CALL.format("ADD", name, name))


def delete(host: RealHost, name: str) -> None:
    host.must(CALL.format("DEL", name, name))
    host.must(f"ip netns delete {name}")


def test_refused_then_everything_is_as_before(host: RealHost) -> None:
    host.must("mkdir -p /opt/cni/bin && echo theirs > /opt/cni/bin/calico && chmod 755 /opt/cni/bin/calico")
    host.must("ln -s ../of/theirs/calico-ipam /opt/cni/bin/calico-ipam")
    before = host.there()
    host.install()
    host.must("ln -s /opt/tortie/venv/bin/tortie /usr/local/bin/tortie-of-test")
    host.must(f"{PROGRAM} node install-cni --launcher python")
    host.must(f"{PROGRAM} node unit > /etc/systemd/system/calico-node.service")
    host.must("tortie-of-test node boot")
    daemon = begin(host)
    names = [f"box{number}" for number in range(6)]
    for name in names:
        add(host, name)
    changed = difference(before, host.there())
    assert any("ip_forward:1" in line for line in changed["sysctls"])
    assert any("table inet tortie" in line for line in changed["nft"])
    assert any("proto 80" in line for line in changed["routes"])
    assert {"files", "folders", "links", "processes"} <= set(changed)
    for words in ("", "--dry-run"):
        refused = host.run(f"tortie-of-test node uninstall {words}")
        assert (refused.returncode, refused.stdout) == (4, "")
        assert "6 endpoints of containers are still on this host: default/one-cni-box" in refused.stderr
        assert len(re.findall(r"\(cali", refused.stderr)) == 5
        assert " and 1 more\n" in refused.stderr
        assert "with --force they lose their network" in refused.stderr
    assert daemon.poll() is None
    for name in names:
        delete(host, name)
    wait_until(lambda: ": cali" not in host.must("ip -o link show"), message=host.log)
    wait_until(lambda: host.run("ls /var/lib/tortie/cni/spool").stdout == "", message=host.log)

    said = host.must("tortie-of-test node uninstall --dry-run").splitlines()
    assert all(line.startswith("would ") for line in said), said
    for line in ("remove table inet tortie", "give back net.ipv4.ip_forward=0", "give back /opt/cni/bin/calico"):
        assert f"would {line}" in said
    assert "would remove /etc/systemd/system/calico-node.service" in said
    assert daemon.poll() is None

    done = host.must("tortie-of-test node uninstall").splitlines()
    told = {line.replace("would remove", "removed").replace("would give back", "gave back") for line in said}
    # An empty block may have gone meanwhile; what ends the agent has words of its own.
    assert {line for line in told if " route " not in line and not line.startswith("would")} <= set(done)
    daemon.wait(PATIENCE)
    host.must("rm -r /opt/tortie /usr/local/bin/tortie-of-test /root/config.json")
    assert host.must("cat /opt/cni/bin/calico") == "theirs\n"
    assert host.must("readlink /opt/cni/bin/calico-ipam") == "../of/theirs/calico-ipam\n"
    assert host.must("ls /var/lib/tortie") == "store\n"
    host.must("rm -r /var/lib/tortie")
    wait_until(lambda: not difference(before, host.there()), message=lambda: difference(before, host.there()))
    assert "nothing of a node is here" in host.must(
        f"cd {ROOT} && {sys.executable} -m tests.kernel.run_node uninstall --dry-run"
    )


def test_what_others_have_changed_or_need_is_left_and_said(host: RealHost) -> None:
    host.install()
    host.must(f"{PROGRAM} node install-cni --launcher python")
    daemon = begin(host, "--no-docker")
    add(host, "box")
    host.must("ip link add docker0 type bridge")
    host.must("echo mine > /opt/cni/bin/tortie")
    wait_until(lambda: host.must("sysctl -n net.netfilter.nf_conntrack_acct") == "1\n", message=host.log)
    host.must("mkdir -p /etc/sysctl.d && echo net.netfilter.nf_conntrack_acct=1 > /etc/sysctl.d/99-mine.conf")
    said = host.must(f"{PROGRAM} node uninstall --force --no-docker").splitlines()
    daemon.wait(PATIENCE)
    assert any(re.fullmatch(r"removed interface cali\w+", line) for line in said)
    assert "left net.netfilter.nf_conntrack_acct=1 as it is: /etc/sysctl.d/99-mine.conf asks for it" in said
    forwarding = "docker0 is here, whose guests need it; when it goes: sysctl -w net.ipv4.ip_forward=0"
    assert f"left net.ipv4.ip_forward=1 as it is: {forwarding}" in said
    assert "left /opt/cni/bin/tortie as it is: it is not what was put there" in said
    assert "removed /opt/cni/bin/calico" in said
    assert host.must("cat /opt/cni/bin/tortie") == "mine\n"
    host.write("/etc/tortie/cluster-store", "etcd://10.0.0.9:2379\n")
    again = host.run(f"{PROGRAM} node uninstall")
    assert (again.returncode, again.stdout) == (0, ""), "it needs no store, and here none is the network's"


def test_endpoints_are_known_by_their_routes_whatever_their_interfaces_are_called() -> None:
    name = f"leave{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for link in ("uplink", "tap1", "cali1"):
            subprocess.run(
                ["ip", "-n", name, "link", "add", link, "type", "veth", "peer", "name", f"to-{link}"], check=True
            )
            subprocess.run(["ip", "-n", name, "link", "set", link, "up"], check=True)
        for route in ("169.254.1.1/32 dev uplink", "10.65.1.0/26 dev uplink", "10.65.0.9/32 dev tap1"):
            words = [*route.split(), "scope", "link", "proto", "80"]
            subprocess.run(["ip", "-n", name, "route", "add", *words], check=True)
        with within(name):
            assert workloads(["cali"]) == ["cali1", "tap1"]
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_ended_at_each_change_it_goes_on(host: RealHost) -> None:
    host.must("mkdir -p /opt/cni/bin && echo theirs > /opt/cni/bin/calico && chmod 700 /opt/cni/bin/calico")
    host.must("ln -s ../of/theirs/calico-ipam /opt/cni/bin/calico-ipam")
    host.must("sysctl -qw net.ipv6.conf.uplink.accept_ra=1")
    ended = host.start(f"env --chdir={ROOT} {sys.executable} -m tests.kernel.run_leave")
    assert ended.wait(800) == 0, host.log()
    assert int(host.log().splitlines()[-1]) > 20
