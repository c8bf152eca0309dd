"""A zone that is another one under its own name: questions are asked there, and the replies renamed. Pure."""

from __future__ import annotations

import struct

import dns.exception
import dns.message
import dns.name
import dns.rrset

from tortie.dns.message import Question

_HEADER = struct.Struct("!HHHHHH")


def rename_query(query: bytes, question: Question, alias: bytes, real: bytes) -> bytes:
    """The same question below `real` instead of `alias` (wire names), with an OPT record if there was one."""
    ident, flags = struct.unpack_from("!HH", query)
    asked = question.raw[: -4 - len(alias)] + real + question.raw[-4:]
    opt = b"\0" + struct.pack("!HHIH", 41, question.size, 0, 0) if question.edns else b""
    return _HEADER.pack(ident, flags, 1, 0, 0, int(question.edns)) + asked + opt


def rename_reply(reply: bytes, alias: bytes, real: bytes) -> bytes | None:
    """The reply with every name below `real` moved below `alias`; None when it cannot be read or does not fit."""
    to, _ = dns.name.from_wire(alias, 0)
    away, _ = dns.name.from_wire(real, 0)

    def moved(name: dns.name.Name) -> dns.name.Name:
        return name.relativize(away).derelativize(to) if name.is_subdomain(away) else name

    def moved_set(rrset: dns.rrset.RRset) -> dns.rrset.RRset:
        data = []
        for item in rrset:
            # Every name that a record carries: an SRV's and NS's target, an SOA's names.
            fields = {key: getattr(item, key, None) for key in ("target", "mname", "rname")}
            names = {key: moved(value) for key, value in fields.items() if isinstance(value, dns.name.Name)}
            data.append(item.replace(**names) if names else item)
        return dns.rrset.from_rdata_list(moved(rrset.name), rrset.ttl, data)

    try:
        message = dns.message.from_wire(reply)
        message.question = [dns.rrset.RRset(moved(q.name), q.rdclass, q.rdtype) for q in message.question]
        for section in (message.answer, message.authority, message.additional):
            section[:] = [moved_set(rrset) for rrset in section]
        return message.to_wire(max_size=65535)
    except (dns.exception.DNSException, ValueError):
        return None
