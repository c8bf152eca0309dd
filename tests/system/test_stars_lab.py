"""The Stars demo at its end: the page, faults of every daemon, forged and early packets, and what `down` leaves."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.browser import CHROMIUM, FLAGS, needs_browser
from tests.support.stars_lab import (
    BIN,
    ECHO,
    Container,
    Conversation,
    check,
    daemon_pid,
    in_netns,
    story,
    tortie,
    wait_for,
)
from tests.support.waiting import PATIENCE, wait_until
from tests.support.walk_pages import type_then, untyped

from tortie.lab.api import Host, Lab
from tortie.lab.walks.matrix import Probe, Seen
from tortie.lab.walks.prober import Target, probe_all

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1200)]

NAME = f"systest-{os.getpid()}"
DAEMONS = [
    ("agent-1", "node"),
    ("agent-2", "node"),
    ("agent-1", "agent"),
    ("agent-2", "dockerd"),
    ("master", "node"),
    ("master", "master"),
    ("master", "marathon"),
    ("master", "dns"),
    ("master", "lb"),
]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    ran = tortie("up", "stars", "--name", NAME)
    try:
        assert ran.returncode == 0, ran.stderr
        yield Lab.find(NAME)
    finally:
        tortie("down", "--name", NAME)


def reach(netns: Path, address: str, probe: Probe, timeout: float = 1.0) -> Seen:
    return probe_all({netns: [Target(address, probe)]}, timeout)[netns][0]


def test_why_and_matrix_know_the_tasks_by_name_on_a_host_and_from_outside(lab: Lab) -> None:
    """The answer is that of the packets: `walk` compares the same matrix with what probes see."""
    agent = lab.host("agent-1")
    for destination, code in (("frontend", 0), ("backend", 1)):
        ran = agent.run(["tortie", "why", "client", destination, "tcp/9000"])
        assert ran.returncode == code, ran.stdout + ran.stderr
        assert tortie("why", "client", destination, "tcp/9000", "--name", NAME).stdout == ran.stdout
    listed = tortie("matrix", "--port", "tcp/9000", "--csv", "--name", NAME).stdout.splitlines()[1:]
    rows = [line.split(",") for line in listed]
    apps = {name: name.partition(".")[0] for row in rows for name in (row[0], row[2]) if name.endswith(".calico-stars")}
    assert sorted(apps.values()) == ["backend", "client", "frontend", "management-ui"]
    between = [row for row in rows if row[0] in apps and row[2] in apps]
    assert {(apps[row[0]], apps[row[2]]) for row in between if row[5] == "allow"} == {
        *(("management-ui", name) for name in ("backend", "client", "frontend")),
        ("client", "frontend"),
        ("frontend", "backend"),
    }
    assert len(between) == 4 * 3


def test_flows_name_who_was_refused_and_by_which_profile(lab: Lab) -> None:
    """The demo's probes try every pair again and again."""

    def refused() -> set[tuple[str, str, str]]:
        ran = tortie("flows", "--denied", "--json", "--name", NAME)
        assert ran.returncode == 0, ran.stderr
        found = json.loads(ran.stdout)["items"]
        assert {flow["action"] for flow in found} <= {"Deny"}
        short = [(f["source_name"].partition(".")[0], f["dest_name"].partition(".")[0], f) for f in found]
        return {(a, b, f["policies"]["enforced"][-1]["name"]) for a, b, f in short if f["dest_port"] == 9000}

    wanted = {("client", "backend", "backend"), ("backend", "client", "client"), ("frontend", "client", "client")}
    wait_until(lambda: wanted <= refused(), message=lambda: f"{wanted} among {refused()}")
    shown = tortie("flows", "--denied", "--name", NAME).stdout
    assert "entering: profile backend: no rule matched" in shown
    assert max(map(len, shown.splitlines())) <= 80

    def counted() -> bool:
        """Probes come every few seconds, and a chain that was written anew counts from nothing."""
        ran = tortie("why", "client", "frontend", "tcp/9000", "--counters", "--json", "--name", NAME)
        assert ran.returncode == 0, ran.stderr
        items = json.loads(ran.stdout)["counters"]
        rules = {(item["name"], item["direction"], item["rule"]): item["packets"] for item in items}
        return bool(rules["frontend", "ingress", 4])

    wait_until(counted)


@pytest.fixture(scope="module")
def pair(lab: Lab) -> Iterator[tuple[Container, Container]]:
    """Two containers of the network `client`, one on each agent; the first echoes on port 7000."""
    server = Container(lab.host("agent-1"), "t-echo", "client", ("python3", "-c", ECHO))
    client = Container(lab.host("agent-2"), "t-client", "client")
    yield client, server
    client.remove()
    server.remove()


def test_the_matrix_of_the_last_step_holds(lab: Lab) -> None:
    check(NAME)


def test_the_doctor_finds_nothing_wrong_on_any_host_with_a_node(lab: Lab) -> None:
    ran = tortie("doctor", "--name", NAME, "--json")
    found = json.loads(ran.stdout)
    assert set(found) == {"master", "agent-1", "agent-2"}
    assert not [(host, one) for host, findings in found.items() for one in findings if one["level"] == "problem"]
    assert ran.returncode == 0
    on_host = tortie("exec", "--name", NAME, "agent-1", "tortie", "doctor")
    assert on_host.returncode == 0
    assert "agent-1 enforces policy" in on_host.stdout
    on_laptop = tortie("exec", "--name", NAME, "laptop", "tortie", "doctor", "--here")
    assert on_laptop.returncode == 1
    assert "does not run on this host" in on_laptop.stdout
    assert tortie("doctor", "--name", "nosuchlab").returncode == 3


def test_a_second_up_finds_the_lab(lab: Lab) -> None:
    again = tortie("up", "stars", "--name", NAME)
    assert again.returncode == 0
    assert "already" in again.stderr
    other = tortie("up", "stars", "--name", NAME, "--agents", "3")
    assert other.returncode == 4


@needs_browser
def test_the_page_draws_client_frontend_backend(lab: Lab) -> None:
    from playwright.sync_api import sync_playwright

    status = json.loads(tortie("status", "--name", NAME, "--json").stdout)
    url = next(page["url"] for page in status["pages"] if page["name"] == "stars")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=1000 * PATIENCE)
        page = browser.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.goto(url)
        edges: list[dict[str, Any]] = []

        def drawn() -> bool:
            edges[:] = page.evaluate("window.stars ? window.stars.edges() : []")
            return [edge["reachable"] for edge in edges].count(True) == 2

        wait_until(drawn, message=lambda: f"two bright edges: {edges}")
        browser.close()
    assert {(e["from"], e["to"]) for e in edges if e["reachable"]} == {("C", "F"), ("F", "B")}
    assert len(edges) == 6


@pytest.mark.parametrize(("host", "daemon"), DAEMONS)
def test_a_killed_daemon_comes_back_and_nothing_else_changes(
    lab: Lab, pair: tuple[Container, Container], host: str, daemon: str
) -> None:
    """Running conversations go on while it is away, and the policy of the last step still holds behind it."""
    talk = Conversation(*pair)
    before = daemon_pid(lab, host, daemon)
    assert before
    lab.host(host).run(["kill", "-9", str(before)])
    assert talk.speak()
    wait_for(f"{daemon} on {host}", lambda: daemon_pid(lab, host, daemon) not in (None, before))
    assert talk.speak()
    talk.close()
    check(NAME)


def send_udp(source: str, destination: str, port: int) -> None:
    """One datagram with whatever source address; the kernel fills in the header's checksum."""
    udp = struct.pack("!HHHH", 5555, port, 8 + 5, 0) + b"hello"
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + ends
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        sock.sendto(head + udp, (destination, 0))


def test_haproxy_keeps_its_connections_while_the_balancer_is_killed(lab: Lab) -> None:
    """One open stream of the Stars page, from the laptop through HAProxy, goes on delivering."""
    request = b"GET /v1/events HTTP/1.1\r\nHost: my.marathon.app\r\nAccept: text/event-stream\r\n\r\n"

    def connect() -> socket.socket:
        sock = socket.create_connection(("172.24.197.101", 80), timeout=PATIENCE)
        sock.sendall(request)
        return sock

    with in_netns(lab.host("laptop").netns(), connect) as stream:
        assert stream.recv(4096).startswith(b"HTTP/1.1 200")
        before = daemon_pid(lab, "master", "lb")
        lab.host("master").run(["kill", "-9", str(before)])
        wait_for("lb", lambda: daemon_pid(lab, "master", "lb") not in (None, before))
        # Two beats of the stream, which come every 5 s: the second was sent after the new balancer had come.
        assert stream.recv(4096)
        assert stream.recv(4096)


def test_a_restart_of_every_daemon_changes_nothing(lab: Lab, pair: tuple[Container, Container]) -> None:
    talk = Conversation(*pair)

    def restart(host: Host) -> None:
        for daemon in host.daemons():
            if daemon["name"] != "node-boot":
                host.order("restart", daemon["name"])

    threads = [threading.Thread(target=restart, args=(host,)) for host in lab.hosts.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def all_up() -> bool:
        """One may have ended because another was away, and comes back."""
        return {daemon["state"] for host in lab.hosts.values() for daemon in host.daemons()} <= {"running", "done"}

    wait_until(all_up, message=lambda: story(NAME))
    assert talk.speak()
    talk.close()
    check(NAME)


def test_the_pinned_address_moves_with_its_task(lab: Lab) -> None:
    """management-ui goes to each agent in turn and keeps its address, borrowed where the block is another's."""
    app = "http://172.24.197.101:8080/v2/apps//calico-stars/management-ui"
    for agent in ("agent-2", "agent-1"):
        host = lab.host(agent)
        change = json.dumps({"constraints": [["hostname", "CLUSTER", host.address]]})
        ran = lab.host("laptop").run(
            ["curl", "-sS", "--fail", "-X", "PUT", "-H", "Content-Type: application/json", app, "-d", change]
        )
        assert ran.returncode == 0, ran.stderr

        def moved(address: str = host.address) -> bool:
            shown = json.loads(lab.host("laptop").run(["curl", "-sS", app]).stdout)["app"]
            ends = [(task["host"], a["ipAddress"]) for task in shown["tasks"] for a in task["ipAddresses"]]
            return not shown["deployments"] and ends == [(address, "192.168.255.254")]

        wait_for(f"management-ui on {agent}", moved)
        check(NAME)


def test_a_forged_source_does_not_pass(lab: Lab, pair: tuple[Container, Container]) -> None:
    """The forged address belongs to a network that may speak to the target: only the spoof guard stands between."""
    client, server = pair

    def send(source: str) -> Callable[[], None]:
        return lambda: send_udp(source, server.address, 7001)

    def listener() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((server.address, 7001))
        sock.settimeout(PATIENCE)
        return sock

    third = Container(lab.host("agent-1"), "t-third", "client")
    with in_netns(server.netns, listener) as heard:
        in_netns(third.netns, send(third.address))
        assert heard.recvfrom(99)[1][0] == third.address, "policy lets this source in when it is genuine"
        for forged in (third.address, server.address, "172.24.197.101", "127.0.0.1", "192.168.77.77"):
            in_netns(client.netns, send(forged))
        in_netns(client.netns, send(client.address))
        payload, (source, _) = heard.recvfrom(99)
        assert (payload, source) == (b"hello", client.address)
        heard.settimeout(0.5)
        with pytest.raises(TimeoutError):
            heard.recvfrom(99)
    third.remove()


def test_a_container_started_without_the_node_waits_for_it_and_then_has_its_policy(
    lab: Lab, pair: tuple[Container, Container]
) -> None:
    """The engine asks again until the node answers; nothing of the container runs before."""
    # It asks for no more than 15 s: on a busy machine the node may come too late for that, which shows nothing.
    assert any(early_containers(lab.host("agent-2"), pair[1]) for _ in range(5)), "the engine gave up every time"
    check(NAME)


def early_containers(agent: Host, server: Container) -> bool:
    """False when the engine gave up before the node was there; everything else is as it must be."""
    say = f"import socket; socket.create_connection(('{server.address}', 7000), 10)"
    networks = ("client", "backend")
    agent.order("stop", "node")
    try:
        begun = {
            network: run_in_background(agent, f"t-early-{network}", network, ("python3", "-c", say))
            for network in networks
        }
        seen: list[str] = []

        def made() -> bool:
            seen[:] = states(agent, "t-early-")
            return len(seen) == len(networks) or any(process.poll() is not None for process in begun.values())

        wait_for("the containers to be made", made)
        assert set(seen) <= {"created"}, "a container came up while no node agent ran"
    finally:
        agent.order("start", "node")
    try:
        ended = {network: process.wait(PATIENCE) for network, process in begun.items()}
        if ENGINE_FAILED & set(ended.values()):
            return False
        assert ended["client"] == 0, "the policy lets it speak to its own network"
        assert ended["backend"] == 1, "the policy lets nobody of another network speak to it"
    finally:
        agent.run(["docker", "rm", "-f", *(f"t-early-{network}" for network in networks)])
    return True


ENGINE_FAILED = {125, 127}
"""What `docker run` ends with when the container could not be started."""


def run_in_background(host: Host, name: str, network: str, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
    words = ["docker", "run", "--rm", "--name", name, "--net", network, "--entrypoint", command[0]]
    return subprocess.Popen(
        [BIN / "tortie", "exec", "--name", NAME, host.name, *words, "calico/star:v0.5.0", *command[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def states(host: Host, prefix: str) -> list[str]:
    """What the engine says of each container of this name."""
    listed = host.run(["docker", "ps", "-a", "--filter", f"name={prefix}", "--format", "{{.State}}"])
    return listed.stdout.split()


def test_without_our_table_a_boot_is_closed_until_the_node_has_read_the_store(
    lab: Lab, pair: tuple[Container, Container]
) -> None:
    client, server = pair
    agent = lab.host("agent-1")
    agent.order("stop", "node")
    try:
        assert agent.run(["nft", "delete", "table", "inet", "tortie"]).returncode == 0
        agent.order("restart", "node-boot")
        assert reach(client.netns, server.address, Probe("tcp", 7000)) is Seen.DROPPED
        assert reach(lab.host("laptop").netns(), server.address, Probe("icmp")) is Seen.DROPPED
    finally:
        agent.order("start", "node")
    wait_for("the policy", lambda: reach(client.netns, server.address, Probe("tcp", 7000)) is Seen.OPEN)
    check(NAME)


def test_what_the_page_lets_people_look_at_is_there(lab: Lab) -> None:
    type_then("stars", lab)


def test_the_whole_walk_holds() -> None:
    """In a lab of its own, beside the one of this module."""
    ran = tortie("walk", "stars", "--name", f"syswalk-{os.getpid()}", timeout=1100)
    assert ran.returncode == 0, ran.stderr
    assert untyped("stars", ran.stderr) == []
