"""What a framework says to the master. Values only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tortie.wire import mesos


def acknowledge(status: mesos.TaskStatus) -> list[mesos.Call]:
    """One call, or none when the update asks for none."""
    if status.uuid is None or status.agent_id is None:
        return []
    said = mesos.Acknowledge(agent_id=status.agent_id, task_id=status.task_id, uuid=status.uuid)
    return [mesos.Call(type="ACKNOWLEDGE", acknowledge=said)]


def kill(task: str, agent: str | None = None, policy: mesos.KillPolicy | None = None) -> mesos.Call:
    agent_id = mesos.ID(value=agent) if agent else None
    return mesos.Call(type="KILL", kill=mesos.Kill(task_id=mesos.ID(value=task), agent_id=agent_id, kill_policy=policy))


def reconcile(tasks: Iterable[tuple[str, str | None]]) -> mesos.Call:
    """Asks after these tasks, each with its agent where that is known; after all that the master knows when there are
    none."""
    asked = [
        mesos.ReconcileTask(task_id=mesos.ID(value=task), agent_id=mesos.ID(value=agent) if agent else None)
        for task, agent in tasks
    ]
    return mesos.Call(type="RECONCILE", reconcile=mesos.Reconcile(tasks=asked))


def launch(offer: mesos.Offer, tasks: Sequence[mesos.TaskInfo], refuse_seconds: float) -> mesos.Call:
    """`refuse_seconds`: so long what is left of the offer is not wanted."""
    operation = mesos.Operation(type="LAUNCH", launch=mesos.Launch(task_infos=list(tasks)))
    filters = mesos.Filters(refuse_seconds=refuse_seconds)
    accept = mesos.Accept(offer_ids=[offer.id], operations=[operation], filters=filters)
    return mesos.Call(type="ACCEPT", accept=accept)


def decline(offers: Iterable[mesos.Offer], refuse_seconds: float) -> mesos.Call:
    filters = mesos.Filters(refuse_seconds=refuse_seconds)
    return mesos.Call(type="DECLINE", decline=mesos.Decline(offer_ids=[one.id for one in offers], filters=filters))


def interest(wants: bool) -> mesos.Call:
    """In offers of all roles; also takes back what was refused."""
    return mesos.Call(type="REVIVE" if wants else "SUPPRESS")


def tear_down() -> mesos.Call:
    return mesos.Call(type="TEARDOWN")
