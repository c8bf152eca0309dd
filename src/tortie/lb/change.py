"""From the servers that HAProxy has to those wanted, as commands of its runtime API. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter

_LISTENS = re.compile(r"^\s*(?:frontend|listen)\s+(\S+)|^\s*bind\s+(\S*):(\d+)(?!\S)", re.MULTILINE)
_ID = re.compile(r" id \d+")
Key = tuple[str, str]
_MAINTENANCE = 0x01 | 0x02 | 0x04 | 0x20
_DRAIN = 0x08 | 0x10
_COLUMNS = ("be_name", "srv_name", "srv_addr", "srv_port", "srv_admin_state", "srv_op_state", "srv_uweight")


@dataclass(frozen=True, slots=True)
class Have:
    """A server as the running worker has it."""

    address: str
    port: int
    maintenance: bool
    draining: bool
    stopped: bool = False
    weight: int = 1

    @property
    def serves(self) -> bool:
        return not (self.maintenance or self.draining or self.stopped)


@dataclass(frozen=True, slots=True)
class Command:
    """`must` commands have to succeed, else a reload mends it; the others are tried again later. `instead`: what does
    nearly as well where the text is refused."""

    text: str
    must: bool = True
    good: str = ""
    instead: str = ""


def parse_state(text: str) -> dict[Key, Have]:
    """The answer of `show servers state`."""
    columns: list[str] = []
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            columns = line[1:].split()
            pick = itemgetter(*(columns.index(name) for name in _COLUMNS))
        elif columns and (values := line.split()) and len(values) >= len(columns):
            backend, name, address, port, flags, operation, weight = pick(values)
            admin = int(flags)
            found[backend, name] = Have(
                address, int(port), bool(admin & _MAINTENANCE), bool(admin & _DRAIN), operation == "0", int(weight)
            )
    return found


def plan(
    want: Mapping[Key, str], have: Mapping[Key, Have], fixed: Collection[str], sticky: Collection[str] = ()
) -> Iterator[Command]:
    """New servers first, so that a backend never runs dry between; backends in `fixed` are left alone.

    Backends in `sticky` have cookies made of the addresses of their servers.
    """
    for key, options in want.items():
        if key in have:
            yield from _alter("/".join(key), options, have[key])
        else:
            yield from _add("/".join(key), options, with_cookie=key[0] if key[0] in sticky else "")
    for key, now in have.items():
        if key in want or key[0] in fixed:
            continue
        name = "/".join(key)
        if not now.maintenance:
            yield Command(f"set server {name} state maint")
        # Refused while connections are left: those go on undisturbed, and the server is asked to go again later.
        yield Command(f"del server {name}", must=False, good="Server deleted.")


def _add(name: str, options: str, with_cookie: str) -> Iterator[Command]:
    # Its id may be that of a server that still finishes its connections: HAProxy finds another one then.
    unnamed = _ID.sub("", options)
    yield Command(f"add server {name} {options}", good="New server registered.", instead=f"add server {name} {unnamed}")
    words = options.split()
    if "check" in words:
        yield Command(f"enable health {name}")
    if with_cookie:
        yield Command(f"enable dynamic-cookie backend {with_cookie}")
    if "disabled" not in words:
        yield Command(f"set server {name} state ready")


def _alter(name: str, options: str, now: Have) -> Iterator[Command]:
    where, *words = options.split()
    address, _, port = where.rpartition(":")
    if (address.strip("[]"), int(port)) != (now.address, now.port):
        yield Command(f"set server {name} addr {address.strip('[]')} port {port}", good="changed")
    weight = int(words[words.index("weight") + 1]) if "weight" in words else now.weight
    if weight != now.weight:
        yield Command(f"set server {name} weight {weight}")
    if "disabled" in words:
        if not now.maintenance:
            yield Command(f"set server {name} state maint")
    elif now.maintenance or now.draining:
        yield Command(f"set server {name} state ready")
    elif now.stopped and "check" not in words:
        # Found down by a check that it had before a reload: nothing would ever raise it again.
        yield Command(f"set server {name} health up")


def settled(want: Mapping[Key, str], have: Mapping[Key, Have], fixed: Collection[str]) -> bool:
    """Whether nothing is left to do but to delete servers that still finish their connections."""
    return not any(command.must for command in plan(want, have, fixed))


def succeeded(command: Command, answer: str) -> bool:
    """Most commands answer with nothing when all is well."""
    said = answer.strip()
    return command.good in said if command.good else not said


def fixed_backends(text: str, servers: Mapping[Key, str]) -> set[str]:
    """Backends of a configuration whose server lines only a reload may change."""
    backend, found = "", {"stats", "tortie_lb_control"}
    for line in text.splitlines():
        words = line.split()
        if words[:1] in (["backend"], ["listen"]) and len(words) > 1:
            backend = words[1]
        elif words[:1] == ["server"] and (backend, *words[1:2]) not in servers:
            found.add(backend)
    return found


def binds(text: str) -> dict[tuple[str, int], str]:
    """Where a configuration listens: address and port, with the section's name."""
    section, found = "", {}
    for match in _LISTENS.finditer(text):
        name, address, port = match.groups()
        if name:
            section = name
        else:
            found[address, int(port)] = section
    return found
