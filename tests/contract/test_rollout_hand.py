"""The roller's hand on a host: every step done, undone, cut short anywhere, done again."""

from __future__ import annotations

import errno
import gzip
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.killed import killed_before
from tests.support.rollout_host import AGENT, MODULE, NODE, UNIT_FILE, Box, artefact, box, byte_code, want

from tortie.packages.rollout.hand import artefact as unpacking
from tortie.packages.rollout.hand import bytecode, gate, neighbours
from tortie.packages.rollout.hand.main import answer
from tortie.packages.rollout.machine import GATE, STEPS

CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.symlink", "os.chmod", "subprocess.Popen"}


@pytest.fixture
def host() -> Iterator[Box]:
    with box() as made:
        yield made


READY = "ready, endpoints up: 1"


def do(
    host: Box,
    step: str,
    want: dict[str, Any],
    *,
    undo: bool = False,
    payload: bytes = b"",
    plan: str = "p1",
    compiled: dict[str, Any] | None = None,
) -> Any:
    request = host.request("undo" if undo else "apply", step, want, plan)
    return answer({**request, "compiled": compiled} if compiled else request, payload)


def all_of(host: Box, wanted: dict[str, Any], payload: bytes, plan: str = "p1") -> None:
    for step in STEPS:
        assert do(host, step, wanted, payload=payload, plan=plan) == {"notes": []}, step
    assert do(host, GATE, wanted, plan=plan) == {"notes": [READY]}


def none_of(host: Box, wanted: dict[str, Any], plan: str = "p1") -> list[str]:
    notes: list[str] = []
    for step in (*reversed(STEPS), GATE):
        said = do(host, step, wanted, undo=True, plan=plan)
        assert "error" not in said, (step, said)
        notes += said["notes"]
    return notes


def delta(host: Box, wanted: dict[str, Any]) -> dict[str, list[str]]:
    said = answer(host.request("probe", "", wanted), b"")
    return {step: [item["text"] for item in items] for step, items in said["delta"].items()}


def test_what_would_change_is_said_and_nothing_changes(host: Box) -> None:
    before, name = host.tree(), artefact("one")[0]
    assert delta(host, want(name, agent=AGENT)) == {
        "artefact": [f"unpack /opt/tortie/{name}", f"let /opt/tortie/current lead to {name}"],
        "configuration": ["create /etc/calico/calicoctl.cfg", "create /etc/tortie/node.conf"],
        "cni": ["create /opt/cni/bin/calico"],
        "agent": [f"restart {AGENT}"],
        "node": [f"create {UNIT_FILE}", f"restart {NODE}"],
    }
    assert host.tree() == before


def test_all_steps_then_nothing_to_do_and_no_second_restart(host: Box) -> None:
    name, payload = artefact("one")
    wanted = want(name, agent=AGENT)
    all_of(host, wanted, payload)
    assert host.restarts() == [AGENT, NODE]
    assert delta(host, wanted) == {}
    all_of(host, wanted, payload)
    assert host.restarts() == [AGENT, NODE]
    assert os.readlink(host.root / "opt/tortie/current") == name


def test_undone_the_host_is_as_it_was(host: Box) -> None:
    conf = host.root / "etc/tortie/node.conf"
    conf.parent.mkdir()
    conf.write_bytes(b"# mine\r\n\xff")
    conf.chmod(0o640)
    before = host.tree()
    name, payload = artefact("one")
    all_of(host, want(name), payload)
    assert conf.read_text() == "NODENAME=a1\n"
    assert none_of(host, want(name)) == []
    assert host.tree() == before
    assert host.beside("uninstalled").read_text() == "node uninstall --unit \n"


@pytest.mark.parametrize(("socket", "said"), [("none", "no node is here, and none was asked for"), ("node", READY)])
def test_without_a_node_of_its_own_nobody_s_node_is_touched(host: Box, socket: str, said: str) -> None:
    before, (name, payload) = host.tree(), artefact("one")
    wanted = want(name, agent=AGENT)
    del wanted["files"]["node"]
    wanted["node"] = {"unit": "", "socket": f"/run/tortie/{socket}.sock"}
    assert list(delta(host, wanted)) == ["artefact", "configuration", "cni", "agent"]
    for step in STEPS:
        assert do(host, step, wanted, payload=payload) == {"notes": []}, step
    assert do(host, GATE, wanted) == {"notes": [said]}
    assert host.restarts() == [AGENT]
    assert delta(host, wanted) == {}
    assert none_of(host, wanted) == []
    assert {**host.tree(), "active": before["active"]} == before
    assert not host.beside("uninstalled").exists()


def test_without_a_node_of_its_own_somebody_s_node_has_to_be_ready_again(host: Box) -> None:
    name, payload = artefact("one")
    wanted = want(name) | {"patience": 0.5, "node": {"unit": "", "socket": "/run/tortie/node.sock"}}
    del wanted["files"]["node"]
    assert do(host, "artefact", wanted, payload=payload) == {"notes": []}
    host.say({"a": "down"})
    assert do(host, GATE, wanted) == {"error": "1 endpoints that were up are not (a is one), 0.5 s long"}


def test_a_full_disk_is_said_with_its_place_and_the_host_is_as_it_was(
    host: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before, (name, payload) = host.tree(), artefact("one")
    with monkeypatch.context() as patched:
        patched.setattr(unpacking, "_put", full)
        said = do(host, "artefact", want(name), payload=payload)
    assert said == {"error": f"{host.root}/opt/tortie: No space left on device"}
    assert none_of(host, want(name)) == []
    assert host.tree() == before
    all_of(host, want(name), payload)


def test_a_place_that_cannot_be_written_is_said_and_the_host_is_as_it_was(host: Box) -> None:
    home = host.root / "opt/tortie"
    home.parent.mkdir(exist_ok=True)
    home.write_text("not a folder")
    before, (name, payload) = host.tree(), artefact("one")
    assert do(host, "artefact", want(name), payload=payload) == {"error": f"{home}: File exists"}
    assert none_of(host, want(name)) == []
    assert host.tree() == before


def test_undone_the_agent_s_unit_has_read_what_was_there_before(host: Box) -> None:
    before, (name, payload) = host.tree(), artefact("one")
    wanted = want(name, agent=AGENT)
    all_of(host, wanted, payload)
    none_of(host, wanted)
    assert host.restarts() == [AGENT, NODE, AGENT]
    assert {**host.tree(), "active": before["active"]} == before


def test_a_node_under_endpoints_is_not_undone_and_goes_on(host: Box) -> None:
    before, (name, payload) = host.tree(), artefact("one")
    all_of(host, want(name), payload)
    there = host.tree()
    host.beside("endpoints").touch()
    assert do(host, "node", want(name), undo=True) == {"error": "tortie node uninstall: tortie: 1 endpoint is here"}
    assert host.tree() == there
    assert not host.beside("uninstalled").exists()
    host.beside("notes").write_text("left net.ipv4.ip_forward=1 as it is: because\n")
    forced = answer({**host.request("undo", "node", want(name)), "force": True}, b"")
    assert forced == {"notes": ["left net.ipv4.ip_forward=1 as it is: because"]}
    assert host.beside("uninstalled").read_text() == "node uninstall --unit  --force\n"
    none_of(host, want(name))
    assert host.tree() == before


def test_a_container_that_comes_while_a_node_is_undone_keeps_it(host: Box) -> None:
    name, payload = artefact("one")
    all_of(host, want(name), payload)
    there = host.tree()
    host.beside("late").touch()
    for _ in range(2):
        said = do(host, "node", want(name), undo=True)
        assert said == {"error": "tortie node uninstall: tortie: 1 endpoint came"}
        assert host.tree() == there, "the node goes on"
    host.beside("late").unlink()
    none_of(host, want(name))
    assert host.tree()["active"] == []


def test_a_node_that_was_there_and_did_not_run_is_not_uninstalled(host: Box) -> None:
    (old, packed), (new, packed_new) = artefact("one"), artefact("two")
    all_of(host, want(old), packed)
    subprocess.run([str(host.systemctl), "stop", NODE], check=True)
    before = host.tree()
    for step in STEPS:
        assert do(host, step, want(new), payload=packed_new, plan="p2") == {"notes": []}
    assert host.tree()["active"] == [f"{NODE}.pid"]
    host.beside("endpoints").touch()
    none_of(host, want(new), plan="p2")
    assert not host.beside("uninstalled").exists()
    marks = "var/lib/tortie/rollout/marks/"
    assert {key: value for key, value in host.tree().items() if not key.startswith(marks)} == {
        key: value for key, value in before.items() if not key.startswith(marks)
    }


def test_an_upgrade_and_back_restarts_the_node_once_each_way(host: Box) -> None:
    (old, packed), (new, packed_new) = artefact("one"), artefact("two")
    all_of(host, want(old), packed)
    before = host.tree()
    assert list(delta(host, want(new))) == ["artefact", "node"]
    all_of(host, want(new), packed_new, plan="p2")
    assert os.readlink(host.root / "opt/tortie/current") == new
    none_of(host, want(new), plan="p2")
    after = host.tree()
    marks = [key for key in before if key.startswith("var/lib/tortie/rollout/marks/")]
    assert {key: value for key, value in after.items() if key not in marks} == {
        key: value for key, value in before.items() if key not in marks
    }
    assert host.restarts() == [NODE, NODE, NODE]
    assert delta(host, want(old)) == {}


def test_a_changed_plug_in_restarts_nothing_and_a_changed_network_the_agent_alone(host: Box) -> None:
    name, payload = artefact("one")
    wanted, plugin, network = want(name, agent=AGENT), "/opt/cni/bin/calico", "/etc/cni/net.d/calico.conf"
    wanted["files"]["cni"][network] = {"text": "one", "mode": 0o644}
    all_of(host, wanted, payload)
    wanted["files"]["cni"][plugin] = {"text": "#!/bin/sh\n# the next one\n", "mode": 0o755}
    assert delta(host, wanted) == {"cni": [f"change {plugin}"]}
    all_of(host, wanted, payload, plan="p2")
    assert host.restarts() == [AGENT, NODE]
    wanted["files"]["cni"][network] = {"text": "two", "mode": 0o644}
    assert delta(host, wanted) == {"cni": [f"change {network}"], "agent": [f"restart {AGENT}"]}
    all_of(host, wanted, payload, plan="p3")
    assert host.restarts() == [AGENT, NODE, AGENT]
    none_of(host, wanted, plan="p3")
    assert host.restarts() == [AGENT, NODE, AGENT, AGENT]


def test_what_others_changed_since_is_kept_beside_and_told(host: Box) -> None:
    name, payload = artefact("one")
    all_of(host, want(name), payload)
    (host.root / "etc/tortie/node.conf").write_text("NODENAME=other\n")
    (note,) = none_of(host, want(name))
    assert note.startswith("/etc/tortie/node.conf was changed by others since")
    assert (host.root / "etc/tortie/node.conf.before-undo").read_text() == "NODENAME=other\n"


def test_byte_code_that_comes_along_is_what_the_host_runs(host: Box) -> None:
    (name, packed), (compiled, code) = artefact("one"), byte_code("one")
    assert do(host, "artefact", want(name), payload=packed + code, compiled=compiled) == {"notes": []}
    place = host.root / "opt/tortie" / name / bytecode.path_of(MODULE)
    assert gzip.decompress(code).find(place.read_bytes()) > 0
    # Of a source that is no longer beside it: byte code that is never compared with it.
    (host.root / "opt/tortie" / name / MODULE).write_text("MARK = 'what was it before?'\n")
    assert _mark(host, name) == "one"


def test_byte_code_that_this_python_does_not_read_is_made_on_the_host(host: Box) -> None:
    (name, packed), (compiled, code) = artefact("one"), byte_code("one", {"x": b"of another version"})
    said = do(host, "artefact", want(name), payload=packed + code, compiled={**compiled, "magic": "00000d0a"})
    assert said == {"notes": []}
    (made,) = (host.root / "opt/tortie" / name / "lib/__pycache__").iterdir()
    assert made.read_bytes().startswith(bytecode.header((host.root / "opt/tortie" / name / MODULE).read_bytes()))
    assert _mark(host, name) == "one"


OTHERS = {
    "of another source": {bytecode.path_of(MODULE): bytecode.header(b"MARK = 'two'\n") + b"what?"},
    "of another version": {bytecode.path_of(MODULE): b"\x00\x00\r\n" + bytes(12) + b"what?"},
    "none": {},
    "of no source": {bytecode.path_of("lib/nothing.py"): bytecode.header(b"") + b"what?"},
    "outside": {"../../../../../../etc/x": b"what?"},
}


@pytest.mark.parametrize("others", OTHERS.values(), ids=OTHERS)
def test_byte_code_that_does_not_fit_its_sources_is_refused_and_the_next_request_is_done(
    host: Box, others: dict[str, bytes]
) -> None:
    name, packed = artefact("one")
    compiled, code = byte_code("one", others)
    before = host.tree()
    assert do(host, "artefact", want(name), payload=packed + code, compiled=compiled)["error"].startswith(
        "the artefact"
    )
    assert not (host.root / "opt/tortie" / name).exists()
    assert not (host.root / "etc/x").exists()
    compiled, code = byte_code("one")
    assert do(host, "artefact", want(name), payload=packed + code, compiled=compiled) == {"notes": []}
    assert _mark(host, name) == "one"
    none_of(host, want(name))
    assert host.tree() == before


def test_byte_code_of_which_a_byte_is_another_one_is_not_unpacked(host: Box) -> None:
    (name, packed), (compiled, code) = artefact("one"), byte_code("one")
    for at in (0, len(code) // 2, len(code) - 1):
        other = code[:at] + bytes([code[at] ^ 1]) + code[at + 1 :]
        said = do(host, "artefact", want(name), payload=packed + other, compiled=compiled)
        assert "did not arrive whole" in said["error"]
        assert list((host.root / "opt/tortie").iterdir()) == []


def _mark(host: Box, name: str) -> str:
    """What the product says when it runs."""
    words = [sys.executable, "-I", "-B", "-c", "import sys; sys.path.insert(0, sys.argv[1]); import product as p"]
    words[-1] += "; print(p.MARK)"
    done = subprocess.run([*words, host.root / "opt/tortie" / name / "lib"], capture_output=True, check=True)
    return done.stdout.decode().strip()


@pytest.mark.parametrize(
    ("step", "undo", "along"),
    [
        ("artefact", False, True),
        ("artefact", False, False),
        ("artefact", True, True),
        ("configuration", True, True),
        ("node", False, True),
    ],
)
def test_killed_anywhere_in_a_step_it_can_be_done_again_and_undone(step: str, undo: bool, along: bool) -> None:
    """The process ends at its first change, at its second one, ... until it has made them all. `along`: byte code comes
    with the request."""
    name, payload = artefact("one")
    compiled, code = byte_code("one") if along else (None, b"")
    wanted = want(name)
    for count in range(1, 100):
        with box() as host:
            before = host.tree()
            for earlier in (*STEPS, GATE)[: (*STEPS, GATE).index(step)]:
                do(host, earlier, wanted, payload=payload)
            killed = _killed_at(count, host, step, wanted, payload + code, compiled=compiled)
            if not undo:
                all_of(host, wanted, payload)
                assert delta(host, wanted) == {}
            none_of(host, wanted)
            assert host.tree() == before, count
            if not killed:
                return
    raise AssertionError("it never ends")


def test_killed_anywhere_in_undoing_it_can_be_undone_again() -> None:
    name, payload = artefact("one")
    wanted = want(name)
    for step in ("node", "configuration", GATE):
        for count in range(1, 100):
            with box() as host:
                before = host.tree()
                all_of(host, wanted, payload)
                order = (*reversed(STEPS), GATE)
                for earlier in order[: order.index(step)]:
                    do(host, earlier, wanted, undo=True)
                killed = _killed_at(count, host, step, wanted, payload, undo=True)
                none_of(host, wanted)
                assert host.tree() == before, (step, count)
                if not killed:
                    break


def _killed_at(
    count: int,
    host: Box,
    step: str,
    wanted: dict[str, Any],
    payload: bytes,
    *,
    undo: bool = False,
    compiled: dict[str, Any] | None = None,
) -> bool:
    """Does the step in a process that ends before its `count`th change. False when it made all of them."""

    def act() -> bool:
        return "error" not in do(host, step, wanted, undo=undo, payload=payload, compiled=compiled)

    return killed_before(count, CHANGES, act)


def test_a_node_that_is_not_ready_does_not_pass_the_gate(host: Box) -> None:
    name, payload = artefact("one")
    wanted = {**want(name), "patience": 0.5}
    for step in STEPS:
        do(host, step, wanted, payload=payload)
    host.answers["/readiness"] = 503, {"reasons": ["no table"]}
    assert do(host, GATE, wanted)["error"].startswith('the node is not ready: {"reasons": ["no table"]}')
    host.answers["/readiness"] = 204, None
    host.say({"a": "closed", "b": "down"})
    assert do(host, GATE, wanted)["error"].startswith("1 endpoints that were up are not (a is one)")
    host.say({"b": "down"})
    assert do(host, GATE, wanted) == {"notes": ["ready, ended meanwhile: 1"]}


def test_a_node_that_does_not_say_how_it_is_does_not_pass_the_gate(host: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "REACH_SECONDS", 0.0)
    name, payload = artefact("one")
    wanted = {**want(name), "patience": 0.5}
    for step in STEPS:
        do(host, step, want(name), payload=payload)
    status = host.answers["/status"]
    host.answers["/status"] = 500, {}
    assert do(host, GATE, wanted)["error"] == "the node does not answer (/status: HTTP 500), 0.5 s long"
    host.answers |= {"/status": status, "/peers": (500, {})}
    asked = {**host.request("apply", GATE, wanted), "rolled": ["b"]}
    assert answer(asked, b"")["error"] == "the node does not tell of other hosts (/peers: HTTP 500), 0 s long"
    del host.answers["/peers"]  # as an older one, which does not know the question
    assert answer(asked, b"") == {"notes": [READY]}


def test_a_host_that_cannot_be_asked_is_asked_again_after_a_pause(host: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [{"b": "Network is unreachable"}, {"b": "Network is unreachable"}, {}]
    paused: list[float] = []
    monkeypatch.setattr(neighbours, "silent", lambda *_: said.pop(0))
    monkeypatch.setattr(time, "sleep", paused.append)
    assert gate.wait(host.root / "run/tortie/node.sock", ["a"], ["b"], 0, 30) == READY
    assert paused == [gate.PAUSE] * 2


def test_who_is_only_slow_before_a_step_is_missed_after_it(host: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a node, or another host's kernel, that was slow at that moment would not be asked for at the gate."""
    sock = host.root / "run/tortie/node.sock"
    peer = {"addresses": ["10.0.0.2"], "workloads": ["192.168.0.2"], "beside": None}
    host.answers["/peers"] = (200, {"own": ["192.168.0.1"], "peers": {"b": peer}})
    late, really = [TimeoutError("timed out")] * (gate.TRIES - 1), gate._get

    def slowly(path: Path, target: str) -> tuple[int, bytes]:
        if late:
            raise late.pop()
        return really(path, target)

    monkeypatch.setattr(gate, "_get", slowly)
    asked: list[list[str]] = []

    def silent(_: object, names: Iterable[str]) -> dict[str, str]:
        asked.append(sorted(names))
        return {"b/4": "no answer"} if len(asked) == 1 else {}

    monkeypatch.setattr(neighbours, "silent", silent)
    assert gate.peers_reached(sock) == ["b/4"]
    assert asked == [["b/4"], ["b/4"]]


def test_refusals_say_why_and_change_nothing(host: Box) -> None:
    name, payload = artefact("one")
    wanted = want(name)
    assert "did not arrive whole" in do(host, "artefact", wanted, payload=payload[:-9])["error"]
    other = {**wanted, "artefact": {"name": name, "tag": "cpython-27-vax"}}
    assert "the artefact is for cpython-27-vax" in do(host, "artefact", other, payload=payload)["error"]
    place = host.root / "etc/tortie/node.conf"
    place.parent.mkdir()
    place.symlink_to("/dev/null")
    assert "no plain file" in do(host, "configuration", wanted)["error"]
    assert not (host.root / "etc/calico").exists()
    host.refuse_restarts(True)
    assert do(host, "node", wanted)["error"] == f"systemctl restart {NODE}: the unit does not start"
    host.refuse_restarts(False)
    assert do(host, "node", wanted) == {"notes": []}
