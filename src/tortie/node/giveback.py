"""What a host was before its node changed it, and how it gets that back. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

FORWARD, FORWARD6 = "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"
REDIRECTS = "net/ipv4/conf/all/accept_redirects"
OTHERS = re.compile(r"docker\d+|br-[0-9a-f]{12}|podman\d+|cni-?\w*\d+|virbr\d+|(lxc|lxd|incus)br\d+|kube-ipvs0")
"""Bridges of container engines and of virtual machines, whose guests are reached only while the host forwards."""


class Setting(msgspec.Struct, frozen=True):
    """A setting of the kernel, before the node and as the node has written it.

    `sides`: what the kernel changes with it, each as it was and as it was made. `giving`: what those are to be, written
    down when giving back begins: behind the first write nobody can tell any more.
    """

    before: str
    ours: str
    sides: dict[str, tuple[str, str]] = {}
    giving: dict[str, str] | None = None


class File(msgspec.Struct, frozen=True):
    """A file that was put in place. `kept`: where what was there before lies; `link`: where it led when it was a link;
    both are empty when there was nothing. `ours`: the digest of what was put there, empty while it is not known to be
    there."""

    kept: str = ""
    ours: str = ""
    link: str = ""


class Record(msgspec.Struct, frozen=True):
    """`world`: the boot and the network namespace in which the settings were changed and the links taken; `folders`:
    those that were not there, from the outermost on."""

    world: str = ""
    settings: dict[str, Setting] = {}
    links: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    files: dict[str, File] = {}

    def at(self, world: str) -> Record:
        """What of it is true in this world."""
        return self if world == self.world else replace(self, world=world, settings={}, links=())


def sides(name: str, value: str, interfaces: Iterable[str]) -> dict[str, str]:
    """The settings that the kernel changes when `name` becomes `value`, and what it makes of them."""
    if name == FORWARD:
        four = {f"net/ipv4/conf/{interface}/forwarding": value for interface in interfaces if interface != "all"}
        return {**four, REDIRECTS: "0" if value == "1" else "1"}
    if name == FORWARD6:
        return {f"net/ipv6/conf/{interface}/forwarding": value for interface in interfaces if interface != "all"}
    return {}


class Back(NamedTuple):
    """What to write, in this order; `left`: why it stays as it is instead."""

    writes: Mapping[str, str] = {}
    left: str = ""


def back(
    name: str, setting: Setting, now: Mapping[str, str], interfaces: Iterable[str], configured: Mapping[str, str]
) -> Back:
    """How a setting becomes what it was; what others have changed since stays. `now`: the settings that there are, as
    they are; `configured`: the file of this host that asks for the value which the node has written, by their names."""
    have = now.get(name)
    if have is None or (have == setting.before and setting.giving is None):
        return Back()
    if have not in (setting.ours, setting.before):
        return Back(left=f"somebody has changed it: it was {setting.before}, the node had made it {setting.ours}")
    if setting.giving is not None:
        return Back({name: setting.before, **{side: value for side, value in setting.giving.items() if side in now}})
    if name in configured:
        return Back(left=f"{configured[name]} asks for it")
    if others := sorted(_others(name, setting, interfaces)):
        back_by_hand = f"sysctl -w {dotted(name)}={setting.before}"
        return Back(left=f"{others[0]} is here, whose guests need it; when it goes: {back_by_hand}")
    wanted = {side: before if now[side] == made else now[side] for side, (before, made) in _there(setting, now)}
    return Back({name: setting.before, **wanted})


def _there(setting: Setting, now: Mapping[str, str]) -> list[tuple[str, tuple[str, str]]]:
    return [(side, values) for side, values in setting.sides.items() if side in now]


def _others(name: str, setting: Setting, interfaces: Iterable[str]) -> list[str]:
    """Whoever came to a host that forwards already may need it; who was there before did without."""
    if name not in (FORWARD, FORWARD6):
        return []
    known = {side.split("/")[3] for side in setting.sides}
    return [interface for interface in interfaces if interface not in known and OTHERS.fullmatch(interface)]


Fate = Literal["gone", "remove", "restore", "leave"]


def fate(file: File, present: str | None, before: str | None) -> Fate:
    """What becomes of a file that was put in place; `gone`: it is as it was. `present`, `before`: the digests of what
    is there now and of what was there before, None for nothing."""
    if present == before:
        return "gone"
    if present is None:
        return "restore"
    if not file.ours or present != file.ours:
        return "leave"
    return "remove" if before is None else "restore"


def dotted(name: str) -> str:
    """A setting as people write it."""
    return name.replace(".", "\0").replace("/", ".").replace("\0", "/")


def asked_for(texts: Mapping[str, str], settings: Mapping[str, Setting]) -> dict[str, str]:
    """The last of the files (by path, in the order in which they are read) that says something of a setting, where that
    is the value which the node has written, too; by the setting's name."""
    last: dict[str, tuple[str, str]] = {}
    for path, text in texts.items():
        for line in text.splitlines():
            name, equals, value = (part.strip() for part in line.partition("="))
            if equals and not name.startswith(("#", ";")):
                last[_slashed(name.removeprefix("-"))] = path, value
    return {name: last[name][0] for name, setting in settings.items() if name in last and last[name][1] == setting.ours}


def _slashed(name: str) -> str:
    """Of either way of writing a setting: whichever of the two separators comes first is the separator."""
    first = next((letter for letter in name if letter in "./"), "/")
    found = name if first == "/" else dotted_back(name)
    return {"net/ipv4/conf/all/forwarding": FORWARD}.get(found, found)


def dotted_back(name: str) -> str:
    """The path of a setting as people write it."""
    return name.replace("/", "\0").replace(".", "/").replace("\0", ".")
