"""`tortie packages install-framework` refuses what it cannot do, in the terms of its options."""

from __future__ import annotations

from typing import Any

import pytest
from click import Context
from click.testing import CliRunner

from tortie.base.errors import Invalid
from tortie.cli import calico_framework
from tortie.cli.calico_framework import install_framework
from tortie.lab.first import package_defaults
from tortie.lab.plan import Options
from tortie.packages.apps import app_of
from tortie.packages.calico.values import inventory
from tortie.packages.failures import CosmosError
from tortie.packages.rollout.inventory import Inventory
from tortie.packages.sources import BUILT_IN, built_in
from tortie.packages.universe import Found, Repository, Universe


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "0"], "Invalid value for --port: '0' is no port"),
        ([], "Invalid value for --port: PORT0 is not set"),
        (["--port", "9", "--master", "http://x:5050"], "Invalid value for --master: 'http://x:5050': HOST:PORT"),
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


def of_package(options: dict[str, Any]) -> Context:
    """The framework's command line as the package makes it of these options."""
    package = next(one for one in built_in() if one.name == "calico")
    env = app_of(Found(package, Repository("", BUILT_IN)), options)["env"]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**env, "PORT0": "31000"}.items():
            patch.setenv(name, value)
        return install_framework.make_context("install-framework", [])


@pytest.mark.parametrize(
    ("group", "options", "wanted"),
    [
        ("Framework Settings", {"master": "zk://a:2181,b:2181/mesos"}, {"masters": ["master.mesos:5050"]}),
        ("Framework Settings", {"master": "a:5050, b:5051"}, {"masters": ["a:5050", "b:5051"]}),
        ("Etcd Settings", {"run-proxy": False, "etcd-endpoints": "https://a:2379,https://b:2379"}, {}),
        ("Network", {"vxlan-mode": "Never", "ipip-mode": "Always", "pool-cidr": "10.0.0.0/8"}, {}),
        ("Install CNI", {"enable": False}, {}),
        ("Configure Docker Cluster-Store", {"enable": False}, {}),
    ],
)
def test_options_of_the_package_are_taken(group: str, options: dict[str, Any], wanted: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORT0", "31000")
        settings = calico_framework._settings(of_package({group: options}).params)
    assert {name: getattr(settings, name) for name in wanted} == wanted
    assert settings.wanted.node == ({"TORTIE_DOCKER": "false"} if group.endswith("Cluster-Store") else {})
    assert (settings.wanted.cni is None) == (group == "Install CNI")


@pytest.mark.parametrize(("given", "wanted"), [({}, 5.0), ({"settle": 2}, 2.0), ({"settle": 0.5}, 0.5)])
def test_how_long_a_node_has_to_be_ready_is_an_option(given: dict[str, Any], wanted: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORT0", "31000")
        settings = calico_framework._settings(of_package({"Framework Settings": given}).params)
    assert settings.wanted.settle == wanted


@pytest.mark.parametrize(
    ("group", "options", "pointer"),
    [
        ("Framework Settings", {"master": "http://a:5050"}, "master"),
        ("Framework Settings", {"master": "a"}, "master"),
        ("Framework Settings", {"status-dns": "a b"}, "status-dns"),
        ("Framework Settings", {"settle": -1}, "settle"),
        ("Etcd Settings", {"etcd-discovery-url": ".mesos"}, "etcd-discovery-url"),
        ("Etcd Settings", {"etcd-endpoints": "nonsense"}, "etcd-endpoints"),
        ("Etcd Settings", {"etcd-endpoints": "http://a:1,https://b:1"}, "etcd-endpoints"),
        ("Install CNI", {"cni-plugins-dir": "rel"}, "cni-plugins-dir"),
        ("Network", {"pool-cidr": "everywhere"}, "pool-cidr"),
        ("Network", {"vxlan-mode": "Always", "ipip-mode": "Always"}, ""),
    ],
)
def test_what_the_framework_would_refuse_is_refused_before_it_is_installed(
    group: str, options: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(CosmosError) as caught:
        of_package({group: options})
    [problem] = caught.value.body()["data"]["errors"]
    assert problem["instance"]["pointer"] == f"/{group}/{pointer}".rstrip("/")


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
                calico_framework._wanted(install_framework.make_context("x", ["--port", "9"]).params),
                "etcd://10.0.0.1:2379",
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
