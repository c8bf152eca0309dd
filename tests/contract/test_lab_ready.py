"""`up` waits for daemons whose supervisors do not always answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tortie.base.errors import Unavailable
from tortie.lab import create
from tortie.lab.api import Lab


@dataclass
class Host:
    """`answers` are given one after another, the last for ever; None is a supervisor that does not answer in time."""

    name: str
    answers: list[str | None]
    alive: bool = True
    asked: int = 0

    def daemons(self) -> list[dict[str, Any]]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if answer is None:
            raise Unavailable(f"supervisor of {self.name}: timed out")
        return [{"name": "d", "state": answer, "restarts": 9 if answer == "backoff" else 0, "last_exit": "exit 1"}]

    def log(self, daemon: str) -> Path:
        return Path("/nonexistent", daemon)


@dataclass
class Seen:
    waited_for: list[str] = field(default_factory=list)

    def doing(self, what: str, done: int, of: int, waiting: str = "") -> None:
        self.waited_for.append(waiting)


def lab(*hosts: Host) -> Lab:
    return cast(Lab, SimpleNamespace(switch=hosts[0], hosts={host.name: host for host in hosts[1:]}))


def test_a_supervisor_that_is_late_is_asked_again() -> None:
    seen = Seen()
    slow = Host("slow", [None, "starting", None, "running"])
    create.wait_ready(lab(Host("switch", ["running"]), slow), seen)
    assert seen.waited_for == ["the supervisor of slow", "d on slow", "the supervisor of slow", ""]


def test_a_host_that_has_ended_is_not_waited_for() -> None:
    with pytest.raises(Unavailable, match="supervisor of gone"):
        create.wait_ready(lab(Host("switch", ["running"]), Host("gone", [None], alive=False)), Seen())


def test_one_that_never_answers_is_named_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create, "READY_SECONDS", 0.1)
    with pytest.raises(Unavailable, match="supervisor of mute: timed out"):
        create.wait_ready(lab(Host("switch", ["running"]), Host("mute", [None])), Seen())


def test_a_daemon_without_hope_is_named_while_another_host_is_late() -> None:
    with pytest.raises(create.DaemonMissing, match="d on bad is not up"):
        create.wait_ready(lab(Host("switch", [None]), Host("bad", ["backoff"])), Seen())
