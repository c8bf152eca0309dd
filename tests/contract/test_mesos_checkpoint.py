"""The agent's work directory: what was kept is found again, what cannot be read is told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tortie.base.errors import Invalid
from tortie.mesos.agent.checkpoint import TaskCheckpoint, WorkDir
from tortie.mesos.agent.live import Host, LiveTask, taken_up
from tortie.mesos.agent.status import container_status, network_of
from tortie.wire import mesos as wire

AGENT = "m-S0"


def saved(task_id: str = "t") -> TaskCheckpoint:
    info = wire.TaskInfo(name="t", task_id=wire.ID(value=task_id), agent_id=wire.ID(value=AGENT))
    framework = wire.FrameworkInfo(user="root", name="f", id=wire.ID(value="f-0"))
    return TaskCheckpoint(framework=framework, info=info, container_id="c1", state="TASK_STAGING")


def live(workdir: WorkDir) -> LiveTask:
    checkpoint = saved()
    return LiveTask(Host(AGENT, "10.0.0.1", workdir), checkpoint, workdir.sandbox(AGENT, checkpoint))


def status(state: wire.TaskState, address: str = "192.168.0.5") -> wire.TaskStatus:
    where = container_status(saved().info, "c1", [network_of([address])], "10.0.0.1")
    return wire.TaskStatus(task_id=wire.ID(value="t"), state=state, container_status=where, data=b"x" * 100)


def test_unacknowledged_updates_and_addresses_outlive_the_agent(tmp_path: Path) -> None:
    task = live(WorkDir(tmp_path))
    task.report(status("TASK_RUNNING"))
    task.report(status("TASK_FINISHED"))
    task.report(status("TASK_FAILED"))
    first = task.updates.head
    assert first is not None
    assert first.uuid is not None
    assert not task.acknowledge(first.uuid)

    (found,) = WorkDir(tmp_path).tasks(AGENT)
    again = taken_up(task.host, found)
    assert [u.state for u in again.updates.queue] == ["TASK_FINISHED"]
    assert again.updates.queue[0].data == b"x" * 100
    assert (again.saved.state, again.networks) == ("TASK_FINISHED", [network_of(["192.168.0.5"])])
    assert [(s.state, s.data) for s in again.saved.statuses] == [("TASK_RUNNING", None), ("TASK_FINISHED", None)]
    last = again.updates.queue[0].uuid
    assert last is not None
    assert again.acknowledge(last)
    again.forget()
    assert not list(WorkDir(tmp_path).tasks(AGENT))


def test_what_is_known_of_its_health_outlives_the_agent(tmp_path: Path) -> None:
    task = live(WorkDir(tmp_path))
    for healthy, moment in ((None, 5.0), (True, 7.0), (False, 9.0)):
        said = status("TASK_RUNNING")
        said.healthy, said.timestamp = healthy, moment
        task.report(said)
        (found,) = WorkDir(tmp_path).tasks(AGENT)
        again = taken_up(task.host, found)
        assert (again.healthy, again.running_since) == (healthy, moment)


def test_a_checkpoint_that_cannot_be_read_leaves_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    workdir = WorkDir(tmp_path)
    for name in ("good", "bad"):
        workdir.keep_task(AGENT, saved(name))
    next(tmp_path.glob("meta/slaves/*/frameworks/*/executors/bad/runs/*/task.json")).write_text("{")
    assert [t.info.task_id.value for t in workdir.tasks(AGENT)] == ["good"]
    assert "executors/bad" in caplog.text


def test_who_the_agent_was_is_kept_or_told_to_be_unreadable(tmp_path: Path) -> None:
    workdir = WorkDir(tmp_path)
    assert workdir.agent_info() is None
    info = wire.AgentInfo(hostname="h", id=wire.ID(value=AGENT))
    workdir.keep_agent(info)
    assert workdir.agent_info() == info
    (tmp_path / "meta/slaves/latest/slave.info").write_text("{")
    with pytest.raises(Invalid, match=r"rm -f .*/meta/slaves/latest"):
        workdir.agent_info()
    workdir.forget_agent()
    assert workdir.agent_info() is None


def test_a_sandbox_belongs_to_a_user_that_exists(tmp_path: Path) -> None:
    workdir = WorkDir(tmp_path)
    path = workdir.make_sandbox(AGENT, saved(), None)
    assert sorted(p.name for p in path.iterdir()) == ["stderr", "stdout"]
    assert (path.parent / "latest").resolve() == path
    with pytest.raises(Invalid, match="No such user 'nobody-here'"):
        workdir.make_sandbox(AGENT, saved(), "nobody-here")
