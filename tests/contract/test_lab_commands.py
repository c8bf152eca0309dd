"""The lab's commands as a newcomer meets them: help, mistakes, no root. Nothing here makes a lab."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from tests.support.machine import needs_user_namespaces
from tests.support.waiting import PATIENCE, wait_until

from tortie.base.errors import Invalid, Unavailable
from tortie.cli import doctor
from tortie.cli.main import COMMANDS, lines, tortie
from tortie.cli.screen import Terminal, coloured, matrix_table
from tortie.lab import state
from tortie.lab.api import Lab
from tortie.lab.state import described
from tortie.lab.walks.matrix import Cell, Party, Probe, Seen
from tortie.node.doctor.judge import Finding

TORTIE = [sys.executable, "-c", "from tortie.cli.main import main; main()"]
LAB_COMMANDS = ("up", "down", "status", "hosts", "logs", "exec", "walk")


def run(*words: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*before, *TORTIE, *words], capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.mark.parametrize("command", LAB_COMMANDS)
def test_help_begins_with_examples_and_fits_80_columns(command: str) -> None:
    shown = CliRunner().invoke(tortie, [command, "--help"], terminal_width=80).output
    assert shown.startswith("Examples:")
    assert max(map(len, shown.splitlines())) <= 80


def test_the_first_help_names_every_command_in_80_columns() -> None:
    shown = CliRunner().invoke(tortie, ["--help"], terminal_width=80).output
    listed = [line.split()[0] for line in shown.partition("Options:")[2].splitlines() if re.match(r"  [a-z]+  ", line)]
    assert sorted(listed) == sorted(COMMANDS)
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("words", [(), *((name,) for name in COMMANDS)])
def test_no_help_cuts_what_a_command_is_for(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(tortie, [*words, "--help"], terminal_width=80).output
    assert [line for line in shown.splitlines() if line.endswith("...") and "Usage" not in line] == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("upp",), 2, "did you mean up?"),
        (("walk", "star"), 2, "did you mean stars?"),
        (("up", "nonsense"), 2, "there are stars, hello, net-modules, environments"),
        (("up", "--agnets", "2"), 2, "--agents"),
        (("walk", "stars", "--agents", "0"), 2, "expected 1 to"),
        (("walk", "stars", "--check", "3", "--name", "no-such-lab"), 3, "type: tortie up --name no-such-lab"),
        (("status", "--name", "a/b"), 2, "'a/b'"),
        (("exec", "--name", "no-such-lab", "agent-1", "true"), 3, "no lab no-such-lab is up"),
        (("logs",), 2, "HOST"),
    ],
)
@pytest.mark.root
def test_a_mistake_is_told_in_three_lines_with_its_exit_code(words: tuple[str, ...], code: int, said: str) -> None:
    ran = run(*words)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


@needs_user_namespaces
@pytest.mark.root
@pytest.mark.parametrize("command", [("up",), ("down",), ("status",), ("hosts",), ("logs", "a"), ("exec", "a")])
def test_without_root_it_says_what_to_type(command: tuple[str, ...]) -> None:
    # In a user namespace without a mapping this process is nobody.
    ran = run(*command, before=("unshare", "--user"))
    assert ran.returncode == 2
    assert f"{command[0]} needs root" in ran.stderr
    assert "type: sudo " in ran.stderr
    assert len(ran.stderr.splitlines()) <= 3


def test_an_error_says_every_problem_and_no_place_in_the_program() -> None:
    assert lines(Invalid("one", "two\nthree")) == ["one", "two", "three"]
    assert lines(Unavailable("away")) == ["away"]
    assert lines(OSError(28, "No space left on device", "/x")) == ["/x: No space left on device"]
    assert "--debug" in lines(KeyError("x"))[1]


def test_colour_only_where_a_person_looks_and_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "CLICOLOR_FORCE", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert coloured(True)
    assert not coloured(False)
    monkeypatch.setenv("TERM", "dumb")
    assert not coloured(True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured(True)
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    assert coloured(False)


def party(name: str, role: str, host: str) -> Party:
    return Party(name, role, host, "192.168.0.1", name)  # type: ignore[arg-type]


def test_the_matrix_fits_80_columns_and_marks_what_is_wrong() -> None:
    names = ("management-ui", "client", "frontend", "backend")
    apps = [party(name, "app", "agent-1") for name in names]
    probes = [Probe("tcp", 9000), Probe("tcp", 9001), Probe("tcp", 22), Probe("udp", 9000), Probe("icmp")]
    cells = [
        Cell(source, destination, probe, Seen.OPEN, Seen.DROPPED if probe.port == 22 else Seen.OPEN)
        for source in (*apps, party("laptop", "host", "laptop"))
        for destination in apps
        if source != destination
        for probe in probes
    ]
    table = matrix_table(cells)
    assert max(map(len, table)) <= 76
    assert table[2].split() == list(names)
    assert table[-2].split() == ["laptop", *["AA!AA"] * 4]
    assert matrix_table([]) == []


def test_a_walk_shows_one_typed_command_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.command("agent-1", "export A=1; calicoctl version")
    terminal.command("agent-1", "export A=1; calicoctl profile")
    shown = capsys.readouterr().err.splitlines()
    assert shown == ["  agent-1# export A=1", "  agent-1# calicoctl version", "  agent-1# calicoctl profile"]


@pytest.mark.parametrize(
    ("options", "until", "others", "said"),
    [
        ({"bare": True}, "0", (), "hello --bare, nothing typed"),
        ({}, "12", {"agents", "routing"}, "hello --agents 3 --routing direct, typed to step 12"),
        ({"public_agents": 2}, "12", {"public_agents"}, "hello --public-agents 2, typed to step 12"),
    ],
)
def test_a_lab_is_described_as_it_was_asked_for(
    options: Mapping[str, Any], until: str, others: set[str], said: str
) -> None:
    made = {"document": "hello", "agents": 3, "routing": "direct", "public_agents": 1, "bare": False, **options}
    assert described({"options": made, "until": until}, others) == said


def test_ctrl_c_is_told_in_a_line_with_the_code_that_shells_give_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Lab:
        raise KeyboardInterrupt

    monkeypatch.setattr(Lab, "find", interrupted)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    ran = CliRunner().invoke(tortie, ["hosts"])
    assert (ran.exit_code, ran.output) == (130, "\ntortie: interrupted\n")


def test_who_waits_for_a_lab_is_told_for_whom(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(state, "RUN", tmp_path)
    monkeypatch.setattr(sys, "argv", ["tortie", "up", "hello"])
    told: list[str] = []

    def second() -> None:
        with state.locked("mine", told.append):
            pass

    with state.locked("mine"):
        (tmp_path / "mine").mkdir()  # the lock's file stays with the lab
        waiting = threading.Thread(target=second)
        waiting.start()
        wait_until(lambda: told)
    waiting.join(PATIENCE)
    assert told == [f"lab mine is being worked on by process {os.getpid()}, `tortie up hello`: waiting for its end"]


def a_lab(tmp_path: Path, **alive: bool) -> Any:
    """Hosts of a lab; those called `node...` have a node."""

    def host(name: str, *, lives: bool) -> Any:
        there = [{"name": "calico-node"}] if name.startswith("node") else []
        return SimpleNamespace(name=name, alive=lives, pid=7, daemons=lambda: there, path=lambda _: tmp_path / "none")

    return SimpleNamespace(name="mine", hosts={name: host(name, lives=lives) for name, lives in alive.items()})


def doctor_of(lab: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(Lab, "find", lambda *_: lab)
    monkeypatch.setattr(doctor, "need_root", lambda _: None)
    monkeypatch.setattr(doctor, "_of_host", lambda pid: [Finding("ok", "node", f"runs, process {pid}")])
    return CliRunner().invoke(tortie, ["doctor", "--name", "mine"])


def test_the_doctor_names_the_host_that_has_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran = doctor_of(a_lab(tmp_path, laptop=True, node1=True, node2=False), monkeypatch)
    assert ran.exit_code == 1
    assert "node2:\nPROBLEM  host           has ended" in ran.output
    assert "laptop" not in ran.output
    assert "node1:\nok       node           runs, process 7" in ran.output


def test_the_doctor_says_what_brings_a_node_where_none_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran = doctor_of(a_lab(tmp_path, laptop=True, agent=True), monkeypatch)
    assert isinstance(ran.exception, Unavailable)
    assert "`dcos package install calico`" in str(ran.exception)
