"""Mesos-DNS's rules for labels: how a task or framework name becomes a name of the DNS. Pure."""

from __future__ import annotations

import functools
import hashlib
import string

_KEPT = frozenset(string.ascii_lowercase + string.digits + "-")
_ZBASE32 = "ybndrfg8ejkmcpqxot1uwisza345h769"
_MAX_1123 = 63
_MAX_952 = 24


def _common(name: str) -> str:
    dashed = name.lower().replace(".", "-").replace("_", "-")
    return "".join(c for c in dashed if c in _KEPT)


def rfc1123(name: str) -> str:
    """One label of letters, digits and inner dashes, at most 63 long; may be empty."""
    text = _common(name).strip("-")
    label, rest = text[:_MAX_1123], text[_MAX_1123:]
    while label.endswith("-"):
        label = label.rstrip("-")
        rest = rest.lstrip("-")
        room = _MAX_1123 - len(label)
        label, rest = label + rest[:room], rest[room:]
    return label


def rfc952(name: str) -> str:
    """The strict rule: starts with a letter, at most 24 long; may be empty."""
    return _common(name).lstrip("-" + string.digits)[:_MAX_952].rstrip("-")


@functools.lru_cache(maxsize=65536)
def label(name: str, *, strict: bool = False) -> str:
    """A task name as one label."""
    return rfc952(name) if strict else rfc1123(name)


@functools.lru_cache(maxsize=65536)
def domain(name: str, *, strict: bool = False) -> str:
    """A framework or discovery name: mangled part by part, dots kept, empty parts gone."""
    return ".".join(part for part in (label(p, strict=strict) for p in name.split(".")) if part)


@functools.lru_cache(maxsize=65536)
def task_hash(task_id: str) -> str:
    """The five characters that tell tasks of one name apart: zbase32 of the SHA-1 of the task id."""
    number = int.from_bytes(hashlib.sha1(task_id.encode(), usedforsecurity=False).digest(), "big")
    return "".join(_ZBASE32[(number >> (155 - 5 * i)) & 31] for i in range(5))


def agent_tail(agent_id: str) -> str:
    """What follows the last dash of an agent id, in lower case: `...-S1` gives `s1`."""
    return label(agent_id.rpartition("-")[2])
