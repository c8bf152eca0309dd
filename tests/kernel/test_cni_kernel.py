"""The CNI plug-in with real agents, launchers and namespaces: what a runtime asks, what the kernel then has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.kernel.netlab import Lab, inside, until
from tests.kernel.test_node_kernel import answered, passes
from tests.support.cni_runtime import Runtime
from tests.support.waiting import PATIENCE

from tortie.base.errors import Unavailable
from tortie.ipam.allocator import Allocator
from tortie.model.ipam import HANDLES
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.plugins.cni.asking import read_asking
from tortie.plugins.cni.call import read_call
from tortie.plugins.cni.install import install
from tortie.plugins.cni.names import endpoint_resource
from tortie.plugins.cni.plugin import Plugin
from tortie.store.open import open_store

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

ONE, TWO = "653feb5461db" + "0" * 52, "7abcd57660aa" + "0" * 52


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


class Node:
    """A host of the lab whose agent serves CNI."""

    def __init__(self, lab: Lab, name: str, address: str) -> None:
        self.lab, self.name, self.count = lab, name, 0
        folder = lab.directory / f"{name}-cni"
        self.spool = folder / "spool"
        self.options = ("--cni", "--cni-socket", str(folder / "cni.sock"), "--cni-spool", str(self.spool))
        list(install(folder / "bin", str(folder / "cni.sock"), str(self.spool)))
        self.host = lab.host(name, address, *self.options)
        self.runtime = Runtime(folder / "bin", ["ip", "netns", "exec", self.host.netns])
        until((folder / "cni.sock").exists)
        self.run = self.runtime.run

    def namespace(self) -> tuple[str, str]:
        """A new container's: its name for `ip`, and its path."""
        self.count += 1
        name = f"{self.host.netns}-c{self.count}"
        self.lab.add_netns(name)
        return name, f"/var/run/netns/{name}"

    def links(self) -> set[str]:
        shown = json.loads(inside(self.host.netns, "ip", "-j", "link"))
        return {link["ifname"] for link in shown if link["ifname"].startswith("cali")}

    def again(self) -> None:
        self.host.start(*self.options)
        self.host.ready()


def add(node: Node, container: str = ONE, **how: Any) -> tuple[str, str, str]:
    """Namespace, its path, the address."""
    name, path = node.namespace()
    said = node.run("ADD", container, path, **how)
    assert said.code == 0, said
    return name, path, said.json["ips"][0]["address"].partition("/")[0]


def endpoints(lab: Lab) -> list[str]:
    return [found.name for found in lab.client.list(WORKLOAD_ENDPOINT).items]


def handles(lab: Lab) -> list[str]:
    return [kv.key.removeprefix(HANDLES) for kv in lab.client.datastore.list(HANDLES).items]


def collection(valid: list[dict[str, str]]) -> dict[str, Any]:
    return {"cniVersion": "1.1.0", "cni.dev/valid-attachments": valid}


def nothing_left(lab: Lab, node: Node) -> None:
    """What the node cannot do in time it does later."""

    def left() -> list[str]:
        routes = inside(node.host.netns, "ip", "route")
        return [
            *endpoints(lab),
            *handles(lab),
            *node.links(),
            *(line for line in routes.splitlines() if "cali" in line),
        ]

    until(lambda: not left(), message=lambda: f"nothing is left: {left()}")


def test_two_containers_talk_by_the_profile_of_their_network(lab: Lab) -> None:
    a, b = Node(lab, "agent-1", "172.24.197.102"), Node(lab, "agent-2", "172.24.197.103")
    name, path = a.namespace()
    said = a.run("ADD", ONE, path, arguments="IgnoreUnknown=1;K8S_POD_NAME=web")
    assert said.code == 0, said
    assert said.stderr == ""
    shown = said.json
    address = shown["ips"][0]["address"].partition("/")[0]
    mac = json.loads(inside(name, "ip", "-j", "link", "show", "eth0"))[0]["address"]
    assert shown == {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "cali653feb5461d"}, {"name": "eth0", "mac": mac, "sandbox": path}],
        "ips": [{"address": f"{address}/32", "interface": 1}],
        "dns": {},
    }
    other, _, second = add(b, TWO)
    stranger, _, third = add(b, "c" * 64, name="red")
    assert answered(name, second)
    assert answered(other, address)
    assert not passes(stranger, address)
    assert not passes(name, third)
    assert {profile.name for profile in lab.client.list(PROFILE).items} >= {"blue", "red"}
    neighbours = inside(name, "ip", "neigh")
    assert "169.254.1.1" in neighbours
    assert "PERMANENT" in neighbours

    again: dict[str, Any] = {"cniVersion": "1.0.0", "prevResult": shown}
    assert a.run("CHECK", ONE, path, **again).code == 0
    inside(name, "ip", "link", "set", "eth0", "down")
    broken = a.run("CHECK", ONE, path, **again)
    assert (broken.code, "eth0 is down" in broken.json["msg"]) == (1, True)

    for namespace in (path, "", "/nowhere"):
        gone = a.run("DEL", ONE, namespace)
        assert (gone.code, gone.stdout) == (0, "")
    for container, network in ((TWO, "blue"), ("c" * 64, "red")):
        assert b.run("DEL", container, "", name=network).code == 0
    nothing_left(lab, a)


def test_a_further_interface_answers_by_its_own_way(lab: Lab) -> None:
    node = Node(lab, "agent-1", "172.24.197.102")
    _, path, first = add(node)
    said = node.run("ADD", ONE, path, interface="eth1", name="red")
    assert said.code == 0, said
    second = said.json["ips"][0]["address"].partition("/")[0]
    beside, _, _ = add(node, TWO, name="red")
    third, _, _ = add(node, "d" * 64)
    assert answered(beside, second)
    assert answered(third, first)
    assert not passes(beside, first)
    assert len(node.links()) == 4
    assert node.run("DEL", ONE, path, interface="eth1", name="red").code == 0
    assert answered(third, first)
    for container, network in ((ONE, "blue"), (TWO, "red"), ("d" * 64, "blue")):
        assert node.run("DEL", container, "", name=network).code == 0
    nothing_left(lab, node)


def test_asked_addresses_labels_and_refusals(lab: Lab) -> None:
    node = Node(lab, "agent-1", "172.24.197.102")
    labels = [{"key": "a/b", "value": "x y"}, {"key": "v"}]
    mesos = {"org.apache.mesos": {"network_info": {"labels": {"labels": labels}}}}
    _, path = node.namespace()
    said = node.run("ADD", ONE, path, cniVersion="0.2.0", runtimeConfig={"ips": ["192.168.9.9"]}, args=mesos)
    assert said.json == {"cniVersion": "0.2.0", "ip4": {"ip": "192.168.9.9/32"}, "dns": {}}
    endpoint = lab.client.list(WORKLOAD_ENDPOINT).items[0]
    assert {key: endpoint.metadata.labels[key] for key in ("a.b", "v")} == {"a.b": "x-y", "v": ""}

    other, there = node.namespace()
    taken = node.run("ADD", TWO, there, arguments="IP=192.168.9.9")
    assert (taken.code, "192.168.9.9" in taken.json["msg"]) == (1, True)
    assert inside(other, "ip", "-j", "link", "show", "type", "veth").strip() in ("", "[]")
    own = node.run("ADD", TWO, "/proc/self/ns/net")
    assert (own.code, own.json["code"]) == (1, 8)
    plain = node.run("ADD", TWO, "/etc/hostname")
    assert (plain.code, plain.json["code"]) == (1, 3)
    inside(other, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth7")
    exists = node.run("ADD", TWO, there)
    assert (exists.code, "exists in the container already" in exists.json["msg"]) == (1, True)
    assert len(endpoints(lab)) == 1
    assert handles(lab) == [f"blue.{ONE}"]
    assert node.links() == {"cali653feb5461d"}


def test_the_same_container_again_keeps_its_address_and_a_late_del_does_no_harm(lab: Lab) -> None:
    node = Node(lab, "agent-1", "172.24.197.102")
    _, first, address = add(node)
    _, second, again = add(node)
    assert again == address
    other, _, _ = add(node, TWO)
    assert node.run("DEL", ONE, first).code == 0
    assert answered(other, address)
    assert len(endpoints(lab)) == 2
    assert node.run("DEL", ONE, second).code == 0
    assert node.run("DEL", TWO, "").code == 0
    nothing_left(lab, node)


def test_an_agent_that_is_away_and_a_runtime_that_died(lab: Lab) -> None:
    node = Node(lab, "agent-1", "172.24.197.102")
    _, path, address = add(node)
    beside, _, _ = add(node, TWO)
    node.host.kill(signal.SIGKILL)
    assert answered(beside, address)
    assert node.run("DEL", ONE, path).code == 0
    late = node.run("ADD", "e" * 64, path)
    assert (late.code, late.json["code"]) == (1, 11)
    assert (node.run("STATUS", ONE, path, cniVersion="1.1.0").json["code"], len(os.listdir(node.spool))) == (50, 1)
    node.again()
    until(lambda: not os.listdir(node.spool))
    assert handles(lab) == [f"blue.{TWO}"]

    # A caller that is killed in the middle: whatever had been made goes with it, or with the DEL that follows.
    _, third = node.namespace()
    for delay in (0.0, 0.01, 0.02, 0.04, 0.08):
        process = node.runtime.start("ADD", "f" * 64, third)
        assert process.stdin is not None
        process.stdin.write(node.runtime.stdin())
        process.stdin.close()
        threading.Event().wait(delay)
        process.kill()
        process.wait(PATIENCE)
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
        assert node.run("DEL", "f" * 64, third).code == 0
    until(lambda: handles(lab) == [f"blue.{TWO}"] and len(endpoints(lab)) == 1 and len(node.links()) == 1)
    assert node.run("DEL", TWO, "").code == 0
    nothing_left(lab, node)


def test_twenty_at_once_and_a_collection(lab: Lab) -> None:
    node = Node(lab, "agent-1", "172.24.197.102")
    running: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}
    for number in range(20):
        container = f"{number:02d}" * 32
        name, path = node.namespace()
        process = node.runtime.start("ADD", container, path)
        running[container] = name, process
    config = node.runtime.stdin(cniVersion="1.1.0")
    addresses = []
    for _, process in running.values():
        out, _err = process.communicate(config, timeout=PATIENCE)
        assert process.returncode == 0, out
        addresses.append(json.loads(out)["ips"][0]["address"])
    assert len(set(addresses)) == 20
    kept = list(running)[:2]
    valid = [{"containerID": container, "ifname": "eth0"} for container in kept]
    said = node.run("GC", "", "", **collection(valid))
    assert (said.code, said.stdout) == (0, "")
    # What the node cannot do in time it does later.
    until(lambda: sorted(handles(lab)) == [f"blue.{container}" for container in kept], message=lambda: handles(lab))
    assert answered(running[kept[0]][0], addresses[1].partition("/")[0])
    assert node.run("GC", "", "", **collection([])).code == 0
    nothing_left(lab, node)


def test_addresses_alone_and_another_plugins_addresses(lab: Lab, tmp_path: Path) -> None:
    node = Node(lab, "agent-1", "172.24.197.102")
    _, path = node.namespace()
    alone = node.run("ADD", ONE, path, plugin="calico-ipam", arguments="IP=192.168.7.7")
    assert alone.json == {"cniVersion": "1.0.0", "ips": [{"address": "192.168.7.7/32"}], "dns": {}}
    assert node.run("DEL", ONE, path, plugin="calico-ipam").code == 0
    assert handles(lab) == []

    foreign = node.runtime.folder / "other-ipam"
    log = tmp_path / "log"
    answer = '{"cniVersion":"1.0.0","ips":[{"address":"192.168.44.5/24"}]}'
    foreign.write_text(
        f"#!/bin/sh\necho $CNI_COMMAND $CNI_CONTAINERID >> {log}\n[ $CNI_COMMAND = DEL ] || echo '{answer}'\n"
    )
    foreign.chmod(0o755)
    name, there, address = add(node, TWO, ipam={"type": "other-ipam"})
    assert address == "192.168.44.5"
    assert "192.168.44.5/32" in inside(name, "ip", "addr", "show", "eth0")
    assert node.run("DEL", TWO, there, ipam={"type": "other-ipam"}).code == 0
    assert log.read_text().split() == ["ADD", TWO, "DEL", TWO]
    foreign.write_text('#!/bin/sh\necho \'{"code":111,"msg":"all taken"}\'; exit 1\n')
    refused = node.run("ADD", TWO, path, ipam={"type": "other-ipam"})
    assert (refused.code, refused.json["code"], refused.json["msg"]) == (1, 111, "all taken")
    nothing_left(lab, node)


def test_a_removal_that_takes_too_long_fails_as_what_can_be_kept_for_later(tmp_path: Path) -> None:
    class Slow:
        async def wait_removed(self, key: str, timeout: float) -> None:
            raise Unavailable(f"endpoint {key} is still programmed")

    store = open_store(f"sqlite://{tmp_path}")
    there: Any = Slow()
    plugin = Plugin(datastore=store, gate=there, addresses=Allocator(store, "n"), node="n")
    call = read_call(
        "calico",
        {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": ONE, "CNI_IFNAME": "eth0", "CNI_PATH": "/x"},
        b'{"name":"blue"}',
    )
    endpoint = endpoint_resource("n", call, read_asking(call), addresses=["192.168.0.1"], mac="02:00:00:00:00:01")
    with pytest.raises(Unavailable, match="still programmed"):
        anyio.run(plugin.attachments.retire, endpoint)
    store.close()
