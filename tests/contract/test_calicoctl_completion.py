"""Completion in the real shells: somebody types at a terminal and presses Tab."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.shells import needs, shell_with, shells
from tests.support.terminal import Terminal
from tests.support.waiting import PATIENCE

from tortie.cli.calicoctl.completion import SCRIPTS
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.v0.profile import fresh_profile
from tortie.store.client import Client
from tortie.store.open import open_store

TYPED = {
    "calicoctl profile front": "calicoctl profile frontend-net ",
    "calicoctl profile frontend-net rule add out": "calicoctl profile frontend-net rule add outbound ",
    "calicoctl get ippo": "calicoctl get ippools ",
    "calicoctl delete node age": "calicoctl delete node agent-1 ",
}
"""What is typed, and what stands on the line once Tab was pressed."""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A store with names to complete, and a `calicoctl` on the PATH of a bare shell."""
    url = f"sqlite://{tmp_path}/store"
    client = Client(open_store(url))
    client.create(fresh_profile("frontend-net"))
    client.create(Resource(kind=NODE, metadata=Metadata(name="agent-1"), spec=NodeSpec()))
    program = tmp_path / "calicoctl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tortie.cli.calicoctl.main "$@"\n')
    program.chmod(0o755)
    return {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "TORTIE_STORE": url,
        "HOME": str(tmp_path),
        "TERM": "dumb",
        "LANG": "C.UTF-8",
    }


@pytest.fixture(params=shells())
def terminal(request: pytest.FixtureRequest, environ: dict[str, str]) -> Iterator[Terminal]:
    with shell_with(request.param, "calicoctl", environ) as made:
        yield made


@pytest.mark.parametrize(("typed", "shown"), TYPED.items())
def test_tab_at_a_terminal(terminal: Terminal, typed: str, shown: str) -> None:
    terminal.type(f"{typed}\t")
    terminal.wait_for(typed)
    terminal.wait_for(shown.removeprefix(typed))


@needs("fish")
@pytest.mark.parametrize(("typed", "shown"), TYPED.items())
def test_fish_says_what_it_would_complete(environ: dict[str, str], typed: str, shown: str) -> None:
    script = f"calicoctl completion fish | source; complete -C '{typed}'"
    ran = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ran.returncode, ran.stdout.split()) == (0, shown.split()[-1:]), ran.stderr


def test_bash_offers_files_behind_f_and_nothing_without_a_store(environ: dict[str, str], tmp_path: Path) -> None:
    """Where the store does not answer the words of the grammar are still offered, and no error is shown."""
    (tmp_path / "policy.yaml").write_text("")
    environ["TORTIE_STORE"] = f"sqlite://{tmp_path}/nowhere"
    script = (
        'source <(calicoctl completion bash); cd "$HOME"\n'
        'offered() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _calicoctl; echo "${COMPREPLY[@]}"; }\n'
        "offered calicoctl create -f pol\noffered calicoctl get profile ''\n"
        "offered calicoctl ipam s\noffered calicoctl nons\n"
    )
    ran = subprocess.run(
        ["bash", "-c", script], env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (ran.stdout.splitlines(), ran.stderr) == (["policy.yaml", "", "show split", ""], "")


@pytest.mark.parametrize("shell", SCRIPTS)
def test_every_shell_has_its_script_and_others_are_refused(environ: dict[str, str], shell: str) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["calicoctl", "completion", *words],
            env=environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    assert run(shell).stdout == SCRIPTS[shell]
    refused = run("csh")
    assert (refused.returncode, refused.stdout, "bash, zsh or fish" in refused.stderr) == (1, "", True)
