"""Which store a framework takes for its cluster's."""

from __future__ import annotations

from pathlib import Path

from tortie.store.open import DEFAULT, cluster_store_url


def test_the_cluster_s_own_comes_before_the_host_s_and_the_environment_before_both(tmp_path: Path) -> None:
    cluster, host = tmp_path / "cluster-store", tmp_path / "store"
    assert cluster_store_url({}, cluster, host) == DEFAULT
    host.write_text("etcd://network:1\n")
    assert cluster_store_url({}, cluster, host) == "etcd://network:1"
    cluster.write_text("etcd://cluster:1\n")
    assert cluster_store_url({}, cluster, host) == "etcd://cluster:1"
    assert cluster_store_url({"TORTIE_STORE": "etcd://said:1"}, cluster, host) == "etcd://said:1"
