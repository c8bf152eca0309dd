"""What goes wrong, one function each: called with the world and dice, it ends with the world in order again.

None of it concerns what the prober looks at: the streams that are allowed stay so, those that are not, too.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.faults.world import World, figures
from tests.kernel.netlab import GATEWAY_MAC, allow_tcp, inside, own_tag
from tests.support.waiting import wait_until
from tortie.base.errors import TortieError
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, Rule
from tortie.store.port import Drop, Put

RESOURCES = "/calico/resources/v3/projectcalico.org"
GHOSTS = 4
KNOWN_FIGURES = {
    "felix_active_local_endpoints",
    "felix_int_dataplane_apply_time_seconds_count",
    "felix_route_table_num_routes",
    "process_resident_memory_bytes",
}
"""That dashboards made for others ask for."""
Scene = Callable[[World, random.Random], None]


def churn(world: World, number: int) -> None:
    """A change that never concerns who speaks to whom: other rules, other members, endpoints without an interface."""
    lab = world.lab
    lab.profile("n", own_tag("n"), allow_tcp(number % 6000 + 1, "n"))
    lab.profile(f"x{number % 5}", own_tag(f"x{number % 3}"), allow_tcp(80, "n"))
    lab.client.apply(
        Resource(
            kind=GLOBAL_NETWORK_POLICY,
            metadata=Metadata(name=f"ghost{number % 3}"),
            spec=GlobalNetworkPolicySpec(
                selector=f"has(x{number % 5})",
                order=number % 7,
                types=("Ingress",),
                ingress=(Rule(action="Allow", protocol="TCP", destination=EntityRule(ports=(number % 900 + 1, 443))),),
            ),
        )
    )
    name, profiles = f"g{number % GHOSTS}", ("n", f"x{number % 5}") if number % 2 else (f"x{number % 5}",)
    lab.put_endpoint("h1", name, f"calig{number % GHOSTS}", f"10.65.9.{number % GHOSTS + 1}", profiles)


@contextmanager
def churning(world: World, pause: float = 0.005) -> Iterator[None]:
    """Changes all the time."""
    stop, failed = threading.Event(), []

    def change() -> None:
        number = 0
        try:
            while not stop.wait(pause):
                churn(world, number)
                number += 1
        except BaseException as error:  # noqa: BLE001  handed on below
            failed.append(error)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


def broken_values(world: World, dice: random.Random) -> None:
    """Another program writes what nobody can read, about others than those who speak here."""
    store = world.lab.client.datastore
    endpoint = "/calico/resources/v3/projectcalico.org/workloadendpoints/libnetwork/h1-libnetwork-libnetwork-"
    sound: dict[str, Any] = {
        "kind": "WorkloadEndpoint",
        "apiVersion": "projectcalico.org/v3",
        "metadata": {"name": "h1-libnetwork-libnetwork-zz", "namespace": "libnetwork"},
        "spec": {"node": "h1", "orchestrator": "libnetwork", "workload": "libnetwork", "endpoint": "zz",
                 "interfaceName": "calizz", "profiles": ["n"], "ipNetworks": ["10.65.0.99/32"]},
    }  # fmt: skip
    bad: list[Any] = [
        b"", b"\xff\xfe\x00", b"null", b"[]", b"{", b'{"spec":17}', b"1" * 5000, b'{"spec":{"node":"h1"}}',
        *(json.dumps(sound | {"spec": sound["spec"] | change}).encode() for change in (
            {"ipNetworks": ["10.65.0.999/32", "::/0", "0.0.0.0/0"]}, {"ipNetworks": "10.65.0.1"},
            {"interfaceName": 'x" accept; #'}, {"interfaceName": ""}, {"interfaceName": "eth0"},
            {"profiles": ["nowhere", 7]}, {"ports": [{"name": "p", "port": 99999}]}, {"mac": "no"},
        )),
    ]  # fmt: skip
    keys = [f"{endpoint}zz{number}" for number in range(len(bad))]
    store.commit([Put(key, value) for key, value in zip(keys, bad, strict=True)])
    more = {
        f"{RESOURCES}/profiles/ghostly": b"{not json",
        f"{RESOURCES}/globalnetworkpolicies/odd": b'{"spec":{"selector":"has(x)","ingress":[{"action":"Maybe"}]}}',
        f"{RESOURCES}/networksets/libnetwork/odd": b'{"spec":{"nets":["10.0.0.0/99",3]}}',
        f"{RESOURCES}/ippools/odd": b'{"spec":{"cidr":"everything"}}',
        f"{RESOURCES}/felixconfigurations/node.h1": b'{"spec":{"logSeverityScreen":{}}}',
        f"{RESOURCES}/hostendpoints/odd": b'{"spec":{"node":"h1","expectedIPs":["nowhere"]}}',
        f"{RESOURCES}/nothing-we-know/x": b"x",
        "/calico/ipam/v2/assignment/ipv4/block/10.65.77.0-26": b'{"cidr":[]}',
        "/calico/ipam/v2/host/h9/ipv4/block/1-2-3": b"?",
        f"{RESOURCES}/profiles/\x01\x7f": b"{}",
    }  # fmt: skip
    chosen = list(more)
    dice.shuffle(chosen)
    for key in chosen:
        store.commit([Put(key, more[key])])
    world.caught_up()
    store.commit([Drop(key) for key in (*keys, *more)])


def no_interface_and_duplicates(world: World, dice: random.Random) -> None:
    """Endpoints whose interface is not there, and others that claim the addresses and interfaces of those who speak:
    their profile lets everything in, and is nobody's who is there first."""
    lab, made = world.lab, []
    lab.profile("open", Rule(action="Allow"))
    for number in range(10):
        made.append(lab.put_endpoint("h1", f"no{number}", f"calino{number}", f"10.65.8.{number + 1}", ("n",)))
    for name in ("a", "b", "c"):
        victim = world.boxes[name]
        made.append(lab.put_endpoint("h1", f"zz{name}", f"calizz{name}", victim.address, ("open",)))
        made.append(
            lab.put_endpoint("h1", f"zy{name}", victim.interface, f"10.65.7.{dice.randrange(1, 250)}", ("open",))
        )
        made.append(lab.put_endpoint("h2", f"zx{name}", f"calizx{name}", victim.address, ("open",)))
    world.caught_up()
    for key in made:
        world.forget(key)


def vanishing_interface(world: World, dice: random.Random) -> None:
    """A link that comes and goes, is renamed and flaps, while its endpoint and everybody's rules change."""
    lab, netns = world.lab, world.one.netns

    def ip(*words: str) -> None:
        inside(netns, "ip", "link", *words, check=False)

    with churning(world):
        for number in range(8):
            key = lab.put_endpoint("h1", "van", "calivan", "10.65.0.70", ("n",))
            ip("add", "calivan", "address", GATEWAY_MAC, "type", "veth", "peer", "name", "vanpeer")
            ip("set", "calivan", "up")
            match dice.randrange(4):
                case 0:
                    ip("set", "calivan", "down")
                    ip("set", "calivan", "name", f"other{number}")
                    ip("del", f"other{number}")
                case 1:
                    for _ in range(5):
                        ip("set", "calivan", "down")
                        ip("set", "calivan", "up")
                case _:
                    time.sleep(dice.random() / 20)
            ip("del", "vanpeer")
            world.forget(key)
    world.caught_up()


def killed(world: World, dice: random.Random) -> None:
    """kill -9 of the agent, of its child, of both, at any instant while everything changes."""
    victims = ["child", "agent", "both"] * 2
    dice.shuffle(victims)
    with churning(world):
        for victim in victims:
            if dice.random() < 0.5:
                world.one.ready()
            time.sleep(dice.random() * dice.choice((0.05, 0.3, 1.0)))
            if victim != "agent":
                world.kill_child()
            if victim != "child":
                world.restart()
    world.caught_up()


def stopped_child(world: World, dice: random.Random) -> None:
    """The child hangs in the middle of a pass: nothing changes, and it goes on afterwards."""
    children = wait_until(world.children, message=world.one.story)
    for child in children:
        os.kill(child, signal.SIGSTOP)
    for number in range(dice.randrange(3, 30)):
        churn(world, number)
    world.prober.goes_on()
    for child in children:
        os.kill(child, signal.SIGCONT)
    world.caught_up()


def stopped_agent(world: World, dice: random.Random) -> None:
    """As a machine that slept: the events of a while come at once."""
    agent = world.one.agent
    assert agent is not None
    agent.send_signal(signal.SIGSTOP)
    for number in range(dice.randrange(20, 100)):
        churn(world, number)
    world.prober.goes_on()
    agent.send_signal(signal.SIGCONT)
    world.caught_up()


def swapped(world: World, dice: random.Random) -> None:
    """The policy that guards c goes and another comes, in one transaction of the store, and back."""
    client = world.lab.client
    guard = client.get(GLOBAL_NETWORK_POLICY, "guard")
    client.create(Resource(kind=GLOBAL_NETWORK_POLICY, metadata=Metadata(name="other"), spec=guard.spec))
    keys = [found.key for found in client.datastore.list(GLOBAL_NETWORK_POLICY.prefix).items
            if found.key.rpartition("/")[2].endswith(("guard", "other"))]  # fmt: skip
    values = {key: item.value for key in keys if (item := client.datastore.get(key)) and item.value}
    assert len(values) == 2
    one, two = sorted(values)
    client.datastore.commit([Drop(two)])
    for _ in range(dice.randrange(10, 20) * 2):
        client.datastore.commit([Drop(one), Put(two, values[two])])
        world.prober.goes_on()
        one, two = two, one
    assert one == sorted(values)[0]
    world.caught_up()


def storm(world: World, _: random.Random, updates: int = 800) -> None:
    """Changes as fast as the store takes them; each of `churn` is four. They are few transactions, and none waits."""
    before, seen = world.memory(), figures(world.one)
    assert seen.keys() >= KNOWN_FIGURES
    for number in range(updates):
        churn(world, number)
    world.caught_up()
    after, grown = world.memory(), figures(world.one)
    assert after < before * 2 + 60, f"{before:.0f} MB before the storm, {after:.0f} MB after it"
    # How many fewer depends on how fast the machine writes: 50 a second at most.
    assert grown["felix_nft_calls_total"] - seen["felix_nft_calls_total"] < updates * 4
    assert grown["tortie_node_pass_failures_total"] == seen["tortie_node_pass_failures_total"]
    wait_until(lambda: figures(world.one)["tortie_node_pending_events"] == 0, message=world.one.story)


def no_descriptors(world: World, _: random.Random) -> None:
    """The agent may open no file more and loses its child; then it may again."""
    agent = world.one.agent
    assert agent is not None
    usual = resource.prlimit(agent.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (3, usual[1]))
    said = world.one.log.stat().st_size
    world.kill_child()
    churn(world, 1)
    wait_until(lambda: "Too many open files" in world.one.log.read_text()[said:], message="the agent meets its limit")
    world.prober.goes_on()
    assert agent.poll() is None, world.one.log.read_text()[-3000:]
    resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, usual)
    world.caught_up()


def jumping_clock(world: World, dice: random.Random) -> None:
    """Needs the agent of tests.kernel.run_jumping: each signal moves its clocks."""
    agent = world.one.agent
    assert agent is not None
    with churning(world):
        for _ in range(6):
            agent.send_signal(signal.SIGUSR1)
            time.sleep(dice.random() / 10)
    world.caught_up()
    assert world.one.log.read_text().count("the clocks jump") >= 1


def flushed(world: World, dice: random.Random) -> None:
    """Another program flushes everything. Where the table is ours nothing happens; where it is shared, what is sent
    until it is mended is counted apart."""
    shared = not world.one.status()["table"]["owned"]
    for _ in range(3):
        time.sleep(dice.random() / 5)
        before, repairs = world.table(), world.one.status()["table"]["repairs"]
        began = time.monotonic()
        inside(world.one.netns, "nft", "flush", "ruleset")
        if shared:
            wait_until(
                lambda repairs=repairs, before=before: (
                    world.one.status()["table"]["repairs"] > repairs  # type: ignore[misc]
                    and world.table() == before
                ),
                message=world.one.story,
            )
            # What was sent before the answer to this question came was sent before the table was mended.
            world.prober.excuse(began, time.monotonic())
        assert world.table() == before
    world.prober.goes_on()


def routes_flushed(world: World, _: random.Random) -> None:
    """Another program takes our routes away, and ours come back; what is sent meanwhile is counted apart."""
    netns = world.one.netns
    before = inside(netns, "ip", "route", "show", "proto", "80")
    began = time.monotonic()
    for family in ("-4", "-6"):
        subprocess.run(["ip", "-n", netns, family, "route", "flush", "proto", "80"], check=False)
    wait_until(lambda: inside(netns, "ip", "route", "show", "proto", "80") == before, message=world.one.story)
    world.caught_up()
    world.prober.excuse(began, time.monotonic())


def compacted(world: World, dice: random.Random) -> None:
    """The store is away while it changes, and what changed is forgotten there: it is read again whole."""
    store = world.store
    assert store is not None
    before = _resyncs(world)
    world.cut_off()
    for number in range(dice.randrange(5, 30)):
        churn(world, number)
    world.prober.goes_on()
    store.compact(world.lab.client.datastore.list("/calico/").revision)
    world.connect()
    world.caught_up()
    assert _resyncs(world) > before


def put_back(world: World, dice: random.Random) -> None:
    """The store ends, and comes back as it was some time ago: its revisions go backwards."""
    store = world.store
    assert store is not None
    store.stop()
    backup = store.directory / "backup"
    shutil.copytree(store.directory / "data", backup)
    store.start()
    for number in range(dice.randrange(20, 60)):
        churn(world, number)
    world.caught_up()
    before = _resyncs(world)
    store.kill()
    wait_until(lambda: world.one.status()["store"]["reason"], message=world.one.story)
    world.prober.goes_on()
    shutil.rmtree(store.directory / "data")
    backup.rename(store.directory / "data")
    store.start()
    world.lab.reopen()
    world.caught_up()
    assert _resyncs(world) > before


def _resyncs(world: World) -> float:
    text = world.one.ask("/metrics") or ""
    (line,) = [line for line in text.splitlines() if line.startswith("felix_resyncs_started_total ")]
    return float(line.split()[1])


def disk_full(world: World, _: random.Random) -> None:
    """No room where the store lies: nothing can be written, what is there stays in force, also for one that starts."""
    filler = world.lab.directory / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    refused = 0
    for number in range(2000):
        try:
            churn(world, number)
        except TortieError:
            refused += 1
            break
    assert refused, "the disk is not full"
    world.prober.goes_on()
    world.restart()
    world.prober.goes_on()
    filler.unlink()
    world.caught_up()


EVERYWHERE: dict[str, Scene] = {
    "broken values": broken_values,
    "no interface, duplicates": no_interface_and_duplicates,
    "a vanishing interface": vanishing_interface,
    "kills": killed,
    "a child that hangs": stopped_child,
    "an agent that slept": stopped_agent,
    "two policies swapped": swapped,
    "a storm of updates": storm,
    "no file descriptors": no_descriptors,
    "a flush": flushed,
    "routes flushed": routes_flushed,
}
