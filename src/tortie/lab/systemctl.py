"""`systemctl` on a host of the lab: the verbs people and programs type, carried out by the host's supervisor."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tortie.base.errors import NotFound, TortieError
from tortie.lab import control, unit_files
from tortie.lab.units import full

FLAGS = frozenset(
    {"--now", "--no-block", "--value", "--quiet", "-q", "--no-pager", "--system", "--full", "-l", "--plain"}
    | {"--no-legend", "--all", "-a", "--force", "-f", "--no-ask-password", "--no-reload"}
)
VALUES = frozenset({"-p", "--property", "-t", "--type", "-n", "--lines", "-o", "--output"})
ACTIVE = {
    **dict.fromkeys(("running", "done"), "active"),
    **dict.fromkeys(("waiting", "starting", "backoff"), "activating"),
    "stopping": "deactivating",
    "failed": "failed",
}
INACTIVE, UNKNOWN, USAGE = 3, 4, 1
FAILED, NOT_FOUND = 1, 5


class Here(NamedTuple):
    """Where a host's supervisor answers, and where its unit files lie."""

    socket: Path = control.INSIDE
    folder: Path = unit_files.FOLDER

    def order(self, operation: str, unit: str | None = None, **more: Any) -> dict[str, Any]:
        return control.order(self.socket, operation, unit, **more)

    def find(self, unit: str) -> dict[str, Any] | None:
        """What the supervisor says of it; None when it has no such unit."""
        try:
            answer = self.order("find", unit)
        except NotFound:
            return None
        found: dict[str, Any] = answer["daemon"]
        return found


HERE = Here()


class Line(NamedTuple):
    """A command line: its words, and its options with their values."""

    words: list[str]
    options: dict[str, list[str]]
    here: Here = HERE

    def has(self, *names: str) -> bool:
        return any(name in self.options for name in names)


def read(arguments: Sequence[str], here: Here = HERE) -> Line | str:
    """The words and options; or what is wrong with them."""
    line, rest = Line([], {}, here), list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            line.words.extend(rest)
            break
        if not word.startswith("-"):
            line.words.append(word)
        elif word in FLAGS:
            line.options.setdefault(word, [])
        elif name in VALUES and (equals or rest):
            line.options.setdefault(name, []).append(value if equals else rest.pop(0))
        else:
            return f"systemctl: unrecognized option '{word}'"
    return line


def main(argv: Sequence[str] | None = None, here: Here = HERE) -> int:
    line = read(sys.argv[1:] if argv is None else argv, here)
    if isinstance(line, str):
        print(line, file=sys.stderr)
        return USAGE
    verb, units = (line.words[0], line.words[1:]) if line.words else ("list-units", [])
    act = VERBS.get(verb)
    try:
        if verb in ("list-units", "list-unit-files"):
            return _list(here)
        if verb == "daemon-reload":
            return _reload(here)
        if act is None:
            print(f"Unknown command verb {verb}.", file=sys.stderr)
            return USAGE
        if not units:
            print("Too few arguments.", file=sys.stderr)
            return USAGE
        return max(act(verb, unit, line) for unit in units)
    except TortieError as error:
        print(f"Failed to {verb}: {error}", file=sys.stderr)
        return 1


def _list(here: Here) -> int:
    for report in here.order("status")["daemons"]:
        print(f"{full(report['name']):24} {report['state']}")
    return 0


def _reload(here: Here) -> int:
    _warn(here.order("reload"))
    return 0


def _warn(answer: Mapping[str, Any]) -> None:
    for warning in answer.get("warnings", ()):
        print(f"Warning: {warning}", file=sys.stderr)


# -- orders


def _order(verb: str, unit: str, line: Line) -> int:
    if verb == "try-restart":
        report = line.here.find(unit)
        if report is not None and ACTIVE.get(report["state"]) not in ("active", "activating"):
            return 0
    operation = verb if verb in ("start", "stop") else "restart"
    try:
        _warn(line.here.order(operation, unit, wait=not line.has("--no-block")))
    except NotFound:
        print(f"Failed to {verb} {full(unit)}: Unit {full(unit)} not found.", file=sys.stderr)
        return NOT_FOUND
    except control.Refused as error:
        print(f"Job for {full(unit)} failed: {error}", file=sys.stderr)
        return FAILED
    return 0


def _reset(verb: str, unit: str, line: Line) -> int:
    try:
        line.here.order("reset", unit)
    except NotFound:
        print(f"Failed to reset failed state of unit {full(unit)}: Unit {full(unit)} not loaded.", file=sys.stderr)
        return FAILED
    return 0


def _enable(verb: str, unit: str, line: Line) -> int:
    """The lab's own daemons are enabled for ever: they start with their host."""
    report = line.here.find(unit)
    if report is None and not (verb == "disable" and unit_files.disable(unit, line.here.folder)):
        print(f"Failed to {verb} unit: Unit file {full(unit)} does not exist.", file=sys.stderr)
        return FAILED
    if report is not None and report["unit"]:
        if verb == "enable":
            _link(unit, line.here.folder)
        else:
            for link in unit_files.disable(unit, line.here.folder):
                print(f'Removed "{link}".', file=sys.stderr)
    if line.has("--now"):
        return _order("start" if verb == "enable" else "stop", unit, line)
    return 0


def _link(unit: str, folder: Path) -> None:
    found = unit_files.load(unit, folder)
    for link, path in unit_files.enable(unit, found, folder):
        print(f"Created symlink {link} -> {path}.", file=sys.stderr)
    if not found.wanted_by:
        print(f"Warning: {full(unit)} has no [Install] section: nothing starts it", file=sys.stderr)


def _nothing(_verb: str, _unit: str, _line: Line) -> int:
    return 0


# -- questions


def _state(verb: str, unit: str, line: Line) -> int:
    """`is-active` and `is-failed`."""
    report = line.here.find(unit)
    word = ACTIVE.get(report["state"], "inactive") if report else "inactive"
    if not line.has("-q", "--quiet"):
        print(word)
    if verb == "is-failed":
        return 0 if word == "failed" else 1
    return 0 if word == "active" else INACTIVE if report else UNKNOWN


def _is_enabled(_verb: str, unit: str, line: Line) -> int:
    report = line.here.find(unit)
    if report is None:
        print(f"Failed to get unit file state for {full(unit)}: No such file or directory", file=sys.stderr)
        return FAILED
    word = _enabled(unit, report, line.here.folder)
    if not line.has("-q", "--quiet"):
        print(word)
    return FAILED if word == "disabled" else 0


def _enabled(unit: str, report: Mapping[str, Any], folder: Path) -> str:
    if not report["unit"]:
        return "enabled"
    try:
        return unit_files.enabled(unit, unit_files.load(unit, folder), folder)
    except NotFound:
        return "transient"


def _show(_verb: str, unit: str, line: Line) -> int:
    report = line.here.find(unit)
    path = unit_files.path_of(unit, line.here.folder)
    said = {
        "Id": full(unit),
        "LoadState": "loaded" if report else "not-found",
        "ActiveState": ACTIVE.get(report["state"], "inactive") if report else "inactive",
        "SubState": report["state"] if report else "dead",
        "MainPID": str(report["pid"] or 0) if report else "0",
        "NRestarts": str(report["restarts"]) if report else "0",
        "UnitFileState": _enabled(unit, report, line.here.folder) if report else "",
        "FragmentPath": str(path or ""),
    }
    asked = [
        name
        for value in (*line.options.get("-p", ()), *line.options.get("--property", ()))
        for name in value.split(",")
    ]
    for name in asked or said:
        if name in said:
            print(said[name] if line.has("--value") else f"{name}={said[name]}")
    return 0


def _status(_verb: str, unit: str, line: Line) -> int:
    report = line.here.find(unit)
    if report is None:
        print(f"Unit {full(unit)} could not be found.", file=sys.stderr)
        return UNKNOWN
    word = ACTIVE.get(report["state"], "inactive")
    print(f"* {full(unit)}")
    where = unit_files.path_of(unit, line.here.folder) if report["unit"] else "the lab's supervisor"
    print(f"     Loaded: loaded ({where}; {_enabled(unit, report, line.here.folder)})")
    print(f"     Active: {word} ({report['state']}) for {report['seconds']:g} s, {report['restarts']} restarts")
    if report["pid"]:
        print(f"   Main PID: {report['pid']}")
    if report["last_exit"]:
        print(f"  Last exit: {report['last_exit']}")
    return 0 if word == "active" else INACTIVE


VERBS: Mapping[str, Callable[[str, str, Line], int]] = {
    **dict.fromkeys(("start", "stop", "restart", "reload-or-restart", "try-restart"), _order),
    **dict.fromkeys(("enable", "disable"), _enable),
    **dict.fromkeys(("is-active", "is-failed"), _state),
    "is-enabled": _is_enabled,
    "reset-failed": _reset,
    "reload": _nothing,
    "show": _show,
    "status": _status,
}


if __name__ == "__main__":
    sys.exit(main())
