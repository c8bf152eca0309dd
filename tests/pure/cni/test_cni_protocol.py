"""What runtimes say to the CNI plug-in, and what it says to them, version by version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.base.errors import Conflict, Invalid, Unavailable
from tortie.plugins.cni import failures, names
from tortie.plugins.cni.asking import read_asking
from tortie.plugins.cni.call import VERSIONS, Call, read_call
from tortie.plugins.cni.failures import CniError
from tortie.plugins.cni.results import Interface, Result, addresses_of, chained, shaped
from tortie.plugins.cni.settings import read_settings
from tortie.plugins.labels import label_key, label_value
from tortie.plugins.spool import Spool, make_spool
from tortie.plugins.wire import Request, decode, encode

ENV = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "653feb5461db",
    "CNI_NETNS": "/run/netns/x",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/opt/cni/bin:/usr/lib/cni",
}


def call(config: Mapping[str, Any] | None = None, **env: Any) -> Call:
    given = {"cniVersion": "1.0.0", "name": "blue", "type": "calico", **(config or {})}
    return read_call("calico", {**ENV, **env}, msgspec.json.encode(given))


def refused(what: Any, *args: Any, **named: Any) -> tuple[int, str]:
    with pytest.raises(CniError) as caught:
        what(*args, **named)
    return caught.value.code, str(caught.value)


@pytest.mark.parametrize(
    ("env", "code", "words"),
    [
        ({"CNI_COMMAND": "JUMP"}, 4, "unknown CNI_COMMAND: JUMP"),
        ({"CNI_NETNS": "", "CNI_PATH": ""}, 4, "required env variables [CNI_NETNS,CNI_PATH] missing"),
        ({"CNI_CONTAINERID": "../etc"}, 4, "invalid characters in containerID: ../etc"),
        ({"CNI_IFNAME": "a" * 16}, 4, "interface name is too long"),
        ({"CNI_IFNAME": ".."}, 4, "interface name is . or .."),
        ({"CNI_IFNAME": "a/b"}, 4, "interface name contains / or : or whitespace characters"),
        ({"CNI_ARGS": "IP"}, 4, "ARGS: invalid pair"),
        ({"CNI_COMMAND": "CHECK"}, None, ""),
        ({"CNI_COMMAND": "STATUS"}, 1, "config version does not allow STATUS"),
    ],
)
def test_variables(env: dict[str, Any], code: int | None, words: str) -> None:
    if code is None:
        assert call(**env).command == env["CNI_COMMAND"]
        return
    found, text = refused(call, **env)
    assert (found, words in text) == (code, True), text


@pytest.mark.parametrize(
    ("stdin", "code", "words"),
    [
        (b"", 6, "not JSON"),
        (b"[1]", 6, "not an object"),
        (b"\xff\xfe", 6, "not JSON"),
        (b"[" * 100_000, 6, "not JSON"),
        (b'{"type":"calico"}', 7, "missing network name"),
        (b'{"name":"a b"}', 7, "invalid characters found in network name: a b"),
        (b'{"name":7}', 7, "invalid characters"),
        (
            b'{"name":"x","cniVersion":"2.0.0"}',
            1,
            'incompatible CNI versions: config is "2.0.0", plugin supports ["0.1.0"',
        ),
        (b'{"name":"x","cniVersion":1}', 1, "incompatible"),
    ],
)
def test_configurations(stdin: bytes, code: int, words: str) -> None:
    found, text = refused(read_call, "calico", ENV, stdin)
    assert (found, words in text) == (code, True), text


def test_a_check_needs_a_version_that_has_it_and_none_named_is_an_old_one() -> None:
    assert refused(call, {"cniVersion": "0.3.1"}, CNI_COMMAND="CHECK")[0] == 1
    assert read_call("calico", ENV, b'{"name":"x"}').version == "0.2.0"
    assert read_call("calico", {**ENV, "CNI_COMMAND": "DEL", "CNI_NETNS": ""}, b'{"name":"x"}').netns == ""


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_has_its_shape(version: str) -> None:
    interfaces = [Interface(name="cali1"), Interface(name="eth0", mac="02:00:00:00:00:01", sandbox="/run/x", mtu=1450)]
    result = Result(addresses=["192.168.0.1/32", "fd00::1/128"], interfaces=interfaces, interface=1)
    shown = shaped(result, version)
    assert shown.pop("cniVersion") == version
    if version in ("0.1.0", "0.2.0"):
        assert shown == {"ip4": {"ip": "192.168.0.1/32"}, "ip6": {"ip": "fd00::1/128"}, "dns": {}}
        return
    old = (
        {} if version in ("1.0.0", "1.1.0") else {"version": "4"},
        {} if version in ("1.0.0", "1.1.0") else {"version": "6"},
    )
    mtu = {"mtu": 1450} if version == "1.1.0" else {}
    assert shown == {
        "interfaces": [{"name": "cali1"}, {"name": "eth0", "mac": "02:00:00:00:00:01", **mtu, "sandbox": "/run/x"}],
        "ips": [
            {**old[0], "address": "192.168.0.1/32", "interface": 1},
            {**old[1], "address": "fd00::1/128", "interface": 1},
        ],
        "dns": {},
    }


def test_behind_another_plug_in_of_a_list() -> None:
    before = {
        "interfaces": [{"name": "a"}],
        "ips": [{"address": "10.0.0.1/24", "interface": 0}],
        "dns": {"domain": "x"},
    }
    mine = shaped(Result(addresses=["192.168.0.1/32"], interfaces=[Interface(name="c")], interface=0), "1.0.0")
    both = chained(mine, before, "1.0.0")
    assert [ip["interface"] for ip in both["ips"]] == [0, 1]
    assert [found["name"] for found in both["interfaces"]] == ["a", "c"]
    assert both["dns"] == {"domain": "x"}
    assert chained(mine, None, "1.0.0") == mine


def test_answers_of_other_address_plug_ins() -> None:
    assert addresses_of({"ip4": {"ip": "10.0.0.4/24"}}) == ["10.0.0.4/24"]
    assert addresses_of({"ips": [{"address": "10.0.0.4/24"}, {"address": "fd00::1/64"}]}) == [
        "10.0.0.4/24",
        "fd00::1/64",
    ]
    assert refused(addresses_of, {"ips": [{"address": "here"}]})[0] == 6
    assert refused(addresses_of, {"ips": [{}]})[0] == 6


def test_settings_take_words_and_bools() -> None:
    config = {
        "mtu": 1400,
        "nodename": "Agent-1",
        "ipam": {"type": "calico-ipam", "assign_ipv4": True, "assign_ipv6": "true", "ipv4_pools": ["a", "10.0.0.0/8"]},
        "policy": {"type": "none"},
        "container_settings": {"allow_ip_forwarding": True},
    }
    found = read_settings(config)
    assert (found.mtu, found.node, found.ipam, found.versions) == (1400, "Agent-1", "", [4, 6])
    assert (found.pools[4], found.makes_profile, found.forwarding) == (["a", "10.0.0.0/8"], False, True)
    assert read_settings({"ipam": {"type": "host-local"}}).ipam == "host-local"
    assert read_settings({}).makes_profile


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"mtu": "1500"}, "mtu: a number"),
        ({"mtu": True}, "mtu: a number"),
        ({"mtu": 70000}, "mtu: a number"),
        ({"ipam": []}, "ipam: an object"),
        ({"ipam": {"assign_ipv4": "yes"}}, "ipam.assign_ipv4: true or false"),
        ({"ipam": {"assign_ipv4": "false"}}, "no address to give"),
        ({"ipam": {"ipv4_pools": "10.0.0.0/8"}}, "ipam.ipv4_pools: a list"),
        ({"nodename": 4}, "nodename: a text"),
        ({"feature_control": {"ip_addrs_no_ipam": True}}, "ip_addrs_no_ipam"),
    ],
)
def test_settings_that_make_no_sense(config: dict[str, Any], words: str) -> None:
    code, text = refused(read_settings, config)
    assert (code, words in text) == (7, True), text


def test_what_each_runtime_says_of_its_container() -> None:
    podman = read_asking(call(CNI_ARGS="IgnoreUnknown=1;K8S_POD_NAME=p2;MAC=02:AA:bb:cc:dd:01;IP=192.168.9.9"))
    assert (podman.orchestrator, podman.namespace, podman.name) == ("cni", "default", "p2")
    assert (podman.mac, podman.addresses) == ("02:aa:bb:cc:dd:01", ["192.168.9.9"])
    again = {"runtimeConfig": {"ips": ["192.168.9.9", "192.168.7.29"]}}
    assert read_asking(call(again, CNI_ARGS="IP=192.168.1.1")).addresses == ["192.168.9.9"]
    assert read_asking(call({"args": {"cni": {"ips": ["fd00::5/64"]}}})).addresses == ["fd00::5"]

    labels = [{"key": "a/b", "value": "x y"}, {"key": "v"}, {"key": "projectcalico.org/namespace", "value": "shop"}]
    mesos = {"args": {"org.apache.mesos": {"network_info": {"labels": {"labels": labels}, "ip_addresses": [{}]}}}}
    asking = read_asking(call(mesos))
    assert (asking.labels, asking.namespace, asking.addresses) == ({"a.b": "x-y", "v": ""}, "shop", ())

    pod = read_asking(call(CNI_ARGS="K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=abc"))
    assert (pod.orchestrator, pod.namespace, pod.workload) == ("k8s", "shop", "web-0")
    nomad = read_asking(call(CNI_ARGS="IgnoreUnknown=1;NOMAD_JOB_ID=shop/web;NOMAD_GROUP_NAME=front"))
    assert nomad.labels == {"nomad.job": "shop.web", "nomad.group": "front"}


@pytest.mark.parametrize(
    ("config", "args"),
    [
        ({"runtimeConfig": {"ips": ["here"]}}, ""),
        ({"runtimeConfig": {"ips": 4}}, ""),
        ({"runtimeConfig": []}, ""),
        ({}, "IP=10.0.0.300"),
        ({}, "MAC=nine"),
        ({"args": {"cni": {"labels": {"a": "b"}}}}, ""),
        ({"args": {"cni": {"labels": [{"key": 4}]}}}, ""),
        ({"args": "x"}, ""),
    ],
)
def test_askings_that_make_no_sense(config: dict[str, Any], args: str) -> None:
    assert refused(read_asking, call(config, CNI_ARGS=args))[0] in (4, 7)


@given(st.text(), st.text())
def test_any_text_becomes_a_label(key: str, value: str) -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    assert set(label_key(key)) <= allowed
    assert set(label_value(value)) <= allowed
    assert len(label_value(value)) <= 63


def test_names_of_interfaces_and_handles_never_meet() -> None:
    def host(container: str, interface: str = "eth0") -> str:
        one = call(CNI_CONTAINERID=container)
        return names.host_interface(read_asking(one), container, interface)

    hexadecimal, uuid = "653feb5461db0000", "0b7d3f0e-8f0c-4a57-9a8f-5d3a1c2e4f60"
    assert (host(hexadecimal), host(uuid)) == ("cali653feb5461d", "cali0b7d3f0e-8f")
    others = {
        host("default-t1"),
        host("default-t10"),
        host(f"{uuid}.one"),
        host(f"{uuid}.two"),
        host(hexadecimal, "eth1"),
    }
    assert len(others) == 5
    assert all(len(name) == 15 for name in others)
    assert names.handle_of("blue", "c", "eth0") == "blue.c"
    assert names.handle_of("blue", "c", "eth1") == "blue.c.eth1"


@pytest.mark.parametrize(
    ("error", "code"), [(Invalid("a"), 7), (Unavailable("a"), 11), (Conflict("a"), 999), (CniError(3, "a"), 3)]
)
def test_failures_have_codes(error: Any, code: int) -> None:
    found = failures.of(error)
    assert msgspec.json.decode(failures.body(found, "0.4.0")) == {"cniVersion": "0.4.0", "code": code, "msg": "a"}
    assert msgspec.json.decode(failures.body(CniError(1, "a", "b"), "")) == {"code": 1, "msg": "a", "details": "b"}


NAMES = st.from_regex(r"CNI_[A-Z]{1,9}", fullmatch=True)
VALUES = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


@given(st.dictionaries(NAMES, VALUES), st.binary())
def test_a_call_arrives_as_it_was_sent(variables: dict[str, str], stdin: bytes) -> None:
    given_variables = {"PLUGIN": "calico", **variables}
    found = decode(encode(Request(given_variables, stdin)))
    assert (found.variables, found.stdin) == (given_variables, stdin)


@given(st.binary())
def test_any_bytes_are_a_call_or_refused(data: bytes) -> None:
    for text in (data, b"tortie-cni-1\0" + data):
        try:
            decode(text)
        except Invalid:
            continue


def test_what_is_kept_comes_out_in_its_order_and_rubbish_is_set_aside(tmp_path: Path) -> None:
    make_spool(tmp_path / "spool")
    spool = Spool(tmp_path / "spool")
    assert spool.is_empty()
    for container in ("a", "b"):
        spool.keep(Request({"CNI_CONTAINERID": container}, b"{}"))
    (tmp_path / "spool" / "00").write_bytes(b"rubbish")
    assert [request.variables["CNI_CONTAINERID"] for _, request in spool.kept()] == ["a", "b"]
    assert len(spool.kept()) == 2
    assert (tmp_path / "spool" / ".broken-00").exists()
