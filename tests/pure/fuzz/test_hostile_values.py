"""Values that are made to hurt: without end, without UTF-8, standing for billions. All are refused in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.fuzz import commands
from tests.fuzz.targets import files

from tortie.base.errors import Invalid, Unavailable
from tortie.base.sources import documents, json_value
from tortie.cli.calicoctl.go_template import render
from tortie.model.codec import from_builtins
from tortie.model.documents import item
from tortie.model.kinds import KINDS
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.resource import decode
from tortie.model.v0.wire import port_problem
from tortie.node.brain import Brain
from tortie.plugins.docker import messages
from tortie.policy.compile import compile_profile
from tortie.policy.endpoints import workload
from tortie.store.etcd import address, stream
from tortie.store.port import Event

DEEP = 100_000
HEAD = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: a}\nspec: "
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)
TEXTS = {
    "lists without end": "x: 1\n---\n" + "[" * DEEP + "]" * DEEP,
    "objects without end": "x: 1\n---\n" + "{a: " * DEEP,
    "blocks without end": "- " * DEEP + "x\n",
    "keys without end": "? " * DEEP + "x\n",
    "JSON without end": "[" * DEEP + "]" * DEEP,
    "aliases that stand for billions": BOMB,
    "a list that holds itself": HEAD + "&a {x: *a}\n",
    "a field given twice": HEAD + "{order: 1, order: 2}\n",
    "a number of a thousand digits": HEAD + "{order: " + "9" * 5000 + "}\n",
    "a number in hexadecimal": HEAD + "{order: 0x" + "f" * 5000 + "}\n",
    "a number that is none": HEAD + "{order: .nan}\n",
    "a number without bound": HEAD + "{order: .inf}\n",
    "a tag that does not fit": HEAD + "{doNotTrack: !!bool 7}\n",
    "an empty number": HEAD + "{order: !!int ''}\n",
    "an object of Python's": "!!python/object/apply:os.system ['true']\n",
    "a NUL": "a\0b",
    "half a character in JSON": '{"a": "\\ud800"}',
    "no number in JSON": '{"a": NaN}',
    "a field given twice in JSON": '{"a": 1, "a": 2}',
}


@pytest.mark.parametrize("title", TEXTS)
def test_files(title: str) -> None:
    with pytest.raises(Invalid, match="error parsing x"):
        documents("x", TEXTS[title])
    files(TEXTS[title].encode())


@pytest.mark.parametrize("grammar", ["1.3", "3"])
@pytest.mark.parametrize("title", TEXTS)
def test_commands_end_with_exit_code_1(title: str, grammar: str) -> None:
    assert commands.command(grammar, ["apply", "-f", "-"], TEXTS[title].encode()) == 1


@pytest.mark.parametrize(
    "text", ["[" * DEEP, '{"a":"\\udfff"}', '{"a":1e999}', "{", '{"a":1,"a":1}', b"\xff", "9" * 30]
)
def test_one_json_value(text: str | bytes) -> None:
    with pytest.raises(Invalid):
        json_value(text)


@pytest.mark.parametrize("revision", ["9" * 5000, "٣", "-1", "1.0", [], True])
def test_a_revision_is_a_number_of_a_store(revision: object) -> None:
    raw = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "Profile",
        "metadata": {"name": "a", "resourceVersion": revision},
    }
    with pytest.raises(Invalid, match="not a revision"):
        item(raw)


LONG = "9" * 5000


@pytest.mark.parametrize("digits", [LONG, "٣", "²"])
def test_numbers_without_bound_and_digits_of_other_scripts(digits: str) -> None:
    for rule in (
        {"action": "Allow", "protocol": digits},
        {"action": "Allow", "protocol": "TCP", "destination": {"ports": [f"1:{digits}"]}},
        {"action": "Allow", "protocol": "TCP", "destination": {"ports": [digits]}},
        {"action": "Allow", "source": {"nets": [f"10.0.0.0/{digits}"]}},
    ):
        raw = from_builtins(ProfileSpec, {"ingress": [rule]})
        assert compile_profile(raw).problems
        assert list(PROFILE.check(raw))
    assert port_problem(f"1:{digits}")
    with pytest.raises(Invalid):
        address.parse(f"etcd://a:{digits}")
    with pytest.raises(Unavailable):
        stream.Stream().feed(f"HTTP/1.1 {digits} OK\r\n\r\n".encode())


def test_an_endpoints_ports_that_are_none_are_left_out() -> None:
    wrong: list[tuple[object, int]] = [(LONG, 1), ("TCP", 0), (256, 1), ("TCP", 65536)]
    ports = [{"name": "a", "protocol": protocol, "port": port} for protocol, port in wrong]
    ports.append({"name": "b", "protocol": "6", "port": 80})
    spec = {"orchestrator": "k8s", "ipNetworks": ["10.0.0.1"], "ports": ports}
    raw = {"metadata": {"name": "a", "namespace": "x"}, "spec": spec}
    found = workload(decode(KINDS["WorkloadEndpoint"], json.dumps(raw).encode()))
    assert found is not None
    assert found.ports == (("b", 6, 80),)


def test_a_report_is_one_file(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("[" * DEEP)
    for path in (tmp_path, tmp_path / "a.json", tmp_path / "c.json"):
        assert commands.command("3", ["ipam", "release", f"--from-report={path}"], b"") == 1


VALUES = {
    "without end": b"[" * DEEP + b"]" * DEEP,
    "no UTF-8": b'"\xff\xfe"',
    "half a character": b'"\\ud800"',
    "no JSON": b"x",
    "cut": b'{"a',
}


@pytest.mark.parametrize("where", ['{"metadata":{"name":"a"},"spec":{"x":%s}}', '{"metadata":%s}', '{"spec":%s}', "%s"])
@pytest.mark.parametrize("title", VALUES)
def test_5_2_values_of_the_store(title: str, where: str) -> None:
    value = where.encode() % VALUES[title]
    brain = Brain("host-a", "192.0.2.1/24")
    keys = [kind.key("a", "x") for kind in KINDS.values()]
    keys += ["/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-26", "/calico/ipam/v2/host/host-a/ipv4/block/10.0.0.0-26"]
    for key in keys:
        brain.learn(Event(key, value, 1))
    brain.settle_routes()
    assert KINDS["Profile"].key("a") in brain.unreadable
    with pytest.raises(Invalid, match="Profile: "):
        decode(KINDS["Profile"], value)


@pytest.mark.parametrize("title", VALUES)
def test_messages_of_an_engine(title: str) -> None:
    with pytest.raises(Invalid, match="CreateNetwork: "):
        messages.parse(messages.CreateNetwork, b'{"NetworkID":"n","Options":{"a":%s}}' % VALUES[title])


@pytest.mark.parametrize("text", ["{{if 1}}" * DEEP, "{{if 1}}" * 600 + "{{end}}" * 600, "{{" + "(" * DEEP + "}}"])
def test_templates(text: str) -> None:
    with pytest.raises(Invalid, match="template: "):
        render(text, {})
