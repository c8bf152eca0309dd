"""Which store a program takes for its cluster's, and which for the network's."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tortie.base.errors import NoNetworkStore
from tortie.cli.calicoctl import configuration
from tortie.cli.calicoctl import main as calicoctl
from tortie.store.open import DEFAULT, NETWORK, cluster_store_url, open_store, store_url
from tortie.store.port import Put


def test_the_cluster_s_own_comes_before_the_host_s_and_the_environment_before_both(tmp_path: Path) -> None:
    cluster, host = tmp_path / "cluster-store", tmp_path / "store"
    assert cluster_store_url({}, cluster, host) == DEFAULT
    host.write_text("etcd://network:1\n")
    assert cluster_store_url({}, cluster, host) == "etcd://network:1"
    cluster.write_text("etcd://cluster:1\n")
    assert cluster_store_url({}, cluster, host) == "etcd://cluster:1"
    assert cluster_store_url({"TORTIE_STORE": "etcd://said:1"}, cluster, host) == "etcd://said:1"


def test_the_cluster_s_is_not_the_network_s(tmp_path: Path) -> None:
    cluster, host = tmp_path / "cluster-store", tmp_path / "store"
    assert store_url({}, host, cluster) == DEFAULT
    cluster.write_text("sqlite:///nonexistent/cluster\n")
    with pytest.raises(NoNetworkStore, match=f"there is no {host}, and the cluster's does not answer"):
        store_url({}, host, cluster)
    with closing(open_store(f"sqlite://{tmp_path}/embedded")) as store:
        cluster.write_text(f"sqlite://{tmp_path}/embedded\n")
        with pytest.raises(NoNetworkStore, match=f"there is no {host}, and the cluster's names none"):
            store_url({}, host, cluster)
        store.commit([Put(NETWORK, b"etcd://rolled:1,rolled:2")])
        assert store_url({}, host, cluster) == "etcd://rolled:1,rolled:2"
    assert store_url({"TORTIE_STORE": "etcd://said:1"}, host, cluster) == "etcd://said:1"
    host.write_text("etcd://network:1\n")
    assert store_url({}, host, cluster) == "etcd://network:1"


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host that knows its cluster's store alone, which is the embedded one."""
    cluster = tmp_path / "cluster-store"
    cluster.write_text(f"sqlite://{tmp_path}\n")
    for name, path in (("CLUSTER", cluster), ("CONFIGURED", tmp_path / "store"), ("PATH", tmp_path / "calicoctl.cfg")):
        monkeypatch.setattr(configuration, name, str(path))
    monkeypatch.setattr(configuration, "DEFAULT", f"sqlite://{tmp_path}")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["0.19", "pool", "show"],
        ["1.3", "get", "ipPool"],
        ["3", "get", "nodes"],
        ["3", "ipam", "show"],
        ["3", "delete", "node", "x"],
    ],
)
def test_calicoctl_ends_with_5_where_the_network_has_no_store_yet(
    words: list[str], apart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = calicoctl.run("calicoctl", words[1:], {}, words[0])
    said = capsys.readouterr()
    assert (code, said.out) == (5, "")
    assert said.err.startswith("calicoctl: this host knows no store of the network: there is no /etc/tortie/store, ")


def test_calicoctl_asks_where_the_cluster_s_store_leads(apart: Path) -> None:
    with closing(open_store(f"sqlite://{apart}")) as store:
        store.commit([Put(NETWORK, b"etcd://rolled:1")])
    assert configuration.configuration(None, None, {}).url == "etcd://rolled:1"
    assert configuration.configuration(None, None, {"ETCD_ENDPOINTS": "http://a:1"}).url == "etcd://a:1"


def test_who_names_a_store_is_led_there(apart: Path) -> None:
    assert configuration.configuration(None, None, {"ETCD_ENDPOINTS": "http://a:1"}).url == "etcd://a:1"
    text = "apiVersion: v1\nkind: calicoApiConfig\nspec: {etcdEndpoints: 'http://b:1'}\n"
    assert configuration.configuration(text, None, {}).url == "etcd://b:1"
