"""`calicoctl convert`: the old form and Kubernetes objects as v3 (calico-model.md 7.1, 7.2)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tortie.cli.calicoctl.main import run

Convert = Callable[..., tuple[int, str, str]]

CLUSTER = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: clerk, namespace: shop, labels: {role: till}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {role: db}}
  ingress:
  - from: [{namespaceSelector: {matchLabels: {team: a}}}]
    ports: [{port: 5432}]
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop}
spec: {nodeName: host-a, serviceAccountName: clerk}
status: {phase: Running, podIP: 10.65.0.3}
---
apiVersion: v1
kind: Pod
metadata: {name: batch, namespace: shop}
spec: {nodeName: host-a}
status: {phase: Succeeded, podIP: 10.65.0.4}
"""
NAMESPACE, _, POLICY, _, FINISHED = CLUSTER.split("---\n")


@pytest.fixture
def convert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Convert:
    """Without a store and without a word about the grammar."""

    def call(text: str, *options: str) -> tuple[int, str, str]:
        (tmp_path / "file.yaml").write_text(text)
        code = run("calicoctl", ["convert", "-f", str(tmp_path / "file.yaml"), *options], {})
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_kubernetes_objects(convert: Convert) -> None:
    """7.2: Namespace -> `kns.`, ServiceAccount -> `ksa.`, NetworkPolicy, Pod -> WEP; finished pods are dropped."""
    code, out, err = convert(CLUSTER)
    assert (code, err.count("\n")) == (0, 1)
    assert "Pod batch has no endpoint" in err
    made = yaml.safe_load(out)["items"]
    assert [(item["kind"], item["metadata"]["name"]) for item in made] == [
        ("Profile", "kns.shop"),
        ("Profile", "ksa.shop.clerk"),
        ("NetworkPolicy", "db"),
        ("WorkloadEndpoint", "host--a-k8s-web--0-eth0"),
    ]
    assert made[0]["spec"]["labelsToApply"]["pcns.team"] == "a"
    assert made[2]["spec"]["order"] == 1000
    assert made[3]["spec"]["profiles"] == ["kns.shop", "ksa.shop.clerk"]


def test_one_policy_is_shown_bare(convert: Convert) -> None:
    code, out, err = convert(POLICY, "-o", "json")
    assert (code, err) == (0, "")
    assert yaml.safe_load(out)["kind"] == "NetworkPolicy"


def test_old_form_and_kubernetes_in_one_file(convert: Convert) -> None:
    """Both say apiVersion v1; the kind tells them apart."""
    old = "---\napiVersion: v1\nkind: profile\nmetadata: {name: web, tags: [web]}\nspec: {}\n"
    made = yaml.safe_load(convert(NAMESPACE + old)[1])["items"]
    assert [item["metadata"]["name"] for item in made] == ["kns.shop", "web"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FINISHED, "No resources specified in file"),
        (CLUSTER.replace("podSelector: {", "podSelector: {matchExpressions: [{key: a, operator: Like}], "), "Like"),
        (CLUSTER.replace("10.65.0.3", "10.65.0.300"), "10.65.0.300"),
        (CLUSTER.replace("kind: NetworkPolicy", "kind: Ingress"), "kind 'Ingress'"),
        (CLUSTER.replace("metadata: {name: shop, labels: {team: a}}", "metadata: {}"), "Namespace"),
    ],
)
def test_one_bad_document_and_nothing_is_shown(convert: Convert, text: str, said: str) -> None:
    code, out, err = convert(text)
    assert (code, out) == (1, "")
    assert said in err


def test_an_icmp_rule_without_a_protocol_is_worth_a_word(convert: Convert) -> None:
    """7.1 and 3.3: two rules, ICMP and ICMPv6, never "everything"."""
    text = "apiVersion: v1\nkind: policy\nmetadata: {name: ping}\nspec: {ingress: [{action: allow, icmp: {type: 8}}]}\n"
    code, out, err = convert(text)
    assert [rule["protocol"] for rule in yaml.safe_load(out)["spec"]["ingress"]] == ["ICMP", "ICMPv6"]
    assert (code, "icmp without a protocol" in err) == (0, True)


def test_what_v3_refuses_can_be_let_through(convert: Convert) -> None:
    """3.6: --ignore-validation"""
    text = "apiVersion: v1\nkind: policy\nmetadata: {name: x}\nspec: {selector: 'a =='}\n"
    assert convert(text)[0] == 1
    code, out, _ = convert(text, "--ignore-validation")
    assert (code, yaml.safe_load(out)["spec"]["selector"]) == (0, "a ==")


def test_two_documents_that_become_one_resource(convert: Convert) -> None:
    """7.1: names that are equal after conversion abort."""
    text = "".join(
        f"---\napiVersion: v1\nkind: node\nmetadata: {{name: {name}}}\nspec: {{}}\n" for name in ("A_b", "a-b")
    )
    code, out, err = convert(text)
    assert (code, out) == (1, "")
    assert "2 documents convert to Node a-b" in err


def test_fields_that_the_old_form_got_later(convert: Convert) -> None:
    """2.4: preDNAT, applyOnForward, types and annotations appear after 1.3; its own commands refuse them."""
    text = (
        "apiVersion: v1\nkind: policy\nmetadata: {name: x, annotations: {a: b}}\n"
        "spec: {types: [ingress], preDNAT: true, applyOnForward: true}\n"
    )
    spec = yaml.safe_load(convert(text)[1])["spec"]
    assert (spec["types"], spec["preDNAT"], spec["applyOnForward"]) == (["Ingress"], True, True)
    assert convert(text.replace("ingress", "sideways"))[0] == 1
