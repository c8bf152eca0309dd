"""What the gate asks other hosts, and what counts as an answer."""

from __future__ import annotations

from typing import Any

import pytest

from tortie.packages.rollout.hand.packets import Answer, family, only_answers, probe, understood
from tortie.packages.rollout.hand.questions import Question, asked_for, told

OWN, OWN6, WORKLOAD, WORKLOAD6 = "192.168.7.1", "fd65::7:1", "192.168.9.2", "fd65::9:2"
B: dict[str, Any] = {"addresses": ["10.2.0.2", "fd02::2"], "workloads": [WORKLOAD]}
BESIDE = {"own": OWN, "device": "eth0", "mac": "", "gateway": "10.2.0.3"}
OUTER = {
    4: bytes([0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 2, 0, 2, 192, 168, 7, 1]),
    6: bytes([0x60, 0, 0, 0, 0, 56, 58, 64]) + bytes.fromhex("fd02" + "0" * 27 + "2") + bytes(16),
}
SENDER = {4: "10.2.0.2", 6: "fd02::2"}
ENDS = [(OWN, WORKLOAD, (11, 0), (3, 3), (3, 1)), (OWN6, WORKLOAD6, (3, 0), (1, 4), (1, 0))]


@pytest.mark.parametrize(("own", "target", "exceeded", "no_port", "other"), ENDS, ids=["ipv4", "ipv6"])
def test_only_words_about_our_own_packets_are_answers(
    own: str, target: str, exceeded: tuple[int, int], no_port: tuple[int, int], other: tuple[int, int]
) -> None:
    version = family(target)
    packet = probe(own, target, 34000, 1)

    def said(icmp: tuple[int, int], inner: bytes) -> Answer | None:
        return understood(OUTER[version] + bytes(icmp) + bytes(6) + inner)

    assert said(exceeded, packet) == Answer(SENDER[version], target, 34000, exceeded=True)
    assert said(no_port, packet) == Answer(SENDER[version], target, 34000, exceeded=False)
    assert said(other, packet) is None
    assert said((0, 0), packet) is None
    assert said(exceeded, probe(own, WORKLOAD6 if version == 4 else WORKLOAD, 34000, 1)) is None
    for length in range(len(OUTER[version]) + 8 + len(packet) - 4):
        assert understood((OUTER[version] + bytes(exceeded) + bytes(6) + packet)[:length]) is None


def summed(data: bytes) -> int:
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    return total % 0xFFFF


def test_packets_have_the_sums_that_kernels_look_at() -> None:
    assert summed(probe(OWN, WORKLOAD, 34000, 1)[:20]) == 0
    packet = probe(OWN6, WORKLOAD6, 34000, 3)
    assert packet[7] == 3
    assert summed(packet[8:40] + bytes([0, 0, 0, 8, 0, 0, 0, 17]) + packet[40:]) == 0
    assert probe("", WORKLOAD, 34000, 1)[12:16] == bytes(4)


def test_the_filters_differ_in_where_a_family_says_what_is_inside() -> None:
    assert len(only_answers(4)) == len(only_answers(6)) == 32
    assert only_answers(4) != only_answers(6)


def test_hosts_are_asked_for_by_name_by_address_or_by_a_question_s_own_name() -> None:
    empty = {"addresses": ["10.2.0.3"], "workloads": []}
    known = {"own": [OWN, OWN6], "peers": {"b": {**B, "workloads": [WORKLOAD, WORKLOAD6]}, "empty": empty}}
    for names in (["b"], ["10.2.0.2"], ["fd02::2", "empty", "nobody"], ["b/4", "b/6"]):
        assert list(asked_for(known, names)) == ["b/4", "b/6"]
    assert list(asked_for(known, ["b/6"])) == ["b/6"]
    assert list(asked_for(known, ["empty", "10.2.0.3"])) == []
    six = asked_for(known, ["b"])["b/6"]
    assert (six.source, six.targets, six.senders) == (OWN6, (WORKLOAD6,), frozenset({"fd02::2"}))


def test_without_containers_here_the_host_itself_asks() -> None:
    peers = {"b": {**B, "workloads": [WORKLOAD, WORKLOAD6]}}
    found = asked_for({"host": ["10.1.0.2", "fd01::2"], "own": [], "peers": peers}, ["b"])
    assert {name: question.source for name, question in found.items()} == {"b/4": "", "b/6": "fd01::2"}
    assert list(asked_for({"own": [], "peers": peers}, ["b"])) == ["b/4"]


def test_a_host_without_containers_is_asked_for_the_way_back() -> None:
    known = {"own": [OWN], "peers": {"b": {**B, "workloads": [], "beside": BESIDE}}}
    question = asked_for(known, ["b"])["b/4"]
    senders = frozenset({"10.2.0.2"})
    assert question == Question("b", 4, senders, OWN, (OWN,), device="eth0", gateway="10.2.0.3")
    assert question.answered(Answer("10.2.0.2", OWN, 1, exceeded=True))
    assert not question.answered(Answer(OWN, OWN, 1, exceeded=False)), "that would be this host's own word"
    assert not question.passed(Answer("10.9.0.1", OWN, 1, exceeded=True))
    both = {"own": [OWN], "peers": {"b": {**B, "beside": BESIDE}}}
    assert asked_for(both, ["b"])["b/4"].device == ""


def test_the_host_or_the_container_itself_may_answer_others_are_on_the_way() -> None:
    question = asked_for({"own": [OWN], "peers": {"b": B}}, ["b"])["b/4"]
    assert question.answered(Answer("10.2.0.2", WORKLOAD, 1, exceeded=True))
    assert question.answered(Answer(WORKLOAD, WORKLOAD, 1, exceeded=False))
    assert not question.answered(Answer("10.2.0.2", "192.168.9.3", 1, exceeded=True))
    router = Answer("10.1.0.1", WORKLOAD, 1, exceeded=True)
    assert (question.answered(router), question.passed(router)) == (False, True)


def test_words_say_which_way_is_meant() -> None:
    question = Question("b", 6, frozenset(), OWN6, (WORKLOAD6,))
    assert told(question, "no answer") == (
        "containers here are not reached by IPv6 by those of b, or the other way round (no answer)"
    )
    assert (
        told(Question("b", 4, frozenset(), OWN, (OWN,), "eth0"), "x") == "b does not lead back to containers here (x)"
    )
