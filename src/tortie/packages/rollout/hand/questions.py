"""Which hosts are asked what, from what the node tells of them, and what counts as an answer. Values only.

Of a host with containers: a packet from a container here to one there. Of one without, where this host has an address
that others should know the way to: a packet to that own address, handed to the other host to be sent on. Either has so
few hops left that the other host gives it up: its kernel says so before any policy is asked, by its own way back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tortie.packages.rollout.hand.packets import IPV4, IPV6, Answer, family


@dataclass(frozen=True)
class Question:
    """To one host, in one family. `device`: where the packet is put on the wire by hand, to the interface with the
    address `mac` or, where that is not known, the one of `gateway`; empty: this host's own routes decide."""

    host: str
    version: int
    senders: frozenset[str]
    source: str
    targets: tuple[str, ...]
    device: str = ""
    mac: str = ""
    gateway: str = ""

    @property
    def name(self) -> str:
        return f"{self.host}/{self.version}"

    def answered(self, answer: Answer) -> bool:
        """Whether it was the host that answered, or the container itself."""
        if answer.target not in self.targets:
            return False
        inside = not answer.exceeded and not self.device and answer.sender == answer.target
        return inside or answer.sender in self.senders

    def passed(self, answer: Answer) -> bool:
        """Whether it was somebody on the way."""
        return answer.target in self.targets and answer.exceeded and not self.device


def asked_for(known: Mapping[str, Any], names: Iterable[str]) -> dict[str, Question]:
    """What there is to ask of hosts that are called so: by name or address, or by a question's own name."""
    wanted, found = frozenset(names), dict[str, Question]()
    for host, peer in known["peers"].items():
        for version in (IPV4, IPV6):
            question = _question(known, host, peer, version)
            if question is not None and not wanted.isdisjoint((host, question.name, *peer["addresses"])):
                found[question.name] = question
    return found


def _question(known: Mapping[str, Any], host: str, peer: Mapping[str, Any], version: int) -> Question | None:
    own, targets = _of(known["own"], version), _of(peer["workloads"], version)
    senders = frozenset(_of(peer["addresses"], version))
    source = next(iter(own or (_of(known.get("host", ()), version) if version == IPV6 else ())), "")
    if targets and (source or version != IPV6):
        return Question(host, version, senders, source, targets)
    beside = peer.get("beside")
    if targets or not beside or family(beside["own"]) != version:
        return None
    at = beside["own"]
    return Question(host, version, senders, at, (at,), beside["device"], beside["mac"], beside["gateway"])


def _of(addresses: Sequence[str], version: int) -> tuple[str, ...]:
    return tuple(address for address in addresses if family(address) == version)


def told(question: Question, why: str) -> str:
    """What is wrong when nobody answers."""
    by = " by IPv6" if question.version == IPV6 else ""
    if question.device:
        return f"{question.host} does not lead back to containers here{by} ({why})"
    return f"containers here are not reached{by} by those of {question.host}, or the other way round ({why})"
