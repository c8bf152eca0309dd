"""Units of files, and programs run once, on a supervisor with real processes: by the words that people type."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.supervised import Running
from tests.support.waiting import wait_until as wait

from tortie.lab import systemctl, systemd_run
from tortie.lab.plan import Daemon, Ready

pytestmark = pytest.mark.root

Ran = tuple[int, str, str]


class Host:
    """A supervisor with a folder of unit files, and what is typed there."""

    def __init__(self, running: Running, capsys: pytest.CaptureFixture[str]) -> None:
        self.running, self._capsys = running, capsys
        self.units = running.base / "units"
        self._here = systemctl.Here(running.base / "control.sock", self.units)

    def write(self, name: str, *lines: str, wanted: bool = True) -> Path:
        path = self.units / f"{name}.service"
        install = ["[Install]", "WantedBy=multi-user.target"] if wanted else []
        path.write_text("\n".join(["[Service]", *lines, *install, ""]))
        return path

    def systemctl(self, *words: str) -> Ran:
        self._capsys.readouterr()
        code = systemctl.main(words, self._here)
        return (code, *self._capsys.readouterr())

    def run(self, *words: str) -> Ran:
        self._capsys.readouterr()
        code = systemd_run.main(words, self._here.socket)
        return (code, *self._capsys.readouterr())

    def pid(self, unit: str) -> str:
        return self.systemctl("show", "--property=MainPID", "--value", unit)[1].strip()

    def active(self, unit: str) -> str:
        return self.systemctl("is-active", unit)[1].strip()

    def names(self) -> list[str]:
        return [report["name"] for report in self.running.order("status")["daemons"]]  # type: ignore[attr-defined]


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Host]]:
    begun: list[Running] = []

    def begin(*daemons: Daemon) -> Host:
        begun.append(Running(tmp_path, list(daemons)))
        return Host(begun[-1], capsys)

    yield begin
    for running in begun:
        running.end()


Begin = Callable[..., Host]


def written(path: Path) -> bool:
    return path.exists() and path.read_text() != ""


def test_a_unit_is_installed_runs_and_is_removed(host: Begin, tmp_path: Path) -> None:
    here = host()
    assert here.systemctl("start", "web") == (5, "", "Failed to start web.service: Unit web.service not found.\n")
    assert here.systemctl("is-active", "web") == (4, "inactive\n", "")
    (tmp_path / "web.conf").write_text("WORD=from-the-file\n")
    path = here.write(
        "web",
        f"EnvironmentFile={tmp_path}/web.conf",
        f"ExecStartPre=/bin/sh -c 'echo before >> {tmp_path}/trace'",
        f"ExecStart=/bin/sh -c 'echo ${{WORD}} >> {tmp_path}/trace; exec sleep 60'",
        "Restart=always",
        "RestartSec=100ms",
        "KillMode=process",
    )
    assert here.systemctl("daemon-reload") == (0, "", "")
    assert here.systemctl("is-enabled", "web") == (1, "disabled\n", "")
    link = here.units / "multi-user.target.wants/web.service"
    assert here.systemctl("enable", "--now", "web") == (0, "", f"Created symlink {link} -> {path}.\n")
    assert (here.active("web"), here.systemctl("is-enabled", "web")[:2]) == ("active", (0, "enabled\n"))
    first, trace = here.pid("web"), tmp_path / "trace"
    wait(lambda: trace.read_text() == "before\nfrom-the-file\n")
    here.running.inside("kill", "-9", first)
    wait(lambda: here.active("web") == "active" and here.pid("web") not in ("0", first))
    wait(lambda: trace.read_text() == "before\nfrom-the-file\n" * 2)
    assert here.systemctl("restart", "web")[0] == 0
    assert here.systemctl("disable", "--now", "web") == (0, "", f'Removed "{link}".\n')
    assert not link.parent.exists()
    assert (here.active("web"), here.pid("web")) == ("inactive", "0")
    path.unlink()
    assert here.systemctl("daemon-reload")[0] == 0
    wait(lambda: here.names() == [])
    said = here.systemctl("disable", "web")
    assert said == (1, "", "Failed to disable unit: Unit file web.service does not exist.\n")


def test_a_file_that_changes_counts_from_the_next_start_after_a_reload(host: Begin) -> None:
    here = host()
    here.write("a", "ExecStart=/bin/sleep 60")
    assert here.systemctl("start", "a")[0] == 0
    first = here.pid("a")
    here.write("a", "ExecStart=/bin/sleep 61", "ProtectHome=yes")
    assert here.systemctl("restart", "a")[0] == 0
    assert "sleep 60" in here.running.inside("ps", "-eo", "args")
    code, _, said = here.systemctl("daemon-reload")
    assert (code, "a.service:3: the lab does not know ProtectHome=" in said) == (0, True)
    assert here.systemctl("restart", "a")[0] == 0
    assert "sleep 61" in here.running.inside("ps", "-eo", "args")
    assert here.pid("a") != first


def test_a_file_with_a_fault_keeps_its_unit_as_it_was_and_names_every_fault(host: Begin) -> None:
    here = host()
    path = here.write("a", "ExecStart=/bin/sleep 60")
    assert here.systemctl("start", "a")[0] == 0
    path.write_text("[Service]\nExecStart=sleep 1\nRestart=perhaps\n")
    code, _, said = here.systemctl("daemon-reload")
    assert code == 0
    assert said.count("the unit stays as it was") == 2
    assert here.active("a") == "active"
    here.write("b", "ExecStart=sleep 1")
    code, _, said = here.systemctl("start", "b")
    assert (code, "expected the full path of a program" in said) == (1, True)


def test_a_unit_that_fails_says_so_and_can_be_forgiven(host: Begin) -> None:
    here = host()
    here.write("a", "ExecStart=/no/such/program")
    code, _, said = here.systemctl("start", "a")
    assert (code, said) == (1, "Job for a.service failed: a ended at once: exit 127\n")
    assert here.systemctl("is-failed", "a") == (0, "failed\n", "")
    assert here.systemctl("reset-failed", "a") == (0, "", "")
    assert here.systemctl("is-failed", "a") == (1, "inactive\n", "")
    here.write("pre", "ExecStartPre=/bin/false", "ExecStart=/bin/sleep 60", "EnvironmentFile=-/no/such/file")
    assert here.systemctl("start", "pre")[2] == "Job for pre.service failed: pre ended at once: exit 1\n"
    here.write("env", "ExecStart=/bin/sleep 60", "EnvironmentFile=/no/such/file")
    assert here.systemctl("start", "env")[0] == 1
    assert "cannot read /no/such/file" in here.running.log("env")


def test_what_a_unit_has_started_ends_with_it_unless_it_says_otherwise(host: Begin, tmp_path: Path) -> None:
    here = host()
    for name, lines in (("all", ()), ("own", ("KillMode=process",))):
        here.write(name, f"ExecStart=/bin/sh -c 'sleep 60 & echo $! > {tmp_path}/{name}.child; exec sleep 61'", *lines)
        assert here.systemctl("start", name)[0] == 0
        wait(partial(written, tmp_path / f"{name}.child"))
        assert here.systemctl("stop", name)[0] == 0

    def alive(name: str) -> bool:
        child = (tmp_path / f"{name}.child").read_text().strip()
        return child in here.running.inside("ps", "-eo", "pid").split()

    wait(lambda: not alive("all"))
    assert alive("own")


def test_a_file_stands_in_for_the_lab_s_own_daemon_until_it_goes(host: Begin) -> None:
    here = host(Daemon("node", ("sleep", "60")))
    wait(lambda: here.active("calico-node") == "active")
    path = here.write("calico-node", "ExecStart=/bin/sleep 61", "Restart=always")
    assert here.systemctl("daemon-reload")[0] == 0
    assert here.systemctl("enable", "calico-node") == (0, "", ""), "it is, as long as there is the host"
    assert not (here.units / "multi-user.target.wants").exists()
    assert here.systemctl("restart", "calico-node")[0] == 0
    assert "sleep 61" in here.running.inside("ps", "-eo", "args")
    path.unlink()
    assert here.systemctl("daemon-reload")[0] == 0
    assert here.systemctl("restart", "calico-node")[0] == 0
    assert "sleep 60" in here.running.inside("ps", "-eo", "args")
    assert here.names() == ["node"]


def test_a_unit_waits_for_the_daemon_that_it_comes_after_and_for_nobody_else(host: Begin, tmp_path: Path) -> None:
    hold = f"until [ -e {tmp_path}/go ]; do sleep 0.02; done"
    here = host(Daemon("dockerd", ("sh", "-c", hold), ready=Ready("exit")))
    path = here.units / "late.service"
    path.write_text("[Unit]\nAfter=docker.service absent.service\n[Service]\nExecStart=/bin/sleep 60\n")
    assert here.systemctl("start", "--no-block", "late")[0] == 0
    assert here.active("late") == "activating"
    (tmp_path / "go").touch()
    wait(lambda: here.active("late") == "active")


def test_an_instance_of_a_template_is_a_unit(host: Begin) -> None:
    here = host()
    here.write("x@", "ExecStart=/bin/sleep %i")
    assert here.systemctl("start", "x@77")[0] == 0
    assert "sleep 77" in here.running.inside("ps", "-eo", "args")
    assert here.systemctl("start", "x")[0] == 5


def test_a_program_is_run_once_outlives_who_asked_and_is_forgotten(host: Begin, tmp_path: Path) -> None:
    here = host(Daemon("d", ("sleep", "60")))
    wait(lambda: here.active("d") == "active")
    before = here.pid("d")
    words = ["sh", "-c", f"until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo ran > {tmp_path}/ran"]
    code, _, said = here.run("--collect", "--no-block", *words)
    assert (code, said) == (0, "Running as unit: run-u1.service\n")
    wait(lambda: here.active("run-u1") == "active")
    assert here.run("--unit=run-u1", "true")[0] == 1, "the name is taken"
    (tmp_path / "go").touch()
    wait((tmp_path / "ran").exists)
    wait(lambda: here.names() == ["d"])
    assert here.pid("d") == before


def test_a_program_that_cannot_be_run_is_told(host: Begin) -> None:
    here = host()
    assert here.run() == (1, "", "Command line to execute required.\n")
    assert here.run("--pty", "true") == (1, "", "systemd-run: unrecognized option '--pty'\n")
    assert here.run("no-such-program")[2].startswith("Failed to find executable no-such-program")
    code, _, said = here.run("--quiet", "false")
    assert (code == 0 and said == "") or "ended at once: exit 1" in said


def test_words_that_systemctl_does_not_know_are_refused(host: Begin) -> None:
    here = host()
    assert here.systemctl("--user", "status", "x") == (1, "", "systemctl: unrecognized option '--user'\n")
    assert here.systemctl("frobnicate", "x") == (1, "", "Unknown command verb frobnicate.\n")
    assert here.systemctl("start") == (1, "", "Too few arguments.\n")
    assert here.systemctl("start", "../x")[0] == 5
    assert here.systemctl("show", "-p", "LoadState,MainPID", "x") == (0, "LoadState=not-found\nMainPID=0\n", "")


@pytest.mark.parametrize(
    "order",
    [
        {"op": "run"},
        {"op": "run", "argv": 5},
        {"op": "run", "argv": ["a\0b"]},
        {"op": "run", "argv": []},
        {"op": "find"},
    ]
    + [{"op": "run", "argv": ["/bin/true"], "name": name} for name in ("../x", "a/b", "a\0b", "a" * 300)]
    + [
        {"op": "start", "name": "a" * 300},
        {"op": ["x"]},
        {"op": "start", "name": {}},
        {"op": "start", "name": "a\0b"},
        [],
    ],
)
def test_no_order_ends_the_supervisor(host: Begin, order: Any) -> None:
    here = host(Daemon("d", ("sleep", "60")))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(str(here.running.base / "control.sock"))
        sock.sendall(json.dumps(order).encode() + b"\n")
        assert "error" in json.loads(sock.makefile("rb").readline())
    wait(lambda: here.active("d") == "active")
