"""What the calico framework wants of agents, takes of offers, keeps, and shows."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tortie.base.errors import Invalid
from tortie.packages.calico.board import board, difference, legacy, orders, summary
from tortie.packages.calico.tasks import Needs, command_line, room, task_of
from tortie.packages.calico.values import (
    Agent,
    Kept,
    Wanted,
    backwards,
    digest,
    ours,
    rests,
    store_of,
    switched_off,
    tasks,
)
from tortie.packages.rollout.inventory import NODE_CONF, Cni, Plan, Product, plan
from tortie.packages.rollout.machine import GATE, Act, begun, decide, ended, ordered, over, state
from tortie.store.open import CLUSTER
from tortie.wire import mesos

PRODUCT = Product("0123", "cpython-311-linux", "[Service]\n", {"calico": "#!\n"}, {})
AGENTS = [Agent("A2", "p1", public=True), Agent("A1", "a2"), Agent("A0", "a1")]
WANTED = Wanted(cni=Cni())
STORE = "etcd://10.0.0.1:1"


def planned() -> Plan:
    made = tasks(WANTED, STORE, AGENTS, PRODUCT)
    change = {"node": [{"text": "restart it", "have": ""}]}
    return plan(made, {"a1": change, "a2": {}, "p1": change}, "0123")


def offer(*resources: tuple[str, float, str], allocated: str | None = None) -> mesos.Offer:
    return mesos.Offer(
        id=mesos.ID(value="O"),
        framework_id=mesos.ID(value="F"),
        agent_id=mesos.ID(value="A"),
        hostname="a1",
        resources=[
            mesos.Resource(name=name, type="SCALAR", scalar=mesos.Scalar(value=value), role=role)
            for name, value, role in resources
        ],
        allocation_info=mesos.AllocationInfo(role=allocated) if allocated else None,
    )


def test_private_agents_come_first_and_each_has_the_unit_of_its_kind() -> None:
    made = tasks(WANTED, STORE, AGENTS, PRODUCT)
    units = {task.name: task.want["agent"] for task in made}
    private, public = WANTED.units
    assert list(units.items()) == [("a1", private), ("a2", private), ("p1", public)]
    assert made[0].want["files"]["configuration"][NODE_CONF]["text"] == f"TORTIE_STORE={STORE}\n"
    assert ours(planned())
    kept_apart = tasks(Wanted(cluster="sqlite:///var/lib/tortie/store"), STORE, AGENTS, PRODUCT)
    assert kept_apart[0].want["files"]["configuration"][CLUSTER]["text"] == "sqlite:///var/lib/tortie/store\n"
    assert all(task.want["agent"] == "" for task in tasks(Wanted(), STORE, AGENTS, PRODUCT))


def test_the_same_is_wanted_in_whatever_order_agents_and_members_are_told() -> None:
    there = tasks(WANTED, store_of(["http://b:2", "http://a:1/"]), AGENTS, PRODUCT)
    back = tasks(WANTED, store_of(["http://a:1", "http://b:2"]), AGENTS[::-1], PRODUCT)
    assert digest(there) == digest(back)
    assert digest(there) != digest(tasks(WANTED, store_of(["http://a:1"]), AGENTS, PRODUCT))


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        ([], "no address of an etcd is given"),
        (["a:2379"], "'a:2379' is no address of an etcd such as http://10.0.0.1:2379"),
        (["http://"], "'http://' is no address of an etcd such as http://10.0.0.1:2379"),
        (["http://a:1", "https://b:1"], "addresses of an etcd are all http or all https"),
    ],
)
def test_what_is_no_address_of_an_etcd_is_refused(urls: list[str], said: str) -> None:
    with pytest.raises(Invalid) as caught:
        store_of(urls)
    assert str(caught.value) == said


def test_reserved_resources_are_taken_as_they_are_offered() -> None:
    needs = Needs(cpus=0.2, mem=64)
    taken = room(offer(("cpus", 1, "slave_public"), ("mem", 64, "*"), allocated="slave_public"), needs)
    assert not isinstance(taken, str)
    told = [(one.name, one.role, one.scalar.value if one.scalar else 0, one.allocation_info) for one in taken]
    info = mesos.AllocationInfo(role="slave_public")
    assert told == [("cpus", "slave_public", 0.2, info), ("mem", "*", 64.0, info)]


def test_an_offer_that_is_too_small_says_what_it_lacks() -> None:
    needs = Needs(cpus=0.2, mem=64)
    assert room(offer(("cpus", 0.1, "*"), ("cpus", 0.1, "slave_public"), ("mem", 64, "*")), needs) == "cpus: 0.1 of 0.2"
    assert room(offer(("cpus", 1, "*")), needs) == "mem: 0 of 64"


def test_a_hand_gets_to_the_host_s_root_with_docker_and_is_there_without() -> None:
    inside = Needs(image="i", python="/usr/bin/python3")
    task = task_of("n", "t", "A", [], inside, "http://f/secret", 7)
    assert task.container is not None
    assert task.container.docker is not None
    docker = task.container.docker
    assert (docker.privileged, docker.network) == (None, "HOST")
    assert ("cap-add", "NET_ADMIN") in {(parameter.key, parameter.value) for parameter in docker.parameters or ()}
    assert [(volume.container_path, volume.host_path) for volume in task.container.volumes] == [("/host", "/")]
    assert command_line(inside, 7).startswith("exec chroot /host /usr/bin/python3 -I -B -c ")
    plain = Needs(container="mesos", python="/usr/bin/python3")
    among = task_of("n", "t", "A", [], plain, "u", 7).container
    assert among is not None
    assert among.linux_info is not None
    assert (among.type, among.mesos, among.linux_info["share_pid_namespace"]) == ("MESOS", None, True)
    assert {"NET_ADMIN", "SYS_ADMIN"} <= set(among.linux_info["effective_capabilities"]["capabilities"])
    assert command_line(plain, 7).startswith("exec /usr/bin/python3 -I -B -c ")


def test_backwards_undoes_what_was_done_on_the_agents_that_are_there() -> None:
    rollout = backwards(planned(), frozenset({"a1", "a2"}), 1.0, forced=False)
    assert state(rollout) == "undoing"
    acts = []
    while (act := decide(rollout)) is not None:
        acts.append(act)
        rollout = ended(begun(rollout, act, 1.0), act, None, 2.0)
    assert acts == [Act("a1", "node", undo=True), Act("a1", GATE, undo=True)]
    assert over(rollout)


def test_after_a_person_s_end_nothing_begins_before_somebody_says_so() -> None:
    rolling = planned().rollout(5.0)
    assert not rests(None, Kept())
    assert not rests(rolling, Kept())
    undone = ordered(rolling, "undo")
    assert state(undone) == "undone"
    assert rests(undone, Kept())
    assert not rests(undone, Kept(beyond=5.0))


def walked(until: Act, error: str | None) -> Any:
    rollout = planned().rollout(5.0)
    while (act := decide(rollout)) is not None:
        rollout = begun(rollout, act, 6.0)
        rollout = ended(rollout, act, error if act == until else None, 7.5)
    return rollout


def test_the_board_says_why_it_stopped_and_what_can_be_asked_for() -> None:
    stopped = walked(Act("p1", "node"), "it does not start")
    shown = board(stopped, planned(), "")
    assert (shown["state"], shown["stopped"]) == ("stopped", "p1: node: it does not start")
    assert shown["orders"] == ["retry", "undo", "abort"]
    assert orders(stopped, leaving=True) == ["retry"]
    assert [host["mark"] for host in shown["hosts"]] == ["done", "done", "failed"]
    node, gate = shown["hosts"][0]["steps"]
    assert (node["title"], node["changes"], node["since"], node["until"]) == ("Node", ["restart it"], 6.0, 7.5)
    assert (gate["title"], gate["progress"]) == ("Gate", "done")
    nothing = board(None, None, "starting")
    assert (nothing["state"], nothing["trouble"], nothing["hosts"]) == ("none", "starting", [])
    assert nothing.keys() == shown.keys()
    assert not nothing["looking"]
    looking = board(None, None, "", looking=True)
    assert (looking["looking"], looking["trouble"]) == (True, ""), "who looks waits for nobody"
    assert summary(looking) == {"state": "none", "text": "looking at what each host lacks"}


def steps_of(rollout: Any) -> Any:
    """The rollout after everything that comes next, to its end."""
    now = rollout
    yield now
    while (act := decide(now)) is not None:
        now = begun(now, act, 6.0)
        yield now
        now = ended(now, act, None, 7.5, "ready")
        yield now


def merged(old: Any, told: Any) -> Any:
    """What the page makes of a difference."""
    found = {**old, **{name: value for name, value in told.items() if name != "hosts"}}
    new = {host["name"]: host for host in told.get("hosts", ())}
    found["hosts"] = []
    for host in old["hosts"]:
        changed = new.get(host["name"], {})
        steps = {step["name"]: step for step in changed.get("steps", ())}
        whole = [{**step, **steps.get(step["name"], {})} for step in host["steps"]]
        found["hosts"].append({**host, **changed, "steps": whole})
    return found


def test_differences_make_the_same_of_what_was_shown_before() -> None:
    rolled = list(steps_of(planned().rollout(5.0)))
    shown = [board(rollout, planned(), "") for rollout in (*rolled, *steps_of(ordered(rolled[-1], "undo")))]
    assert shown[-1]["state"] == "undone"
    for old, new in pairwise(shown):
        told = difference(old, new)
        assert told is not None
        assert len(told.get("hosts", ())) <= 1
        assert merged(old, told) == new
    assert difference(shown[0], shown[0]) == {}


def test_other_hosts_or_other_changes_are_no_difference() -> None:
    shown = board(planned().rollout(5.0), planned(), "")
    assert difference(board(None, None, ""), shown) is None
    other = plan(planned().tasks, {**planned().deltas, "a1": {"node": [{"text": "start it", "have": ""}]}}, "0123")
    assert difference(shown, board(other.rollout(5.0), other, "")) is None


def test_one_line_says_how_far_it_is() -> None:
    rolled = list(steps_of(planned().rollout(5.0)))
    assert summary(board(rolled[1], planned(), "")) == {"state": "rolling", "text": "1 of 3 agents done, a1: Node"}
    assert summary(board(rolled[-1], planned(), "")) == {"state": "done", "text": "3 of 3 agents done"}
    stopped = walked(Act("p1", "node"), "it does not start")
    text = "2 of 3 agents done, p1: node: it does not start"
    assert summary(board(stopped, planned(), "")) == {"state": "stopped", "text": text}
    undoing = ordered(rolled[-1], "undo")
    assert summary(board(undoing, planned(), ""))["text"] == "0 of 3 agents as before, p1: undoing Node"
    assert summary(board(None, None, "starting")) == {"state": "waiting", "text": "starting"}
    lost = summary(board(rolled[-1], planned(), "there is no framework etcd"))
    assert lost == {"state": "waiting", "text": "3 of 3 agents done, there is no framework etcd"}


def test_what_happens_now_and_since_when() -> None:
    rolled = list(steps_of(planned().rollout(5.0)))
    node = {"host": "a1", "step": "node", "title": "Node", "undo": False, "since": None}
    assert [board(one, planned(), "")["now"] for one in rolled[:2]] == [[node], [{**node, "since": 6.0}]]
    done = board(rolled[-1], planned(), "")
    assert (done["now"], done["ended"], done["counts"]) == ([], 7.5, {"of": "agents", "all": 3, "done": 3, "failed": 0})
    assert done["hosts"][0]["steps"][-1]["note"] == "ready"
    failed = board(walked(Act("p1", GATE), "not ready"), planned(), "")["hosts"][2]
    assert (failed["failed"], failed["out"], failed["reason"]) == (GATE, False, "gate: not ready")


def test_the_orders_that_the_board_offers_are_taken() -> None:
    rolling = planned().rollout(5.0)
    paused = ordered(rolling, "pause")
    done = walked(Act("", ""), None)
    for rollout in (rolling, paused, done, walked(Act("p1", "node"), "no")):
        for word in orders(rollout):
            assert ordered(rollout, word) != rollout  # type: ignore[arg-type]


def test_the_original_s_page_is_told_by_its_class_names() -> None:
    shown = board(walked(Act("p1", "node"), "no"), planned(), "")
    told = legacy(shown)
    assert set(told) == {"a1", "a2", "p1"}
    assert list(told["a1"]) == ["TaskRunCalicoNode"]
    assert told["a1"]["TaskRunCalicoNode"] | {"created": "", "updated": ""} == {
        "task_id": "RunCalicoNode-a1",
        "state": 1,
        "created": "",
        "updated": "",
        "hash": 0,
        "role": "*",
    }
    assert {name: task["state"] for name, task in told["a2"].items()} == {
        "TaskRunEtcdProxy": 1,
        "TaskInstallDockerClusterStore": 2,
        "TaskInstallCalicoCNI": 2,
        "TaskRunCalicoNode": 1,
    }


def test_what_the_options_switch_off_is_in_no_plan_and_shown_as_skipped() -> None:
    wanted = Wanted(cni=Cni(), run_node=False)
    made = tasks(wanted, STORE, AGENTS, PRODUCT)
    for task in made:
        assert (task.want["node"]["unit"], "node" in task.want["files"]) == ("", False)
        assert NODE_CONF not in task.want["files"]["configuration"]
        assert task.want["files"]["cni"] == planned().tasks[0].want["files"]["cni"]
    assert switched_off(planned()) == []
    without = plan(made, {agent.hostname: {} for agent in AGENTS}, "0123")
    shown = board(without.rollout(1.0), without, "")
    assert shown["skipped"] == [{"name": "node", "title": "Node"}]
    assert set(legacy(shown)["a1"]) == {"TaskRunEtcdProxy", "TaskInstallDockerClusterStore", "TaskInstallCalicoCNI"}
    bare = plan(tasks(Wanted(), STORE, AGENTS, PRODUCT), {agent.hostname: {} for agent in AGENTS}, "0123")
    assert switched_off(bare) == ["cni", "agent"]
    assert "TaskInstallCalicoCNI" not in legacy(board(bare.rollout(1.0), bare, ""))["a1"]


def test_a_login_in_the_store_s_address_is_not_shown() -> None:
    made = tasks(WANTED, "etcd://u:secret@10.0.0.1:1?key=/k", AGENTS, PRODUCT)
    secret = plan(made, {agent.hostname: {} for agent in AGENTS}, "0123")
    assert board(secret.rollout(1.0), secret, "")["store"] == "10.0.0.1:1"
