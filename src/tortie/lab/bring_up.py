"""What `tortie up` does: find the lab that was asked for, or make it and replay its document on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tortie.base.errors import Conflict, Invalid, NotFound, TortieError, Unavailable
from tortie.lab import create, remove, state
from tortie.lab.api import Lab
from tortie.lab.daemons import plan_of
from tortie.lab.plan import DEFAULT_NAME, Options, Plan, as_json, limited

if TYPE_CHECKING:
    from tortie.lab.walks.story import Story

NOTHING, END = "0", "end"
HOSTS_PYTHON = "/usr/bin/python3"
"""The roller's own default."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for. `until`: a step of the document, `0` for none, `end` for its end as meant."""

    name: str
    options: Options
    until: str = NOTHING
    daemons: tuple[str, ...] | None = None
    """Only these, when given; the rest of the document's stay away."""


class Meter(create.Progress, Protocol):
    def say(self, text: str) -> None: ...


def bring_up(wish: Wish, meter: Meter, replay_progress: Any = None) -> tuple[Lab, bool]:
    """The lab, and whether it was made now. Raises Conflict when another one has its name; changes nothing then.

    Ctrl-C, SIGTERM and a host that does not come up remove what was made; a daemon that does not come up, or a step
    that does not do as the document says, leaves the lab to be looked at.
    """
    plan = _plan(wish)
    until = _step(wish)
    if wish.options.bare:
        _check_python()
    os.umask(0o022)
    with state.locked(wish.name, meter.say):
        found = _found(wish, until, meter)
        if found:
            return found, False
        with interruptible(), _undone_on_interrupt(wish.name):
            lab = _make(plan, wish, until, meter)
            if until != NOTHING:
                create.note(lab.switch.where, phase="replaying")
                _replay(wish, lab, until, replay_progress)
                create.note(lab.switch.where, phase="up")
        return Lab.find(wish.name), True


def _plan(wish: Wish) -> Plan:
    plan = plan_of(wish.name, wish.options)
    return plan if wish.daemons is None else limited(plan, wish.daemons)


def _check_python() -> None:
    """A product packed here runs on the hosts. Unavailable where their interpreter is of another version."""
    asking = ("-I", "-c", "import sys; print(*sys.version_info[:2], sep='.')")
    versions = []
    for program in (sys.executable, HOSTS_PYTHON):
        try:
            said = subprocess.run([program, *asking], capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise Unavailable(f"--bare needs {HOSTS_PYTHON} on this machine: {error}") from error
        versions.append(said.strip())
    ours, theirs = versions
    if ours != theirs:
        raise Unavailable(
            f"--bare: this is Python {ours}, and {HOSTS_PYTHON}, which hosts run what is rolled out with, is {theirs}\n"
            f"make the environment with {HOSTS_PYTHON} -m venv, or leave --bare out"
        )


def _step(wish: Wish) -> str:
    """The key of the step to stop behind; Invalid when the document has none of that name."""
    if wish.until == NOTHING:
        return NOTHING
    story = _story(wish)
    asked = (story.stays_at or story.end) if wish.until == END else wish.until
    return story.steps[story.index(asked)].key


def _story(wish: Wish) -> Story:
    # Late: a walk brings the prober and the wanted pictures, which a lab alone does not need.
    from tortie.lab.walks.story import open_story

    return open_story(wish.options.document)


def _found(wish: Wish, until: str, meter: Meter) -> Lab | None:
    """The running lab when it is the one asked for; None when there is none; what is left of a broken one goes."""
    try:
        lab = Lab.find(wish.name)
    except NotFound:
        if remove.exists(wish.name):
            meter.say(f"removing what is left of an earlier lab {wish.name}")
            remove.remove(wish.name)
        return None
    asked = {"options": as_json(wish.options), "until": until, "daemons": wish.daemons and list(wish.daemons)}
    broken = _broken(lab)
    if broken:
        meter.say(f"lab {wish.name} is not whole ({broken}): making it anew")
        remove.remove(wish.name)
        return None
    if any(lab.state.get(key) != value for key, value in asked.items()):
        wanted = as_json(wish.options)
        other = {key for key, value in lab.state["options"].items() if wanted[key] != value} - {"document", "bare"}
        is_now = state.described(lab.state, other)
        raise Conflict(
            f"lab {wish.name} is up with other options ({is_now}); nothing was changed\n"
            f"type: tortie down{'' if wish.name == DEFAULT_NAME else f' --name {wish.name}'}    "
            "(or put another beside it: --name OTHER)"
        )
    return lab


def _broken(lab: Lab) -> str:
    """Why the lab cannot be gone on with, or nothing."""
    if lab.state["phase"] != "up":
        return f"`up` ended while {lab.state['phase']}"
    dead = [host.name for host in (lab.switch, *lab.hosts.values()) if not host.alive]
    return f"{', '.join(dead)} ended" if dead else ""


def _make(plan: Plan, wish: Wish, until: str, meter: Meter) -> Lab:
    asked = {"until": until, "daemons": wish.daemons and list(wish.daemons)}
    try:
        return create.create(plan, asked, meter)
    except create.DaemonMissing:
        raise
    except OSError as error:
        remove.remove(plan.name)
        at = f"{error.filename}: " if error.filename else ""
        where = f"its files lie in {state.DATA} and {state.RUN}: is there room, and may they be written?"
        raise TortieError(f"lab {plan.name}: {at}{error.strerror}\n{where}") from error
    except Exception:
        remove.remove(plan.name)
        raise


def _replay(wish: Wish, lab: Lab, until: str, progress: Any) -> None:
    if progress is None:
        raise Invalid("a replay needs somewhere to show its progress")
    _story(wish).replay(lab, progress, until)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM ends `up` like Ctrl-C does."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _undone_on_interrupt(name: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        remove.remove(name)
        raise
