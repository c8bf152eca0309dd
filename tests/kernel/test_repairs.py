"""What somebody else did to the table is mended, and what the kernel refuses stays with those that caused it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.kernel.netlab import Host, Lab, allow_tcp, inside, own_tag, until
from tests.kernel.test_node_kernel import answered, passes, strip

from tortie.model.rule import EntityRule, Rule

pytestmark = pytest.mark.root

PORTS = Rule(action="Allow", protocol="TCP", destination=EntityRule(ports=(80, 443)))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def table(host: Host) -> str:
    return strip(inside(host.netns, "nft", "list", "table", "inet", "tortie", check=False))


def shared(lab: Lab) -> Host:
    host = lab.host("h1", "10.9.0.1", "--share-table")
    lab.profile("n", own_tag("n"), PORTS)
    host.container("a", "10.65.0.1", "n")
    host.container("b", "10.65.0.2", "n")
    return host


def some(host: Host, word: str, beginning: str) -> str:
    """The name of a set or chain of our table."""
    text = inside(host.netns, "nft", "list", "table", "inet", "tortie")
    return next(line.split()[1] for line in text.splitlines() if line.strip().startswith(f"{word} {beginning}"))


def handle(host: Host, chain: str, containing: str) -> str:
    text = inside(host.netns, "nft", "-a", "list", "chain", "inet", "tortie", chain)
    return next(line.split()[-1] for line in text.splitlines() if containing in line and "handle" in line)


EDITS: dict[str, Callable[[Host], str]] = {
    "a rule deleted": lambda h: f"delete rule inet tortie fwd_to handle {handle(h, 'fwd_to', 'vmap')}",
    "a rule replaced": lambda h: f"replace rule inet tortie fwd_to handle {handle(h, 'fwd_to', 'drop')} accept",
    "a rule of a policy flushed": lambda h: f"flush chain inet tortie {some(h, 'chain', 'pri_')}",
    "an element added": lambda h: f"add element inet tortie {some(h, 'set', 's4_')} {{ 10.65.0.77 }}",
    "an element deleted": lambda _: 'delete element inet tortie from_wl { "calia" }',
    "a verdict changed": lambda _: (
        'delete element inet tortie from_wl { "calia" }; add element inet tortie from_wl { "calia" : accept }'
    ),
    "a port added to a list": lambda h: f"add element inet tortie {some(h, 'set', 'pl_')} {{ 1-79 }}",
    "a list emptied": lambda h: f"flush set inet tortie {some(h, 'set', 'pl_')}",
    "a chain's policy changed": lambda _: "add chain inet tortie fwd_to { policy drop; }",
    "a chain of theirs": lambda _: "add chain inet tortie x { type filter hook forward priority -9; policy drop; }",
    "a set of theirs": lambda _: "add set inet tortie theirs { type ether_addr; }",
    "the table put to sleep": lambda _: "add table inet tortie { flags dormant; }",
    "the table deleted": lambda _: "delete table inet tortie",
    "a flush of everything": lambda _: "flush ruleset",
}  # fmt: skip


def test_a_table_that_is_gone_is_closed_before_the_agent_comes_to_it(tmp_path: Path) -> None:
    """The child that owns the socket does it alone: here nobody asks it for more."""
    lab = Lab(tmp_path)
    try:
        netns = lab.plug("alone", "10.9.0.7")
        ask = (
            "import sys\n"
            "from tortie.dataplane.kernel.table import KernelTable\n"
            "from tortie.dataplane.render.base import closed_table\n"
            "table = KernelTable()\n"
            "table.open(owner=False, closed=closed_table())\n"
            "print('open', flush=True)\n"
            "sys.stdin.read()\n"
        )
        with subprocess.Popen(
            ["ip", "netns", "exec", netns, sys.executable, "-c", ask], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as agent:
            assert agent.stdout is not None
            assert agent.stdout.readline() == b"open\n"
            before = inside(netns, "nft", "list", "ruleset")
            assert 'iifname "cali*" drop' in before
            for edit in ("flush ruleset", "delete table inet tortie"):
                inside(netns, "nft", *edit.split())
                until(lambda: inside(netns, "nft", "list", "ruleset") == before, message=edit)
            assert agent.stdin is not None
            agent.stdin.close()
    finally:
        lab.close()


def test_what_the_kernel_refuses_closes_those_who_asked_for_it_and_nobody_else(lab: Lab) -> None:
    """No rule that policy becomes is known to be refused: here Log becomes a jump to a chain that is not there."""
    host = Host("h1", lab.plug("h1", "10.9.0.1"), "10.9.0.1", lab)
    lab.hosts.append(host)
    host.start(module="tests.kernel.run_refused")
    host.ready()
    lab.profile("good", own_tag("good"))
    lab.profile("bad", own_tag("bad"))
    a, b = host.container("a", "10.65.0.1", "good"), host.container("b", "10.65.0.2", "good")
    c, d = host.container("c", "10.65.0.3", "bad"), host.container("d", "10.65.0.4", "bad")
    assert answered(c.netns, d.address)
    lab.profile("bad", own_tag("bad"), Rule(action="Log"))
    until(lambda: host.endpoint(c).get("state") == "closed")
    assert "the kernel refuses" in " ".join(host.endpoint(c)["reasons"])
    assert "jump nowhere: No such file" in " ".join(host.endpoint(c)["reasons"])
    assert not passes(c.netns, d.address)
    status = host.status()
    assert status["ready"]
    assert status["table"]["refusals"] > 0
    assert status["table"]["rebuilds"] == 0
    assert "jump nowhere" in host.log.read_text()
    until(lambda: 'tortie_node_endpoints{state="closed"} 2.0' in (host.ask("/metrics") or ""), message=host.story)
    # The rest goes on, and takes changes.
    assert answered(a.netns, b.address)
    lab.profile("good", allow_tcp(80))
    until(lambda: not passes(a.netns, b.address))
    # So do they, once their rules are others.
    lab.profile("bad", own_tag("bad"), PORTS)
    until(lambda: passes(c.netns, d.address))


def test_theirs_stays_byte_for_byte(lab: Lab) -> None:
    netns = lab.plug("h1", "10.9.0.1")
    theirs = (
        "table ip nat { chain DOCKER { counter; }; chain POSTROUTING { type nat hook postrouting priority srcnat; "
        'oifname != "docker0" ip saddr 172.17.0.0/16 counter masquerade; }; }; '
        "table inet firewalld { set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }; "
        "chain filter_FORWARD { type filter hook forward priority filter + 10; ct state established accept; }; }"
    )
    inside(netns, "nft", theirs)
    seen = [inside(netns, "nft", "-a", "list", "table", *name.split()) for name in ("ip nat", "inet firewalld")]
    host = Host("h1", netns, "10.9.0.1", lab)
    lab.hosts.append(host)
    host.start("--share-table")
    host.ready()
    lab.profile("n", own_tag("n"), PORTS)
    a, b = host.container("a", "10.65.0.1", "n"), host.container("b", "10.65.0.2", "n")
    assert answered(a.netns, b.address)
    lab.profile("n", allow_tcp(80))
    until(lambda: not passes(a.netns, b.address))
    inside(netns, "nft", "delete", "table", "inet", "tortie")
    until(lambda: host.endpoint(a).get("state") == "up" and "vmap" in table(host))
    after = [inside(netns, "nft", "-a", "list", "table", *name.split()) for name in ("ip nat", "inet firewalld")]
    assert after == seen


def test_an_uninstallation_leaves_what_was_there_before(lab: Lab) -> None:
    netns = lab.plug("h1", "10.9.0.1")
    inside(netns, "nft", "table ip theirs { chain c { counter; }; }")

    def seen() -> str:
        return (
            inside(netns, "nft", "list", "ruleset") + inside(netns, "ip", "route") + inside(netns, "ip", "-br", "link")
        )

    before = seen()
    host = Host("h1", netns, "10.9.0.1", lab)
    lab.hosts.append(host)
    host.start()
    host.ready()
    lab.profile("n", own_tag("n"))
    lab.block("10.65.0.0/26", "h1")
    a = host.container("a", "10.65.0.1", "n")
    until(lambda: "blackhole 10.65.0.0/26" in inside(netns, "ip", "route"), message=host.story)
    run = host.uninstall()

    def refused(word: str) -> bool:
        done = subprocess.run(run, capture_output=True, text=True, check=False)
        return done.returncode != 0 and word in done.stderr

    assert refused("1 endpoint of a container is still on this host: libnetwork/h1-libnetwork-libnetwork-a (calia)")
    assert host.status()["ready"]
    assert host.kill(signal.SIGTERM) == 0
    assert refused("1 endpoint of a container is still on this host")
    assert "chain fwd_from" in inside(netns, "nft", "list", "ruleset")
    inside(netns, "ip", "link", "del", a.interface)
    said = inside(netns, *run[4:])
    assert "removed table inet tortie" in said
    assert "removed route 10.65.0.0/26" in said
    assert seen() == before
    assert not inside(netns, *run[4:])


# the last of the file: its hosts stay until then


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One for all edits: each ends with the table as it was."""
    lab = Lab(tmp_path_factory.mktemp("repairs"))
    yield shared(lab)
    lab.close()


@pytest.mark.parametrize("what", EDITS)
def test_what_somebody_else_changed_is_as_before(host: Host, what: str) -> None:
    before = table(host)
    repairs = host.status()["table"]["repairs"]
    inside(host.netns, "nft", EDITS[what](host))
    until(
        lambda: host.status()["table"]["repairs"] > repairs and table(host) == before,
        message=lambda: f"{what}: {host.story()}",
    )
    a, b = host.containers
    assert answered(a.netns, b.address)
