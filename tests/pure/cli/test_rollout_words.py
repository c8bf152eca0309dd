"""How far a rollout is, as `tortie rollout status` says it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tortie.cli.rollout import _status, rollout
from tortie.packages.rollout.machine import Host, Rollout, Step


def test_each_host_has_a_line_with_what_its_steps_took(capsys: pytest.CaptureFixture[str]) -> None:
    steps = Step("artefact", "done", since=5.0, until=6.6), Step("gate", "done", since=7.0, until=12.0)
    done = Host("10.0.0.11", steps, "done")
    failed = Host("a", (Step("artefact", "undone", since=13.0, until=14.0), Step("gate")), "failed", "artefact: full")
    _status(Rollout("0123456789abcdef", (done, failed), stopped="a: artefact: no space"), as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "rollout 0123456789abcdef: stopped, 1 of 2 hosts are done",
        "reason: a: artefact: no space",
        "mend that, then: tortie rollout retry (or undo, or abort)",
        "10.0.0.11  done     artefact 1.6 s, gate 5.0 s",
        "a          failed   artefact undone, gate waiting",
    ]


def test_an_order_that_is_misspelt_is_no_file() -> None:
    ran = CliRunner().invoke(rollout, ["statsu"])
    assert ran.exit_code == 2
    assert "no file and no order 'statsu'; did you mean status?" in " ".join(ran.output.split())
