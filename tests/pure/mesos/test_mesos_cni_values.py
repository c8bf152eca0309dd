"""What CNI plug-ins are asked, what they answer, and what a container's files say of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.base.errors import Invalid
from tortie.mesos.agent.cni import configuration, files, results
from tortie.mesos.agent.cni.results import Dns, Result
from tortie.mesos.agent.network_choice import Way, asked_networks, way
from tortie.wire import mesos as wire

CALICO = {"name": "calico", "type": "calico", "ipam": {"type": "calico-ipam"}, "args": {"mine": 1}}


def network(**parts: Any) -> configuration.Network:
    return configuration.parse(json.dumps({**CALICO, **parts}).encode())


def test_a_network_names_its_programs() -> None:
    found = network()
    assert (found.name, found.programs) == ("calico", ["calico", "calico-ipam"])
    assert network(ipam={}).programs == ["calico"]
    assert network(ipam="x").programs == ["calico"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is no JSON"),
        (b"{", "it is no JSON"),
        (b"\xff\xfe", "it is no JSON"),
        (b"[" * 100_000, "it is no JSON"),
        (b"[]", "a JSON object is needed"),
        (b"{}", "'name' is missing"),
        (b'{"name": 7, "type": "x"}', "'name' is not a text"),
        (b'{"name": "a", "plugins": []}', "'type' is missing"),
        (b'{"name": "a/b", "type": "x"}', "'a/b' is not the name of a network"),
        (b'{"name": "..", "type": "x"}', "'..' is not the name of a network"),
        (b'{"name": "a b", "type": "x"}', "'a b' is not the name of a network"),
        (b'{"name": "a", "type": "../x"}', "'../x' is not the name of a plug-in"),
        (b'{"name": "a", "type": "x", "ipam": {"type": "/bin/sh"}}', "'/bin/sh' is not the name of a plug-in"),
        (b'{"name": "a", "type": "x", "ipam": {"type": 5}}', "'type' is not a text"),
    ],
)
def test_what_is_no_network_says_why(data: bytes, said: str) -> None:
    with pytest.raises(Invalid, match=said.replace("[", r"\[")):
        configuration.parse(data)


def test_the_plug_in_is_told_what_the_task_asked_for() -> None:
    asked = {
        "name": "calico",
        "groups": ["g"],
        "labels": {"labels": [{"key": "app", "value": "web"}, {"key": "bare"}]},
        "ip_addresses": [{"protocol": "IPv4"}, {"ip_address": "192.168.9.9"}],
        "port_mappings": [{"host_port": 31000, "container_port": 80, "protocol": "tcp"}],
    }
    info = wire.convert(asked, wire.NetworkInfo)
    document = configuration.request(network(), info, {"io.tortie.mesos.task": "t"})
    assert json.loads(document) == {
        **CALICO,
        "args": {"mine": 1, "io.tortie.mesos.task": "t", "org.apache.mesos": {"network_info": asked}},
    }
    assert configuration.asked_in(document) == info


def test_the_original_s_own_key_is_taken() -> None:
    with pytest.raises(Invalid, match=r"'org.apache.mesos' in 'args' should not be set .* reserved by Mesos"):
        configuration.request(network(args={"org.apache.mesos": {}}), wire.NetworkInfo(name="calico"), {})
    with pytest.raises(Invalid, match=r"'args' in the configuration of CNI network 'calico' is not a JSON object"):
        configuration.request(network(args=[]), wire.NetworkInfo(name="calico"), {})


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"args": 5}', b'{"args": {"org.apache.mesos": {"x": 1}}}'])
def test_a_request_that_was_spoilt_on_disk_is_none(data: bytes) -> None:
    with pytest.raises(Invalid):
        configuration.asked_in(data)


def test_the_environment_is_exactly_six_variables() -> None:
    found = configuration.environment("ADD", "c1", "eth0", "/ns", path="/bin", plugins="/a:/b")
    assert found == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/ns",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/a:/b",
        "PATH": "/bin",
    }
    assert "CNI_NETNS" not in configuration.environment("DEL", "c1", "eth0", "", path="/bin", plugins="/a")


OLD = {"ip4": {"ip": "192.168.0.1/32", "gateway": "169.254.1.1"}, "ip6": {"ip": "fd00::1/128"}, "dns": {}}
NEW = {
    "cniVersion": "0.3.1",
    "ips": [{"version": "6", "address": "fd00::1/128"}, {"version": "4", "address": "192.168.0.1/32"}],
    "interfaces": [{"name": "eth0"}],
}
NEWEST = {"cniVersion": "1.1.0", "ips": [{"address": "192.168.0.1/32"}, {"address": "fd00::1/64", "interface": 0}]}


@pytest.mark.parametrize("document", [OLD, NEW, NEWEST])
def test_a_result_of_any_version_has_addresses_without_prefixes(document: dict[str, Any]) -> None:
    assert results.parse(json.dumps(document).encode()).addresses == ["192.168.0.1", "fd00::1"]


def test_a_result_without_addresses_is_one() -> None:
    assert results.parse(b"{}") == Result(addresses=[])
    assert results.parse(b'{"ip4": null, "ips": null}').addresses == []


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"garbage", b"[]", b'"x"', b'{"ip4": 5}', b'{"ip4": {}}', b'{"ip4": {"ip": 5}}', b'{"ips": {}}'),
        *(b'{"ips": [5]}', b'{"ips": [{"address": "300.1.1.1/32"}]}', b'{"ip6": {"ip": "x"}}', b"{" * 100_000),
    ],
)
def test_garbage_is_no_result(data: bytes) -> None:
    with pytest.raises(Invalid):
        results.parse(data)


def test_a_status_shows_what_was_asked_with_the_addresses_that_were_given() -> None:
    asked = wire.convert(
        {"name": "calico", "groups": ["g"], "labels": {"labels": [{"key": "a"}]}, "ip_addresses": [{}, {}]},
        wire.NetworkInfo,
    )
    shown = results.shown(asked, Result(addresses=["192.168.0.1", "fd00::1"]))
    assert (shown.name, shown.groups, shown.labels) == (asked.name, asked.groups, asked.labels)
    assert shown.ip_addresses == [
        wire.IPAddress(protocol="IPv4", ip_address="192.168.0.1"),
        wire.IPAddress(protocol="IPv6", ip_address="fd00::1"),
    ]
    assert asked.ip_addresses == [wire.IPAddress(), wire.IPAddress()]


def test_the_files_of_a_container() -> None:
    two = [Result(addresses=["192.168.0.1", "fd00::1"]), Result(addresses=["10.0.0.1"])]
    assert files.hosts("web", two) == "127.0.0.1 localhost\n192.168.0.1 web\n"
    assert files.hosts("web", [Result()]) == "127.0.0.1 localhost\n"
    assert files.hostname("web", "c1") == "web"
    assert files.hostname("", "c1") == "c1"
    for bad in ("a b", "a\nb", "x" * 65, "\0"):
        with pytest.raises(Invalid, match="not a host's name"):
            files.hostname(bad, "c1")


def test_resolv_conf_is_the_networks_or_else_the_host_s() -> None:
    named = Dns(nameservers=["10.0.0.2", "10.0.0.3"], domain="a.test", search=["a", "b"], options=["ndots:2"])
    nameless = Dns(domain="unused.test", search=["unused"])
    more = Dns(nameservers=["10.0.0.3", "fd00::2"], domain="b.test", search=["b", "c"])
    told = [Result(dns=dns) for dns in (nameless, named, more)]
    assert files.resolv_conf(told, "of the host\n") == (
        "domain a.test\nsearch a b c\noptions ndots:2\n"
        "nameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver fd00::2\n"
    )  # fmt: skip
    assert files.resolv_conf([Result(dns=nameless), Result()], "of the host\n") == "of the host\n"


@given(
    st.dictionaries(st.sampled_from(["nameservers", "domain", "search", "options"]), st.lists(st.text()) | st.text())
)
def test_no_answer_writes_a_line_of_its_own_into_resolv_conf(dns: dict[str, Any]) -> None:
    result = results.parse(json.dumps({"dns": dns}).encode())
    text = files.resolv_conf([result], "")
    words = ("domain ", "search ", "options ", "nameserver ")
    assert all(line.startswith(words) for line in text.split("\n")[:-1])


def infos(*names: str | None) -> list[wire.NetworkInfo]:
    return [wire.NetworkInfo(name=name) for name in names]


@pytest.mark.parametrize(
    ("asked", "modules", "expected"),
    [
        ([], True, Way.HOST),
        ([], False, Way.HOST),
        (infos(None), True, Way.MODULES),
        (infos(None), False, Way.HOST),
        (infos(""), True, Way.MODULES),
        (infos("a"), True, Way.CNI),
        (infos("a"), False, Way.CNI),
        (infos(None, "a"), True, Way.CNI),
    ],
)
def test_who_brings_a_task_to_its_networks(asked: list[wire.NetworkInfo], modules: bool, expected: Way) -> None:
    assert way(asked, modules=modules) is expected


def task(container: dict[str, Any] | None) -> wire.TaskInfo:
    given = {"name": "t", "task_id": {"value": "t"}, "agent_id": {"value": "a"}}
    return wire.convert({**given, "container": container} if container else given, wire.TaskInfo)


def docker(mode: str | None = None, *, infos: list[Any] | None = None, **parameters: str) -> wire.TaskInfo:
    listed = [{"key": key, "value": value} for key, value in parameters.items()]
    image = {"image": "x", "parameters": listed, **({"network": mode} if mode else {})}
    return task({"type": "DOCKER", "docker": image, "network_infos": infos or []})


def test_a_task_for_docker_asks_cni_for_its_network_and_address() -> None:
    found = asked_networks(docker("HOST", net="management-ui", ip="192.168.255.254"))
    assert found == [
        wire.NetworkInfo(name="management-ui", ip_addresses=[wire.IPAddress(ip_address="192.168.255.254")])
    ]
    labels = {"labels": [{"key": "a", "value": "b"}]}
    (user,) = asked_networks(docker("USER", infos=[{"name": "client", "labels": labels, "ip_addresses": [{}]}]))
    assert (user.name, user.ip_addresses) == ("client", [wire.IPAddress()])
    assert user.labels == wire.convert(labels, wire.Labels)
    assert asked_networks(docker()) == asked_networks(docker("HOST")) == asked_networks(docker(net="host")) == []


@pytest.mark.parametrize("name", ["bridge", "none", "default", "container:x"])
def test_a_network_that_only_docker_has_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match=f"Docker's network '{name}' is not served without Docker"):
        asked_networks(docker(net=name))


def test_other_tasks_ask_for_what_they_say() -> None:
    assert asked_networks(task(None)) == []
    assert asked_networks(task({"type": "MESOS", "network_infos": [{"name": "a"}, {}]})) == infos("a", None)
