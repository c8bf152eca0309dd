"""Plans, and how their steps proceed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tortie.marathon.deploy import rolling
from tortie.marathon.deploy.backoff import after_failure, left
from tortie.marathon.deploy.instance import RUNNING, STAGING, Instance, absorb, addresses, ended, meaning
from tortie.marathon.deploy.plan import Plan, make_plan, revert, stamp
from tortie.marathon.model.app import App, Container, Docker, Parameter, UpgradeStrategy
from tortie.marathon.model.tree import Tree
from tortie.wire import mesos

V1, V2 = "2016-05-03T12:00:00.001Z", "2016-05-03T12:00:00.002Z"


def app(app_id: str = "/a", **fields: Any) -> App:
    return App(id=app_id, cmd="x", **fields)


def tree(*apps: App, version: str = V1) -> Tree:
    found = Tree()
    for one in apps:
        found = found.put(one)
    return stamp(Tree(), found, version)


def steps(plan: Plan) -> list[list[tuple[str, str]]]:
    return [sorted((action.action.removesuffix("Application"), action.app) for action in step) for step in plan.steps]


def plan_of(old: Tree, new: Tree, **options: Any) -> Plan:
    return make_plan(old, stamp(old, new, V2, options.get("restart", ())), "p", **options)


def test_new_apps_start_then_scale_by_their_dependencies() -> None:
    new = Tree().put(app("/web", dependencies=("/db",))).put(app("/db"))
    assert steps(plan_of(Tree(), new)) == [
        [("Start", "/db"), ("Start", "/web")],
        [("Scale", "/db")],
        [("Scale", "/web")],
    ]


def test_what_is_gone_stops_first() -> None:
    old = tree(app("/a"), app("/b"))
    new = old.drop("/a").put(app("/c"))
    assert steps(plan_of(old, new)) == [[("Stop", "/a")], [("Start", "/c")], [("Scale", "/c")]]


def test_scaling_and_restarting_are_told_apart() -> None:
    old = tree(app("/a"), app("/b"), app("/c"))
    new = old.put(msgspec.structs.replace(old.apps["/a"], instances=3))
    new = new.put(msgspec.structs.replace(new.apps["/b"], labels={"x": "y"}, instances=2))
    assert steps(plan_of(old, new)) == [[("Restart", "/b"), ("Scale", "/a")]]
    assert steps(plan_of(old, old)) == []
    assert steps(plan_of(old, old, restart=["/c"])) == [[("Restart", "/c")]]


def test_versions_move_only_with_changes() -> None:
    old = tree(app("/a"), app("/b"), app("/c"))
    scaled = msgspec.structs.replace(old.apps["/a"], instances=3)
    new = stamp(old, old.put(scaled).put(app("/b", labels={"x": "y"})), V2)
    found = {key: (a.version, a.config_version, a.scaled_version) for key, a in new.apps.items()}
    assert found == {"/a": (V2, V1, V2), "/b": (V2, V2, V2), "/c": (V1, V1, V1)}


def test_a_plan_is_taken_back_without_touching_later_changes() -> None:
    old = tree(app("/g/a"))
    new = stamp(old, old.put(app("/g/a", labels={"x": "y"})).put(app("/h/b")), V2)
    plan = make_plan(old, new, "p")
    later = new.put(app("/k/c"))
    back = revert(later, plan)
    assert sorted(back.apps) == ["/g/a", "/k/c"]
    assert back.apps["/g/a"] == old.apps["/g/a"]
    assert "/h" not in back.groups
    assert "/k" in back.groups


# -- rolling: a small cluster that does what it is told, in any order ---------------------------------------------


@dataclass
class Cluster:
    app: App
    instances: list[Instance] = field(default_factory=list)
    made: int = 0

    def add(self, version: str, state: str) -> None:
        self.made += 1
        born = float(self.made)
        self.instances.append(
            Instance(id=f"a.{self.made}", app="/a", version=version, agent="A", host="h", state=state, staged_at=born)
        )

    def change(self, instance: Instance, **fields: Any) -> None:
        self.instances[self.instances.index(instance)] = msgspec.structs.replace(instance, **fields)


@settings(max_examples=200)
@given(
    want=st.integers(0, 6),
    have=st.integers(0, 6),
    least=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    over=st.sampled_from([0.0, 0.5, 1.0]),
    pinned=st.booleans(),
    order=st.randoms(use_true_random=False),
)
def test_every_upgrade_ends_and_keeps_its_bounds(
    want: int, have: int, least: float, over: float, pinned: bool, order: Any
) -> None:
    docker = Docker(image="i", parameters=(Parameter(key="ip", value="10.0.0.1"),) if pinned else ())
    strategy = UpgradeStrategy(minimum_health_capacity=least, maximum_over_capacity=over)
    want, have = (min(want, 1), min(have, 1)) if pinned else (want, have)
    target = app(instances=want, upgrade_strategy=strategy, container=Container(docker=docker))
    cluster = Cluster(target)
    for _ in range(have):
        cluster.add(V1, RUNNING)
    low, high = rolling.bounds(target)
    for _ in range(400):
        moves = rolling.roll(target, cluster.instances, lambda i: i.version < V2)
        if moves.done:
            break
        for instance in moves.kill:
            assert instance.active
            cluster.change(instance, killed_at=1.0)
        for _ in range(moves.launch):
            cluster.add(V2, STAGING)
        standing = sum(i.running for i in cluster.instances)
        assert standing >= min(low, have)
        assert len(cluster.instances) <= max(high + 1, have), "more at once than allowed"
        if pinned:
            assert len(cluster.instances) <= 1
        pending = [i for i in cluster.instances if i.leaving or i.state == STAGING]
        if pending:
            chosen = order.choice(pending)
            if chosen.leaving:
                cluster.instances.remove(chosen)
            else:
                cluster.change(chosen, state=RUNNING, started_at=2.0)
    else:
        raise AssertionError("the upgrade does not end")
    assert [i.version for i in cluster.instances] == [V2] * want


def test_an_upgrade_at_full_strength_never_runs_fewer() -> None:
    target = app(instances=4)
    cluster = Cluster(target)
    for _ in range(4):
        cluster.add(V1, RUNNING)
    moves = rolling.roll(target, cluster.instances, lambda i: i.version < V2)
    assert (moves.launch, moves.kill) == (4, ())
    for _ in range(4):
        cluster.add(V2, STAGING)
    cluster.change(cluster.instances[4], state=RUNNING)
    moves = rolling.roll(target, cluster.instances, lambda i: i.version < V2)
    assert (moves.launch, len(moves.kill)) == (0, 1)
    assert moves.kill[0].version == V1


def test_scaling_down_takes_the_youngest_and_the_sentenced_first() -> None:
    target = app(instances=1)
    cluster = Cluster(target)
    for _ in range(3):
        cluster.add(V1, RUNNING)
    assert [i.id for i in rolling.scale(target, cluster.instances).kill] == ["a.3", "a.2"]
    assert "a.1" in [i.id for i in rolling.scale(target, cluster.instances, ["a.1"]).kill]
    oldest = msgspec.structs.replace(target, kill_selection="OLDEST_FIRST")
    assert [i.id for i in rolling.scale(oldest, cluster.instances).kill] == ["a.1", "a.2"]


def test_a_task_that_is_being_killed_holds_its_place() -> None:
    target = app(instances=1)
    cluster = Cluster(target)
    cluster.add(V1, RUNNING)
    cluster.change(cluster.instances[0], killed_at=1.0)
    assert rolling.scale(target, cluster.instances).launch == 0
    assert rolling.scale(target, []).launch == 1


def test_back_off_grows_is_capped_and_is_forgotten() -> None:
    one = app(backoff_seconds=2, backoff_factor=3, max_launch_delay_seconds=10, config_version=V1)
    first = after_failure(one, None, 100)
    second = after_failure(one, first, 101)
    third = after_failure(one, second, 102)
    assert [d.seconds for d in (first, second, third)] == [2, 6, 10]
    assert left(one, second, 103) == 4
    assert left(msgspec.structs.replace(one, config_version=V2), second, 103) == 0
    assert after_failure(one, third, 10_000).seconds == 2


# -- statuses ------------------------------------------------------------------------------------------------------


def status(state: Any, **fields: Any) -> mesos.TaskStatus:
    return mesos.TaskStatus(task_id=mesos.ID(value="a.1"), state=state, **fields)


@pytest.mark.parametrize(
    ("state", "reason", "message", "means"),
    [
        ("TASK_LOST", "REASON_SLAVE_REMOVED", "", "TASK_UNREACHABLE"),
        ("TASK_LOST", "REASON_AGENT_DISCONNECTED", "", "TASK_UNREACHABLE"),
        ("TASK_LOST", "REASON_RECONCILIATION", "Reconciliation: Task is unreachable", "TASK_UNREACHABLE"),
        ("TASK_LOST", "REASON_RECONCILIATION", "Reconciliation: Task is unknown", "TASK_UNKNOWN"),
        ("TASK_LOST", "REASON_INVALID_OFFERS", "", "TASK_LOST"),
        ("TASK_RUNNING", None, None, "TASK_RUNNING"),
    ],
)
def test_what_a_lost_task_means(state: str, reason: str | None, message: str | None, means: str) -> None:
    assert meaning(status(state, reason=reason, message=message)) == means
    assert ended(means) == (means in ("TASK_UNKNOWN", "TASK_LOST"))


def test_addresses_come_from_any_status_and_stay() -> None:
    network = mesos.NetworkInfo(ip_addresses=[mesos.IPAddress(ip_address="10.0.0.1"), mesos.IPAddress()])
    known = status("TASK_RUNNING", container_status=mesos.ContainerStatus(network_infos=[network, network]))
    assert addresses(known) == ("10.0.0.1",)
    one = Instance(id="a.1", app="/a", version=V1, agent="A", host="h")
    running = absorb(one, known, 5.0)
    assert (running.addresses, running.started_at) == (("10.0.0.1",), 5.0)
    assert absorb(running, status("TASK_RUNNING"), 9.0) == running
