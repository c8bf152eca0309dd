"""Kubernetes Pods as endpoints (reference 7.2, names 5.4, labels 4.4)."""

from __future__ import annotations

from typing import Any

import pytest

from tortie.base.errors import Invalid
from tortie.model.codec import to_builtins
from tortie.model.kinds.workload_endpoint import EndpointPort, check_name
from tortie.model.kubernetes_forms import from_kubernetes, is_kubernetes
from tortie.model.kubernetes_pods import pod_to_endpoint


def pod(spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-0", "namespace": "shop", **metadata},
        "spec": {"nodeName": "host-a", "serviceAccountName": "clerk", **(spec or {})},
        "status": {"phase": "Running", "podIP": "10.65.0.3", **(status or {})},
    }


def test_a_pod_is_an_endpoint_with_the_profiles_of_namespace_and_account() -> None:
    """7.2 `Pod -> WEP with profiles [kns, ksa]`; 5.4 its name and its interface; 4.4 the labels that are forced."""
    found = pod_to_endpoint(pod(labels={"role": "web"}, annotations={"cni.projectcalico.org/containerID": "6f1c"}))
    assert found is not None
    assert (found.name, found.metadata.namespace) == ("host--a-k8s-web--0-eth0", "shop")
    assert found.metadata.labels == {
        "role": "web",
        "projectcalico.org/namespace": "shop",
        "projectcalico.org/orchestrator": "k8s",
        "projectcalico.org/serviceaccount": "clerk",
    }
    assert to_builtins(found.spec) == {
        "orchestrator": "k8s",
        "node": "host-a",
        "containerID": "6f1c",
        "pod": "web-0",
        "endpoint": "eth0",
        "serviceAccountName": "clerk",
        "ipNetworks": ("10.65.0.3/32",),
        "profiles": ("kns.shop", "ksa.shop.clerk"),
        # the first 11 digits of sha1("shop.web-0")
        "interfaceName": "calia4fc3c48bd8",
    }
    assert list(check_name(found)) == []


@pytest.mark.parametrize(
    "document",
    [
        pod(status={"phase": "Succeeded"}),
        pod(status={"phase": "Failed"}),
        pod(status={"podIP": ""}),
        pod(status={"podIP": None}),
        pod({"hostNetwork": True}),
        pod({"nodeName": ""}),
    ],
)
def test_pods_that_have_no_endpoint(document: dict[str, Any]) -> None:
    """7.2: pods that are finished, or have no IP, or host-networked are dropped."""
    assert pod_to_endpoint(document) is None


def test_a_manifest_gets_the_place_and_address_that_it_cannot_say() -> None:
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{}]}}
    assert pod_to_endpoint(manifest) is None
    found = pod_to_endpoint(manifest, node="somewhere", address="10.0.0.9")
    assert found is not None
    assert (found.metadata.namespace, found.spec.node, found.spec.ip_networks) == (
        "default",
        "somewhere",
        ("10.0.0.9/32",),
    )
    assert found.spec.profiles == ("kns.default", "ksa.default.default")
    placed = pod_to_endpoint(pod(), node="elsewhere", address="10.0.0.9")
    assert placed is not None
    assert (placed.spec.node, placed.spec.ip_networks) == ("host-a", ("10.65.0.3/32",))


def test_both_families_and_the_plug_ins_note_before_the_kubelets_report() -> None:
    both = pod_to_endpoint(pod(status={"podIPs": [{"ip": "10.65.0.3"}, {"ip": "fd00::3"}]}))
    noted = pod_to_endpoint(
        pod(status={"podIP": ""}, annotations={"cni.projectcalico.org/podIPs": "10.65.0.4/32,fd00::4/128"})
    )
    assert both is not None
    assert noted is not None
    assert both.spec.ip_networks == ("10.65.0.3/32", "fd00::3/128")
    assert noted.spec.ip_networks == ("10.65.0.4/32", "fd00::4/128")


def test_named_ports_and_those_that_the_host_passes_on() -> None:
    ports = [{"name": "http", "containerPort": 80}, {"containerPort": 81}, {"containerPort": 82, "hostPort": 8082}]
    found = pod_to_endpoint(
        pod({"containers": [{"ports": ports}, {"ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}]}]})
    )
    assert found is not None
    assert found.spec.ports == (
        EndpointPort(name="http", protocol="TCP", port=80),
        EndpointPort(protocol="TCP", port=82, host_port=8082),
        EndpointPort(name="dns", protocol="UDP", port=53),
    )


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"kind": "Pod"}, "metadata"),
        ([], "Pod"),
        (pod(status={"podIP": "10.0.0.300"}), "10.0.0.300"),
        (pod({"containers": [{"ports": [{"name": "x", "containerPort": 70000}]}]}), "70000"),
        (pod({"containers": [{"ports": [{"name": "x", "containerPort": 1, "protocol": "XTP"}]}]}), "XTP"),
        (pod(labels={"a b": "c"}), "label"),
        (pod(name="Web"), "metadata.name"),
    ],
)
def test_what_is_wrong_with_a_pod(document: Any, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        pod_to_endpoint(document)


def test_which_documents_are_of_kubernetes() -> None:
    """`apiVersion: v1` alone is Calico's old form too: the kind decides."""
    assert is_kubernetes(pod())
    assert is_kubernetes({"apiVersion": "v1", "kind": "Namespace"})
    assert is_kubernetes({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"})
    assert not is_kubernetes({"apiVersion": "v1", "kind": "profile"})
    assert not is_kubernetes({"apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy"})
    assert not is_kubernetes([])
    assert not is_kubernetes({"apiVersion": "v1", "kind": ["Pod"]})
    found = from_kubernetes({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "clerk"}})
    assert found is not None
    assert (found.kind.name, found.name) == ("Profile", "ksa.default.clerk")
    with pytest.raises(Invalid, match="Ingress"):
        from_kubernetes({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress"})
