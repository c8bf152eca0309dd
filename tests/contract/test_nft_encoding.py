"""What we write to the kernel ourselves is what nft would have written: compared by nft's own listing of both."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.differential.oracle import INTERFACES
from tests.differential.resources import Source

from tortie.base.errors import Invalid
from tortie.dataplane.kernel.codec import canonical_key
from tortie.dataplane.kernel.rules import encode_rule
from tortie.dataplane.kernel.table import KernelTable
from tortie.dataplane.render.settings import Settings
from tortie.dataplane.steps import AddChain, AddSet, DropChain, Members, Replace, Step, WriteRules
from tortie.dataplane.want import TABLE, Chain, SetDef
from tortie.lab.walks.prober import enter
from tortie.model.resource import encode
from tortie.node.brain import Brain
from tortie.store.port import Event

pytestmark = pytest.mark.root

T = TypeVar("T")
SETS = {
    "s4": SetDef("ipv4_addr"),
    "s6": SetDef("ipv6_addr"),
    "nl4": SetDef("ipv4_addr", interval=True, content=("10.0.0.0/8", "11.9.0.0-12.0.0.3", "192.168.1.0-192.168.1.9")),
    "nl6": SetDef("ipv6_addr", interval=True, content=("fd00::/8", "ff00::/8")),
    "pl": SetDef("inet_service", interval=True, content=("80", "443", "9000-9010", "9011-9020", "65000-65535")),
    "np4": SetDef("ipv4_addr . inet_proto . inet_service"),
    "np6": SetDef("ipv6_addr . inet_proto . inet_service"),
    "fs": SetDef("inet_proto . inet_service", content=("6 . 22", "17 . 53")),
    "src4": SetDef("ifname . ipv4_addr"),
    "src6": SetDef("ifname . ipv6_addr"),
    "cn": SetDef("ipv4_addr . inet_service", interval=True, content=("10.0.0.0/8 . 80-90", "11.0.0.1 . 5")),
    "ic": SetDef("icmp_type . icmp_code", content=("3 . 4",)),
    "from_wl": SetDef("ifname", verdict=True),
    "at": SetDef("ipv4_addr", verdict=True),
    "at6": SetDef("ipv6_addr", verdict=True),
}
MEMBERS = {
    "s4": ["10.0.0.1", "10.0.0.2"],
    "s6": ["fd00::1", "::"],
    "np4": ["10.0.0.1 . 6 . 80"],
    "np6": ["fd00::1 . 17 . 53"],
    "src4": ['"calia" . 10.0.0.1'],
    "src6": ['"calia" . fd00::1'],
}
VERDICTS = {"from_wl": {'"calia"': "goto x", '"calib"': "drop"}, "at": {"10.0.0.1": "jump x"}, "at6": {"::1": "accept"}}
ELEMENTS = {name: dict.fromkeys(keys, "") for name, keys in MEMBERS.items()} | VERDICTS
RULES = """
meta nfproto ipv4 accept
meta nfproto ipv6 accept
meta l4proto 6 accept
meta l4proto != 132 drop
iifname "cali*" goto x
iifname != "cali*" drop
oifname "eth0" counter drop
iifname . ip saddr @src4 accept
meta nfproto ipv4 iifname . ip saddr @src4 ip daddr != 127.0.0.0/8 accept
meta nfproto ipv4 ip saddr 192.168.0.0/16 iifname . ip saddr @src4 ip daddr != 127.0.0.0/8 accept
meta nfproto ipv6 iifname . ip6 saddr @src6 accept
meta nfproto ipv4 meta l4proto 6 ip saddr @s4 th dport 80 accept
meta nfproto ipv4 ip daddr != @s4 drop
meta nfproto ipv6 meta l4proto 17 ip6 saddr != @s6 th sport 80-90 counter accept
ip saddr 10.0.0.0/8 accept
ip saddr 10.128.0.0/9 accept
ip daddr != 10.1.1.1 accept
ip saddr 0.0.0.0/0 accept
ip daddr 10.0.0.1-10.0.0.7 accept
ip saddr @nl4 ip daddr != @nl4 accept
meta nfproto ipv4 ip saddr & 255.255.240.0 @s4 counter accept
meta nfproto ipv4 ip daddr & 0.0.0.0 != @s4 counter accept
meta nfproto ipv6 ip6 saddr & ffff:ffff:8000:: @s6 ip6 daddr & :: != @s6 accept
ip6 saddr fe80::/10 accept
ip6 daddr fd00::/8 accept
ip6 daddr @nl6 accept
ip6 saddr :: meta l4proto 58 accept
th dport 80 accept
th dport != @pl drop
th dport != 80-90 drop
th sport @pl accept
udp dport 4789 drop
udp sport 68 udp dport 67 accept
tcp dport @pl drop
meta nfproto ipv4 meta l4proto 1 icmp type 8 accept
meta nfproto ipv4 meta l4proto 1 icmp type 8 icmp code 0 accept
meta nfproto ipv4 meta l4proto 1 icmp type != 8 accept
meta nfproto ipv4 meta l4proto 1 icmp type 3 icmp code != 4 accept
meta nfproto ipv4 meta l4proto 1 icmp type . icmp code @ic accept
meta nfproto ipv6 meta l4proto 58 icmpv6 type 133 accept
meta nfproto ipv6 meta l4proto 58 icmpv6 type 133-137 accept
meta nfproto ipv6 meta l4proto 58 icmpv6 type 1 icmpv6 code 4 accept
icmpv6 type 133 accept
icmp type 8 drop
meta l4proto 1 icmp type 8 drop
meta nfproto ipv4 meta l4proto 58 icmpv6 type 128 icmpv6 code 1 accept
ip daddr . meta l4proto . th dport @np4 accept
meta nfproto ipv4 ip saddr . meta l4proto . th sport != @np4 accept
meta nfproto ipv6 ip6 daddr . meta l4proto . th dport @np6 accept
ip saddr . th dport @cn accept
meta l4proto . th dport @fs accept
meta l4proto . th sport @fs accept
ct state established,related accept
ct state invalid drop
ct state new accept
ct status dnat accept
ct status confirmed meta nfproto ipv4 ip saddr @s4 counter accept
ct status ! confirmed limit rate 1000/second burst 2000 packets counter log prefix "ARE0|web" group 80 accept
meta nfproto ipv4 ct original ip daddr @s4 accept
meta l4proto 6 ct original proto-dst 80 accept
fib saddr type local accept
fib daddr type local accept
fib daddr type != local drop
fib saddr . mark . iif oif missing drop
meta mark & 0x00010000 == 0x00010000 return
meta mark & 0x00010000 != 0 return
meta mark set meta mark | 0x00010000 return
meta mark set meta mark & 0xfffeffff return
meta mark set 0x00000007
log prefix "calico-packet: " level info
counter log prefix "calico-packet: " level info
log prefix "DPI|default" group 1 snaplen 96 queue-threshold 8
ct state new limit rate 50/second burst 100 packets log prefix "x" group 7
limit rate over 10/minute burst 5 packets drop
limit rate 20/second burst 100 packets counter log prefix "DFE|spoofed source" group 80 drop
meta l4proto 6 th dport 80 counter log prefix "API12|GlobalNetworkPolicy/default.web" group 80 accept
counter jump x
counter reject
limit rate 20/second burst 100 packets counter log prefix "DPI|default" group 80 reject
log prefix "calico GlobalNetworkPolicy web ?: " level info
counter drop
reject
meta l4proto 6 reject with tcp reset
reject with icmpx admin-prohibited
iifname vmap @from_wl
oifname vmap @from_wl
ip daddr vmap @at
meta nfproto ipv6 ip6 saddr vmap @at6
return
goto x
"""
BY_HOOK = {
    "type nat hook postrouting priority 110; policy accept;": """
ip saddr @nl4 ip daddr != @nl4 masquerade
meta nfproto ipv4 meta l4proto 6 ip saddr @nl4 masquerade to :1024-2048
ip saddr @nl4 masquerade fully-random
meta nfproto ipv4 ip saddr 10.0.0.1 snat ip to 1.2.3.4
meta nfproto ipv4 meta l4proto 17 ip saddr 10.0.0.1 snat ip to 1.2.3.4:1024-2048
meta nfproto ipv6 ip6 saddr fd00::1 snat ip6 to fd00::2
""",
    "type nat hook prerouting priority -110; policy accept;": """
meta nfproto ipv4 ip daddr 1.2.3.4 dnat ip to 10.0.0.1
meta nfproto ipv4 meta l4proto 6 ip daddr 1.2.3.4 dnat ip to 10.0.0.1:80
meta nfproto ipv6 ip6 daddr fd00::9 dnat ip6 to fd00::1
meta nfproto ipv6 meta l4proto 6 ip6 daddr fd00::9 dnat ip6 to [fd00::1]:80
""",
    "type filter hook prerouting priority -300; policy accept;": "notrack\nfib saddr . mark . iif oif exists accept",
    "type filter hook output priority -5; policy accept;": "ct status dnat accept",
}
Namespace = Callable[[], Path]


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    made: list[str] = []

    def make() -> Path:
        made.append(f"enc{uuid.uuid4().hex[:8]}")
        subprocess.run(["ip", "netns", "add", made[-1]], check=True)
        return Path("/var/run/netns", made[-1])

    yield make
    for name in made:
        subprocess.run(["ip", "netns", "del", name], check=True)


def inside(netns: Path, work: Callable[[], T]) -> T:
    """In a thread of its own, which ends in that namespace."""
    from concurrent.futures import ThreadPoolExecutor

    def run() -> T:
        enter(netns)
        return work()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def nft(netns: Path, *words: str, text: str = "") -> str:
    done = subprocess.run(
        ["ip", "netns", "exec", netns.name, "nft", *words], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[:2000]
    return done.stdout


def chains() -> dict[str, Chain]:
    found = {"x": Chain(("drop",), note="a note")}
    for index, text in enumerate(RULES.strip().splitlines()):
        found[f"r{index}"] = Chain((text,))
    for index, (hook, text) in enumerate(BY_HOOK.items()):
        found[f"b{index}"] = Chain(tuple(text.strip().splitlines()), base=hook)
    return found


def ours(sets: dict[str, SetDef], chains: dict[str, Chain]) -> list[Step]:
    steps: list[Step] = [AddSet(n, d.type, d.interval, d.verdict) for n, d in sets.items()]
    for name, definition in sets.items():
        keys = [*(definition.content or ()), *MEMBERS.get(name, [])]
        if keys:
            steps.append(Members(True, name, definition.type, [(key, "") for key in keys], definition.interval))
    steps += [AddChain(name, chain.base, chain.note) for name, chain in chains.items()]
    steps += [WriteRules(name, chain.rules, chain.mark) for name, chain in chains.items()]
    steps += [Members(True, n, SETS[n].type, list(v.items())) for n, v in VERDICTS.items() if n in sets]
    return steps


def theirs(sets: Mapping[str, SetDef], chains: Mapping[str, Chain], elements: Mapping[str, Mapping[str, str]]) -> str:
    """The same as text for nft."""
    lines = [f"add table {TABLE}"]
    for name, definition in sets.items():
        kind, end = ("map", " : verdict;") if definition.verdict else ("set", ";")
        interval = " flags interval;" if definition.interval else ""
        lines.append(f"add {kind} {TABLE} {name} {{ type {definition.type}{end}{interval} }}")
        keys = [*(definition.content or ()), *(elements.get(name, {}) if not definition.verdict else ())]
        lines += [f"add element {TABLE} {name} {{ {key} }}" for key in keys]
    for name, chain in chains.items():
        note = f'comment "{chain.note}";' if chain.note else ""
        lines.append(f"add chain {TABLE} {name} {{ {chain.base} {note} }}")
    for name, chain in chains.items():
        lines += [f'add rule {TABLE} {name} {rule} comment "{chain.mark}"' for rule in chain.rules]
    for name, verdicts in elements.items():
        if sets[name].verdict:
            lines += [f"add element {TABLE} {name} {{ {key} : {verdict} }}" for key, verdict in verdicts.items()]
    return "\n".join(lines) + "\n"


def loaded(netns: Path, *steps: Step) -> KernelTable:
    def load() -> KernelTable:
        table = KernelTable()
        table.open(owner=False, closed=[])
        assert not table.apply(steps)
        return table

    return inside(netns, load)


def plain(text: str) -> Any:
    """A listing without what the kernel numbers, in an order of its own."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: strip(v) for k, v in value.items() if k not in ("handle", "index")}
        if isinstance(value, list):
            return [strip(one) for one in value]
        return value

    found = [strip(one) for one in json.loads(text)["nftables"] if "metainfo" not in one]
    for one in found:
        for kind in ("set", "map"):
            if "elem" in one.get(kind, {}):
                one[kind]["elem"].sort(key=json.dumps)
    return sorted(found, key=lambda one: json.dumps(one, sort_keys=True))


def test_every_form_of_the_language_is_loaded_as_nft_would_load_it(namespace: Namespace) -> None:
    mine, other, everything = namespace(), namespace(), chains()
    table = loaded(mine, *ours(SETS, everything))
    table.close()
    nft(other, "-f", "-", text=theirs(SETS, everything, ELEMENTS))
    for options in (("-j",), ("-s",)):
        seen, wanted = (nft(one, *options, "list", "table", *TABLE.split()) for one in (mine, other))
        if options == ("-j",):
            assert plain(seen) == plain(wanted)
        else:
            assert sorted(seen.splitlines()) == sorted(wanted.splitlines())


@pytest.mark.parametrize("seed", range(4))
def test_what_policy_becomes_is_loaded_as_nft_would_load_it(namespace: Namespace, seed: int) -> None:
    """Whole tables, as random policies, endpoints and host endpoints make them."""
    source, brain = Source(seed), Brain("h1", "10.9.0.1/24")
    brain.set_flows_readable(bool(seed % 2))
    settings = Settings(host_services=True, masqueraded=("10.0.0.0/8",), flows=bool(seed % 2))
    brain.table.set_settings(settings)
    brain.table.set_interfaces(INTERFACES["h1"])
    for resource in source.first():
        brain.learn(Event(resource.key, encode(resource), 1))
    for number in range(60):
        resource, put = source.change()
        brain.learn(Event(resource.key, encode(resource) if put else None, number + 2))
    ledger = brain.table.ledger
    mine, other = namespace(), namespace()
    plan = ledger.plan()
    table = loaded(mine, *plan.prepare, *plan.commit)
    have = table.read()
    table.close()
    elements = {name: ledger.elements(name) for name in ledger.defs}
    nft(other, "-f", "-", text=theirs(ledger.defs, ledger.rules, elements))
    seen, wanted = (nft(one, "-j", "list", "table", *TABLE.split()) for one in (mine, other))
    assert plain(seen) == plain(wanted)
    ledger.settled(plan)
    ledger.learn(have, canonical_key)
    assert not ledger.plan()


def test_a_negated_pair_of_icmp_type_and_code_is_compared_at_once() -> None:
    """nft would make an anonymous set for it."""
    text = "meta nfproto ipv4 meta l4proto 1 icmp type . icmp code != { 3 . 4 } accept"
    assert encode_rule(text) == encode_rule("meta nfproto ipv4 meta l4proto 1 @th,0,16 != 0x0304 accept")


def test_what_was_written_is_read_back_the_same(namespace: Namespace) -> None:
    netns, everything = namespace(), chains()
    table = loaded(netns, *ours(SETS, everything))
    have = table.read()
    table.close()
    assert have.sets == {name: definition.shape for name, definition in SETS.items()}
    assert have.chains == {name: chain.mark for name, chain in everything.items()}
    for name, definition in SETS.items():
        if name in VERDICTS:
            assert have.elements[name] == VERDICTS[name]
        else:
            assert set(have.elements[name]) == {*(definition.content or ()), *MEMBERS.get(name, [])}


def test_elements_come_and_go_one_by_one_also_between_neighbours(namespace: Namespace) -> None:
    table = loaded(namespace(), AddSet("i", "ipv4_addr", interval=True), AddSet("c", SETS["cn"].type, interval=True))
    wanted: dict[str, set[str]] = {"i": set(), "c": set()}
    for name, put, key in (
        ("i", True, "10.0.0.0/24"),
        ("i", True, "10.0.1.0/24"),
        ("i", True, "10.0.2.0-10.0.2.4"),
        ("i", True, "255.255.255.255"),
        ("i", True, "0.0.0.0/8"),
        ("i", False, "10.0.1.0/24"),
        ("i", True, "10.0.1.7"),
        ("i", False, "255.255.255.255"),
        ("i", False, "10.0.0.0/24"),
        ("c", True, "10.0.0.0/8 . 80-90"),
        ("c", True, "12.0.0.0/8 . 91"),
        ("c", False, "10.0.0.0/8 . 80-90"),
    ):
        kind = SETS["cn"].type if name == "c" else "ipv4_addr"
        assert not table.apply([Members(put, name, kind, [(key, "")], True)])
        (wanted[name].add if put else wanted[name].remove)(key)
        assert set(table.read().elements[name]) == wanted[name]
    table.close()


def test_a_refusal_names_every_chain_and_set_that_caused_it_and_nothing_is_applied(namespace: Namespace) -> None:
    netns = namespace()
    table = loaded(netns, AddChain("old"), WriteRules("old", ["accept"], "m/1"))
    before = nft(netns, "list", "ruleset")
    good: list[Step] = [AddChain("good"), WriteRules("good", ["counter accept"], "m/1")]
    deep: list[Step] = [AddChain(f"d{i}") for i in range(20)]
    deep += [WriteRules(f"d{i}", [f"jump d{i + 1}"], "m/1") for i in range(19)]
    hook = AddChain("base", "type filter hook forward priority 0; policy accept;")
    overlap = [("1.0.0.0/8", ""), ("1.1.0.0/16", "")]
    for steps, chain, set_name, word in (
        ([AddChain("bad"), WriteRules("bad", ["jump nowhere"], "m/1")], "bad", "", "jump nowhere"),
        ([AddChain("bad"), WriteRules("bad", ["accept", "ip saddr @none drop"], "m/1")], "bad", "", "@none"),
        ([AddChain("bad"), WriteRules("bad", ["no such words"], "m/1")], "bad", "", "'no'"),
        ([AddSet("s", "ipv4_addr"), AddSet("s", "ipv6_addr")], "", "s", "exists"),
        ([AddSet("s", "no_type")], "", "s", "no_type"),
        ([AddSet("s", "ipv4_addr"), Members(True, "s", "ipv4_addr", [("10.0.0.256", "")])], "", "s", "10.0.0.256"),
        ([AddSet("i", "ipv4_addr", True), Members(True, "i", "ipv4_addr", overlap, True)], "", "i", ""),
        ([DropChain("gone")], "gone", "", "No such"),
        ([*deep, hook, WriteRules("base", ["jump d0"], "m/1")], "", "", ""),
    ):  # fmt: skip
        refusals = table.apply([*good, *steps])
        assert refusals, steps
        assert any(r.chain == chain or not chain for r in refusals)
        assert any(r.set == set_name or not set_name for r in refusals)
        assert any(word in r.reason for r in refusals), refusals
        assert not any(r.chain == "good" for r in refusals)
        assert nft(netns, "list", "ruleset") == before
    both = table.apply(
        [AddChain("a"), WriteRules("a", ["jump no1"], "m"), AddChain("b"), WriteRules("b", ["jump no2"], "m")]
    )
    assert {r.chain for r in both} == {"a", "b"}
    assert not table.apply(good)
    table.close()


def test_what_is_too_much_for_one_transaction_goes_ahead_in_parts(
    namespace: Namespace,
) -> None:
    def load() -> KernelTable:
        table = KernelTable()
        table.open(owner=True, closed=[], batch_bytes=20_000)
        return table

    netns = namespace()
    table = inside(netns, load)
    members = [(f"10.{i // 65536}.{i // 256 % 256}.{i % 256}", "") for i in range(5000)]
    prepare: list[Step] = [AddSet("s", "ipv4_addr"), Members(True, "s", "ipv4_addr", members), AddChain("c")]
    prepare.append(WriteRules("c", ["ip saddr @s accept", "drop"], "m/2"))
    hook: list[Step] = [
        AddChain("base", "type filter hook forward priority 0; policy accept;"),
        WriteRules("base", ["jump c"], "n/1"),
    ]
    refused = table.apply([*hook, WriteRules("gone", ["drop"], "m/1")], prepare)
    assert {r.chain for r in refused} == {"gone"}
    # What went ahead is harmless, and the agent reads the table before it goes on.
    assert "base" not in table.read().chains
    assert not table.apply([Replace(), *prepare, *hook])
    have = table.read()
    assert have.chains == {"c": "m/2", "base": "n/1"}
    assert len(have.elements["s"]) == len(members)
    table.close()


@pytest.mark.parametrize(
    "text",
    ["", "accept drop it", "ip saddr", "ip saddr 10.0.0.0/33 accept", "ip saddr fd00::1 accept", "th dport 70000 drop",
     "th dport 90-80 drop", "th dport http drop", "jump", "meta l4proto 300 accept", 'iifname "sixteen letters!" drop',
     "iifname @", "ip saddr . ip daddr 10.0.0.1 accept", "ct state open accept", "limit rate 5/fortnight drop",
     "dnat to nowhere", "dnat ip to fd00::1", f'log prefix "{"x" * 200}"', "meta mark set meta mark ^ 1",
     "fib x type local",
     "ip saddr & 255.255.0.0 10.0.0.0 accept", "ip saddr & ffff:: @s4 accept", "ip6 saddr & 255.0.0.0 @s6 accept",
     "ip saddr & @s4 accept", "iifname . ip saddr & 255.0.0.0 @src4 accept",
     "icmp type . icmp code != { 3 . } accept", 'ip saddr 10.0.0.1; flush ruleset'],
)  # fmt: skip
def test_what_is_not_of_the_language_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid, match="cannot be written"):
        encode_rule(text)
