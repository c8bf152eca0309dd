"""What calicoctl 3 says when a write depends on something else (calico-model.md 3.2, 3.4, 3.5, 3.6, 5.3)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tortie.cli.calicoctl.main import run
from tortie.model.eras import written
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.resource import Metadata, Resource, encode
from tortie.store.open import open_store
from tortie.store.policies import ERA_KEY
from tortie.store.port import Datastore, Put

Calicoctl = Callable[..., tuple[int, str, str]]

HEAD = "apiVersion: projectcalico.org/v3\n"
TIER = HEAD + "kind: Tier\nmetadata: {name: security}\nspec: {order: 5}\n"


def policy(name: str = "security.db", tier: str = "security") -> str:
    return HEAD + f"kind: GlobalNetworkPolicy\nmetadata: {{name: {name}}}\nspec: {{tier: {tier}, order: 3}}\n"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/store"


@pytest.fixture
def store(url: str) -> Datastore:
    return open_store(url)


@pytest.fixture
def calicoctl(url: str, store: Datastore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Calicoctl:
    def call(line: str, text: str | None = None) -> tuple[int, str, str]:
        if text is not None:
            (tmp_path / "file.yaml").write_text(text)
        words = [str(tmp_path / word) if word.endswith(".yaml") else word for word in line.split()]
        code = run("calicoctl", words, {"TORTIE_STORE": url, "CALICOCTL_GRAMMAR": "3"})
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_tiers(calicoctl: Calicoctl) -> None:
    missing = (
        "failed to create 'GlobalNetworkPolicy' resource: [resource does not exist: Tier(security) with error: <nil>]"
    )
    assert calicoctl("create -f file.yaml", policy()) == (1, "", f"{missing}\n")
    assert calicoctl("create -f file.yaml", TIER + "---\n" + policy())[0] == 0
    held = "operation delete is not supported on security: Cannot delete a non-empty tier"
    assert calicoctl("delete tier security") == (1, "", f"Failed to delete 'Tier' resource: [{held}]\n")
    assert calicoctl("delete gnp security.db")[0] == calicoctl("delete tier security")[0] == 0


def test_what_programs_keep(calicoctl: Calicoctl) -> None:
    """3.5: ClusterInformation cannot be created or applied by calicoctl."""
    calicoctl("create -f file.yaml", TIER)
    text = HEAD + "kind: ClusterInformation\nmetadata: {name: default}\nspec: {datastoreReady: false}\n"
    for word in ("create", "apply"):
        code, _, err = calicoctl(f"{word} -f file.yaml", text)
        assert (code, "create or apply is not supported on ClusterInformation(default)" in err) == (1, True)
    assert "ClusterGUID cannot be modified" in calicoctl("replace -f file.yaml", text)[2]
    assert "delete is not supported" in calicoctl("delete clusterinfo default")[2]
    affinity = HEAD + "kind: BlockAffinity\nmetadata: {name: x}\nspec: {node: a, cidr: 10.0.0.0/26}\n"
    for word in ("create", "apply", "replace", "delete"):
        assert "is not supported on BlockAffinity(x)" in calicoctl(f"{word} -f file.yaml", affinity)[2]


def test_an_endpoints_name(calicoctl: Calicoctl) -> None:
    """5.4"""
    text = HEAD + (
        "kind: WorkloadEndpoint\nmetadata: {name: web}\n"
        "spec: {node: host-a, orchestrator: cni, containerID: 6f1c, endpoint: eth0}\n"
    )
    code, _, err = calicoctl("create -f file.yaml", text)
    assert code == 1
    assert "does not match the primary identifiers assigned in the Spec: expected name host--a-cni-6f1c-eth0" in err
    assert calicoctl("create -f file.yaml", text.replace("name: web", "name: host--a-cni-6f1c-eth0"))[0] == 0


def test_policies_of_an_older_era(calicoctl: Calicoctl, store: Datastore) -> None:
    """5.3: listed once under the name that people know, replaced and deleted where it lies."""
    spec = GlobalNetworkPolicySpec(tier="default", order=1, types=("Ingress",))
    old = written(Resource(kind=GLOBAL_NETWORK_POLICY, metadata=Metadata(name="db"), spec=spec), "prefixed")
    store.commit([Put(old.key, encode(old))])
    assert calicoctl("get gnp")[1] == "NAME   TIER      \ndb     default   \n\n"
    assert calicoctl("create -f file.yaml", policy("db", "default"))[2] == (
        "failed to create 'GlobalNetworkPolicy' resource: "
        "[resource already exists: GlobalNetworkPolicy(db) with error: <nil>]\n"
    )
    assert calicoctl("replace -f file.yaml")[0] == calicoctl("apply -f file.yaml")[0] == 0
    assert calicoctl("label gnp db a=b") == (0, "Successfully set label a on GlobalNetworkPolicy db\n", "")
    assert [kv.key for kv in store.list(GLOBAL_NETWORK_POLICY.prefix).items] == [old.key]
    recorded = store.get(ERA_KEY)
    assert recorded is not None
    assert recorded.value == b'{"era":"prefixed"}'
    assert calicoctl("datastore migrate-policy-names") == (0, "Successfully migrated 1 policies.\n", "")
    assert [kv.key for kv in store.list(GLOBAL_NETWORK_POLICY.prefix).items] == [GLOBAL_NETWORK_POLICY.key("db")]
    assert calicoctl("get gnp")[1] == "NAME   TIER      \ndb     default   \n\n"
    assert calicoctl("delete gnp db")[0] == 0
    assert not store.list(GLOBAL_NETWORK_POLICY.prefix).items
