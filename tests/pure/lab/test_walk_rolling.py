"""What a walk reads from the status of a rollout, look after look."""

from __future__ import annotations

from typing import Any

from tortie.lab.walks.rolling import Rolling, Span, not_alone, original

NAMES = {"10.0.0.2": "agent-1", "10.0.0.3": "agent-2"}


def step(name: str, since: float | None = None, until: float | None = None) -> dict[str, Any]:
    progress = "waiting" if since is None else "running" if until is None else "done"
    return {"name": name, "title": name.capitalize(), "progress": progress, "since": since, "until": until}


def host(name: str, mark: str, *steps: dict[str, Any], reason: str = "") -> dict[str, Any]:
    return {"name": name, "mark": mark, "reason": reason, "steps": list(steps)}


def status(
    state: str, *hosts: dict[str, Any], stopped: str = "", trouble: str = "", begun: float = 1
) -> dict[str, Any]:
    said = {"stopped": stopped, "trouble": trouble, "looking": not trouble}
    return {"state": state, **said, "begun": begun, "hosts": list(hosts)}


def test_each_host_is_told_once_when_it_begins_and_when_it_is_done() -> None:
    seen = Rolling(NAMES)
    assert seen.look({}) == [], "nobody answers yet"
    assert seen.now == "not begun yet"
    assert seen.look(status("none", trouble="no agent")) == []
    assert seen.now == "0 of 0 hosts, no agent"
    assert seen.look(status("none")) == []
    assert seen.now == "0 of 0 hosts, looking at what each host lacks"
    first = status("rolling", host("10.0.0.2", "rolling", step("node", 5), step("gate")), host("10.0.0.3", "waiting"))
    assert seen.look(first) == ["agent-1: begun"]
    assert seen.look(first) == []
    assert seen.now == "0 of 2 hosts, agent-1: Node"
    assert not seen.done(["agent-1"])
    through = host("10.0.0.2", "done", step("node", 5, 7.5), step("gate", 7.5, 9))
    assert seen.look(status("done", through)) == ["agent-1: done (Node 2.5 s, Gate 1.5 s)"]
    assert seen.done(["agent-1"])
    assert not seen.done(["agent-1", "agent-2"]), "a rollout over some of them is not all"
    assert list(seen.spans.values()) == [Span("agent-1", 5, 9)]


def test_a_failure_is_told_with_its_reason_and_what_has_stopped() -> None:
    seen = Rolling(NAMES)
    broken = host("10.0.0.2", "failed", step("node", 5, 6), reason="node: no room")
    assert seen.look(status("stopped", broken, stopped="10.0.0.2: node: no room")) == ["agent-1: failed: node: no room"]
    assert seen.stopped == "10.0.0.2: node: no room"
    assert seen.look(status("rolling", host("10.0.0.2", "waiting", step("node")))) == []
    assert not seen.stopped


def test_a_host_s_span_holds_all_its_tries_and_each_rollout_has_its_own() -> None:
    seen = Rolling(NAMES)
    seen.look(status("rolling", host("10.0.0.2", "rolling", step("node", 5), step("gate"))))
    assert list(seen.spans.values()) == [Span("agent-1", 5, None)]
    seen.look(status("done", host("10.0.0.2", "done", step("node", 8, 9), step("gate", 9, 11))))
    assert list(seen.spans.values()) == [Span("agent-1", 5, 11)]
    seen.look(status("done", host("10.0.0.2", "done", step("node", 20, 21), step("gate", 21, 22)), begun=19))
    assert list(seen.spans.values()) == [Span("agent-1", 5, 11), Span("agent-1", 20, 22)]


def test_two_hosts_out_at_once_are_found() -> None:
    assert not_alone([Span("b", 7, 9), Span("a", 5, 7), Span("a", 9, None), Span("a", 9.5, 10)]) == []
    assert not_alone([Span("b", 6.9, 9), Span("a", 5, 7)]) == ["b began before a was through"]
    assert not_alone([Span("b", 8, 9), Span("a", 5, None)]) == ["b began before a was through"]
    assert not_alone([Span("a", 5, 20), Span("b", 6, 7), Span("c", 10, 11)]) == [
        "b began before a was through",
        "c began before a was through",
    ]


def test_the_original_s_words() -> None:
    assert original({"TaskRunCalicoNode": {"state": 1}, "TaskInstallCalicoCNI": {"state": 2}}) == {
        "TaskRunCalicoNode": "RUNNING",
        "TaskInstallCalicoCNI": "FINISHED",
    }
