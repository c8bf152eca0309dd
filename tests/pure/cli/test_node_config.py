"""The file that says how a host's agent runs, and its unit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tortie.base.errors import Invalid
from tortie.cli import node as commands
from tortie.cli import node_running
from tortie.cli.node_config import NAMES, load, read, unit


def test_lines_are_read_as_systemd_reads_them() -> None:
    text = "# how this host runs\n\nNODENAME = web-1\nIP='10.0.0.5/24'\n; later\nTORTIE_DEBUG=yes\n"
    assert read(text, "f") == {"hostname": "web-1", "address": "10.0.0.5/24", "debug": "yes"}


def test_every_wrong_line_is_told() -> None:
    with pytest.raises(Invalid) as caught:
        read("NODENAME\nNOTHING=1\nIP=10.0.0.1/24\n", "/etc/x")
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["/etc/x line 1", "/etc/x line 2"]


def test_no_file_sets_nothing_and_an_unreadable_one_is_told(tmp_path: Path) -> None:
    assert load(tmp_path / "none") == {}
    (tmp_path / "bad").write_bytes(b"\xff\xfe")
    with pytest.raises(Invalid, match="bad"):
        load(tmp_path / "bad")


def test_every_setting_of_the_file_is_an_option_and_has_its_variable() -> None:
    options: Mapping[str | None, Any] = {parameter.name: parameter for parameter in commands.run.params}
    assert {option: options[option].envvar for option in NAMES.values()} == {v: k for k, v in NAMES.items()}


@pytest.mark.parametrize(
    ("words", "environment", "address"),
    [
        ((), {}, "10.0.0.1/24"),
        ((), {"IP": "10.0.0.2/24"}, "10.0.0.2/24"),
        (("--address", "10.0.0.3/24"), {"IP": "10.0.0.2/24"}, "10.0.0.3/24"),
    ],
)
def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    environment: dict[str, str],
    address: str,
) -> None:
    path = tmp_path / "node.conf"
    path.write_text("NODENAME=of-the-file\nIP=10.0.0.1/24\nTORTIE_DOCKER=no\nTORTIE_STORE=sqlite:///s\n")
    ran: list[node_running.Options] = []
    monkeypatch.setattr(commands, "need_root", lambda: None)
    monkeypatch.setattr(node_running, "need_root", lambda: None)
    monkeypatch.setattr("anyio.run", lambda _run, _log, options, _companions: ran.append(options))
    arguments = ["run", "--config", str(path), *words]
    told = CliRunner().invoke(commands.node, arguments, env=environment, catch_exceptions=False)
    assert told.exit_code == 0, told.output
    (options,) = ran
    assert (options.address, options.hostname, options.docker, options.store) == (
        address,
        "of-the-file",
        False,
        "sqlite:///s",
    )


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no such file"):
        CliRunner().invoke(commands.node, ["run", "--config", str(tmp_path / "none")], catch_exceptions=False)


def test_the_unit_runs_the_command_that_printed_it_and_closes_the_host_first() -> None:
    text = unit("/opt/tortie/bin/tortie")
    assert text.index("ExecStartPre=/opt/tortie/bin/tortie node boot") < text.index("ExecStart=/opt/tortie/bin/tortie")
    assert "EnvironmentFile=-/etc/tortie/node.conf" in text
    assert "KillMode=process" in text


def test_the_unit_is_started_again_however_often_it_has_failed() -> None:
    section = unit("/opt/tortie").partition("[Service]")[0]
    assert "\nStartLimitIntervalSec=0\n" in section
    assert "\nRestart=always\n" in unit("/opt/tortie")
