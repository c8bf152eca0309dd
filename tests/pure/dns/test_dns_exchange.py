"""What is believed of another server's reply, and how much is said to one network."""

from __future__ import annotations

import secrets
from typing import Any

import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.dns.exchange import Fit, disguised, empty_handed, fit, undisguised
from tortie.dns.limits import LargeReplies
from tortie.dns.message import Question, cut, parse
from tortie.dns.rename import rename_query, rename_reply
from tortie.dns.zone import wire_name

NAME = "Frontend.Calico-Stars.example.org"


def query(name: str = NAME, kind: str = "A", **options: Any) -> tuple[bytes, Question]:
    wire = dns.message.make_query(name, kind, **options).to_wire()
    question = parse(wire)
    assert isinstance(question, Question)
    return wire, question


def reply_to(sent: bytes, *records: str) -> bytes:
    message = dns.message.make_response(dns.message.from_wire(sent))
    message.answer = [dns.rrset.from_text(message.question[0].name, 60, "IN", "A", text) for text in records]
    return message.to_wire()


def test_each_question_goes_out_with_another_id_and_another_case_and_comes_back_as_it_was_asked() -> None:
    wire, question = query(use_edns=0)
    seen = set()
    for _ in range(50):
        sent = disguised(wire, question, secrets.token_bytes(2 + len(question.raw)))
        assert sent[12:].lower() == wire[12:].lower()
        assert dns.message.from_wire(sent).edns == 0
        seen.add(sent)
        reply = reply_to(sent, "192.0.2.1")
        assert fit(reply, sent, question) is Fit.YES
        back = dns.message.from_wire(undisguised(reply, wire, question))
        assert dns.message.from_wire(wire).is_response(back)
        assert str(back.question[0].name) == NAME + "."
        assert [str(item) for item in back.answer[0]] == ["192.0.2.1"]
    assert len(seen) == 50
    assert len({sent[12:].partition(b"\3org")[0] for sent in seen}) > 40


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda r: r, Fit.YES),
        (lambda r: bytes((r[0] ^ 1,)) + r[1:], Fit.NO),
        (lambda r: r[:2] + bytes((r[2] & 0x7F,)) + r[3:], Fit.NO),
        (lambda r: r[:2] + bytes((r[2] | 0x28,)) + r[3:], Fit.NO),
        (lambda r: r[:13] + bytes((r[13] ^ 0x20,)) + r[14:], Fit.OTHER_CASE),
        (lambda r: r[:13] + b"x" + r[14:], Fit.NO),
        (lambda r: r[:4] + b"\0\2" + r[6:], Fit.NO),
        (lambda r: r[:11], Fit.NO),
        (lambda r: b"", Fit.NO),
        # Without the question: only a refusal, and nothing with it.
        (lambda r: r[:4] + b"\0\0" + r[6:], Fit.NO),
        (lambda r: r[:3] + b"\x80" + b"\0\0" + b"\0\1" + r[8:12] + r[12:], Fit.NO),
        (lambda r: r[:3] + b"\x82" + bytes(8), Fit.YES),
        (lambda r: r[:3] + b"\x83" + bytes(8), Fit.NO),
    ],
)
def test_only_a_reply_to_this_very_question_is_believed(change: Any, expected: Fit) -> None:
    wire, question = query()
    sent = disguised(wire, question, b"\1\2" + bytes([1, 0]) * 40)
    assert fit(change(reply_to(sent, "192.0.2.1")), sent, question) is expected


def test_a_refusal_without_the_question_gets_it_back() -> None:
    wire, question = query()
    reply = undisguised(b"\7\7\x80\x82" + bytes(8), wire, question)
    assert empty_handed(reply)
    message = dns.message.from_wire(reply)
    assert dns.message.from_wire(wire).is_response(message)
    assert message.rcode() == dns.rcode.SERVFAIL


@given(st.binary(max_size=300))
def test_noise_is_no_reply(noise: bytes) -> None:
    wire, question = query()
    assert fit(noise, b"\xff\xfe" + wire[2:], question) is Fit.NO or noise[:2] == b"\xff\xfe"
    assert rename_reply(noise, wire_name("mesos.thisdcos.directory"), wire_name("mesos")) is None or len(noise) >= 12


def test_what_does_not_fit_is_cut_to_its_question() -> None:
    reply = reply_to(query()[0], *(f"192.0.2.{i}" for i in range(60)))
    message = dns.message.from_wire(cut(reply))
    assert message.answer == []
    assert message.question
    assert "TC" in dns.flags.to_text(message.flags)


def test_a_zone_under_another_name_is_asked_and_answered_there() -> None:
    alias, real = wire_name("mesos.thisdcos.directory"), wire_name("mesos")
    wire, question = query("_Web._tcp.marathon.MESOS.thisdcos.directory", "SRV", use_edns=0)
    renamed = rename_query(wire, question, alias, real)
    asked = dns.message.from_wire(renamed)
    assert str(asked.question[0].name) == "_Web._tcp.marathon.mesos."
    assert asked.edns == 0
    message = dns.message.make_response(asked)
    message.answer = [dns.rrset.from_text("_web._tcp.marathon.mesos.", 60, "IN", "SRV", "0 1 80 web-1.marathon.mesos.")]
    message.additional = [dns.rrset.from_text("web-1.marathon.mesos.", 60, "IN", "A", "192.168.0.1")]
    message.authority = [dns.rrset.from_text("mesos.", 60, "IN", "SOA", "ns1.mesos. root.ns1.example. 1 2 3 4 5")]
    back = rename_reply(message.to_wire(), alias, real)
    assert back is not None
    found = dns.message.from_wire(undisguised(back, wire, question))
    assert dns.message.from_wire(wire).is_response(found)
    assert str(found.answer[0]).lower() == (
        "_web._tcp.marathon.mesos.thisdcos.directory. 60 in srv 0 1 80 web-1.marathon.mesos.thisdcos.directory."
    )
    assert str(found.additional[0].name).lower() == "web-1.marathon.mesos.thisdcos.directory."
    assert "ns1.mesos.thisdcos.directory. root.ns1.example." in str(found.authority[0]).lower()


def test_large_replies_to_one_network_are_bounded_and_the_next_second_begins_anew() -> None:
    large = LargeReplies()
    assert sum(large.allowed(f"10.0.0.{i % 250}", 100.0) for i in range(1000)) == 200
    assert large.allowed("10.0.1.1", 100.5)
    assert large.allowed("fd00::1", 100.5)
    assert not large.allowed("10.0.0.9", 100.9)
    assert large.allowed("10.0.0.9", 101.0)


def test_a_flood_in_the_name_of_many_networks_is_not_remembered_without_bound() -> None:
    large = LargeReplies()
    allowed = sum(large.allowed(f"10.{i // 250}.{i % 250}.1", 100.0) for i in range(10_000))
    assert allowed == 4096
