"""What the name server reads: packets of anybody, replies of others, a master's state and events, its options."""

from __future__ import annotations

import contextlib
import json
import random
import struct
from typing import Any

import dns.exception
import dns.message
import dns.name
import msgspec

from tests.fuzz.draw import Draw
from tests.support.fake_mesos_master import state, task
from tests.support.names import CONFIG, authority, cluster, listed, mesos
from tortie.base.errors import Invalid
from tortie.dns import dcos
from tortie.dns.config import parse as parse_config
from tortie.dns.events import Event, apply
from tortie.dns.events import decode as decode_event
from tortie.dns.exchange import Fit, disguised, empty_handed, fit, undisguised
from tortie.dns.listing import Listing
from tortie.dns.message import Forward, Question, cut, handle, parse
from tortie.dns.records import MesosRecords
from tortie.dns.rename import rename_query, rename_reply
from tortie.dns.resolver import host_listings
from tortie.dns.resolver_options import settings
from tortie.dns.state import Cluster, State, decode
from tortie.dns.zone import Authority, Zone, suffixes, wire_name

ALIAS, REAL = wire_name("mesos.thisdcos.directory"), wire_name("mesos")


def _named() -> Authority:
    discovery = {"name": "web.group", "ports": {"ports": [{"number": 80, "name": "http", "protocol": "tcp"}]}}
    many = [task("many", f"10.0.{i // 250}.{i % 250}", id=f"many.{i}") for i in range(120)]
    found = cluster([task("web.group", "192.168.0.1", discovery=discovery), *many])
    own = listed(dcos.TaskRecords(CONFIG.masters), Zone(dcos.apex("dcos.thisdcos.directory")), found)
    return authority(mesos(found), own, *host_listings(("198.51.100.1",)))


NAMES = _named()


def query(data: bytes) -> None:
    """A reply can be read by others, is one to the question and no longer than its asker may be sent."""
    for tcp in (False, True):
        reply = handle(data, NAMES, random.Random(1), tcp=tcp, recursion=True, mark_cut=True)
        if isinstance(reply, Forward):
            forwarded(data, reply.question)
        elif reply is not None:
            assert reply[:2] == data[:2]
            assert tcp or len(reply) <= 1232
            dns.message.from_wire(reply, ignore_trailing=False)


def forwarded(data: bytes, question: Question) -> None:
    """What goes out is the same question; what comes in is told apart from it by one bit."""
    sent = disguised(data, question, b"\x11\x22" + bytes(i % 2 for i in range(len(question.raw))))
    asked = parse(sent)
    assert isinstance(asked, Question)
    assert asked.name == question.name
    echo = sent[:2] + bytes((sent[2] | 0x80,)) + sent[3:6] + bytes(6) + sent[12 : 12 + len(question.raw)]
    assert fit(echo, sent, question) is Fit.YES
    assert fit(bytes((echo[0] ^ 1,)) + echo[1:], sent, question) is Fit.NO
    back = undisguised(echo, data, question)
    assert back[:2] == data[:2]
    assert back[12:] == question.raw
    if any(suffix == ALIAS for _, suffix in suffixes(question.name)):
        renamed = parse(rename_query(data, question, ALIAS, REAL))
        assert isinstance(renamed, Question)
        assert renamed.name == question.name[: -len(ALIAS)] + REAL


def reply(data: bytes) -> None:
    """Another server's reply to a question of ours, whatever it holds."""
    asked = dns.message.make_query("_http._web.tcp.marathon.mesos", "SRV", id=0x1122).to_wire()
    question = parse(asked)
    assert isinstance(question, Question)
    for packet in (data, b"\x11\x22\x80\0\0\1\0\1\0\0\0\1" + question.raw + data):
        if fit(packet, asked, question) is Fit.NO:
            continue
        empty_handed(packet)
        shown = undisguised(packet, asked, question)
        small = dns.message.from_wire(cut(shown))
        assert dns.message.from_wire(asked).is_response(small)
        renamed = rename_reply(packet, ALIAS, REAL)
        if renamed is not None:
            moved = dns.message.from_wire(renamed)
            assert not any(rrset.name.is_subdomain(dns.name.from_text("mesos.")) for rrset in moved.answer)


def _all(found: Cluster) -> list[Listing]:
    givers: list[tuple[Any, Zone]] = [
        (MesosRecords(CONFIG), Zone(CONFIG.apex)),
        (dcos.TaskRecords(CONFIG.masters), Zone(dcos.apex("dcos.thisdcos.directory"))),
        (dcos.VipRecords(), Zone(dcos.apex("l4lb.thisdcos.directory"))),
    ]
    return [listed(giver, zone, found) for giver, zone in givers]


def _check(listing: Listing) -> None:
    """A name can be asked for, and every answer be read: of the longest names and a few others."""
    names = authority(listing)
    by_length = sorted(listing.book.names(), key=lambda name: (-len(name), name))
    for name in (*by_length[:3], *by_length[3::5]):
        for rtype in (1, 28, 33, 255):
            asked = struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0) + wire_name(name) + struct.pack("!HH", rtype, 1)
            for tcp in (False, True):
                answer = handle(asked, names, random.Random(1), tcp=tcp, recursion=True, mark_cut=True)
                assert isinstance(answer, bytes)
                dns.message.from_wire(answer)


def shown(data: bytes) -> None:
    """A master's state: refused with a reason, or listed with names that all can be asked for."""
    draw = Draw(data)
    plain = state([task("web", "192.168.0.1", discovery={"name": "web.group"}), task("other")])
    document = draw.changed(plain) if draw.below(2) else draw.shaped(State)
    raw = data if draw.below(8) == 7 else json.dumps(document).encode("utf-8", "replace")
    try:
        found = Cluster.of(decode(raw))
    except Invalid:
        return
    for listing in _all(found):
        _check(listing)


def heard(data: bytes) -> None:
    """Events one by one leave the zones as a cluster that is read at once would make them."""
    draw = Draw(data)
    found = cluster([task("web", "192.168.0.1"), task("other", "192.168.0.2")])
    listings = _all(found)
    for _ in range(8):
        plain = draw.of(EVENTS)
        event = draw.changed(plain) if draw.below(3) else draw.shaped(Event) if draw.below(2) else plain
        outcome = apply(found, decode_event(json.dumps(event).encode("utf-8", "replace")))
        for listing in listings:
            if outcome is not None and outcome.task is not None:
                listing.tasks(found, [outcome.task])
            elif outcome is not None:
                for _step in listing.whole(found):
                    pass
    for listing, anew in zip(listings, _all(found), strict=True):
        assert sorted(listing.book.names()) == sorted(anew.book.names())
        assert listing.zone.empty == anew.zone.empty
        assert listing.zone.answers.keys() == anew.zone.answers.keys()
        _check(listing)


_ID = {"framework_id": {"value": "f-0"}}
_STATUS = {
    "task_id": {"value": "web.1"}, "state": "TASK_RUNNING", "timestamp": 9.5,
    "container_status": {"network_infos": [{"ip_addresses": [{"ip_address": "192.168.0.7"}]}]},
}  # fmt: skip
_TASK = {**_ID, "task_id": {"value": "web.2"}, "agent_id": {"value": "c-S1"}, "name": "web", "state": "TASK_RUNNING",
         "statuses": [_STATUS], "resources": [{"name": "ports", "ranges": {"range": [{"begin": 1, "end": 3}]}}],
         "discovery": {"name": "web.group", "ports": {"ports": [{"number": 80, "name": "http", "labels": {
             "labels": [{"key": "VIP_0", "value": "/web:80"}]}}]}}}  # fmt: skip
EVENTS: tuple[dict[str, Any], ...] = (
    {"type": "TASK_ADDED", "task_added": {"task": _TASK}},
    {"type": "TASK_UPDATED", "task_updated": {**_ID, "status": _STATUS, "state": "TASK_RUNNING"}},
    {"type": "TASK_UPDATED", "task_updated": {**_ID, "status": {**_STATUS, "state": "TASK_KILLED"}}},
    {"type": "TASK_UPDATED", "task_updated": {**_ID, "status": {**_STATUS, "task_id": {"value": "web.2"}}}},
    {"type": "AGENT_ADDED", "agent_added": {"agent": {"agent_info": {"id": {"value": "c-S2"}}, "pid": "s@10.0.0.2:5"}}},
    {"type": "AGENT_REMOVED", "agent_removed": {"agent_id": {"value": "c-S1"}}},
)


def options(data: bytes) -> None:
    """The configuration file and the resolver's options: refused with every problem, or of use."""
    draw = Draw(data)
    document = draw.changed(CONFIGURATION)
    raw = data if draw.below(8) == 7 else json.dumps(document).encode("utf-8", "replace")
    with contextlib.suppress(Invalid):
        config = parse_config(raw)
        _check(listed(MesosRecords(config), Zone(config.apex), cluster([task("web", "192.168.0.1")])))
        msgspec.json.encode(config.public(1))
    words = [draw.text() for _ in range(6)]
    with contextlib.suppress(Invalid):
        own, forwarder = settings(
            words[0] if draw.below(2) else "127.0.0.1", master=(words[1],) if draw.below(2) else (),
            forward=(f"{words[2]}={words[3]}" if draw.below(2) else "a.b=10.0.0.1",),
            upstream=(words[4],) if draw.below(2) else (), cluster_id=words[5] if draw.below(2) else None,
        )  # fmt: skip
        assert own.listen
        assert forwarder.named()


CONFIGURATION: dict[str, Any] = {
    "masters": ["10.0.0.1:5050"], "domain": "mesos", "port": 53, "listener": "0.0.0.0", "ttl": 60, "refreshSeconds": 5,
    "resolvers": ["10.0.0.1", "[::1]:53"], "zoneResolvers": {"corp.example": ["10.0.0.1"]}, "IPSources": ["netinfo"],
    "SOARname": "root@example.org", "SOAMname": "ns1.mesos", "enforceRFC952": True, "timeout": 5, "zk": "",
}  # fmt: skip

_HEAD = b"\x11\x22\1\0\0\1\0\0\0\0\0"
ASKED: tuple[tuple[str, str, int], ...] = (
    ("web.group.marathon.mesos", "A", 0), ("many.marathon.mesos", "ANY", 1232), ("mesos", "SOA", 0),
    ("_many._tcp.marathon.mesos", "SRV", 4096), ("*.web.group.marathon.mesos", "AAAA", 0), (".", "NS", 0),
    ("group.marathon.mesos", "A", 512), ("web-group.marathon.containerip.dcos.thisdcos.directory", "A", 0),
    ("example.org", "TXT", 0), ("web.marathon.mesos.thisdcos.directory", "A", 1232), ("mesos", "AXFR", 0),
)  # fmt: skip
QUERIES = (
    *(
        dns.message.make_query(name, kind, id=0x1122, use_edns=bool(size), payload=size or None).to_wire()
        for name, kind, size in ASKED
    ),
    _HEAD + b"\0\xc0\x0c\0\1\0\1",
    _HEAD + b"\1\0\0\1\0\1\0\0\x29\xff\xff\0\0\0\0\0\0",
    b"\x11\x22\x80" + bytes(9),
    # A label that holds the letters of a label `*`.
    _HEAD + b"\2\1*\5mesos\0\0\1\0\1",
)
REPLIES = tuple(
    b"\x11\x22\x81\x80" + packet[4:] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\1\2\3\4" for packet in QUERIES
) + (b"\x11\x22\x81\x82" + bytes(8), b"\xc0\x0c\0\x21\0\1\0\0\0\x3c\0\x08\0\0\0\1\0\x50\xc0\x0c")  # fmt: skip
