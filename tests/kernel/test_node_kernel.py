"""Real agents, a real kernel: what passes and what does not."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.kernel.netlab import Container, Host, Lab, allow_tcp, inside, own_tag, sh, until
from tests.support.machine import needs_ownership
from tests.support.waiting import PATIENCE

from tortie.lab.walks.matrix import Probe, Seen
from tortie.lab.walks.prober import Target, enter, probe_all
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import HttpMatch, Rule

pytestmark = pytest.mark.root

U, C, F, B = "management-ui", "client", "frontend", "backend"
PROBES = (Probe("tcp", 9000), Probe("tcp", 9001), Probe("udp", 9000), Probe("icmp"))
ALL = frozenset(PROBES)
NONE: frozenset[Probe] = frozenset()
SILENCE = 0.6
"""Seconds without an answer that count as silence."""
T9000, T9001 = frozenset({Probe("tcp", 9000)}), frozenset({Probe("tcp", 9001)})


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def netns(name: str) -> Path:
    return Path("/var/run/netns", name)


def passing(source: str, address: str, probes: Sequence[Probe] = PROBES, seconds: float = SILENCE) -> frozenset[Probe]:
    """Those probes that were answered, be it by a refusal of the other end: they got there and back."""
    seen = probe_all({netns(source): [Target(address, probe) for probe in probes]}, seconds)[netns(source)]
    return frozenset(probe for probe, outcome in zip(probes, seen, strict=True) if outcome is not Seen.DROPPED)


def matrix_of(sources: Sequence[str], address: str, probes: Sequence[Probe]) -> dict[str, frozenset[Probe]]:
    """What gets through from several namespaces to one address."""
    seen = probe_all({netns(s): [Target(address, probe) for probe in probes] for s in sources}, 0.25)
    return {
        s: frozenset(p for p, outcome in zip(probes, seen[netns(s)], strict=True) if outcome is not Seen.DROPPED)
        for s in sources
    }


def passes(source: str, address: str) -> bool:
    """Whether an echo comes back at once. For `not passes`, and for asking again and again."""
    return bool(passing(source, address, [Probe("icmp")]))


def answered(source: str, address: str) -> bool:
    """Whether one echo comes back, however slow this machine is."""
    return bool(passing(source, address, [Probe("icmp")], PATIENCE))


def set_profile(lab: Lab, name: str, *ingress: Rule) -> None:
    lab.profile(name, *ingress)


def settled(hosts: Sequence[Host], source: str, address: str, wanted: frozenset[Probe]) -> None:
    """Until the kernels say what the last change of the store wants for one pair."""
    until(lambda: passing(source, address) == wanted, message=f"{source} -> {address} = {wanted}")


def matrix(sources: dict[str, str], targets: dict[str, str]) -> dict[tuple[str, str], frozenset[Probe]]:
    """What gets through from every source to every target, all at once."""
    work = {
        netns(source): [Target(address, probe) for address in targets.values() for probe in PROBES]
        for source in sources.values()
    }
    seen = probe_all(work, 0.8)
    found = {}
    for name, source in sources.items():
        outcomes = iter(seen[netns(source)])
        for target in targets:
            got = [probe for probe in PROBES if next(outcomes) is not Seen.DROPPED]
            found[(name, target)] = frozenset(got)
    return found


def wanted(stage: int) -> dict[tuple[str, str], frozenset[Probe]]:
    """The document's matrix after a step; `2` marks the second container of a network, `outside` a host without one."""
    table: dict[tuple[str, str], frozenset[Probe]] = {}
    for target in (U, C, F, B):
        for source in {U, C, F, B, "outside"} - {target}:
            table[(source, target)] = NONE
        table[(f"{target}2", target)] = ALL
    if stage >= 7:
        for source in (f"{U}2", C, F, B, "outside"):
            table[(source, U)] = T9001
    if stage >= 8:
        for target in (C, F, B):
            table[(U, target)] = T9000
    if stage >= 9:
        table[(C, F)] = table[(F, B)] = T9001
    return table


def reach(stage: int, sources: dict[str, str], targets: dict[str, str]) -> None:
    """Fails with the pairs that differ when the matrix of a step does not come about."""
    wrong: list[str] = []

    def holds() -> bool:
        seen = matrix(sources, targets)
        wrong[:] = [f"{p}: {sorted(seen[p])} not {sorted(s)}" for p, s in wanted(stage).items() if seen[p] != s]
        return not wrong

    try:
        until(holds)
    except AssertionError as error:
        raise AssertionError(f"after step {stage}: {wrong}") from error


def advance(lab: Lab, stage: int) -> None:
    """The document's rules up to a step."""
    set_profile(lab, U, allow_tcp(9001) if stage >= 7 else own_tag(U))
    for name, peer in ((C, ""), (F, C), (B, F)):
        rules = [own_tag(name)]
        if stage >= 8:
            rules.append(allow_tcp(9000, U))
        if stage >= 9 and peer:
            rules.append(allow_tcp(9001, peer))
        set_profile(lab, name, *rules)


@pytest.mark.parametrize("spread", [False, True], ids=["one host", "two hosts"])
def test_the_stars_matrix_holds_at_every_step(lab: Lab, spread: bool) -> None:
    one = lab.host("h1", "10.9.0.1")
    two = lab.host("h2", "10.9.0.2")
    outside = lab.plug("out", "10.9.0.9")
    inside(outside, "ip", "route", "add", "10.65.0.0/16", "via", "10.9.0.2" if spread else "10.9.0.1")
    lab.block("10.65.0.0/26", "h1")
    lab.block("10.65.1.0/26", "h2")
    advance(lab, 3)
    boxes: dict[str, Container] = {}
    for index, name in enumerate((U, C, F, B)):
        host = two if spread and index % 2 else one
        other = one if spread and host is two else two if spread else one
        block = {one: "10.65.0", two: "10.65.1"}
        boxes[name] = host.container(f"{name[0]}1", f"{block[host]}.{index}", name, wait=False)
        boxes[f"{name}2"] = other.container(f"{name[0]}2", f"{block[other]}.{index + 10}", name, wait=False)
    for box in boxes.values():
        until(lambda box=box: box.host.endpoint(box).get("state") == "up", message=box.key)  # type: ignore[misc]
    sources = {name: box.netns for name, box in boxes.items()} | {"outside": outside}
    targets = {name: boxes[name].address for name in (U, C, F, B)}
    for stage in (3, 7, 8, 9):
        advance(lab, stage)
        reach(stage, sources, targets)
    # A host is never refused by the policy of its own containers.
    assert passing(one.netns, boxes[U].address, seconds=PATIENCE) == ALL


def test_a_spoofed_source_does_not_leave(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", Rule(action="Allow"))
    a = host.container("a", "10.65.0.1", "n")
    b = host.container("b", "10.65.0.2", "n")
    with listening(b.netns, 7) as received:
        for source in ("10.65.0.2", "10.9.0.1", "127.0.0.1", "224.0.0.5", "10.65.0.77"):
            send_udp(a.netns, source, b.address, 7, f"from {source}".encode())
        # The honest one, sent last: when it is there, the others would have been.
        send_udp(a.netns, a.address, b.address, 7, b"honest")
        assert until(lambda: list(received)) == [b"honest"]


def test_an_interface_that_nobody_knows_is_closed(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", Rule(action="Allow"))
    a = host.container("a", "10.65.0.1", "n")
    stranger = host.link("calix", "10.65.0.9")
    inside(host.netns, "ip", "route", "add", "10.65.0.9/32", "dev", "calix", "scope", "link")
    assert not passes(stranger, a.address)
    assert not passes(a.netns, "10.65.0.9")
    assert not passes(stranger, host.address)


def test_what_comes_while_the_agent_is_away_stays_closed_and_the_rest_goes_on(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", own_tag("n"))
    a = host.container("a", "10.65.0.1", "n")
    b = host.container("b", "10.65.0.2", "n")
    assert host.kill(signal.SIGKILL) == -signal.SIGKILL
    late = host.container("late", "10.65.0.3", "n", wait=False)
    inside(host.netns, "ip", "route", "add", "10.65.0.3/32", "dev", late.interface, "scope", "link", "proto", "80")
    assert answered(a.netns, b.address)
    assert not passes(late.netns, a.address)
    assert not passes(a.netns, late.address)
    host.start()
    until(lambda: passes(late.netns, a.address))
    assert host.kill(signal.SIGTERM) == 0
    assert answered(late.netns, a.address)


def test_a_restart_loses_no_packet_and_lets_none_through(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", own_tag("n"))
    lab.profile("m", own_tag("m"))
    a = host.container("a", "10.65.0.1", "n")
    b = host.container("b", "10.65.0.2", "n")
    c = host.container("c", "10.65.0.3", "m")
    before = sh("ip", "netns", "exec", host.netns, "nft", "list", "table", "inet", "tortie")
    # The allowed one ends first, with every answer in: what of the other got through had its time.
    with stream(a.netns, c.address, answered=False) as refused, stream(a.netns, b.address, answered=True) as allowed:
        for number in (signal.SIGKILL, signal.SIGTERM):
            go_on(allowed, refused)
            host.kill(number)
            go_on(allowed, refused)
            host.start()
            host.ready()
            go_on(allowed, refused)
    assert (allowed.sent, allowed.lost) == (allowed.received, [])
    assert (refused.received, len(refused.lost)) == (0, refused.sent)
    assert strip(before) == strip(inside(host.netns, "nft", "list", "table", "inet", "tortie"))


@needs_ownership
def test_others_cannot_change_the_table(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", own_tag("n"))
    a = host.container("a", "10.65.0.1", "n")
    b = host.container("b", "10.65.0.2", "n")
    inside(host.netns, "nft", "flush", "ruleset")
    refused = subprocess.run(
        ["ip", "netns", "exec", host.netns, "nft", "flush", "chain", "inet", "tortie", "fwd_to"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "not permitted" in refused.stderr
    stranger = host.link("calix", "10.65.0.9")
    assert not passes(stranger, a.address)
    assert answered(a.netns, b.address)


@pytest.mark.parametrize("edit", ["flush ruleset", "delete table inet tortie", "flush chain inet tortie fwd_to",
                                  "add rule inet tortie fwd_from accept", "delete element inet tortie to_wl { calia }",
                                  "insert rule inet tortie spoof accept"])  # fmt: skip
def test_without_ownership_foreign_edits_are_repaired(lab: Lab, edit: str) -> None:
    host = lab.host("h1", "10.9.0.1", "--share-table")
    lab.profile("n", own_tag("n"))
    host.container("a", "10.65.0.1", "n")
    host.container("b", "10.65.0.2", "n")
    inside(host.netns, "nft", "add", "table", "ip", "theirs")
    before = strip(inside(host.netns, "nft", "list", "table", "inet", "tortie"))
    inside(host.netns, "nft", *edit.split())
    until(lambda: strip(inside(host.netns, "nft", "list", "table", "inet", "tortie", check=False)) == before)


def test_an_agent_whose_nftables_child_dies_starts_another(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", own_tag("n"))
    a = host.container("a", "10.65.0.1", "n")
    assert host.agent is not None
    child = int(sh("pgrep", "-P", str(host.agent.pid)).split()[0])
    sh("kill", "-9", str(child))
    b = host.container("b", "10.65.0.2", "n")
    assert answered(a.netns, b.address)


def test_routes_of_ours_come_back_and_others_are_left_alone(lab: Lab) -> None:
    one, two = lab.host("h1", "10.9.0.1"), lab.host("h2", "10.9.0.2")
    lab.profile("n", own_tag("n"))
    lab.block("10.65.0.0/26", "h1")
    lab.block("10.65.1.0/26", "h2")
    a = one.container("a", "10.65.0.1", "n")
    b = two.container("b", "10.65.1.1", "n")
    inside(one.netns, "ip", "route", "add", "10.77.0.0/16", "via", "10.9.0.2", "proto", "81")
    until(lambda: passes(a.netns, b.address))
    inside(one.netns, "ip", "route", "flush", "proto", "80")
    until(lambda: passes(a.netns, b.address))
    inside(one.netns, "ip", "link", "set", a.interface, "down")
    inside(one.netns, "ip", "link", "set", a.interface, "up")
    until(lambda: passes(a.netns, b.address))
    until(lambda: "blackhole 10.65.0.0/26 proto 80" in inside(one.netns, "ip", "route"), message=one.story)
    assert "10.77.0.0/16 via 10.9.0.2" in inside(one.netns, "ip", "route")


def test_a_borrowed_address_is_reached_where_it_is(lab: Lab) -> None:
    one, two, three = (lab.host(f"h{i}", f"10.9.0.{i}") for i in (1, 2, 3))
    lab.profile("n", own_tag("n"))
    lab.block("10.65.0.0/26", "h1", {5: "h2", 6: "h1"})
    lab.block("10.65.3.0/26", "h3")
    borrowed = two.container("b", "10.65.0.5", "n")
    owner = one.container("a", "10.65.0.6", "n")
    third = three.container("c", "10.65.3.1", "n")
    for source in (owner, third):
        until(lambda source=source: passes(source.netns, borrowed.address))  # type: ignore[misc]
        assert answered(borrowed.netns, source.address)


@pytest.mark.parametrize(
    ("action", "services", "tcp", "dns"),
    [("Drop", "Disabled", False, False), ("Drop", "Enabled", False, True), ("Return", "Disabled", True, True)],
)
def test_a_workload_and_its_own_host(lab: Lab, action: str, services: str, tcp: bool, dns: bool) -> None:
    spec = FelixConfigurationSpec(default_endpoint_to_host_action=action, host_services=services)  # type: ignore[arg-type]
    lab.client.apply(Resource(kind=FELIX_CONFIGURATION, metadata=Metadata(name="default"), spec=spec))
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", own_tag("n"))
    a = host.container("a", "10.65.0.1", "n")
    for probe, open_ in ((Probe("tcp", 80), tcp), (Probe("udp", 53), dns)):
        assert bool(passing(a.netns, host.address, [probe], PATIENCE if open_ else SILENCE)) is open_
    assert answered(host.netns, a.address)


def test_what_cannot_be_enforced_or_does_not_exist_closes_and_says_why(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", own_tag("n"))
    a = host.container("a", "10.65.0.1", "n")
    b = host.container("b", "10.65.0.2", "n")
    assert answered(a.netns, b.address)
    bad = Rule(action="Allow", protocol="TCP", http=HttpMatch(methods=("GET",)))
    lab.profile("n", own_tag("n"), bad)
    until(lambda: host.endpoint(a).get("state") == "closed")
    assert "http cannot be enforced" in " ".join(host.endpoint(a)["reasons"])
    until(lambda: not passes(a.netns, b.address))
    lab.profile("n", own_tag("n"))
    until(lambda: passes(a.netns, b.address))
    lab.client.delete(PROFILE, "n")
    until(lambda: not passes(a.netns, b.address))
    until(lambda: "does not exist" in " ".join(host.endpoint(a)["notes"]), message=host.story)


def test_an_endpoint_that_goes_leaves_nothing(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", own_tag("n"))
    empty = strip(inside(host.netns, "nft", "list", "table", "inet", "tortie"))
    routes = inside(host.netns, "ip", "route")
    a = host.container("a", "10.65.0.1", "n")
    lab.client.delete(WORKLOAD_ENDPOINT, a.key.rpartition("/")[2], "libnetwork")
    until(lambda: strip(inside(host.netns, "nft", "list", "table", "inet", "tortie")) == empty)
    until(lambda: inside(host.netns, "ip", "route") == routes)


def test_a_table_of_another_shape_is_replaced_at_once_and_whole(lab: Lab) -> None:
    namespace = lab.plug("h1", "10.9.0.1")
    old = (
        "add table inet tortie; add set inet tortie src4 { type ipv4_addr; }; add map inet tortie old "
        "{ type ifname : verdict; }; add chain inet tortie a; add chain inet tortie b; add rule inet tortie a jump b; "
        "add chain inet tortie fwd_to { type filter hook forward priority -3; }; "
        "add rule inet tortie fwd_to ip saddr @src4 jump a; add element inet tortie old { calia : goto b }"
    )
    inside(namespace, "nft", old)
    host = Host("h1", namespace, "10.9.0.1", lab)
    lab.hosts.append(host)
    host.start()
    host.ready()
    lab.profile("n", own_tag("n"))
    a, b = host.container("a", "10.65.0.1", "n"), host.container("b", "10.65.0.2", "n")
    assert answered(a.netns, b.address)
    table = inside(namespace, "nft", "list", "table", "inet", "tortie")
    assert "map old" not in table
    assert "chain a {" not in table
    assert not host.status()["table"]["owned"]


def test_a_store_that_is_away_leaves_the_kernel_as_it_is(lab: Lab, tmp_path: Path) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", own_tag("n"))
    a, b = host.container("a", "10.65.0.1", "n"), host.container("b", "10.65.0.2", "n")
    host.kill(signal.SIGTERM)
    before = strip(inside(host.netns, "nft", "list", "table", "inet", "tortie"))
    routes = inside(host.netns, "ip", "route")
    (tmp_path / "a file").write_text("no store")
    host.start("--store", f"sqlite://{tmp_path}/a file/store")
    until(lambda: "a file" in host.status().get("store", {}).get("reason", ""))
    assert "a file" in (host.ask("/readiness") or "")
    assert answered(a.netns, b.address)
    assert strip(inside(host.netns, "nft", "list", "table", "inet", "tortie")) == before
    assert inside(host.netns, "ip", "route") == routes
    assert host.kill(signal.SIGTERM) == 0


def test_a_pool_with_nat_hides_its_workloads_from_what_is_in_no_pool(lab: Lab) -> None:
    def pool(nat: bool) -> None:
        lab.pool("10.65.0.0/16", nat_outgoing=nat)

    pool(False)
    outside = lab.plug("out", "10.9.0.9")
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", own_tag("n"))
    a = host.container("a", "10.65.0.1", "n")
    b = host.container("b", "10.65.0.2", "n")
    assert not passes(a.netns, "10.9.0.9")
    pool(True)
    until(lambda: passes(a.netns, "10.9.0.9"))
    # Inside the pool the source stays, or the tag of the other would not match.
    assert answered(a.netns, b.address)
    inside(outside, "ip", "route", "add", "10.65.0.0/16", "via", "10.9.0.1")
    pool(False)
    until(lambda: "post_nat" not in inside(host.netns, "nft", "list", "table", "inet", "tortie"))
    assert answered(a.netns, "10.9.0.9")


def test_boot_closes_a_host_without_an_agent(lab: Lab) -> None:
    namespace = lab.plug("bare", "10.9.0.5")
    host = Host("bare", namespace, "10.9.0.5", lab)
    run = (sys.executable, "-m", "tests.kernel.run_node", "boot")
    assert "closed table loaded" in inside(namespace, *run)
    first, second = host.link("calia", "10.65.0.1"), host.link("calib", "10.65.0.2")
    for name, address in (("calia", "10.65.0.1"), ("calib", "10.65.0.2")):
        inside(namespace, "ip", "route", "add", f"{address}/32", "dev", name, "scope", "link")
    inside(namespace, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    assert not passes(first, "10.65.0.2")
    assert not passes(second, "10.9.0.5")
    assert "there already" in inside(namespace, *run)


# helpers with packets of their own


def strip(table: str) -> str:
    """Without counters, which restart with each rewrite, and without the owner's name, in an order of its own."""
    kept = [line for line in table.splitlines() if "progname" not in line and "flags owner" not in line]
    words = " ".join(" ".join(kept).replace("packets", "\npackets").split(" "))
    without = [line.split(" ", 4)[-1] if line.startswith("packets") else line for line in words.splitlines()]
    return "\n".join(sorted(" ".join(without).replace("}", "}\n").splitlines()))


def in_thread(namespace: str, work: Callable[[], None]) -> threading.Thread:
    def run() -> None:
        enter(netns(namespace))
        work()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def send_udp(namespace: str, source: str, destination: str, port: int, data: bytes) -> None:
    """One UDP datagram with any source address, by a raw socket."""

    def send() -> None:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        udp = struct.pack("!HHHH", 4000, port, 8 + len(data), 0) + data
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0,
                           socket.inet_aton(source), socket.inet_aton(destination))  # fmt: skip
        raw.sendto(head + udp, (destination, 0))
        raw.close()

    in_thread(namespace, send).join()


class listening:
    """Collects the datagrams that arrive at a port of a namespace."""

    def __init__(self, namespace: str, port: int) -> None:
        self._received: list[bytes] = []
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._thread = in_thread(namespace, lambda: self._listen(port))
        assert self._ready.wait(PATIENCE), f"nothing listens at port {port} of {namespace}"

    def _listen(self, port: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("0.0.0.0", port))
            sock.settimeout(0.1)
            self._ready.set()
            while not self._stop.is_set():
                try:
                    self._received.append(sock.recv(2048))
                except TimeoutError:
                    continue

    def __enter__(self) -> list[bytes]:
        return self._received

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


class stream:
    """Datagrams of new flows (a new source port each) every few milliseconds, each answered by a refusal of the other
    end when it got there and back. `answered` says whether that is expected: then each answer is waited for."""

    _KEPT = 150  # sockets whose answer is still looked for while the stream goes on

    def __init__(self, namespace: str, destination: str, *, answered: bool) -> None:
        self.sent = self.received = 0
        self.lost: list[int] = []
        self._destination = destination
        self._answered = answered
        self._waiting: deque[tuple[int, socket.socket]] = deque()
        self._stop = threading.Event()
        self._thread = in_thread(namespace, self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.005):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.connect((self._destination, 9))
            sock.send(b"x")
            self._waiting.append((self.sent, sock))
            self.sent += 1
            if len(self._waiting) > self._KEPT:
                self._collect(*self._waiting.popleft())

    def _collect(self, number: int, sock: socket.socket) -> None:
        """What came of one datagram: an answer stays with its socket until it is read."""
        sock.settimeout(PATIENCE if self._answered and not self.lost else 0)
        try:
            sock.recv(10)
        except ConnectionRefusedError:
            self.received += 1
        except (TimeoutError, BlockingIOError):
            self.lost.append(number)
        sock.close()

    def __enter__(self) -> stream:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it and counts what is still on its way."""
        self._stop.set()
        self._thread.join()
        while self._waiting:
            self._collect(*self._waiting.popleft())


def go_on(*streams: stream) -> None:
    """Until each of them has sent some more, however fast this machine is."""
    for one in streams:
        goal = one.sent + 20
        until(lambda one=one, goal=goal: one.sent >= goal, message=f"{goal} datagrams")  # type: ignore[misc]
