"""Drives a rollout: asks what is next, writes that down, does it on the host, writes down what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from tortie.base.errors import Conflict, TortieError, Unavailable
from tortie.packages.rollout.artefact import Artefact
from tortie.packages.rollout.book import PREFIX, Driver, current
from tortie.packages.rollout.inventory import Delta, Plan, Task, known_as
from tortie.packages.rollout.machine import Act, Rollout, begun, decide, due, ended, state
from tortie.packages.rollout.reach import Reach, StepFailed

TRIES = 3
PAUSE = 2.0
LOOK_SECONDS = 1.0
AT_ONCE = 16

Tell = Callable[[str], None]


def probe(tasks: Sequence[Task], reaches: Mapping[str, Reach]) -> dict[str, Delta]:
    """What each host would change; nothing is changed. Unavailable names every host that does not say."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = {task.name: pool.submit(reaches[task.name].ask, _request("probe", "", "plan", task)) for task in tasks}
    found: dict[str, Delta] = {}
    problems = []
    for name, answer in asked.items():
        try:
            found[name] = answer.result()["delta"]
        except TortieError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise Unavailable("\n".join(problems))
    return found


def drive(
    driver: Driver,
    made: Plan,
    reaches: Mapping[str, Reach],
    artefact: Artefact | None,
    tell: Tell,
    *,
    wait: bool = True,
) -> Rollout:
    """Until there is no more to do and, with `wait`, it is not paused; the rollout as it is then. Conflict, before
    anything is done, when this installation is not the one that the plan brings."""
    tasks = {task.name: task for task in made.tasks}
    running: dict[Future[tuple[str | None, str]], Act] = {}
    with ThreadPoolExecutor(max(current(driver.store).rollout.at_once, 1)) as pool:
        while True:
            rollout = current(driver.store).rollout
            busy = frozenset(act.host for act in running.values())
            for act in due(rollout, busy):
                if act.step == "artefact" and not act.undo and (artefact is None or artefact.name != made.artefact):
                    raise Conflict(_another(made, artefact))
                rollout = driver.change(partial(_begun, act=act, busy=busy))
                if act not in due(rollout, busy):
                    break  # an order came meanwhile
                rolled = [name for host in rollout.hosts if host.mark == "done" for name in known_as(tasks[host.name])]
                request = _request("undo" if act.undo else "apply", act.step, made.digest, tasks[act.host])
                request |= {"rolled": rolled, "force": rollout.forced and act.undo}
                given = act, request, reaches[act.host], artefact, tell
                running[pool.submit(_do, *given)] = act
                busy |= {act.host}
            if running:
                _write_down(driver, running)
            elif not wait or state(rollout) != "paused":
                if decide(rollout) is None:
                    return rollout
            elif decide(rollout) is None:
                _wait_for_order(driver, rollout)


def _another(made: Plan, artefact: Artefact | None) -> str:
    here = f"this installation is {artefact.name}" if artefact else "this installation is another one"
    text = f"rollout {made.digest} brings the product as {made.artefact}, {here}: abort or undo it"
    return f"{text}, or go on with the version that began it"


def _write_down(driver: Driver, running: dict[Future[tuple[str | None, str]], Act]) -> None:
    """What became of those acts that end first."""
    for future in futures.wait(running, return_when=futures.FIRST_COMPLETED).done:
        act = running.pop(future)
        error, note = future.result()
        driver.change(partial(ended, act=act, error=error, now=time.time(), note=note))


def _begun(seen: Rollout, act: Act, busy: frozenset[str]) -> Rollout:
    """Nothing is begun where an order has come meanwhile."""
    return begun(seen, act, time.time()) if act in due(seen, busy) else seen


def _do(
    act: Act, request: Mapping[str, Any], reach: Reach, artefact: Artefact | None, tell: Tell
) -> tuple[str | None, str]:
    """Why it failed, and what the hand noted. A host out of reach is tried again: it may be the very step that took it
    away."""
    what = f"{act.host} {'undo ' if act.undo else ''}{act.step}"
    tell(f"{what}: running")
    payload = b""
    if artefact and act.step == "artefact" and not act.undo:
        payload, request = artefact.payload, {**request, **artefact.said}
    for left in reversed(range(TRIES)):
        try:
            notes = reach.ask(request, payload)["notes"]
            for note in notes:
                tell(f"{what}: {note}")
        except Unavailable as error:
            tell(f"{what}: {error}")
            if not left:
                return str(error), ""
            time.sleep(PAUSE)
        except StepFailed as error:
            tell(f"{what}: failed: {error}")
            return str(error), ""
        else:
            tell(f"{what}: done")
            return None, "; ".join(notes)
    return None, ""


def _request(do: str, step: str, digest: str, task: Task) -> dict[str, Any]:
    return {"do": do, "step": step, "plan": digest, "want": task.want}


def _wait_for_order(driver: Driver, seen: Rollout) -> None:
    """Returns once the rollout is another; a driver that lost its lease hears of it here."""
    revision = current(driver.store).revision
    watch = driver.store.watch(PREFIX, revision)
    try:
        while current(driver.store).rollout == seen:
            watch.next(timeout=LOOK_SECONDS)
    finally:
        watch.close()
