"""The master's decisions, driven with values and a clock of the test's own."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tortie.mesos.master import agents, frameworks, offers, registry, tasks
from tortie.mesos.master.cluster import Cluster, Framework, HangUp, Keep, Say, Settings
from tortie.mesos.protocol import AgentSubscribe, StatusUpdate, TaskRecord
from tortie.mesos.resources import Resources, legacy, parse, to_wire, total
from tortie.wire import mesos as wire

RESOURCES = "cpus:4;mem:1024;ports:[31000-31009]"


class World:
    """A cluster and everything that was said on its streams."""

    def __init__(self, **changes: Any) -> None:
        info = wire.MasterInfo(id="m1", ip=0, port=5050)
        self.cluster = Cluster(info, Settings(**changes))
        self.said: dict[str, list[Any]] = {}
        self.hung_up: set[str] = set()
        self.kept: dict[str, bytes] = {}
        self.now = 1000.0

    def settle(self) -> None:
        for effect in self.cluster.take_outbox():
            if isinstance(effect, Keep):
                self.kept.pop(effect.key, None)
                if effect.value is not None:
                    self.kept[effect.key] = wire.encode(effect.value)
            elif isinstance(effect, Say):
                assert effect.stream not in self.hung_up
                self.said.setdefault(effect.stream, []).append(effect.message)
            elif isinstance(effect, HangUp):
                self.hung_up.add(effect.stream)

    def agent(
        self,
        stream: str = "a1",
        *,
        again: str | None = None,
        known: list[TaskRecord] | None = None,
        resources: str = RESOURCES,
    ) -> str:
        info = wire.AgentInfo(hostname="h", resources=to_wire(parse(resources)))
        if again:
            info.id = wire.ID(value=again)
        request = AgentSubscribe(agent_info=info, ip="10.0.0.2", tasks=known or [])
        found = agents.subscribe(self.cluster, request, stream, self.now)
        self.settle()
        return found.id

    def framework(self, stream: str = "f1", **info: Any) -> Framework:
        described = {"user": "root", "name": "f", "failover_timeout": 60.0, "checkpoint": True, **info}
        subscribe = wire.Subscribe(framework_info=wire.convert(described, wire.FrameworkInfo))
        found = frameworks.subscribe(self.cluster, subscribe, stream, self.now)
        self.settle()
        assert found is not None
        return found

    def offers(self) -> None:
        offers.make(self.cluster, self.now, random.Random(1))
        self.settle()

    def launch(self, framework: Framework, task_id: str, cpus: float = 1, **more: Any) -> str:
        """On the first offer that stands; returns the agent's id."""
        offer = next(o for o in self.cluster.offers.values() if o.framework_id == framework.id)
        task = described(task_id, offer.agent_id, cpus, **more)
        self.accept(framework, [offer.id], [task])
        return offer.agent_id

    def accept(self, framework: Framework, ids: list[str], infos: list[wire.TaskInfo], refuse: float = 0) -> None:
        call = wire.Accept(
            offer_ids=[wire.ID(value=i) for i in ids],
            operations=[wire.Operation(type="LAUNCH", launch=wire.Launch(task_infos=infos))],
            filters=wire.Filters(refuse_seconds=refuse),
        )
        offers.accept(self.cluster, framework, call, self.now)
        self.settle()

    def update(self, framework: Framework, agent_id: str, task_id: str, state: wire.TaskState) -> bytes:
        uuid = wire.new_uuid()
        status = wire.TaskStatus(
            task_id=wire.ID(value=task_id), state=state, uuid=uuid, agent_id=wire.ID(value=agent_id), timestamp=self.now
        )
        found = StatusUpdate(framework_id=wire.ID(value=framework.id), status=status, latest=state)
        tasks.updated(self.cluster, agent_id, found)
        self.settle()
        return uuid

    def statuses(self, stream: str = "f1") -> list[tuple[str, str, str | None, str | None]]:
        found = [e.update.status for e in self.said.get(stream, []) if isinstance(e, wire.Event) and e.update]
        return [(s.task_id.value, s.state, s.reason, s.message) for s in found]

    def types(self, stream: str) -> list[str]:
        return [m.type for m in self.said.get(stream, [])]

    def check(self) -> None:
        """What is free is what neither tasks nor offers hold: counted anew."""
        for agent in self.cluster.agents.values():
            held = total(t.resources for t in agent.tasks.values() if not t.released)
            offered = total(o.resources for o in self.cluster.offers.values() if o.agent_id == agent.id)
            assert legacy(agent.free + held + offered) == legacy(agent.total)


def described(task_id: str, agent_id: str, cpus: float = 1, **more: Any) -> wire.TaskInfo:
    document = {
        "name": task_id,
        "task_id": {"value": task_id},
        "agent_id": {"value": agent_id},
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": cpus}}] if cpus else [],
        "command": {"value": "x"},
        **more,
    }
    return wire.convert(document, wire.TaskInfo)


def recorded(framework_id: str, task_id: str, agent_id: str, state: wire.TaskState) -> TaskRecord:
    info = described(task_id, agent_id)
    status = wire.TaskStatus(task_id=info.task_id, state=state)
    return TaskRecord(framework_id=wire.ID(value=framework_id), info=info, state=state, statuses=[status])


def launched(world: World, **info: Any) -> tuple[Framework, str]:
    """A framework with the running task `t`."""
    world.agent()
    framework = world.framework(**info)
    world.offers()
    agent_id = world.launch(framework, "t")
    world.update(framework, agent_id, "t", "TASK_RUNNING")
    return framework, agent_id


def test_a_launched_task_is_staging_until_its_first_update() -> None:
    world = World()
    framework, agent_id = launched(world)
    assert world.types("f1") == ["SUBSCRIBED", "HEARTBEAT", "OFFERS", "UPDATE"]
    assert world.types("a1") == ["REGISTERED", "RUN_TASK"]
    assert framework.tasks["t"].state == "TASK_RUNNING"
    world.check()
    uuid = world.update(framework, agent_id, "t", "TASK_FINISHED")
    world.check()
    assert world.cluster.agents[agent_id].free == world.cluster.agents[agent_id].total
    acknowledge = wire.Acknowledge(agent_id=wire.ID(value=agent_id), task_id=wire.ID(value="t"), uuid=uuid)
    tasks.acknowledged(world.cluster, framework, acknowledge)
    assert not framework.tasks
    assert [t.id for t in framework.completed] == ["t"]


def test_what_is_reserved_for_a_role_is_offered_to_it_alone_and_given_back_to_it() -> None:
    world = World()
    agent_id = world.agent(resources="cpus(slave_public):2;mem(slave_public):512;cpus:1;mem:256")
    anybody = world.framework("f1")
    world.offers()
    public = world.framework("f2", role="slave_public")
    world.offers()
    held = {o.framework_id: (o.role, legacy(o.resources)["cpus"]) for o in world.cluster.offers.values()}
    assert held == {anybody.id: ("*", 1), public.id: ("slave_public", 2)}
    ids = {o.framework_id: o.id for o in world.cluster.offers.values()}
    reserved = {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}, "role": "slave_public"}
    world.accept(anybody, [ids[anybody.id]], [described("thief", agent_id, resources=[reserved])])
    assert world.statuses("f1")[-1][1:3] == ("TASK_ERROR", "REASON_TASK_INVALID")
    world.accept(public, [ids[public.id]], [described("t", agent_id, resources=[reserved])])
    world.check()
    world.update(public, agent_id, "t", "TASK_RUNNING")
    world.offers()
    left = {o.role: legacy(o.resources)["cpus"] for o in world.cluster.offers.values()}
    assert left in ({"slave_public": 2}, {"slave_public": 1, "*": 1}), "one of its own left, the open one to either"
    world.update(public, agent_id, "t", "TASK_FINISHED")
    world.check()


def test_an_offer_that_was_used_makes_the_task_lost() -> None:
    world = World()
    framework, agent_id = launched(world)
    world.accept(framework, ["m1-O0"], [described("late", agent_id)])
    text = "Task launched with invalid offers: Offer m1-O0 is no longer valid"
    assert world.statuses()[-1] == ("late", "TASK_LOST", "REASON_INVALID_OFFERS", text)
    assert all(e.update.status.uuid is None for e in world.said["f1"][-1:])


def test_the_second_task_of_an_overcommitting_list_is_an_error() -> None:
    world = World()
    world.agent()
    framework = world.framework()
    world.offers()
    infos = [described("one", "m1-S0", 3), described("two", "m1-S0", 2), described("none", "m1-S0", 0)]
    infos.append(described("both", "m1-S0", executor={"executor_id": {"value": "e"}}))
    infos.append(described("a/b", "m1-S0"))
    infos.append(described("elsewhere", "m1-S9"))
    infos.append(described("one", "m1-S0"))
    world.accept(framework, ["m1-O0"], infos)
    found = {name: message for name, state, _, message in world.statuses() if state == "TASK_ERROR"}
    assert found["two"] is not None
    assert found["two"].startswith("Total resources cpus(*):2 required by task")
    assert found["none"] == "Task uses no resources"
    assert found["both"] == "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
    assert found["a/b"] == "Task has invalid ID: 'a/b' contains invalid characters"
    assert found["elsewhere"] == "Task uses invalid agent m1-S9 while agent m1-S0 is expected"
    assert found["one"] == "Task has duplicate ID: one"
    assert list(framework.tasks) == ["one"]
    world.check()


def test_refusals_and_suppression_end_with_revive() -> None:
    world = World()
    world.agent()
    framework = world.framework()

    def offered() -> int:
        world.offers()
        return len(world.cluster.offers)

    assert offered() == 1
    decline = wire.Decline(offer_ids=[wire.ID(value="m1-O0")], filters=wire.Filters(refuse_seconds=3600))
    offers.decline(world.cluster, framework, decline, world.now)
    assert offered() == 0
    offers.revive(framework, [])
    assert offered() == 1
    decline = wire.Decline(offer_ids=[wire.ID(value="m1-O1")], filters=wire.Filters(refuse_seconds=-1))
    offers.decline(world.cluster, framework, decline, world.now)
    world.now += 4.9
    assert offered() == 0
    world.now += 0.1
    assert offered() == 1
    offers.suppress(framework, [])
    offers.decline(world.cluster, framework, wire.Decline(offer_ids=[wire.ID(value="m1-O2")]), world.now)
    world.now += 3600
    assert offered() == 0
    offers.revive(framework, [])
    assert offered() == 1
    world.check()


def test_a_second_subscription_takes_over_from_the_first() -> None:
    world = World()
    framework, _ = launched(world)
    world.offers()
    again = world.framework("f2", id={"value": framework.id}, name="renamed", user="other")
    assert again is framework
    assert (framework.info.name, framework.info.user) == ("renamed", "root")
    assert world.said["f1"][-1].error.message == "Framework failed over"
    assert "f1" in world.hung_up
    assert not world.cluster.offers
    frameworks.disconnected(world.cluster, "f1", world.now)
    assert framework.connected


def test_a_framework_that_stays_away_is_removed_for_ever() -> None:
    world = World()
    framework, _ = launched(world)
    frameworks.disconnected(world.cluster, "f1", world.now)
    frameworks.expire(world.cluster, world.now + 59)
    assert framework.id in world.cluster.frameworks
    frameworks.expire(world.cluster, world.now + 60)
    world.settle()
    assert framework.id not in world.cluster.frameworks
    assert world.types("a1")[-1] == "SHUTDOWN_FRAMEWORK"
    assert [t.state for t in framework.completed] == ["TASK_KILLED"]
    subscribe = wire.Subscribe(framework_info=framework.info)
    assert frameworks.subscribe(world.cluster, subscribe, "f3", world.now) is None
    world.settle()
    assert world.said["f3"][0].error.message == "Framework has been removed"
    assert "f3" in world.hung_up


def test_a_silent_agent_is_lost_and_its_task_killed_when_it_returns() -> None:
    world = World()
    framework, agent_id = launched(world)
    agents.expire(world.cluster, world.now + 74.9)
    assert agent_id in world.cluster.agents
    world.now += 75
    agents.expire(world.cluster, world.now)
    world.settle()
    text = "Agent h is unreachable: health check timed out"
    assert world.statuses()[-1] == ("t", "TASK_LOST", "REASON_AGENT_REMOVED", text)
    assert world.said["f1"][-1].failure.agent_id.value == agent_id
    world.agent("a2", again=agent_id, known=[recorded(framework.id, "t", agent_id, "TASK_RUNNING")])
    assert world.types("a2") == ["REREGISTERED", "KILL_TASK"]
    world.check()


def test_an_aware_framework_gets_its_task_back() -> None:
    world = World()
    framework, agent_id = launched(world, capabilities=[{"type": "PARTITION_AWARE"}])
    world.now += 75
    agents.expire(world.cluster, world.now)
    world.settle()
    assert world.statuses()[-1][1] == "TASK_UNREACHABLE"
    world.agent("a2", again=agent_id, known=[recorded(framework.id, "t", agent_id, "TASK_RUNNING")])
    assert world.types("a2") == ["REREGISTERED"]
    assert framework.tasks["t"].state == "TASK_RUNNING"


def test_a_task_that_the_agent_does_not_know_is_lost() -> None:
    world = World()
    framework, agent_id = launched(world)
    world.agent("a2", again=agent_id)
    assert world.statuses()[-1] == ("t", "TASK_LOST", "REASON_RECONCILIATION", "Task is unknown to the agent")
    assert not framework.tasks
    world.check()


def test_a_kill_waits_for_an_agent_that_is_away() -> None:
    world = World()
    framework, agent_id = launched(world)
    agents.disconnected(world.cluster, "a1", world.now)
    tasks.kill(world.cluster, framework, wire.Kill(task_id=wire.ID(value="t")), world.now)
    world.settle()
    world.agent("a2", again=agent_id, known=[recorded(framework.id, "t", agent_id, "TASK_RUNNING")])
    assert world.types("a2") == ["REREGISTERED", "KILL_TASK"]


def test_a_new_master_knows_its_agents_frameworks_and_tasks() -> None:
    world = World()
    framework, agent_id = launched(world)
    gone = world.framework("f9")
    frameworks.remove(world.cluster, gone, world.now)
    world.settle()
    after = World()
    registry.recover(after.cluster, world.kept.items(), after.now)
    again = after.framework("f2", id={"value": framework.id})
    tasks.reconcile(after.cluster, again, wire.Reconcile(tasks=[asked("t", agent_id), asked("other")]), after.now)
    after.settle()
    assert after.statuses("f2") == []
    after.agent("a2", again=agent_id, known=[recorded(framework.id, "t", agent_id, "TASK_RUNNING")])
    assert again.tasks["t"].state == "TASK_RUNNING"
    assert gone.id in after.cluster.refused
    tasks.reconcile(after.cluster, again, wire.Reconcile(tasks=[asked("t", agent_id), asked("other")]), after.now)
    after.settle()
    assert [(name, state, message) for name, state, _, message in after.statuses("f2")] == [
        ("t", "TASK_RUNNING", "Reconciliation: Latest task state"),
        ("other", "TASK_LOST", "Reconciliation: Task is unknown"),
    ]
    after.check()


def asked(task_id: str, agent_id: str | None = None) -> wire.ReconcileTask:
    return wire.ReconcileTask(task_id=wire.ID(value=task_id), agent_id=wire.ID(value=agent_id) if agent_id else None)


def test_a_framework_unknown_to_a_new_master_comes_back_with_its_agent() -> None:
    world = World()
    agent = AgentSubscribe(
        agent_info=wire.AgentInfo(hostname="h", resources=to_wire(parse(RESOURCES)), id=wire.ID(value="old-S0")),
        ip="10.0.0.2",
        tasks=[recorded("old-0000", "t", "old-S0", "TASK_RUNNING")],
        frameworks=[wire.FrameworkInfo(user="root", name="f", id=wire.ID(value="old-0000"), failover_timeout=60)],
    )
    agents.subscribe(world.cluster, agent, "a1", world.now)
    world.settle()
    framework = world.cluster.frameworks["old-0000"]
    assert (framework.recovered, framework.connected) == (True, False)
    assert list(framework.tasks) == ["t"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), max_size=40))
def test_nothing_is_given_twice_or_forgotten_whatever_happens(steps: list[tuple[int, int]]) -> None:
    world = World(max_completed_frameworks=2)
    streams = iter(range(10_000))
    for step, which in steps:
        walk(world, step, which, next(streams))
        world.settle()
        world.check()
        assert all(isinstance(a.free, Resources) for a in world.cluster.agents.values())
        live = {t.id for f in world.cluster.frameworks.values() for t in f.tasks.values()}
        assert live == {t.id for a in world.cluster.agents.values() for t in a.tasks.values()}
        world.now += 1


def walk(world: World, step: int, which: int, number: int) -> None:
    cluster = world.cluster
    members = list(cluster.frameworks.values())
    framework = members[which % len(members)] if members else None
    machines = list(cluster.agents.values())
    agent = machines[which % len(machines)] if machines else None
    if step == 0 and len(machines) < 3:
        world.agent(f"a{number}")
    elif step == 1 and len(members) < 3:
        world.framework(f"f{number}")
    elif step == 2:
        world.offers()
    elif step == 3 and framework and any(o.framework_id == framework.id for o in cluster.offers.values()):
        world.launch(framework, f"t{number}")
    elif step == 4 and framework and framework.tasks:
        task = next(iter(framework.tasks.values()))
        if cluster.agents[task.agent_id].active:
            world.update(framework, task.agent_id, task.id, ("TASK_RUNNING", "TASK_FINISHED", "TASK_FAILED")[which % 3])
    elif step == 5 and framework and framework.stream:
        frameworks.disconnected(cluster, framework.stream, world.now)
    elif step == 6 and agent and agent.stream:
        agents.disconnected(cluster, agent.stream, world.now)
    elif step == 7 and agent:
        records = [recorded(t.framework_id, t.id, agent.id, "TASK_RUNNING") for t in agent.tasks.values()]
        world.agent(f"a{number}", again=agent.id, known=records[which:])
    elif step == 8 and framework:
        frameworks.remove(cluster, framework, world.now)
