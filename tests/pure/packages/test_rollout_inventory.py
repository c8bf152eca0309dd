"""A file of hosts becomes what each host shall have, and a plan that is named after what it would do."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.support.pages import blocks, commands, fault

from tortie.base.errors import Invalid
from tortie.cli.node_config import NAMES
from tortie.packages.rollout.inventory import (
    CALICOCTL,
    NODE_CONF,
    UNIT_FILE,
    Inventory,
    Product,
    Task,
    plan,
    reach,
    read,
    shown,
    want,
)

PRODUCT = Product("0123", "cpython-311-linux", "[Service]\n", {"calico": "#!\n"}, {"calico_mesos": "#!\n"})
DELTA = {"node": [{"text": "restart it", "have": ""}]}


def inventory(**more: Any) -> Inventory:
    return read({"store": "etcd://s:2379", "hosts": [{"name": "a"}], **more}, "f", frozenset(NAMES))


def test_the_page_s_file_is_read_and_its_commands_are_taken() -> None:
    page = blocks("rollout.md")
    (file,) = [block for block in page if block.file == "hosts.yaml"]
    found = read(yaml.safe_load(file.text), "hosts.yaml", frozenset(NAMES))
    first, second = found.hosts
    assert (reach(found, first).address, reach(found, first).user, reach(found, first).port) == (
        "10.0.0.11",
        "root",
        None,
    )
    assert (reach(found, second).user, reach(found, second).port) == ("root", 2222)
    files = want(found, second, PRODUCT)["files"]
    conf = "NODENAME=agent-2\nTORTIE_STORE=etcd://10.0.0.1:2379\nCALICO_NETWORKING_BACKEND=direct\nIP=10.0.0.12/24\n"
    assert files["configuration"][NODE_CONF]["text"] == conf
    assert sorted(files["cni"]) == ["/etc/cni/net.d/calico.conf", "/opt/cni/bin/calico"]
    assert list(files["net-modules"]) == ["/calico/calico_mesos"]


def test_every_command_of_the_page_is_one() -> None:
    text = (block for block in blocks("rollout.md") if not block.file)
    typed = [words for block in text for line in block.lines for words in commands(line)]
    assert len(typed) == 8
    assert [fault(words) for words in typed] == [""] * 8


def test_a_host_s_own_words_come_before_those_for_all() -> None:
    found = inventory(
        node={"IP": "x", "TORTIE_DEBUG": "1"}, agent="m", hosts=[{"name": "a", "node": {"IP": "y"}, "agent": ""}]
    )
    made = want(found, found.hosts[0], PRODUCT)
    assert made["files"]["configuration"][NODE_CONF]["text"].splitlines()[2:] == ["IP=y", "TORTIE_DEBUG=1"]
    assert made["agent"] == ""
    assert made["files"]["node"] == {UNIT_FILE: {"text": "[Service]\n", "mode": 0o644}}


def test_calicoctl_s_file_names_every_member_and_is_not_there_for_an_embedded_store() -> None:
    found = inventory(store="etcd://a:2379,b:2379")
    text = want(found, found.hosts[0], PRODUCT)["files"]["configuration"][CALICOCTL]["text"]
    assert yaml.safe_load(text)["spec"]["etcdEndpoints"] == "http://a:2379,http://b:2379"
    found = inventory(store="sqlite:///x")
    assert CALICOCTL not in want(found, found.hosts[0], PRODUCT)["files"]["configuration"]


def test_a_plan_s_name_is_of_what_it_brings_and_of_what_is_there() -> None:
    found = inventory()
    task = Task("a", reach(found, found.hosts[0]), want(found, found.hosts[0], PRODUCT))
    one = plan([task], {"a": DELTA}, "0123")
    assert plan([task], {"a": DELTA}, "0123").digest == one.digest
    assert plan([task], {"a": {"node": [{"text": "restart it", "have": "x"}]}}, "0123").digest != one.digest
    other = inventory(node={"IP": "x"})
    changed = Task("a", task.reach, want(other, other.hosts[0], PRODUCT))
    assert plan([changed], {"a": DELTA}, "0123").digest != one.digest
    assert [[step.name for step in host.steps] for host in one.rollout(0.0).hosts] == [["node", "gate"]]
    assert shown(one) == ["a:", "  node           restart it"]
    nothing = plan([task], {"a": {}}, "0123")
    assert nothing.empty
    assert shown(nothing) == ["a: nothing to do"]


def test_every_fault_of_a_file_is_named_at_once() -> None:
    with pytest.raises(Invalid) as failed:
        inventory(store="x", node={"NO": "x"}, hosts=[{"name": "a b", "node": {"IP": "1\n2"}}])
    assert len(failed.value.problems) == 4


def test_how_many_hosts_may_be_out_is_part_of_the_plan() -> None:
    found = inventory(**{"max-unavailable": 2})
    made = [Task("a", None, want(found, found.hosts[0], PRODUCT))]
    one, two = (plan(made, {"a": DELTA}, "0123", at_once) for at_once in (1, found.max_unavailable))
    assert one.digest != two.digest
    assert (one.rollout(0.0).at_once, two.rollout(0.0).at_once) == (1, 2)
    with pytest.raises(Invalid, match="max-unavailable: 0 is less than 1"):
        inventory(**{"max-unavailable": 0})
