"""`tortie packages install-framework` refuses what it cannot do, in the terms of its options."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tortie.base.errors import Invalid
from tortie.cli import calico_framework
from tortie.cli.calico_framework import install_framework


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "0"], "Invalid value for --port: '0' is no port"),
        ([], "Invalid value for --port: PORT0 is not set"),
        (["--port", "9", "--master", "zk://x"], "Invalid value for --master: 'zk://x': HOST:PORT"),
        (["--port", "9", "--cni-plugins-dir", "rel"], "Invalid value for --cni-plugins-dir: 'rel': a full path"),
        (["--port", "9", "--etcd-srv", ".mesos"], "Invalid value for --etcd-srv: a domain such as etcd.mesos"),
        (["--max-concurrent-restarts", "0"], "0 is not in the range x>=1"),
        (["--mem-limit", "64"], "64.0 is not in the range x>=256"),
    ],
)
def test_wrong_options_are_named(words: list[str], said: str) -> None:
    done = CliRunner().invoke(install_framework, words, env={"PORT0": None})
    assert said in done.output
    assert done.exit_code == 2


def test_what_is_switched_off_is_taken() -> None:
    words = ["--port", "9", "--run-node", "false", "--install-cni", "false"]
    given = install_framework.make_context("install-framework", words).params
    wanted = calico_framework._settings(given).wanted
    assert (wanted.run_node, wanted.cni) == (False, None)


def test_what_is_no_address_of_an_etcd_is_refused_before_anything_is_begun() -> None:
    words = ["--port", "9", "--find-etcd", "false", "--etcd-endpoints", "nonsense"]
    done = CliRunner().invoke(install_framework, words)
    assert isinstance(done.exception, Invalid)
    assert "'nonsense' is no address of an etcd" in str(done.exception)
