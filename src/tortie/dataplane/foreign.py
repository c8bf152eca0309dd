"""What tables of others do to packets that ours lets through: `accept` here cannot save a packet from a `drop` there.

A new conversation of a workload is walked through each chain that others have at the forward hook. A rule with
conditions beside the interfaces is taken not to match: it is for something special. Pure.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

MAX_DEPTH = 16
Family = Literal["ip", "ip6", "inet", "arp", "bridge", "netdev"]
Software = Literal["docker", "firewalld", "ufw", ""]
MARK = "tortie foreignAccept"
"""The comment on every rule that is ours in a table of others."""
ZONE, POLICY = "tortie", "tortie-in"
"""Of firewalld: what comes from workloads, and what goes to them."""


@dataclass(frozen=True, slots=True)
class ForeignRule:
    """`iif`, `oif`: a name, or a beginning with `*`. `other`: it has further conditions. `verdict`: accept, drop,
    reject, return, `jump CHAIN`, `goto CHAIN`, or nothing."""

    iif: str = ""
    oif: str = ""
    other: bool = False
    verdict: str = ""
    comment: str = ""

    def matches(self, iif: str, oif: str) -> bool:
        return not self.other and _fits(self.iif, iif) and _fits(self.oif, oif)


@dataclass(frozen=True, slots=True)
class ForeignChain:
    """A chain of somebody else; `hook` and `policy` of a base chain. `tool`: what its owner writes it with."""

    family: Family
    table: str
    name: str
    hook: str = ""
    priority: int = 0
    policy: str = "accept"
    rules: tuple[ForeignRule, ...] = ()
    tool: str = "nft"

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.tool, self.family, self.table, self.name


@dataclass(frozen=True, slots=True)
class ForeignDrop:
    """Where conversations of workloads end in a table of others, whose it is, and what mends it."""

    where: str
    how: str
    software: Software
    packets: str
    mend: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where} drops packets {self.packets} ({self.how})"


Chains = Mapping[tuple[str, str, str, str], ForeignChain]


def by_key(chains: Iterable[ForeignChain]) -> dict[tuple[str, str, str, str], ForeignChain]:
    return {chain.key: chain for chain in chains}


def find_drops(chains: Chains, uplink: str, prefixes: Sequence[str]) -> list[ForeignDrop]:
    """What others drop of the conversations that workloads begin or answer, one entry for each of their chains."""
    found = []
    for chain in sorted(chains.values(), key=lambda c: (c.priority, c.key)):
        if chain.hook != "forward" or chain.family not in ("ip", "ip6", "inet"):
            continue
        ways, how = [], ""
        for prefix in prefixes:
            workload = f"{prefix}0"
            for words, iif, oif in (
                (f"from {prefix}*", workload, uplink),
                (f"to {prefix}*", uplink, workload),
                (f"between {prefix}*", workload, workload),
            ):
                if reason := _end(chains, chain, iif, oif):
                    ways.append(words)
                    how = reason
        if ways:
            where = f"{chain.tool} {chain.family} {chain.table} {chain.name}"
            software = _software(chains, chain)
            mend = tuple(_mend(software, chain, prefixes))
            found.append(ForeignDrop(where.removeprefix("nft "), how, software, ", ".join(ways), mend))
    return found


def _fits(wanted: str, name: str) -> bool:
    return not wanted or (name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted)


def _end(chains: Chains, start: ForeignChain, iif: str, oif: str) -> str:
    """How the packet is dropped, or nothing."""
    verdict = _walk(chains, start, iif, oif, 0)
    if verdict in ("accept", ""):
        return "" if verdict or start.policy == "accept" else f"policy {start.policy}"
    return verdict


def _walk(chains: Chains, chain: ForeignChain, iif: str, oif: str, depth: int) -> str:
    """`accept`, how it is dropped, or nothing where it comes out at the end."""
    for rule in chain.rules:
        if not rule.matches(iif, oif):
            continue
        word, _, target = rule.verdict.partition(" ")
        if word in ("drop", "reject"):
            return f"{word} in {chain.name}"
        if word == "accept":
            return word
        if word == "return":
            return ""
        if word in ("jump", "goto") and depth < MAX_DEPTH:
            below = chains.get((chain.tool, chain.family, chain.table, target))
            verdict = _walk(chains, below, iif, oif, depth + 1) if below else ""
            if verdict or word == "goto":
                return verdict
    return ""


def _software(chains: Chains, chain: ForeignChain) -> Software:
    names = {c.name for c in chains.values() if c.key[:3] == chain.key[:3]}
    if chain.table == "firewalld":
        return "firewalld"
    if "DOCKER-USER" in names:
        return "docker"
    return "ufw" if any(name.startswith("ufw") for name in names) else ""


def accept_rules(family: Family, tool: str, prefixes: Sequence[str], comment: str = MARK) -> list[list[str]]:
    """The rules of `foreignAccept` in Docker's chain: the program, and the words behind its `-I` or `-D`."""
    program = {"ip": "iptables", "ip6": "ip6tables"}[family] + ("-legacy" if tool == "iptables-legacy" else "")
    said = ["-m", "comment", "--comment", comment] if comment else []
    return [
        [program, "DOCKER-USER", side, f"{prefix}+", *said, "-j", "ACCEPT"]
        for prefix in prefixes
        for side in ("-i", "-o")
    ]


def _mend(software: Software, chain: ForeignChain, prefixes: Sequence[str]) -> Iterable[str]:
    if software == "docker":
        # Without our comment: what a person wrote is that person's.
        for program, *words in accept_rules(chain.family, chain.tool, prefixes, comment=""):
            yield shlex.join([program, "-I", *words])
    elif software == "firewalld":
        yield from (shlex.join(words) for words in firewalld_accept(prefixes))
    elif software == "ufw":
        yield "ufw default allow routed"
    else:
        for prefix in prefixes:
            for side, letter in (("iifname", "i"), ("oifname", "o")):
                if chain.tool == "nft":
                    yield f"nft insert rule {chain.family} {chain.table} {chain.name} {side} '\"{prefix}*\"' accept"
                else:
                    yield f"{chain.tool} -I {chain.name} -{letter} {prefix}+ -j ACCEPT"


def firewalld_accept(prefixes: Sequence[str]) -> list[list[str]]:
    """A zone of our own for what comes from workloads, and a policy for what goes to them."""
    zone, policy = [f"--zone={ZONE}"], [f"--policy={POLICY}"]
    commands = [
        [f"--new-zone={ZONE}"],
        [*zone, "--set-target=ACCEPT"],
        *([*zone, f"--add-interface={prefix}+"] for prefix in prefixes),
        [f"--new-policy={POLICY}"],
        [*policy, "--add-ingress-zone=ANY"],
        [*policy, f"--add-egress-zone={ZONE}"],
        [*policy, "--set-target=ACCEPT"],
    ]
    return [["firewall-cmd", "--permanent", *words] for words in commands] + [["firewall-cmd", "--reload"]]


def firewalld_undo() -> list[list[str]]:
    commands = [[f"--delete-policy={POLICY}"], [f"--delete-zone={ZONE}"]]
    return [["firewall-cmd", "--permanent", *words] for words in commands] + [["firewall-cmd", "--reload"]]


def docker_changes(chains: Chains, prefixes: Sequence[str], *, wanted: bool) -> list[list[str]]:
    """The commands that bring our rules into Docker's chain, or (not `wanted`) out of it; none when all is so."""
    commands: list[list[str]] = []
    for chain in chains.values():
        if chain.name != "DOCKER-USER" or chain.family not in ("ip", "ip6"):
            continue
        ours = {(rule.iif, rule.oif) for rule in chain.rules if rule.comment == MARK}
        asked = list(prefixes) if wanted else []
        for program, place, side, interface, *rest in accept_rules(chain.family, chain.tool, asked):
            name = interface.replace("+", "*")
            if ((name, "") if side == "-i" else ("", name)) not in ours:
                commands.append([program, "-I", place, side, interface, *rest])
        for iif, oif in sorted(ours):
            prefix = (iif or oif).removesuffix("*")
            if prefix not in asked:
                found = accept_rules(chain.family, chain.tool, [prefix])[0 if iif else 1]
                commands.append([found[0], "-D", *found[1:]])
    return commands


def parse_iptables(text: str, family: Family, tool: str) -> list[ForeignChain]:
    """The chains of `iptables-legacy -S`: those that nftables does not show."""
    policies: dict[str, str] = {}
    rules: dict[str, list[ForeignRule]] = {}
    for line in text.splitlines():
        words = shlex.split(line)
        if words[:1] == ["-P"]:
            policies[words[1]] = words[2].lower()
        if words[:1] in (["-P"], ["-N"]):
            rules.setdefault(words[1], [])
        elif words[:1] == ["-A"]:
            rules.setdefault(words[1], []).append(_iptables_rule(words[2:]))
    hooks = {"FORWARD": "forward", "INPUT": "input", "OUTPUT": "output"}
    return [
        ForeignChain(family, "filter", name, hooks.get(name, ""), 0, policies.get(name, "accept"), tuple(listed), tool)
        for name, listed in rules.items()
    ]


def _iptables_rule(words: Sequence[str]) -> ForeignRule:
    iif = oif = verdict = comment = ""
    other, at = False, 0
    while at < len(words):
        word, value = words[at], words[at + 1] if at + 1 < len(words) else ""
        at += 2
        if word == "-i":
            iif = value.replace("+", "*")
        elif word == "-o":
            oif = value.replace("+", "*")
        elif word == "-j":
            plain = {"ACCEPT", "DROP", "REJECT", "RETURN"}
            verdict = value.lower() if value in plain else f"jump {value}"
            break  # what follows belongs to the target
        elif word == "-g":
            verdict = f"goto {value}"
        elif (word, value) == ("-m", "comment"):
            continue
        elif word == "--comment":
            comment = value
        else:
            other = True
            at -= word == "!"
    return ForeignRule(iif, oif, other, verdict, comment)
