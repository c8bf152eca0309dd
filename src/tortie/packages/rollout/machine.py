"""What a rollout does next: values in, values out.

A host is *out* from the beginning of its first step until its gate has passed, or until everything is undone there and
it works as before. One host is out at most, or as many as the rollout was told. Whoever drives writes the rollout down
before it acts, so that a driver that comes after it knows which steps may be half done: it does those again, and every
step can be done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from tortie.base.errors import Conflict

STEPS = ("artefact", "configuration", "cni", "net-modules", "agent", "node")
"""In the order in which they are done."""
GATE = "gate"
"""Not a step that changes anything: whether the host works, after its last step and after the last one undone."""

Order = Literal["pause", "resume", "retry", "undo", "abort"]
Progress = Literal["waiting", "running", "done", "failed", "undoing", "undone"]
Mark = Literal["waiting", "rolling", "done", "failed", "undoing", "undone", "stuck"]
"""`failed`: a step failed, and all is as before. `stuck`: undoing failed as well, so the host is out."""
Goal = Literal["roll", "undo", "abort"]
OUT = ("rolling", "undoing", "stuck")


class Step(msgspec.Struct, frozen=True):
    """One step of one host. `error`: what failed last; `note`: what was found instead; `since`, `until`: of its last
    try."""

    name: str
    progress: Progress = "waiting"
    tries: int = 0
    error: str = ""
    note: str = ""
    since: float | None = None
    until: float | None = None

    @property
    def touched(self) -> bool:
        """Whether it may have changed something that is not undone."""
        return self.progress not in ("waiting", "undone")


class Host(msgspec.Struct, frozen=True):
    """`reason`: why it failed or is stuck."""

    name: str
    steps: tuple[Step, ...]
    mark: Mark = "waiting"
    reason: str = ""

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)


class Asked(msgspec.Struct, frozen=True):
    """A person's order. `by`: who gave it, as far as that is known."""

    word: Order
    by: str
    at: float


class Rollout(msgspec.Struct, frozen=True):
    """All that is known of it. `plan`: the digest of what it brings; `stopped`: why it goes on only when told to;
    `asked`: the last order; `at_once`: how many hosts may be out together; `forced`: what is undone is undone under the
    endpoints of containers, too."""

    plan: str
    hosts: tuple[Host, ...]
    goal: Goal = "roll"
    paused: bool = False
    stopped: str = ""
    begun: float = 0.0
    asked: Asked | None = None
    at_once: int = 1
    forced: bool = False


class Act(NamedTuple):
    """One thing to do on one host."""

    host: str
    step: str
    undo: bool = False


def start(plan: str, hosts: Sequence[tuple[str, Sequence[str]]], now: float, at_once: int = 1) -> Rollout:
    """A rollout of these steps on each host, in this order; the gate comes by itself. A host without steps is done."""
    made = []
    for name, steps in hosts:
        own = tuple(Step(step) for step in (*steps, GATE)) if steps else ()
        made.append(Host(name, own, mark="waiting" if steps else "done"))
    return Rollout(plan, tuple(made), begun=now, at_once=at_once)


def state(rollout: Rollout) -> str:
    """One word: rolling, paused, stopped, done, undoing, undone, aborting, aborted."""
    if rollout.stopped:
        return "stopped"
    going = decide(rollout) is not None
    if rollout.goal == "undo":
        return "undoing" if going else "undone"
    if rollout.goal == "abort":
        return "aborting" if going else "aborted"
    if all(host.mark == "done" for host in rollout.hosts):
        return "done"
    return "paused" if rollout.paused else "rolling"


def over(rollout: Rollout) -> bool:
    """Whether another rollout may begin. One that has stopped is not over: a person decides how it goes on."""
    return state(rollout) in ("done", "undone", "aborted")


def out(rollout: Rollout) -> frozenset[str]:
    """The hosts that may not be working: never more than `at_once`."""
    return frozenset(host.name for host in rollout.hosts if host.mark in OUT)


def decide(rollout: Rollout) -> Act | None:
    """The next thing to do; None when there is nothing until an order comes."""
    return next(iter(due(rollout)), None)


def due(rollout: Rollout, busy: frozenset[str] = frozenset()) -> list[Act]:
    """All that can be done now beside what is being done on the hosts `busy`, the most urgent first.

    Who is out comes to its end before anybody else begins, whatever has stopped the rollout. The first host of all goes
    alone: what is wrong with the product shows there.
    """
    acts = [_next_step(h) for h in rollout.hosts if h.mark in ("rolling", "undoing") and h.name not in busy]
    free = rollout.at_once if rollout.goal == "undo" or _proved(rollout) else 1
    return acts + list(islice(_beginnings(rollout), max(free - len(out(rollout)), 0)))


def _proved(rollout: Rollout) -> bool:
    return any(host.mark == "done" and host.steps for host in rollout.hosts)


def _beginnings(rollout: Rollout) -> Iterator[Act]:
    """The first act of each host that is not out, in their order."""
    if rollout.stopped:
        return
    if rollout.goal == "roll" and not rollout.paused and all(host.mark != "undoing" for host in rollout.hosts):
        yield from (_next_step(host) for host in rollout.hosts if host.mark == "waiting")
    if rollout.goal == "undo":
        yield from (_next_undo(h) for h in reversed(rollout.hosts) if h.mark not in OUT and _changed(h))


def _changed(host: Host) -> bool:
    return any(step.touched for step in host.steps if step.name != GATE)


def _next_step(host: Host) -> Act:
    if host.mark == "undoing":
        return _next_undo(host)
    return Act(host.name, next(step.name for step in host.steps if step.progress != "done"))


def _next_undo(host: Host) -> Act:
    """The latest step that is not undone; the gate comes last."""
    left = (step.name for step in reversed(host.steps) if step.touched and step.name != GATE)
    return Act(host.name, next(left, GATE), undo=True)


def begun(rollout: Rollout, act: Act, now: float) -> Rollout:
    """To be written down before `act` is done."""

    def change(host: Host) -> Host:
        step = host.step(act.step)
        progress: Progress = "undoing" if act.undo else "running"
        running = replace(step, progress=progress, tries=step.tries + 1, since=now, until=None, error="", note="")
        return replace(_with(host, running), mark="undoing" if act.undo else "rolling")

    return _changing(rollout, act.host, change)


def ended(rollout: Rollout, act: Act, error: str | None, now: float, note: str = "") -> Rollout:
    """What became of `act`. A step that failed is undone with all before it, and then the rollout stops."""
    host = _find(rollout, act.host)
    step = replace(host.step(act.step), until=now, error=error or "", note=note)
    if act.undo:
        return _ended_undo(rollout, host, step)
    host = _with(host, replace(step, progress="failed" if error else "done"))
    if host.mark == "undoing":  # an order came while it ran
        return _put(rollout, host)
    if error:
        return _put(rollout, replace(host, mark="undoing", reason=f"{act.step}: {error}"))
    done = all(step.progress == "done" for step in host.steps)
    return _put(rollout, replace(host, mark="done", reason="") if done else host)


def _ended_undo(rollout: Rollout, host: Host, step: Step) -> Rollout:
    if step.error:
        what = "the host is not as before" if step.name == GATE else f"{step.name} cannot be undone"
        reason = "; ".join(part for part in (host.reason, f"{what}: {step.error}") if part)
        stuck = replace(_with(host, replace(step, progress="failed")), mark="stuck", reason=reason)
        return _stopping(_put(rollout, stuck), f"{host.name}: {reason}")
    host = _with(host, replace(step, progress="undone"))
    if step.name != GATE:
        return _put(rollout, host)
    if rollout.goal == "roll" and host.reason:
        return _stopping(_put(rollout, replace(host, mark="failed")), f"{host.name}: {host.reason}")
    return _put(rollout, replace(host, mark="undone"))


def _stopping(rollout: Rollout, why: str) -> Rollout:
    """Of several hosts that fail, all are named."""
    return replace(rollout, stopped=f"{rollout.stopped}; {why}" if rollout.stopped else why)


def ordered(rollout: Rollout, order: Order, *, force: bool = False) -> Rollout:
    """The rollout after a person's order. Conflict, in words for that person, when it makes no sense now. `force`: as
    `forced` says, from now on."""
    now = state(rollout)
    if now in ("done", "undone", "aborted") and not (now in ("done", "aborted") and order == "undo"):
        raise Conflict(f"the rollout is {now}: there is nothing to {order}")
    wanted = _ORDERS[order](rollout, now)
    return replace(wanted, forced=True) if force else wanted


def _pause(rollout: Rollout, now: str) -> Rollout:
    if now != "rolling":
        raise Conflict(f"the rollout is {now}: only one that is rolling can be paused")
    return replace(rollout, paused=True)


def _resume(rollout: Rollout, now: str) -> Rollout:
    if now == "stopped":
        raise Conflict(f"the rollout has stopped ({rollout.stopped}): mend that and retry, or undo, or abort")
    return replace(rollout, paused=False)


def _retry(rollout: Rollout, now: str) -> Rollout:
    """In the direction in which it went: forward while it rolls, backward once it is being undone."""
    if now != "stopped":
        raise Conflict(f"the rollout is {now}: only one that has stopped can be retried")
    forward = rollout.goal == "roll"
    hosts = tuple(_again(host, forward) for host in rollout.hosts)
    return replace(rollout, hosts=hosts, stopped="", paused=False)


def _again(host: Host, forward: bool) -> Host:
    if host.mark == "failed":
        return replace(host, mark="waiting", reason="", steps=_fresh(host)) if forward else host
    if host.mark == "stuck":
        return replace(host, mark="rolling" if forward else "undoing", reason="", steps=_fresh(host))
    return host


def _fresh(host: Host) -> tuple[Step, ...]:
    """What is done stays so, as steps are undone in reverse; what may be half done stays known as such."""
    return tuple(step if step.touched else Step(step.name) for step in host.steps)


def _undo(rollout: Rollout, _now: str) -> Rollout:
    hosts = tuple(_back(host) for host in rollout.hosts)
    return replace(rollout, goal="undo", hosts=hosts, stopped="", paused=False)


def _abort(rollout: Rollout, now: str) -> Rollout:
    """What is half done is undone first; a host where that has failed already is left as it is."""
    if now == "aborting":
        raise Conflict("the rollout is aborting already")
    hosts = tuple(replace(host, mark="undoing") if host.mark == "rolling" else host for host in rollout.hosts)
    return replace(rollout, goal="abort", hosts=hosts, stopped="", paused=False)


def _back(host: Host) -> Host:
    return replace(host, mark="undoing", reason="") if host.mark in ("rolling", "stuck") else host


_ORDERS: dict[Order, Callable[[Rollout, str], Rollout]] = {
    "pause": _pause,
    "resume": _resume,
    "retry": _retry,
    "undo": _undo,
    "abort": _abort,
}


def _find(rollout: Rollout, name: str) -> Host:
    return next(host for host in rollout.hosts if host.name == name)


def _with(host: Host, step: Step) -> Host:
    return replace(host, steps=tuple(step if step.name == old.name else old for old in host.steps))


def _put(rollout: Rollout, host: Host) -> Rollout:
    return replace(rollout, hosts=tuple(host if host.name == old.name else old for old in rollout.hosts))


def _changing(rollout: Rollout, name: str, change: Callable[[Host], Host]) -> Rollout:
    return _put(rollout, change(_find(rollout, name)))
