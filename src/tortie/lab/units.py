"""Unit files of a lab's host, as far as its supervisor understands systemd's language. Pure.

What it does not understand is told as a warning: a unit that works here only because a line was passed over would be
a surprise on a real host.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from tortie.base.errors import Invalid
from tortie.lab.plan import Daemon, Manner, Ready

DAEMONS = {
    "docker": "dockerd",
    "mesos-slave": "agent",
    "mesos-agent": "agent",
    "dcos-mesos-slave": "agent",
    "dcos-mesos-slave-public": "agent",
    "mesos-master": "master",
    "dcos-mesos-master": "master",
    "dcos-marathon": "marathon",
    "mesos-dns": "dns",
    "dcos-mesos-dns": "dns",
    "dcos-spartan": "resolver",
    "dcos-net": "resolver",
    "haproxy": "lb",
    "marathon-lb": "lb",
    "calico-node": "node",
    "ssh": "sshd",
}
"""The units that documents name, and the daemon that stands for each on a host that has it."""

SUFFIX = ".service"
GRACE, DELAY = 90.0, 0.1
"""systemd's own defaults."""
TYPES = ("simple", "exec", "oneshot")
RESTARTS = ("no", "always", "on-failure")
KILL_MODES = {"control-group": True, "process": False}
WITHOUT_EFFECT = frozenset(
    {"Unit.Description", "Unit.Documentation", "Unit.Wants", "Unit.Before", "Unit.StartLimitIntervalSec"}
    | {"Unit.StartLimitBurst"}
)
"""They order the start of a host, or speak to people: here a host's daemons are up before any unit is."""
_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "ms": 0.001, "min": 60.0, "m": 60.0, "h": 3600.0}
_NAME = re.compile(r"[A-Za-z0-9:_.@\\-]{1,200}")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Unit:
    """`wanted_by`: the targets that `enable` links it to; `warnings`: what of its text has no effect here."""

    daemon: Daemon
    wanted_by: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Read:
    """What has been read so far."""

    instance: str
    kind: str = "simple"
    before: list[tuple[str, ...]] = field(default_factory=list)
    argv: tuple[str, ...] = ()
    after: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    grace: float = GRACE
    manner: Manner = field(default_factory=lambda: Manner(restart="no", delay=DELAY, group=True))
    remains: bool = False
    wanted_by: list[str] = field(default_factory=list)


def sound(name: str) -> bool:
    """Whether a unit may be called so: with letters that a file's name may have, and with room for its endings."""
    return _NAME.fullmatch(plain(name)) is not None


def plain(name: str) -> str:
    """`calico-node.service` and `calico-node` are the same unit."""
    return name.removesuffix(SUFFIX)


def full(name: str) -> str:
    return f"{plain(name)}{SUFFIX}"


def daemon_of(unit: str) -> str:
    """`docker.service` or `docker` is the daemon `dockerd`; a daemon's own name is a unit as well."""
    return DAEMONS.get(plain(unit), plain(unit))


def parse(name: str, text: str) -> Unit:
    """The unit of this name. Invalid with every line that cannot be meant."""
    read, problems, warnings = _Read(plain(name).partition("@")[2]), [], []
    for number, section, key, value in _lines(text):
        where = f"{full(name)}:{number}"
        if not key:
            problems.append(f"{where}: {value!r} is neither [SECTION] nor NAME=VALUE")
            continue
        try:
            known = _take(read, f"{section}.{key}", value)
        except ValueError as error:
            problems.append(f"{where}: {key}={value}: {error}")
            continue
        if not known:
            warnings.append(f"{where}: the lab does not know {key}= in [{section}]: it has no effect here")
    if not read.argv and not problems:
        problems.append(f"{full(name)}: it has no ExecStart=")
    if problems:
        raise Invalid(*problems)
    manner = replace(read.manner, before=tuple(read.before), once=read.kind == "oneshot" and not read.remains)
    ready = Ready("exit") if read.kind == "oneshot" else Ready("started")
    daemon = Daemon(plain(name), read.argv, tuple(read.after), ready, read.env, read.grace, manner=manner)
    return Unit(daemon, tuple(read.wanted_by), tuple(warnings))


def _lines(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Number, section, name and value of each setting; no name where the line is none. A backslash goes on."""
    section, kept, begun = "", "", 0
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not kept and (not stripped or stripped[0] in "#;"):
            continue
        begun = begun if kept else number
        if stripped.endswith("\\"):
            kept += f"{stripped[:-1]} "
            continue
        stripped, kept = kept + stripped, ""
        if stripped.startswith("[") and stripped.endswith("]"):
            section = stripped[1:-1]
            continue
        key, equals, value = stripped.partition("=")
        yield begun, section, key.strip() if equals else "", value.strip() if equals else stripped


def _take(read: _Read, name: str, value: str) -> bool:
    """Whether the setting is known. ValueError says what its value should be."""
    if name in WITHOUT_EFFECT:
        return True
    if name == "Unit.After":
        # Only daemons of this host can be waited for: targets have all been reached.
        read.after += [plain(word) for word in value.split() if word.endswith(SUFFIX)]
    elif name == "Install.WantedBy":
        read.wanted_by += value.split()
    elif name == "Service.Type":
        read.kind = _one_of(value, TYPES)
    elif name == "Service.RemainAfterExit":
        read.remains = _one_of(value, ("yes", "no", "true", "false")) in ("yes", "true")
    elif name == "Service.ExecStartPre":
        read.before.append(_command(read, value))
    elif name == "Service.ExecStart":
        read.argv = _command(read, value)
    elif name == "Service.Environment":
        read.env.update(_pairs(shlex.split(_specified(read, value))))
    elif name == "Service.TimeoutStopSec":
        read.grace = _seconds(value)
    else:
        return _take_manner(read, name, value)
    return True


def _take_manner(read: _Read, name: str, value: str) -> bool:
    if name == "Service.EnvironmentFile":
        changed = replace(read.manner, env_files=(*read.manner.env_files, _specified(read, value)))
    elif name == "Service.Restart":
        changed = replace(read.manner, restart=_one_of(value, RESTARTS))
    elif name == "Service.RestartSec":
        changed = replace(read.manner, delay=_seconds(value))
    elif name == "Service.KillMode":
        changed = replace(read.manner, group=KILL_MODES[_one_of(value, tuple(KILL_MODES))])
    elif name == "Service.WorkingDirectory":
        changed = replace(read.manner, directory=_specified(read, value))
    elif name == "Service.LimitNOFILE":
        changed = replace(read.manner, open_files=int(value))
    else:
        return False
    read.manner = changed
    return True


def _one_of(value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise ValueError(f"the lab's supervisor knows {', '.join(known)}")
    return value


def _seconds(value: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", value)
    if not match or match[2] not in _SECONDS:
        raise ValueError("expected seconds, or a number with ms, s, min or h")
    return float(match[1]) * _SECONDS[match[2]]


def _specified(read: _Read, value: str) -> str:
    """With the instance's name where `%i` stands."""
    unknown = set(re.findall(r"%([^%i])", value))
    if unknown:
        raise ValueError(f"the lab's supervisor knows %i and %%, not %{min(unknown)}")
    return value.replace("%i", read.instance).replace("%%", "%")


def _command(read: _Read, value: str) -> tuple[str, ...]:
    """A `-` before the program stays: its failure counts for nothing."""
    words = shlex.split(_specified(read, value))
    if not words or not PurePath(words[0].removeprefix("-")).is_absolute():
        raise ValueError("expected the full path of a program, then its words")
    return tuple(words)


def _pairs(words: Sequence[str]) -> dict[str, str]:
    if bad := [word for word in words if "=" not in word]:
        raise ValueError(f"{bad[0]!r} is not NAME=VALUE")
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def environment(text: str) -> dict[str, str]:
    """The variables of an environment file: lines NAME=VALUE, a value perhaps in quotes; others are passed over."""
    found = {}
    for line in map(str.strip, text.splitlines()):
        name, equals, value = line.partition("=")
        if equals and line[0] not in "#;":
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            found[name.strip()] = value[1:-1] if quoted else value
    return found


def expanded(argv: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """With the variables' values: `${NAME}` within a word, `$NAME` alone as the words that it holds."""
    words = []
    for word in argv:
        match = re.fullmatch(r"\$(\w+)", word)
        if match:
            words += env.get(match[1], "").split()
        else:
            words.append(_VARIABLE.sub(lambda found: env.get(found[1], ""), word))
    return words
