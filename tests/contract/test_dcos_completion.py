"""Completion of `dcos` in the real shells, with names that the cluster has now."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.dcos_cluster import AGENT, PATIENT, Dcos, DcosCluster, agent, command, serving, state, task
from tests.support.shells import needs, shell_with, shells
from tests.support.terminal import Terminal
from tests.support.waiting import PATIENCE

TYPED = {
    "dcos marathon ap": "dcos marathon app ",
    "dcos marathon app show /fr": "dcos marathon app show /frontend ",
    "dcos task exec -it test": "dcos task exec -it tester2.891c8da1 ",
    "dcos node ssh --mesos-id=29": f"dcos node ssh --mesos-id={AGENT} ",
}
"""What is typed, and what stands on the line once Tab was pressed."""


@pytest.fixture
def cluster() -> Iterator[DcosCluster]:
    with serving(DcosCluster()) as made:
        made.answers = {
            "/mesos/master/state.json": state(task("tester2.891c8da1"), task("web.1")),
            "/mesos/master/state-summary": {"slaves": [agent()]},
            "/service/marathon/v2/apps": {"apps": [{"id": "/frontend"}, {"id": "/database"}]},
            "/service/marathon/v2/deployments": [{"id": "d-1"}],
        }
        yield made


@pytest.fixture
def environ(cluster: DcosCluster, tmp_path: Path) -> dict[str, str]:
    program = tmp_path / "dcos"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tortie.cli.dcos.main "$@"\n')
    program.chmod(0o755)
    return {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "DCOS_URL": cluster.url,
        **PATIENT,
        "HOME": str(tmp_path),
        "TERM": "dumb",
        "LANG": "C.UTF-8",
    }


@pytest.fixture(params=shells())
def terminal(request: pytest.FixtureRequest, environ: dict[str, str]) -> Iterator[Terminal]:
    with shell_with(request.param, "dcos", environ) as made:
        yield made


@pytest.mark.parametrize(("typed", "shown"), TYPED.items())
def test_tab_at_a_terminal(terminal: Terminal, typed: str, shown: str) -> None:
    terminal.type(f"{typed}\t")
    terminal.wait_for(typed)
    terminal.wait_for(shown.removeprefix(typed).rstrip())


@needs("fish")
@pytest.mark.parametrize(("typed", "shown"), TYPED.items())
def test_fish_says_what_it_would_complete(environ: dict[str, str], typed: str, shown: str) -> None:
    script = f"dcos completion fish | source; complete -C '{typed}'"
    ran = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env=environ,
        cwd=environ["HOME"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ran.returncode, ran.stdout.split()) == (0, shown.split()[-1:]), ran.stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["co"], ["completion", "config"]),
        (["task", "l"], ["list", "log", "ls"]),
        (["task", "log", "--li"], ["--lines="]),
        (["task", "exec", "-"], ["--help", "--interactive", "--tty", "--user="]),
        (["marathon", "app", "version", ""], ["list"]),
        (["marathon", "app", "show", "/d", ""], []),
        (["marathon", "deployment", "stop", ""], ["d-1"]),
        (["marathon", "app", "add", "x"], []),
        (["node", "ssh", "--mesos-id", ""], [AGENT]),
        (["node", "ssh", "--mesos-id", "=", ""], [f"--mesos-id={AGENT}"]),
        (["config", "set", "core.t"], ["core.timeout", "core.token"]),
        (["help", "ma"], ["marathon"]),
        (["completion", ""], ["bash", "fish", "words", "zsh"]),
        (["nothing", ""], []),
        (["task", "log", "--lines", "5", "web"], ["web.1"]),
    ],
)
def test_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: DcosCluster, typed: list[str], offered: list[str]
) -> None:
    dcos = command(tmp_path, monkeypatch, cluster.url)
    assert dcos(["completion", "words", "--", *typed]) == (0, "".join(f"{word}\n" for word in offered), "")


def test_without_a_cluster_the_words_of_the_grammar_are_still_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in ("http://127.0.0.1:1", ""):
        dcos: Dcos = command(tmp_path, monkeypatch, url)
        assert dcos("completion words -- task e") == (0, "exec\n", "")
        assert dcos(["completion", "words", "--", "task", "exec", ""]) == (0, "", "")
