"""A container's way to its CNI networks and back: plug-ins that do well, badly or nothing, and an agent that dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.cni_plugin import CniPlugin
from tests.support.waiting import PATIENCE, until, wait_until

from tortie.base.errors import Invalid, Unavailable
from tortie.mesos.agent import namespaces
from tortie.mesos.agent.chosen_networks import ChosenNetworks
from tortie.mesos.agent.cni.directory import Directory, check_flags
from tortie.mesos.agent.cni.networks import CniNetworks
from tortie.mesos.agent.left_networks import LeftNetworks
from tortie.mesos.agent.network_choice import Way
from tortie.mesos.agent.networks import Joined, Wish
from tortie.wire import mesos as wire

pytestmark = pytest.mark.root
ASKED = {"name": "blue", "labels": {"labels": [{"key": "app", "value": "web"}]}, "ip_addresses": [{"protocol": "IPv4"}]}


@pytest.fixture
def plugin(tmp_path: Path) -> CniPlugin:
    return CniPlugin(tmp_path, "blue", "red")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "run"
    yield path
    for handle in path.glob("*/ns"):
        namespaces.drop(handle)


def networks(plugin: CniPlugin, root: Path, patience: float = PATIENCE) -> CniNetworks:
    return CniNetworks(Directory(str(plugin.config), str(plugin.plugins)), root, patience=patience)


def wish(*infos: dict[str, Any], hostname: str = "") -> Wish:
    asked = [wire.convert(info, wire.NetworkInfo) for info in infos]
    return Wish(container_id="c1", hostname=hostname, network_infos=asked)


def run(coroutine: Callable[[], Awaitable[Any]]) -> Any:
    return anyio.run(coroutine)


def nothing_left(root: Path) -> bool:
    mounted = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(root) in line]
    return not mounted and not list(root.glob("*"))


def test_a_container_joins_two_networks_and_leaves_them(plugin: CniPlugin, root: Path) -> None:
    cni = networks(plugin, root)
    plugin.answers(
        "eth1", {"ips": [{"address": "fd00::7/64"}, {"address": "10.1.1.1/24"}], "dns": {"nameservers": ["10.0.0.2"]}}
    )
    joined = run(lambda: cni.join(wish(ASKED, {}, {"name": "red", "groups": ["g"]}, hostname="web")))
    handle = root / "c1" / "ns"
    assert joined.namespace == str(handle)
    assert namespaces.is_namespace(handle)
    assert joined.environment == {"LIBPROCESS_IP": "0.0.0.0"}
    assert joined.hostname == "web"
    ipv4 = {"protocol": "IPv4", "ip_address": "192.168.0.1"}
    assert [json.loads(wire.encode(info)) for info in joined.infos] == [
        {**ASKED, "ip_addresses": [ipv4]},
        {
            "name": "red",
            "groups": ["g"],
            "ip_addresses": [
                {"protocol": "IPv4", "ip_address": "10.1.1.1"},
                {"protocol": "IPv6", "ip_address": "fd00::7"},
            ],
        },
    ]
    texts = {inside: Path(path).read_text() for inside, path in joined.files.items()}
    assert texts == {
        "/etc/hostname": "web\n",
        "/etc/hosts": "127.0.0.1 localhost\n192.168.0.1 web\n",
        "/etc/resolv.conf": "nameserver 10.0.0.2\n",
    }
    assert networks(plugin, root).joined("c1") == joined
    assert cni.kept() == ["c1"]

    assert plugin.environment("ADD.eth0") == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": str(handle),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(plugin.plugins),
        "PATH": os.environ["PATH"],
    }
    assert plugin.stdin("ADD.eth0")["args"] == {"org.apache.mesos": {"network_info": ASKED}}
    assert str(plugin.plugins / "recorder") in (plugin.home / "ADD.eth0.argv").read_text().splitlines()

    (plugin.config / "blue.cni").unlink()
    plugin.add("red", mine="another since")
    run(lambda: networks(plugin, root).leave("c1"))
    for call in ("eth0", "eth1"):
        assert plugin.stdin(f"DEL.{call}") == plugin.stdin(f"ADD.{call}")
        assert plugin.environment(f"DEL.{call}") == {**plugin.environment(f"ADD.{call}"), "CNI_COMMAND": "DEL"}
    assert sorted(plugin.calls) == ["ADD c1 eth0", "ADD c1 eth1", "DEL c1 eth0", "DEL c1 eth1"]
    assert nothing_left(root)
    run(lambda: cni.leave("c1"))
    assert cni.joined("c1") is None


def test_the_namespace_has_its_loopback_up(plugin: CniPlugin, root: Path) -> None:
    joined = run(lambda: networks(plugin, root).join(wish(ASKED)))
    shown = subprocess.run(
        ["nsenter", f"--net={joined.namespace}", "ip", "-j", "link"], capture_output=True, check=True, text=True
    )
    assert [(link["ifname"], "UP" in link["flags"]) for link in json.loads(shown.stdout)] == [("lo", True)]
    assert (root / "c1" / "hostname").read_text() == "c1\n"
    run(lambda: networks(plugin, root).leave("c1"))


def test_networks_are_asked_at_the_same_time(plugin: CniPlugin, root: Path) -> None:
    plugin.does("ADD", "meet")
    joined = run(lambda: networks(plugin, root).join(wish({"name": "red"}, {"name": "blue"})))
    assert [info.name for info in joined.infos] == ["red", "blue"]
    run(lambda: networks(plugin, root).leave("c1"))


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (
            "fail",
            r"failed to attach container c1 to CNI network 'blue': stdout='{\"code\": 11.*left\"}\n', stderr='oops\n'",
        ),
        ("crash", r"failed to attach container c1 to CNI network 'blue': stdout='', stderr=''"),
        ("flood", "failed to attach container c1 to CNI network 'blue': more than 1048576 bytes of output"),
        ("garbage", "Failed to parse the output of the CNI plugin '.*/recorder': it is no JSON.*stdout='garbage\n'"),
        ('{"ip4": {"ip": "x"}}', "Failed to parse the output of the CNI plugin '.*/recorder': 'x' is no address"),
    ],
)
def test_a_plug_in_that_fails_is_told_of_and_undone(plugin: CniPlugin, root: Path, does: str, said: str) -> None:
    plugin.does("ADD", does)
    with pytest.raises(Unavailable, match=said):
        run(lambda: networks(plugin, root).join(wish(ASKED, {"name": "red"})))
    assert sorted(plugin.calls) == ["ADD c1 eth0", "ADD c1 eth1", "DEL c1 eth0", "DEL c1 eth1"]
    assert nothing_left(root)


def test_a_plug_in_that_hangs_is_ended_with_its_children(plugin: CniPlugin, root: Path) -> None:
    plugin.does("ADD", "hang")
    with pytest.raises(Unavailable, match=r"failed to attach .*: no answer within 3 seconds"):
        run(lambda: networks(plugin, root, patience=3).join(wish(ASKED)))
    wait_until(lambda: not alive(plugin), message="its child is gone")
    run(lambda: networks(plugin, root).leave("c1"))
    assert plugin.calls[-1] == "DEL c1 eth0"
    assert nothing_left(root)


def alive(plugin: CniPlugin) -> bool:
    """Whether the child runs that it has left."""
    try:
        return "sleep" in Path(f"/proc/{plugin.child}/cmdline").read_text()
    except OSError:
        return False


def end_child(plugin: CniPlugin) -> None:
    assert plugin.child
    os.kill(plugin.child, signal.SIGKILL)


def test_a_child_that_stays_does_not_hold_the_answer(plugin: CniPlugin, root: Path) -> None:
    plugin.does("ADD", "daemon")
    joined = run(lambda: networks(plugin, root).join(wish(ASKED)))
    assert joined.infos[0].ip_addresses[0].ip_address == "192.168.0.1"
    wait_until(lambda: alive(plugin), message="its child runs on")
    end_child(plugin)
    run(lambda: networks(plugin, root).leave("c1"))
    assert nothing_left(root)


def test_a_wish_that_cannot_be_met_is_refused_before_anything_is_done(plugin: CniPlugin, root: Path) -> None:
    (plugin.config / "taken").write_text(
        json.dumps({"name": "taken", "type": "recorder", "args": {"org.apache.mesos": {}}})
    )
    cases = {
        "Unknown CNI network 'nowhere'": wish(ASKED, {"name": "nowhere"}),
        "Attempted to join CNI network 'blue' multiple times": wish(ASKED, {"name": "red"}, {"name": "blue"}),
        "reserved by Mesos": wish({"name": "taken"}),
        "'a b' is not a host's name": wish(ASKED, hostname="a b"),
    }
    cni = networks(plugin, root)
    for said, asked in cases.items():
        with pytest.raises(Invalid, match=said):
            cni.check(asked)
        with pytest.raises(Invalid, match=said):
            run(lambda asked=asked: cni.join(asked))  # type: ignore[misc]
    assert plugin.calls == []
    assert nothing_left(root)


def test_the_directory_is_looked_at_again_for_a_name_that_is_not_known(
    plugin: CniPlugin, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = Directory(str(plugin.config), f"/no/such:{plugin.plugins}")
    (plugin.config / "broken").write_text("{")
    (plugin.config / "elsewhere").write_text(json.dumps({"name": "elsewhere", "type": "not-there"}))
    (plugin.config / "no-ipam").write_text(
        json.dumps({"name": "no-ipam", "type": "recorder", "ipam": {"type": "gone"}})
    )
    (plugin.config / "blue.cni~").write_text(json.dumps({"name": "blue", "type": "recorder", "second": True}))
    (plugin.config / "folder").mkdir()
    os.mkfifo(plugin.config / "pipe")
    assert "second" not in directory.network("blue").document
    for name in ("elsewhere", "no-ipam", "green"):
        with pytest.raises(Invalid, match=f"Unknown CNI network '{name}'"):
            directory.network(name)
    for said in ("broken is left out: it is no JSON", "Unable to find the CNI plugin 'not-there'", "'gone'", "already"):
        assert said in caplog.text
    plugin.add("green", more=1)
    assert directory.network("green").document["more"] == 1
    plugin.add("green", more=2)
    assert directory.network("green").document["more"] == 2
    (plugin.config / "green.cni").write_text(json.dumps({"name": "other", "type": "recorder"}))
    with pytest.raises(Invalid, match="Unknown CNI network 'green'"):
        directory.network("green")
    assert directory.network("other").name == "other"
    (plugin.config / "green.cni").unlink()
    with pytest.raises(Invalid, match="Unknown CNI network 'other'"):
        directory.network("other")
    with pytest.raises(Invalid, match="Unknown CNI network 'blue'"):
        Directory("", "").network("blue")


def test_half_of_the_flags_is_refused(tmp_path: Path) -> None:
    check_flags("", "")
    check_flags(str(tmp_path), "/plugins")
    for given, said in {
        (str(tmp_path), ""): "Missing required '--network_cni_plugins_dir' flag",
        ("", "/plugins"): "Missing required '--network_cni_config_dir' flag",
        ("/no/such", "/plugins"): "The CNI network configuration directory '/no/such' does not exist",
    }.items():
        with pytest.raises(Invalid, match=said):
            check_flags(*given)


@pytest.mark.parametrize("how", ["fail", "crash", "gone"])
def test_what_cannot_be_given_back_is_kept_and_tried_again(plugin: CniPlugin, root: Path, how: str) -> None:
    cni = networks(plugin, root)
    joined = run(lambda: cni.join(wish(ASKED)))
    program = plugin.plugins / "recorder"
    if how == "gone":
        program.rename(plugin.plugins / "away")
    else:
        plugin.does("DEL", how)
    with pytest.raises(Unavailable, match="blue"):
        run(lambda: cni.leave("c1"))
    assert networks(plugin, root).joined("c1") == joined
    if how == "gone":
        (plugin.plugins / "away").rename(program)
    plugin.does("DEL", "")

    async def tend() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(LeftNetworks(cni, nobody).run)
            await until(lambda: nothing_left(root), message="it is tried again")
            group.cancel_scope.cancel()

    run(tend)
    assert plugin.environment("DEL.eth0")["CNI_NETNS"] == joined.namespace


async def nobody() -> Collection[str]:
    return ()


def test_only_what_is_left_is_given_back_and_failures_wait_longer(plugin: CniPlugin, root: Path) -> None:
    async def story() -> None:
        cni = networks(plugin, root)
        await cni.join(wish(ASKED))
        living: list[str] = ["c1"]

        async def alive() -> Collection[str]:
            return living

        left = LeftNetworks(cni, alive)
        await left.once(0)
        assert plugin.calls == ["ADD c1 eth0"]
        living.clear()
        plugin.does("DEL", "fail")
        for now, tries in ((0, 1), (4, 1), (5, 2), (14, 2), (15, 3), (34, 3)):
            await left.once(now)
            assert len(plugin.calls) == 1 + tries
        plugin.does("DEL", "")
        await left.once(35)
        assert nothing_left(root)

    run(story)


def test_a_namespace_that_vanished_is_not_named(plugin: CniPlugin, root: Path) -> None:
    cni = networks(plugin, root)
    run(lambda: cni.join(wish(ASKED)))
    subprocess.run(["umount", str(root / "c1" / "ns")], check=True)
    run(lambda: cni.leave("c1"))
    assert "CNI_NETNS" not in plugin.environment("DEL.eth0")
    assert nothing_left(root)


def test_one_who_is_cancelled_leaves_nothing(plugin: CniPlugin, root: Path) -> None:
    plugin.does("ADD", "hang")

    async def story() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(networks(plugin, root).join, wish(ASKED))
            await until(lambda: plugin.child, message="the plug-in runs")
            group.cancel_scope.cancel()

    run(story)
    assert plugin.calls == ["ADD c1 eth0", "DEL c1 eth0"]
    assert nothing_left(root)
    wait_until(lambda: not alive(plugin), message="its child is gone")


def test_a_second_attempt_begins_anew(plugin: CniPlugin, root: Path) -> None:
    cni = networks(plugin, root)
    run(lambda: cni.join(wish(ASKED)))
    joined = run(lambda: cni.join(wish({"name": "red"})))
    assert plugin.calls == ["ADD c1 eth0", "DEL c1 eth0", "ADD c1 eth0"]
    assert [info.name for info in joined.infos] == ["red"]
    run(lambda: cni.leave("c1"))


def test_an_agent_leaves_alone_what_another_keeps_beside_it(plugin: CniPlugin, root: Path) -> None:
    mine, others = (CniNetworks(networks(plugin, root).directory, root, owner) for owner in ("/a", "/b"))
    run(lambda: mine.join(wish(ASKED)))
    assert (mine.kept(), others.kept()) == (["c1"], [])

    async def once() -> None:
        await LeftNetworks(others, nobody).once(0)

    run(once)
    assert plugin.calls == ["ADD c1 eth0"]
    run(lambda: mine.leave("c1"))


class HostNetworks:
    """Networks that keep nothing."""

    def check(self, wish: Wish) -> None: ...

    async def join(self, wish: Wish) -> Joined:
        return Joined()

    async def isolate(self, container_id: str, pid: int) -> None: ...

    async def leave(self, container_id: str) -> None: ...

    def joined(self, container_id: str) -> Joined | None:
        return Joined()

    def keeps(self, container_id: str) -> bool:
        return False

    def kept(self) -> list[str]:
        return []


def test_every_way_is_found_again_on_disk(plugin: CniPlugin, root: Path) -> None:
    def chosen() -> ChosenNetworks:
        return ChosenNetworks({Way.HOST: HostNetworks(), Way.CNI: networks(plugin, root)})

    assert run(lambda: chosen().join(wish())) == Joined()
    assert chosen().joined("c1") == Joined()
    joined = run(lambda: chosen().join(wish(ASKED)))
    assert chosen().joined("c1") == joined
    assert chosen().kept() == ["c1"]
    with pytest.raises(Invalid, match="Unknown CNI network"):
        chosen().check(wish({"name": "nowhere"}))
    assert run(lambda: chosen().join(wish())) == Joined(), "an attempt that went another way is taken back"
    assert nothing_left(root)
    assert plugin.calls == ["ADD c1 eth0", "DEL c1 eth0"]


# -- an agent that dies, and plug-ins of others ------------------------------------------------------------------------


def agent(plugin: CniPlugin | tuple[Path, str], root: Path, *words: str) -> list[str]:
    config, plugins = plugin if isinstance(plugin, tuple) else (plugin.config, str(plugin.plugins))
    return [sys.executable, "-m", "tests.kernel.run_mesos_cni", str(config), plugins, str(root), *words]


def test_an_agent_killed_while_its_plug_in_works_leaves_nothing(plugin: CniPlugin, root: Path) -> None:
    plugin.does("ADD", "hang")
    running = subprocess.Popen(agent(plugin, root, "join", "c1", '[{"name": "blue"}]'), stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: plugin.child, message="the plug-in runs")
        shell = next(p for p in Path("/proc").glob("[0-9]*") if _is(p, str(plugin.plugins / "recorder")))
    finally:
        running.kill()
        running.wait()
    wait_until(lambda: not _is(shell, "recorder"), message="the plug-in ended with its agent")
    end_child(plugin)
    again = networks(plugin, root)
    assert (again.kept(), again.joined("c1")) == (["c1"], None)
    run(lambda: again.leave("c1"))
    assert plugin.calls[-1] == "DEL c1 eth0"
    assert nothing_left(root)


def _is(process: Path, word: str) -> bool:
    try:
        return word in (process / "cmdline").read_text()
    except OSError:
        return False


def test_an_agent_killed_after_its_networks_were_joined_finds_them(plugin: CniPlugin, root: Path) -> None:
    asked = json.dumps([{"name": "blue"}, {"name": "red"}])
    subprocess.run(agent(plugin, root, "join", "c1", asked), check=True, timeout=PATIENCE, capture_output=True)
    again = networks(plugin, root)
    joined = again.joined("c1")
    assert joined is not None
    assert [a.ip_address for info in joined.infos for a in info.ip_addresses] == ["192.168.0.1", "192.168.0.2"]
    run(lambda: again.leave("c1"))
    assert nothing_left(root)


@pytest.fixture
def host() -> Iterator[str]:
    name = f"nets-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.skipif(not Path("/usr/lib/cni/ptp").exists(), reason="needs the CNI project's own plug-ins")
def test_the_cni_project_s_own_plug_ins_serve_a_container(tmp_path: Path, root: Path, host: str) -> None:
    config = tmp_path / "networks"
    config.mkdir()
    ipam = {"type": "host-local", "subnet": "10.77.0.0/24", "dataDir": str(tmp_path / "addresses")}
    (config / "ptp.cni").write_text(json.dumps({"cniVersion": "0.2.0", "name": "ptp", "type": "ptp", "ipam": ipam}))
    here = ["nsenter", f"--net=/run/netns/{host}"]

    def told(*words: str) -> str:
        command = [*here, *agent((config, "/usr/lib/cni"), root, *words)]
        done = subprocess.run(command, check=True, timeout=PATIENCE, capture_output=True, text=True)
        return done.stdout

    joined = json.loads(told("join", "c1", '[{"name": "ptp"}]'))
    (address,) = joined["infos"][0]["ip_addresses"]
    inside = ["nsenter", f"--net={joined['namespace']}", "ip", "-j", "-4", "address", "show", "dev", "eth0"]
    shown = json.loads(subprocess.run(inside, check=True, capture_output=True, text=True).stdout)
    assert shown[0]["addr_info"][0]["local"] == address["ip_address"]
    told("leave", "c1")
    links = subprocess.run([*here, "ip", "-j", "link"], check=True, capture_output=True, text=True).stdout
    assert [link["ifname"] for link in json.loads(links)] == ["lo"]
    assert not list((tmp_path / "addresses" / "ptp").glob("10.*"))
    assert nothing_left(root)


def test_a_namespace_that_cannot_be_made_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "ns").write_text("somebody's")
    with pytest.raises(Unavailable, match="File exists"):
        namespaces.make(tmp_path / "ns")
    assert (tmp_path / "ns").read_text() == "somebody's"
