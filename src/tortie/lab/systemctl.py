"""`systemctl` on a host of the lab: the verbs people type, carried out by the host's supervisor."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tortie.base.errors import NotFound, TortieError
from tortie.lab import control

UNITS = {
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
"""The units that documents name, and the daemon that stands for each here."""

ORDERS = ("start", "stop", "restart", "reload-or-restart", "try-restart")
NOTHING_TO_DO = ("daemon-reload", "enable", "disable", "reset-failed", "reload")
QUESTIONS = ("status", "is-active", "is-failed", "is-enabled", "show")
RUNNING = ("running", "done")
INACTIVE, UNKNOWN, USAGE = 3, 4, 1


def daemon_of(unit: str) -> str:
    """`docker.service` or `docker` is the daemon `dockerd`; a daemon's own name is a unit as well."""
    name = unit.removesuffix(".service")
    return UNITS.get(name, name)


def main(argv: Sequence[str] | None = None) -> int:
    words = [word for word in (sys.argv[1:] if argv is None else argv) if not word.startswith("-")]
    verb, units = (words[0], words[1:]) if words else ("list-units", [])
    try:
        if verb in ("list-units", "list-unit-files"):
            return _list()
        if verb in NOTHING_TO_DO:
            return 0
        if verb not in (*ORDERS, *QUESTIONS):
            print(f"Unknown command verb {verb}.", file=sys.stderr)
            return USAGE
        if not units:
            print("Too few arguments.", file=sys.stderr)
            return USAGE
        act = _question if verb in QUESTIONS else _order
        return max(act(verb, unit) for unit in units)
    except TortieError as error:
        print(f"Failed to {verb}: {error}", file=sys.stderr)
        return 1


def _list() -> int:
    for report in _reports():
        print(f"{report['name'] + '.service':24} {report['state']}")
    return 0


def _reports() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = control.order(control.INSIDE, "status")["daemons"]
    return listed


def _order(verb: str, unit: str) -> int:
    operation = verb if verb in ("start", "stop") else "restart"
    try:
        control.order(control.INSIDE, operation, daemon_of(unit))
    except NotFound:
        print(f"Failed to {verb} {unit}: Unit {_full(unit)} not found.", file=sys.stderr)
        return 5
    except control.Refused as error:
        print(f"Job for {_full(unit)} failed: {error}", file=sys.stderr)
        return 1
    return 0


def _question(verb: str, unit: str) -> int:
    report = next((r for r in _reports() if r["name"] == daemon_of(unit)), None)
    if report is None:
        print(f"Unit {_full(unit)} could not be found.", file=sys.stderr)
        return UNKNOWN
    active = report["state"] in RUNNING
    if verb == "is-enabled":
        print("enabled")
        return 0
    if verb == "show":
        print(f"MainPID={report['pid'] or 0}\nActiveState={'active' if active else 'inactive'}")
        return 0
    if verb in ("is-active", "is-failed"):
        word = {True: "active", False: "failed" if report["state"] == "backoff" else "inactive"}[active]
        print(word)
        return 0 if (word == "failed") == (verb == "is-failed") and (active or verb == "is-failed") else INACTIVE
    print(f"* {_full(unit)}")
    print("     Loaded: loaded (the lab's supervisor; enabled)")
    state = f"active ({report['state']})" if active else f"inactive ({report['state']})"
    print(f"     Active: {state} for {report['seconds']:g} s, {report['restarts']} restarts")
    if report["pid"]:
        print(f"   Main PID: {report['pid']}")
    if report["last_exit"]:
        print(f"  Last exit: {report['last_exit']}")
    return 0 if active else INACTIVE


def _full(unit: str) -> str:
    return unit if unit.endswith(".service") else f"{unit}.service"


if __name__ == "__main__":
    sys.exit(main())
