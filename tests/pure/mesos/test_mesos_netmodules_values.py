"""What the agent reads of net-modules' flags and answers, and what it says to the commands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.base.errors import Invalid
from tortie.mesos.agent.netmodules import messages
from tortie.mesos.agent.netmodules.modules import Commands, commands, read_modules
from tortie.model.kinds.workload_endpoint import TASK_ANNOTATION
from tortie.plugins.netmodules.asking import Allocate, Cleanup, Isolate, Release, Reserve, read_asking
from tortie.wire import mesos as wire
from tortie.wire.labels import MESOS_TASK
from tortie.wire.netmodules import HOOK, ISOLATOR, modules

HOST = "172.24.197.102"


def refused(what: Any, *args: Any) -> str:
    with pytest.raises(Invalid) as caught:
        what(*args)
    return str(caught.value)


def test_the_commands_of_modules_json() -> None:
    text = modules("/calico/calico_mesos --debug")
    assert commands(text, f"{ISOLATOR},docker/runtime", HOOK) == Commands(
        isolator=["/calico/calico_mesos", "--debug"], ipam=["/calico/calico_mesos", "--debug"]
    )
    assert commands(text, "filesystem/linux,docker/runtime", "") is None
    assert commands("", "", "") is None
    assert read_modules("{}") == {}


def with_parameters(*keys: str) -> str:
    listed = [{"key": key, "value": "/x"} for key in keys]
    return json.dumps(
        {"libraries": [{"file": "x.so", "modules": [{"name": ISOLATOR, "parameters": listed}, {"name": HOOK}]}]}
    )


@pytest.mark.parametrize(
    ("text", "isolation", "hooks", "words"),
    [
        (with_parameters("isolator_command"), ISOLATOR, HOOK, "IPAM path not specified."),
        (with_parameters("ipam_command"), ISOLATOR, HOOK, "Isolator path not specified."),
        ("", ISOLATOR, "", f"Unknown or unsupported isolator: {ISOLATOR}"),
        (modules("/x"), "network/jump", "", "Unknown or unsupported isolator: network/jump"),
        ("", "", HOOK, f"No hook module named '{HOOK}' available"),
        (modules("/x"), ISOLATOR, "", "--hooks must name com_mesosphere_mesos_NetworkHook"),
        ("{", ISOLATOR, HOOK, "Error loading modules: it is no JSON"),
        ("[]", ISOLATOR, HOOK, "Error loading modules: modules: an object is needed"),
        ('{"libraries":{}}', ISOLATOR, HOOK, "Error loading modules: libraries: a list is needed"),
        ('{"libraries":[{"modules":[{}]}]}', "", "", "Error loading modules: a module has no name"),
        ('{"libraries":[{"modules":[{"name":"a"},{"name":"a"}]}]}', "", "", "Duplicate module name 'a'"),
        ('{"libraries":[{"modules":[{"name":"a","parameters":[1]}]}]}', "", "", "a parameter: an object is needed"),
        ('{"libraries":[{"modules":[{"name":"a","parameters":[{}]}]}]}', "", "", "a parameter has a key and a value"),
    ],
)
def test_flags_that_make_no_sense(text: str, isolation: str, hooks: str, words: str) -> None:
    assert words in refused(commands, text, isolation, hooks)


def info(**parts: Any) -> wire.NetworkInfo:
    return wire.NetworkInfo(**{"ip_addresses": [wire.IPAddress(protocol="IPv4")], **parts})


def test_addresses_as_they_may_be_asked_for() -> None:
    fixed = wire.IPAddress(ip_address="192.168.9.9")
    found = messages.asked([info(ip_addresses=[wire.IPAddress(), fixed, wire.IPAddress(protocol="IPv4")])])
    assert (found.named, found.automatic) == (["192.168.9.9"], 2)


@pytest.mark.parametrize(
    ("infos", "words"),
    [
        ([info(), info()], "NetworkIsolator:: multiple NetworkInfos are not supported."),
        ([info(ip_addresses=[])], "Container requires at least one IP address."),
        ([], "Container requires at least one IP address."),
        (
            [info(ip_addresses=[wire.IPAddress(protocol="IPv4", ip_address="192.168.9.9")])],
            "Cannot include both ip_address and protocol in a request.",
        ),
        ([info(ip_addresses=[wire.IPAddress(protocol="IPv6")])], "IPv6 is not supported at this time."),
        ([info(ip_addresses=[wire.IPAddress(ip_address="fd00::1")])], "IPv6 is not supported at this time."),
        ([info(ip_addresses=[wire.IPAddress(ip_address="here")])], "'here' does not appear to be"),
        ([info(protocol="IPv4")], "NetworkInfo.protocol is deprecated and unsupported."),
        ([info(ip_address="192.168.9.9")], "NetworkInfo.ip_address is deprecated and unsupported."),
    ],
)
def test_networks_that_are_refused(infos: list[wire.NetworkInfo], words: str) -> None:
    assert words in refused(messages.asked, infos)


def test_what_is_said_is_what_the_plug_in_understands() -> None:
    labels = wire.Labels(labels=[wire.Label(key="role", value="db"), wire.Label(key="bare")])
    network = info(groups=["star-1", "public"], labels=labels, ip_addresses=[wire.IPAddress()])
    asking = messages.asked([network])
    told = messages.labels_of(network, None)
    assert told == [{"key": "role", "value": "db"}, {"key": "bare"}]
    allocate = messages.allocate(HOST, "u-1", asking, told)
    assert json.loads(allocate) == {
        "command": "allocate",
        "args": {
            "hostname": HOST,
            "num_ipv4": 1,
            "num_ipv6": 0,
            "uid": "u-1",
            "netgroups": ["star-1", "public"],
            "labels": told,
        },
    }
    assert read_asking(allocate) == Allocate(uid="u-1", counts={4: 1, 6: 0}, named=())
    isolate = messages.isolate(HOST, "c-1", 7, ["192.168.0.1"], network, told, {MESOS_TASK: "web.1"})
    assert read_asking(isolate) == Isolate(
        hostname=HOST,
        container="c-1",
        pid=7,
        addresses=["192.168.0.1"],
        groups=["star-1", "public"],
        labels={"role": "db", "bare": ""},
        notes={TASK_ANNOTATION: "web.1"},
    )
    assert read_asking(messages.cleanup(HOST, "c-1")) == Cleanup(container="c-1")
    assert read_asking(messages.release(["192.168.0.1"])) == Release(addresses=["192.168.0.1"])
    assert read_asking(messages.release_uid("u-1")) == Release(uid="u-1")


def test_lists_that_are_empty_are_left_out_and_numbers_that_are_zero_are_not() -> None:
    asking = messages.asked([info(ip_addresses=[wire.IPAddress(ip_address="192.168.9.9")])])
    reserve = messages.reserve(HOST, "u-1", asking, [])
    assert json.loads(reserve)["args"] == {"hostname": HOST, "ipv4_addrs": ["192.168.9.9"], "uid": "u-1"}
    assert read_asking(reserve) == Reserve(uid="u-1", addresses=["192.168.9.9"])
    plain = json.loads(messages.allocate(HOST, "u-1", messages.asked([info()]), []))["args"]
    assert plain == {"hostname": HOST, "num_ipv4": 1, "num_ipv6": 0, "uid": "u-1"}


def test_a_tasks_label_may_name_addresses() -> None:
    mine = wire.Label(key="ipv4_addrs", value="['192.168.1.9']")
    task = wire.TaskInfo(
        name="t",
        task_id=wire.ID(value="t"),
        agent_id=wire.ID(value="a"),
        labels=wire.Labels(labels=[mine, wire.Label(key="other", value="x")]),
    )
    assert messages.labels_of(info(), task) == [{"key": "ipv4_addrs", "value": "['192.168.1.9']"}]
    own = info(labels=wire.Labels(labels=[wire.Label(key="ipv4_addrs", value="[]")]))
    assert messages.labels_of(own, task) == [{"key": "ipv4_addrs", "value": "[]"}]


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (b"", "/x: Got no response"),
        (b" \n", "/x: Got no response"),
        (b"Traceback", "/x: Error parsing output 'Traceback' to JSON string"),
        (b"[]", "Error parsing output '[]' to JSON string"),
        (b'{"error":"no"}', "/x returned error: no"),
        (b'{"error":""}', "/x returned error: "),
        (b'{"error":7}', "/x returned error: 7"),
        (b"\xff", "Error parsing output"),
        (b"[" * 9000, "Error parsing output"),
    ],
)
def test_answers_that_are_none(output: bytes, words: str) -> None:
    assert words in refused(messages.read_answer, "/x", output)


def test_answers() -> None:
    assert messages.read_answer("/x", b"{}") == {}
    assert messages.read_answer("/x", b'{"error":null,"more":1}')["more"] == 1
    assert messages.read_allocated("/x", {"ipv4": ["192.168.0.1"], "ipv6": []}) == ["192.168.0.1"]
    for given_answer, words in (
        ({}, "No IPv4 addresses received from IPAM."),
        ({"ipv4": []}, "No IPv4 addresses received from IPAM."),
        ({"ipv4": "192.168.0.1"}, "a list of addresses is needed"),
        ({"ipv4": ["here"]}, "here"),
        ({"ipv4": ["fd00::1"]}, "an address of another family"),
    ):
        assert words in refused(messages.read_allocated, "/x", given_answer)


@given(st.binary())
def test_any_output_is_an_answer_or_refused(output: bytes) -> None:
    try:
        messages.read_allocated("/x", messages.read_answer("/x", output))
    except Invalid:
        return


def test_statuses_show_the_groups_that_were_asked_for() -> None:
    asked = info(groups=["star-1"], labels=wire.Labels(labels=[wire.Label(key="a", value="b")]))
    shown = messages.shown(asked, ["192.168.0.1"])
    assert json.loads(wire.encode(shown)) == {
        "ip_addresses": [{"protocol": "IPv4", "ip_address": "192.168.0.1"}],
        "groups": ["star-1"],
        "labels": {"labels": [{"key": "a", "value": "b"}]},
    }
