"""What makes the engines of all hosts agree on the networks: decided from the table and one engine's list."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tortie.plugins.docker.names import REPLICA_LABEL
from tortie.plugins.docker.networks import Declared, Plan, declaration, plan, replica_labels
from tortie.plugins.docker.ports import LocalNetwork

MADE = LocalNetwork(id="id-a", name="client", driver="calico", labels={"l": "v"})
DECLARED = declaration(MADE, "a")
REPLICA = LocalNetwork(id="id-b", name="client", driver="calico", labels=replica_labels(DECLARED))


def to_do(todo: Plan) -> list[object]:
    return [*todo.publish, *todo.create, *todo.remove]


def test_a_network_made_here_is_declared_with_its_origin() -> None:
    todo = plan({}, {}, [MADE], "a")
    assert todo.publish == [Declared(name="client", labels={"l": "v"}, originals={"id-a": "a"})]
    assert not todo.create
    assert not todo.remove


def test_a_declared_network_is_created_where_it_is_missing_and_marked_as_replica() -> None:
    assert plan({"client": DECLARED}, {}, [], "b").create == [DECLARED]
    assert replica_labels(DECLARED) == {"l": "v", REPLICA_LABEL: "true"}


def test_original_and_replica_agree_with_the_table() -> None:
    for host, network in (("a", MADE), ("b", REPLICA)):
        todo = plan({"client": DECLARED}, {}, [network], host)
        assert to_do(todo) == []
        assert not todo.clashes
        assert todo.ours == {network.id: "client"}


def test_a_replica_that_is_no_longer_declared_goes() -> None:
    assert plan({}, {}, [REPLICA], "b").remove == [REPLICA]


def test_an_original_that_was_removed_elsewhere_goes_and_is_not_declared_again() -> None:
    todo = plan({}, {"id-a": "a"}, [MADE], "a")
    assert todo.remove == [MADE]
    assert not todo.publish
    assert not todo.forget


def test_the_mark_of_removal_goes_once_its_host_has_obeyed() -> None:
    assert plan({}, {"id-a": "a", "id-c": "c"}, [], "a").forget == ["id-a"]


def test_a_foreign_network_of_the_name_is_reported_and_left_alone() -> None:
    foreign = LocalNetwork(id="x", name="client", driver="bridge")
    todo = plan({"client": DECLARED}, {}, [foreign], "b")
    assert "bridge" in todo.clashes["client"]
    assert to_do(todo) == []
    assert not todo.ours
    assert not plan({}, {}, [foreign], "b").publish


def test_a_name_that_cannot_be_a_profile_s_is_reported_and_not_declared() -> None:
    todo = plan({}, {}, [LocalNetwork(id="x", name="a b", driver="calico")], "a")
    assert "letters, digits" in todo.clashes["a b"]
    assert to_do(todo) == []


def test_the_same_name_with_another_subnet_is_a_clash_for_an_original() -> None:
    mine = replace(MADE, subnet="10.65.0.0/24")
    todo = plan({"client": DECLARED}, {}, [mine], "b")
    assert "10.65.0.0/24" in todo.clashes["client"]
    assert to_do(todo) == []
    assert not todo.ours


def test_a_replica_of_an_earlier_network_is_replaced() -> None:
    declared = Declared(name="client", subnet="10.65.0.0/24", originals={"new": "a"})
    assert plan({"client": declared}, {}, [REPLICA], "b").remove == [REPLICA]


def test_two_people_made_it_at_once_and_both_originals_are_known() -> None:
    other = LocalNetwork(id="id-b", name="client", driver="calico")
    todo = plan({"client": DECLARED}, {}, [other], "b")
    assert todo.publish == [Declared(name="client", labels={"l": "v"}, originals={"id-a": "a", "id-b": "b"})]
    assert todo.ours == {"id-b": "client"}


names = st.sampled_from(["one", "two", "three"])
subnets = st.sampled_from([None, "10.65.0.0/24"])


@given(
    table=st.dictionaries(names, st.builds(lambda s: s, subnets)),
    made=st.dictionaries(names, st.tuples(subnets, st.booleans(), st.sampled_from(["calico", "bridge"]))),
)
def test_doing_the_plan_leaves_nothing_to_do_but_clashes(
    table: dict[str, str | None], made: dict[str, tuple[str | None, bool, str]]
) -> None:
    declared = {n: Declared(name=n, subnet=s, originals={f"far-{n}": "far"}) for n, s in table.items()}
    local = [
        LocalNetwork(id=f"l-{n}", name=n, driver=d, subnet=s, labels={REPLICA_LABEL: "true"} if r else {})
        for n, (s, r, d) in made.items()
    ]
    for _ in range(2):
        todo = plan(declared, {}, local, "here")
        for item in todo.publish:
            declared[item.name] = item
        gone = {n.id for n in todo.remove}
        local = [n for n in local if n.id not in gone] + [
            LocalNetwork(id=f"new-{c.name}", name=c.name, driver="calico", subnet=c.subnet, labels=replica_labels(c))
            for c in todo.create
        ]
    settled = plan(declared, {}, local, "here")
    assert to_do(settled) == []
    assert set(settled.ours.values()) | set(settled.clashes) == set(declared)
    assert {n.id for n in local if n.driver == "bridge"} == {f"l-{n}" for n, (_, _, d) in made.items() if d == "bridge"}
