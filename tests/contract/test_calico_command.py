"""`tortie packages install-framework` refuses what it cannot do, in the terms of its options."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from tortie.base.errors import Invalid
from tortie.cli.calico_framework import _wanted, install_framework
from tortie.lab.first import package_defaults
from tortie.lab.plan import Options
from tortie.packages.apps import app_of
from tortie.packages.calico.values import inventory
from tortie.packages.failures import CosmosError
from tortie.packages.rollout.inventory import Inventory
from tortie.packages.sources import BUILT_IN, built_in
from tortie.packages.universe import Repository, Universe


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--run-node", "false"], "Invalid value for --run-node: without its node there is nothing to roll out"),
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


def test_what_is_no_address_of_an_etcd_is_refused_before_anything_is_begun() -> None:
    words = ["--port", "9", "--find-etcd", "false", "--etcd-endpoints", "nonsense"]
    done = CliRunner().invoke(install_framework, words)
    assert isinstance(done.exception, Invalid)
    assert "'nonsense' is no address of an etcd" in str(done.exception)


def test_the_package_s_options_reach_the_rollout(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variables of the app that the package makes of them."""
    found = Universe([(Repository("Tortie", BUILT_IN), built_in())]).find("calico")
    assert found is not None

    def wanted(given: dict[str, Any], **site: Any) -> Inventory:
        with monkeypatch.context() as patch:
            for name, text in app_of(found, given, site=site)["env"].items():
                patch.setenv(name, text)
            return inventory(
                _wanted(install_framework.make_context("x", ["--port", "9"]).params), "etcd://10.0.0.1:2379"
            )

    usual = wanted({})
    assert (usual.probe, usual.node) == (True, {})
    assert not wanted({"Framework Settings": {"probe": False}}).probe
    bgp = {"CALICO_NETWORKING_BACKEND": "bird"}
    assert wanted({"Run Calico-Node": {"networking-backend": "bird"}}).node == bgp
    assert wanted({}, **package_defaults(Options(routing="bgp"))["calico"]).node == bgp
    assert wanted({}, **package_defaults(Options(routing="vxlan"))["calico"]).node == {}
    with pytest.raises(CosmosError, match="failed validation"):
        wanted({"Run Calico-Node": {"networking-backend": "ospf"}})
