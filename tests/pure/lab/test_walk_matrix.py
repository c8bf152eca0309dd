"""The wanted matrix of the Stars document, cell by cell where the reference states it in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tortie.lab.walks import stars
from tortie.lab.walks.matrix import Party, Probe, Probing, Seen, cells, wanted
from tortie.lab.walks.stars import STAGES, STORY
from tortie.lab.walks.story import Step, nothing_typed
from tortie.lab.walks.walk import Walk

T9000, T9001, U9000, PING = Probe("tcp", 9000), Probe("tcp", 9001), Probe("udp", 9000), Probe("icmp")

UI = Party("management-ui", "app", "agent-1", "192.168.255.254", "management-ui", frozenset({T9001}))
CLIENT = Party("client", "app", "agent-1", "192.168.0.1", "client", frozenset({T9000}))
FRONTEND = Party("frontend", "app", "agent-2", "192.168.1.1", "frontend", frozenset({T9000}))
BACKEND = Party("backend", "app", "agent-2", "192.168.1.2", "backend", frozenset({T9000}))
PEER = Party("peer", "peer", "agent-2", "192.168.1.9", "client")
LAPTOP = Party("laptop", "host", "laptop", "172.24.197.10")
AGENT = Party("agent-1", "host", "agent-1", "172.24.197.102")


@pytest.mark.parametrize(
    ("stage", "source", "destination", "probe", "seen"),
    [
        ("3", LAPTOP, UI, T9001, Seen.DROPPED),
        ("3", CLIENT, UI, T9001, Seen.DROPPED),
        ("3", PEER, CLIENT, T9000, Seen.OPEN),
        ("3", PEER, CLIENT, T9001, Seen.REFUSED),
        ("3", PEER, CLIENT, PING, Seen.OPEN),
        ("3", AGENT, CLIENT, T9000, Seen.OPEN),
        ("3", AGENT, FRONTEND, T9000, Seen.DROPPED),
        ("7", LAPTOP, UI, T9001, Seen.OPEN),
        ("7", LAPTOP, UI, PING, Seen.DROPPED),
        ("7", UI, CLIENT, T9000, Seen.DROPPED),
        ("8", UI, CLIENT, T9000, Seen.OPEN),
        ("8", UI, CLIENT, T9001, Seen.DROPPED),
        ("8", UI, CLIENT, U9000, Seen.DROPPED),
        ("8", UI, CLIENT, PING, Seen.DROPPED),
        ("9a", CLIENT, FRONTEND, T9001, Seen.REFUSED),
        ("9a", CLIENT, FRONTEND, T9000, Seen.DROPPED),
        ("9b", CLIENT, FRONTEND, T9000, Seen.OPEN),
        ("9b", FRONTEND, BACKEND, T9000, Seen.OPEN),
        ("9b", CLIENT, BACKEND, T9000, Seen.DROPPED),
        ("9b", BACKEND, CLIENT, T9000, Seen.DROPPED),
        ("9b", FRONTEND, CLIENT, T9000, Seen.DROPPED),
        ("9b", LAPTOP, FRONTEND, T9000, Seen.DROPPED),
    ],
)
def test_a_cell_of_the_document(stage: str, source: Party, destination: Party, probe: Probe, seen: Seen) -> None:
    assert wanted(STAGES[stage], source, destination, probe) is seen


def test_a_party_is_not_asked_to_reach_itself() -> None:
    parties = [UI, CLIENT, FRONTEND, BACKEND]
    listed = cells(STAGES["3"], parties, parties, Probing(stars.LISTENS, [T9000, PING]))
    assert len(listed) == 4 * 3 * 2
    assert all(cell.source != cell.destination for cell in listed)
    assert not any(cell.holds for cell in listed)


class Watcher:
    """Stands in for the terminal and for the lab of a walk that types nothing."""

    hosts: dict[str, Any] = {}
    state: dict[str, Any] = {"options": {"runtime": "docker", "routing": "direct"}}

    def step(self, key: str, title: str) -> None:
        self.last = key


@pytest.mark.parametrize(("after", "made"), [(None, 0), ("2", 0), ("3", 1), ("8", 1), ("9a", 1)])
def test_a_walk_that_goes_on_has_its_second_containers(
    monkeypatch: pytest.MonkeyPatch, after: str | None, made: int
) -> None:
    """The step that adds them, 3, adds them itself; who begins behind it needs them all the same."""
    added: list[str] = []
    removed: list[str] = []
    monkeypatch.setattr(Walk, "add_peers", lambda walk: added.append(walk.step_key))
    monkeypatch.setattr(Walk, "remove_peers", lambda walk: removed.append(walk.step_key))
    silent = replace(STORY, steps=tuple(Step(s.key, s.title, nothing_typed) for s in STORY.steps))
    silent.walk_all(Watcher(), Watcher(), after)  # type: ignore[arg-type]
    assert (len(added), len(removed)) == (made, 1)


def test_step_9_typed_as_meant_at_once_leaves_9001_silent() -> None:
    assert wanted(STAGES["9b"], CLIENT, FRONTEND, T9001) is Seen.REFUSED
    assert wanted(stars.ONLY_AS_MEANT, CLIENT, FRONTEND, T9001) is Seen.DROPPED
    assert wanted(stars.ONLY_AS_MEANT, CLIENT, FRONTEND, T9000) is Seen.OPEN
