"""Whether containers here and containers on other hosts would find each other's hosts, whatever policy says.

`questions` says what is asked. The answers are read as they arrive: no container needs to take them.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from tortie.packages.rollout.hand.packets import ETHER, IPV4, IPV6, PORT, only_answers, probe, understood
from tortie.packages.rollout.hand.questions import Question, asked_for, told

FAMILIES = {IPV4: socket.AF_INET, IPV6: socket.AF_INET6}
HOPS = 4
SECONDS = 1.0
RESOLVED_SECONDS, PAUSE = 0.5, 0.01
_SO_ATTACH_FILTER = 26
_RTM_GETNEIGH, _DUMP, _DONE, _ERROR = 30, 0x301, 3, 2
_NDA_DST, _NDA_LLADDR = 1, 2
_HEADER, _NEIGHBOUR, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BxxxiHBB"), struct.Struct("=HH")


def silent(known: Mapping[str, Any], names: Iterable[str], seconds: float = SECONDS) -> dict[str, str]:
    """Of the questions to those that are called so the ones without an answer, and what is wrong."""
    left, spoken, unsent = asked_for(known, names), dict[str, str](), dict[str, str]()
    if not left:
        return {}
    asked, resolved_by = dict(left), time.monotonic() + RESOLVED_SECONDS
    token = 33000 + (os.getpid() + int(time.monotonic() * 10)) % 20000
    with _ears({question.version for question in left.values()}) as ears:
        # A router on the way gives the packet up first: one hop more then.
        for hops in range(1, HOPS + 1):
            unsent = {name: _send(question, token + hops, hops, resolved_by) for name, question in left.items()}
            if not all(unsent.values()):
                _listen(ears, left, spoken, token + hops, seconds)
            if not left:
                break
    return {name: told(asked[name], unsent[name] or spoken.get(name, "no answer")) for name in left}


@contextmanager
def _ears(versions: Iterable[int]) -> Iterator[list[socket.socket]]:
    """What hears the answers of these families."""
    with ExitStack() as stack:
        ears = []
        for version in versions:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETHER[version]))
            ear, program = stack.enter_context(made), only_answers(version)
            kept = ctypes.create_string_buffer(program)
            attached = struct.pack("HP", len(program) // 8, ctypes.addressof(kept))
            ear.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)
            ears.append(ear)
        yield ears


def _send(question: Question, token: int, hops: int, resolved_by: float) -> str:
    """Why no packet could be sent."""
    try:
        if question.device:
            return _hand_over(question, token, resolved_by)
        return _send_on(question, token, hops)
    except OSError as error:
        return error.strerror or str(error)


def _send_on(question: Question, token: int, hops: int) -> str:
    """By this host's routes, to each of its containers."""
    why, sent = "", False
    with socket.socket(FAMILIES[question.version], socket.SOCK_RAW, socket.IPPROTO_RAW) as mouth:
        for target in question.targets:
            try:
                mouth.sendto(probe(question.source, target, token, hops), (target, 0))
                sent = True
            except OSError as error:
                why = error.strerror or str(error)
    return "" if sent else why


def _hand_over(question: Question, token: int, resolved_by: float) -> str:
    """To the other host's interface, for it to send on."""
    mac = question.mac or _resolved(question, resolved_by)
    if not mac:
        return f"nobody has {question.gateway} on {question.device}"
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as mouth:
        to = (question.device, ETHER[question.version], 0, 0, bytes.fromhex(mac.replace(":", "")))
        for target in question.targets:
            mouth.sendto(probe(question.source, target, token, 1), to)
    return ""


def _resolved(question: Question, ends: float) -> str:
    """The address of the gateway's interface as the kernel knows it, which looks for it when somebody sends there."""
    index = socket.if_nametoindex(question.device)
    with socket.socket(FAMILIES[question.version], socket.SOCK_DGRAM) as mouth:
        mouth.sendto(b"", (question.gateway, PORT))
    while not (found := _interface_of(question.gateway, question.version, index)) and time.monotonic() < ends:
        time.sleep(PAUSE)
    return found


def _interface_of(address: str, version: int, index: int) -> str:
    """The MAC that belongs to the address there; empty while the kernel does not know."""
    kind = FAMILIES[version]
    wanted = socket.inet_pton(kind, address)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.settimeout(SECONDS)
        body = _NEIGHBOUR.pack(kind, 0, 0, 0, 0)
        asking.send(_HEADER.pack(_HEADER.size + len(body), _RTM_GETNEIGH, _DUMP, 1, 0) + body)
        found, over = "", False
        while not over:
            data = asking.recv(65536)
            while len(data) >= _HEADER.size:
                length, what, *_ = _HEADER.unpack_from(data)
                over = over or what in (_DONE, _ERROR)
                if not over and _NEIGHBOUR.unpack_from(data, _HEADER.size)[1] == index:
                    told_of = dict(_attributes(data[_HEADER.size + _NEIGHBOUR.size : length]))
                    if told_of.get(_NDA_DST) == wanted and _NDA_LLADDR in told_of:
                        found = told_of[_NDA_LLADDR].hex(":")
                data = data[max(length + 3 & ~3, _HEADER.size) :]
    return found


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        yield kind, data[_ATTRIBUTE.size : length]
        data = data[max(length + 3 & ~3, _ATTRIBUTE.size) :]


def _listen(
    ears: Sequence[socket.socket], left: dict[str, Question], spoken: dict[str, str], token: int, seconds: float
) -> None:
    """Takes those that are answered out of `left`; `spoken`: of whom others said something."""
    ends = time.monotonic() + seconds
    while left and (patience := ends - time.monotonic()) > 0:
        for ear in select.select(ears, [], [], patience)[0]:
            answer = understood(ear.recv(512))
            if answer is None or answer.token != token:
                continue
            for name, question in list(left.items()):
                if question.answered(answer):
                    del left[name]
                elif question.passed(answer):
                    spoken[name] = f"no answer; the last host on the way that spoke was {answer.sender}"
