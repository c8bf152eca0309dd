"""The wire side, read back by dnspython: an independent reader of every reply."""

from __future__ import annotations

import itertools
import random
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.fake_mesos_master import task
from tests.support.names import CONFIG, authority, cluster, data, mesos, raw, relist
from tests.support.names import asked as asked_of

from tortie.dns.listing import Listing
from tortie.dns.message import Forward
from tortie.dns.zone import Answer, Authority, Zone, wire_name

DISCOVERY = {
    "name": "frontend.calico-stars",
    "ports": {"ports": [{"number": 9000, "name": "http", "protocol": "tcp"}]},
}
MANY = [task("many", f"10.0.{i // 250}.{i % 250}", id=f"many.{i}") for i in range(300)]
STARS = [task("frontend.calico-stars", "192.168.0.1", discovery=DISCOVERY), *MANY]
NAMES = authority(mesos(cluster(STARS)))


def ask(name: str, kind: str = "A", **options: Any) -> dns.message.Message:
    return asked_of(NAMES, name, kind, **options)


@pytest.mark.parametrize(
    "name",
    [
        "frontend.calico-stars.marathon.mesos",
        "frontend-calico-stars.marathon.mesos",
        "FrontEnd-calico-stars.MARATHON.mesos.",
    ],
)
def test_a_name_in_any_spelling_answers_with_the_address(name: str) -> None:
    reply = ask(name)
    assert data(reply) == ["192.168.0.1"]
    assert reply.answer[0].ttl == 60
    assert reply.flags & dns.flags.AA
    assert reply.flags & dns.flags.RA


def test_aaaa_of_a_known_name_is_empty_but_no_error() -> None:
    reply = ask("frontend.calico-stars.marathon.mesos", "AAAA")
    assert reply.rcode() == dns.rcode.NOERROR
    assert not reply.answer
    assert reply.authority[0].rdtype == dns.rdatatype.SOA
    assert str(reply.authority[0].name) == "mesos."


def test_a_parent_of_names_exists_without_data() -> None:
    for name in ("calico-stars.marathon.mesos", "_tcp.marathon.mesos"):
        assert ask(name).rcode() == dns.rcode.NOERROR
    assert ask("nothing.marathon.mesos").rcode() == dns.rcode.NXDOMAIN


def test_an_unknown_name_is_denied_with_the_soa() -> None:
    reply = ask("nobody.marathon.mesos")
    assert reply.rcode() == dns.rcode.NXDOMAIN
    soa = reply.authority[0][0]
    assert (str(soa.mname), str(soa.rname), soa.serial) == ("ns1.mesos.", "root.ns1.mesos.", 7)


def test_services_carry_the_addresses_of_their_targets() -> None:
    reply = ask("_frontend-calico-stars._tcp.marathon.mesos", "SRV")
    service = reply.answer[0][0]
    assert (service.priority, service.weight, service.port) == (0, 1, 9000)
    assert reply.additional[0].name == service.target
    assert str(reply.additional[0][0]) == "192.168.0.1"
    empty = ask("_none._tcp.marathon.mesos", "SRV")
    assert (empty.rcode(), empty.answer, empty.authority) == (dns.rcode.NOERROR, [], [])


def test_the_apex_answers_soa_and_ns() -> None:
    assert ask("mesos", "SOA").answer[0].rdtype == dns.rdatatype.SOA
    assert str(ask("mesos", "NS").answer[0][0]) == "ns1.mesos."
    assert data(ask("ns1.mesos")) == ["172.24.197.101"]


def test_any_gives_all_types() -> None:
    kinds = {rrset.rdtype for rrset in ask("mesos", "ANY").answer}
    assert kinds == {dns.rdatatype.SOA, dns.rdatatype.NS}
    assert data(ask("frontend.calico-stars.marathon.mesos", "ANY")) == ["192.168.0.1"]


def test_a_star_label_is_passed_over() -> None:
    assert data(ask("*.frontend.calico-stars.marathon.mesos")) == ["192.168.0.1"]


@pytest.mark.parametrize("name", [b"\2\1*\5mesos\0", b"\3a\1*\1*\5mesos\0", b"\1*\5mesos\0"])
def test_a_label_that_only_looks_like_a_star(name: bytes) -> None:
    reply = raw(NAMES, b"\0\7\0\0\0\1\0\0\0\0\0\0" + name + b"\0\1\0\1")
    assert isinstance(reply, bytes)
    assert dns.message.from_wire(reply).rcode() == (dns.rcode.NOERROR if name[0] == 1 else dns.rcode.NXDOMAIN)


def test_a_long_answer_is_cut_to_what_the_asker_takes_and_whole_over_tcp() -> None:
    plain = ask("many.marathon.mesos")
    assert plain.flags & dns.flags.TC
    assert len(plain.to_wire()) <= 512
    assert 25 <= len(data(plain)) < 32
    large = ask("many.marathon.mesos", use_edns=0, payload=4096)
    assert large.flags & dns.flags.TC
    assert len(data(large)) > 60
    assert large.edns == 0
    whole = ask("many.marathon.mesos", tcp=True)
    assert not whole.flags & dns.flags.TC
    assert len(set(data(whole))) == 300


def test_orders_differ_and_every_address_comes_first() -> None:
    few = authority(mesos(cluster([task("few", f"10.0.0.{i}", id=f"few.{i}") for i in range(4)])))
    dice = random.Random(5)
    query = dns.message.make_query("few.marathon.mesos", "A").to_wire()
    first = set()
    for _ in range(100):
        reply = raw(few, query, dice=dice)
        assert isinstance(reply, bytes)
        first.add(data(dns.message.from_wire(reply))[0])
    assert first == {f"10.0.0.{i}" for i in range(4)}


def test_names_of_others_are_passed_on() -> None:
    for name in ("example.org", "xmesos", "mesos.example", "."):
        assert isinstance(raw(NAMES, dns.message.make_query(name, "A").to_wire()), Forward)


def test_before_the_first_state_our_own_names_are_a_server_failure_not_a_denial() -> None:
    early = Authority([Zone(CONFIG.apex)])
    assert asked_of(early, "a.mesos").rcode() == dns.rcode.SERVFAIL
    assert asked_of(early, "mesos", "SOA").rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize(
    ("change", "rcode"),
    [
        (lambda q: q[:14], dns.rcode.FORMERR),
        (lambda q: q[:4] + b"\0\2" + q[6:], dns.rcode.FORMERR),
        (lambda q: q[:4] + b"\0\0" + q[6:], dns.rcode.FORMERR),
        (lambda q: q[:12] + b"\xc0\x0c" + q[-4:], dns.rcode.FORMERR),
        (lambda q: q[:10] + b"\0\1" + q[12:], dns.rcode.FORMERR),
        (lambda q: q[:2] + b"\x28" + q[3:], dns.rcode.NOTIMP),
        (lambda q: q[:-2] + b"\0\3", dns.rcode.REFUSED),
        (lambda q: q[:-4] + b"\0\xfc\0\1", dns.rcode.NOTIMP),
    ],
)
def test_a_bad_query_is_told_what_is_wrong(change: Any, rcode: int) -> None:
    reply = raw(NAMES, change(dns.message.make_query("a.mesos", "A").to_wire()))
    assert isinstance(reply, bytes)
    assert reply[3] & 15 == rcode


def test_an_unknown_edns_version_is_told_so() -> None:
    assert ask("many.marathon.mesos", use_edns=1).rcode() == dns.rcode.BADVERS


def test_replies_and_scraps_are_dropped() -> None:
    query = dns.message.make_query("a.mesos", "A").to_wire()
    assert raw(NAMES, query[:2] + b"\x80" + query[3:]) is None
    assert raw(NAMES, query[:11]) is None
    assert raw(NAMES, b"") is None


@given(st.binary(max_size=600))
def test_noise_never_breaks_the_server(noise: bytes) -> None:
    reply = raw(NAMES, noise)
    if isinstance(reply, bytes):
        assert reply[:2] == noise[:2]
        assert len(reply) <= 1232


@given(st.integers(0, 80), st.integers(0, 255), st.booleans())
def test_a_query_with_one_byte_changed_gets_a_sound_reply_or_none(at: int, value: int, edns: bool) -> None:
    query = bytearray(dns.message.make_query("a.many.marathon.mesos", "A", use_edns=0 if edns else -1).to_wire())
    query[at % len(query)] = value
    reply = raw(NAMES, bytes(query))
    if isinstance(reply, bytes):
        dns.message.from_wire(reply, ignore_trailing=False)


def test_answers_of_unchanged_names_stay_and_changed_ones_are_made_anew() -> None:
    listing = mesos(cluster(STARS))
    before = dict(listing.zone.answers)
    relist(listing, cluster([task("frontend.calico-stars", "192.168.0.2", discovery=DISCOVERY), *MANY]), 8)
    same, other = wire_name("many.marathon.mesos"), wire_name("frontend.calico-stars.marathon.mesos")
    assert listing.zone.answers[same] is before[same]
    assert listing.zone.answers[other] is not before[other]
    assert data(asked_of(authority(listing), "frontend.calico-stars.marathon.mesos")) == ["192.168.0.2"]


def test_a_remembered_reply_is_the_one_that_would_be_made_and_ends_with_the_next_change() -> None:
    listing = mesos(cluster(STARS))
    names = authority(listing)
    name, asked = "frontend.calico-stars.marathon.mesos", set()
    for size in (None, 1232, 512):
        query = dns.message.make_query(name, "A", id=7, use_edns=size is not None, payload=size).to_wire()
        first = raw(names, query)
        assert raw(names, query) == first == raw(names, query, tcp=True)
        other = raw(names, b"\1\2" + query[2:])
        assert isinstance(first, bytes)
        assert other == b"\1\2" + first[2:]
        asked.add(first)
    assert len(asked) == 2
    for spelling in (name.upper(), name.title()):
        assert str(asked_of(names, spelling).question[0].name) == f"{spelling}."
    relist(listing, cluster([task("frontend.calico-stars", "192.168.0.9", discovery=DISCOVERY)]))
    assert data(asked_of(names, name)) == ["192.168.0.9"]
    relist(listing, cluster([]))
    assert data(asked_of(names, name)) == []


def test_spellings_of_a_name_are_not_remembered_without_bound() -> None:
    names = authority(mesos(cluster(STARS)))
    for number in range(6000):
        # The id counts not, the client's flags and sizes do.
        query = dns.message.make_query("frontend.calico-stars.marathon.mesos", "A", use_edns=0, payload=512 + number)
        assert raw(names, query.to_wire())
    assert 0 < len(names.remembered) <= 4096


TASKS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c.b"]), st.sampled_from(["10.0.0.1", "10.0.0.2", "fd01::1"])), max_size=5
)


def shape(listing: Listing) -> Any:
    """Answers without their order."""

    def plain(answer: Answer) -> Any:
        pairs = itertools.pairwise(answer.ends[: answer.count + 1])
        return answer.rcode, sorted(answer.records[a:b] for a, b in pairs), answer.tail

    return {
        name: {kind: plain(answer) for kind, answer in found.items()} for name, found in listing.zone.answers.items()
    }


@given(st.lists(TASKS, min_size=1, max_size=4))
def test_a_zone_made_by_changes_equals_one_made_at_once(story: list[list[tuple[str, str]]]) -> None:
    made = mesos(cluster([]))
    for tasks in story:
        shown = [
            task(name, address, id=f"{name}.{i}", discovery=DISCOVERY | {"name": name})
            for i, (name, address) in enumerate(tasks)
        ]
        relist(made, cluster(shown))
        anew = mesos(cluster(shown))
        assert sorted(made.book.names()) == sorted(anew.book.names())
        assert made.zone.empty == anew.zone.empty
        assert shape(made) == shape(anew)
