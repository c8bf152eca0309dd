"""What tables of others do to packets of workloads, and what is said about it."""

from __future__ import annotations

import pytest

from tortie.dataplane.foreign import (
    MARK,
    Chains,
    ForeignChain,
    ForeignRule,
    by_key,
    docker_changes,
    find_drops,
    parse_iptables,
)

DOCKER = """
-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-N DOCKER
-N DOCKER-USER
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
"""
RETURN = "-A DOCKER-USER -j RETURN\n"
OURS = f'-A DOCKER-USER -i cali+ -m comment --comment "{MARK}" -j ACCEPT\n'
THEIRS = "-A DOCKER-USER -o cali+ -j ACCEPT\n"


def chains(text: str, tool: str = "iptables-legacy") -> Chains:
    return by_key(parse_iptables(text, "ip", tool))


def forward(*rules: ForeignRule, policy: str = "accept", table: str = "t", priority: int = 0) -> ForeignChain:
    return ForeignChain("inet", table, "f", "forward", priority, policy, rules)


def said(found: Chains) -> list[str]:
    return [str(drop) for drop in find_drops(found, "eth0", ["cali"])]


def test_a_policy_to_drop_is_named_with_whose_it_is_and_what_mends_it() -> None:
    (drop,) = find_drops(chains(DOCKER + RETURN), "eth0", ["cali"])
    assert drop.software == "docker"
    assert drop.packets == "from cali*, to cali*, between cali*"
    assert drop.mend == (
        "iptables-legacy -I DOCKER-USER -i cali+ -j ACCEPT",
        "iptables-legacy -I DOCKER-USER -o cali+ -j ACCEPT",
    )
    assert "policy drop" in str(drop)


def test_half_an_accept_leaves_half_of_the_packets() -> None:
    (drop,) = find_drops(chains(DOCKER + OURS + RETURN), "eth0", ["cali"])
    assert drop.packets == "to cali*"
    assert not find_drops(chains(DOCKER + OURS + THEIRS + RETURN), "eth0", ["cali"])


@pytest.mark.parametrize(
    ("rules", "dropped"),
    [
        ((), ""),
        ((ForeignRule(verdict="drop"),), "drop in f"),
        ((ForeignRule(verdict="reject", other=True),), ""),
        ((ForeignRule(iif="eth*", verdict="reject"),), "reject in f"),
        ((ForeignRule(iif="docker0", verdict="drop"),), ""),
        ((ForeignRule(verdict="accept"), ForeignRule(verdict="drop")), ""),
        ((ForeignRule(verdict="return"), ForeignRule(verdict="drop")), ""),
        ((ForeignRule(), ForeignRule(verdict="jump nowhere")), ""),
        ((ForeignRule(verdict="jump f"),), ""),
    ],
)
def test_a_packet_is_walked_through_a_chain(rules: tuple[ForeignRule, ...], dropped: str) -> None:
    found = find_drops(by_key([forward(*rules)]), "eth0", ["cali"])
    assert [drop.how for drop in found] == ([dropped] if dropped else [])


def test_a_goto_does_not_come_back_and_a_jump_does() -> None:
    below = ForeignChain("inet", "t", "below", rules=(ForeignRule(iif="lo", verdict="drop"),))
    gone = forward(ForeignRule(verdict="goto below"), ForeignRule(verdict="drop"))
    back = forward(ForeignRule(verdict="jump below"), ForeignRule(verdict="drop"))
    assert not said(by_key([gone, below]))
    assert said(by_key([back, below]))


def test_an_unknown_owner_is_told_the_rules_themselves() -> None:
    (drop,) = find_drops(by_key([forward(policy="drop")]), "eth0", ["cali", "tap"])
    assert drop.software == ""
    assert drop.mend[0] == "nft insert rule inet t f iifname '\"cali*\"' accept"
    assert len(drop.mend) == 4


def test_firewalld_and_ufw_are_known_by_their_names() -> None:
    (drop,) = find_drops(by_key([forward(ForeignRule(verdict="reject"), table="firewalld")]), "eth0", ["cali"])
    assert drop.software == "firewalld"
    assert drop.mend[-1] == "firewall-cmd --reload"
    ufw = chains("-P FORWARD DROP\n-N ufw-before-forward\n-A FORWARD -j ufw-before-forward\n")
    assert find_drops(ufw, "eth0", ["cali"])[0].mend == ("ufw default allow routed",)


def test_only_our_own_rules_come_and_go_in_their_chain() -> None:
    bare, half, full = (DOCKER + text + RETURN for text in ("", OURS, OURS + THEIRS))
    assert not docker_changes(chains(bare), ["cali"], wanted=False)
    assert [words[1] for words in docker_changes(chains(bare), ["cali"], wanted=True)] == ["-I", "-I"]
    (missing,) = docker_changes(chains(half), ["cali"], wanted=True)
    assert missing[3:5] == ["-o", "cali+"]
    for text in (half, full):
        (removed,) = docker_changes(chains(text), ["cali"], wanted=False)
        assert removed[:5] == ["iptables-legacy", "-D", "DOCKER-USER", "-i", "cali+"]
    moved = docker_changes(chains(half), ["tap"], wanted=True)
    assert [(words[1], words[4]) for words in moved] == [("-I", "tap+"), ("-I", "tap+"), ("-D", "cali+")]


def test_conditions_of_iptables_are_noticed() -> None:
    lines = (
        "-A FORWARD -i cali+ -j ACCEPT",
        "-A FORWARD -i cali+ -p tcp -j ACCEPT",
        "-A FORWARD ! -i cali+ -j DROP",
        "-A FORWARD -s 10.0.0.0/8 -j DROP",
        "-A FORWARD -g OTHER",
        "-A FORWARD -j REJECT --reject-with icmp-port-unreachable",
    )
    (chain,) = (c for c in parse_iptables("\n".join(lines), "ip", "x") if c.name == "FORWARD")
    assert [(rule.other, rule.verdict) for rule in chain.rules] == [
        (False, "accept"),
        (True, "accept"),
        (True, "drop"),
        (True, "drop"),
        (False, "goto OTHER"),
        (False, "reject"),
    ]
