"""Files as resources: every form, every fault with its place (reference 7.1, 7.2)."""

from __future__ import annotations

import pytest
from tests.support.policy_texts import PODS, POLICY, V1_ENDPOINT, V1_PROFILE, V3

from tortie.base.errors import Conflict, Invalid
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.policy.path import Way
from tortie.policy.reading import Loaded, Reader, assertions_of, laid_over, taken_out, world_of
from tortie.policy.world import Service, World


def read(*texts: str) -> Loaded:
    return Reader().read([(f"f{n}.yaml", text) for n, text in enumerate(texts, 1)])


def may(world: World, source: str, destination: str, service: str) -> bool:
    way = Way(world)
    return way.ask(way.end(source), way.end(destination), Service.parse(service)).allowed


def test_all_forms_beside_one_another() -> None:
    loaded = read(f"{POLICY}---\n{V1_PROFILE}---\n{V1_ENDPOINT}", PODS)
    kinds = sorted(resource.kind.name for resource in loaded.resources.values())
    assert kinds == ["GlobalNetworkPolicy", "NetworkPolicy", "Profile", "Profile", *["WorkloadEndpoint"] * 4]
    assert loaded.places[GLOBAL_NETWORK_POLICY.key("p")] == "f1.yaml, document 1"
    assert loaded.places[PROFILE.key("kns.shop")] == "f2.yaml, document 1, item 1"
    assert [note for note in loaded.notes if "done" in note] == [
        "f2.yaml, document 1, item 5: Pod done is finished or uses its host's network: it is no endpoint"
    ]


def test_pods_without_address_or_namespace_are_asked_about_all_the_same() -> None:
    world = world_of(read(PODS).resources.values())
    assert [may(world, "shop/web", "shop/db", service) for service in ("tcp/5432", "tcp/80")] == [True, False]
    # Pod `other` is in namespace default, which no document made.
    assert not may(world, "default/other", "shop/db", "tcp/5432")
    assert may(world, "shop/db", "default/other", "tcp/1")


def test_a_pod_has_the_same_address_in_several_sets_of_files_and_no_two_share_one() -> None:
    reader = Reader()
    first = reader.read([("a", PODS)])
    more = "apiVersion: v1\nkind: Pod\nmetadata: {name: new}\nspec: {containers: []}\n"
    second = reader.read([("b", more + "---\n" + PODS)])
    found = [
        {key: r.spec.ip_networks for key, r in loaded.resources.items() if r.kind is WORKLOAD_ENDPOINT}
        for loaded in (first, second)
    ]
    assert found[0].items() <= found[1].items()
    assert len(set(found[1].values())) == len(found[1]) == 4


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("a: [", ["error parsing f1.yaml"]),
        ("just text", ["f1.yaml: expected a resource, found str"]),
        ("kind: Pod\n", ["f1.yaml: kind 'Pod' of apiVersion None is none of"]),
        ("apiVersion: v1\nkind: Deployment\n", ["f1.yaml: kind 'Deployment' of apiVersion 'v1'"]),
        ("apiVersion: v1\nkind: []\n", ["f1.yaml: kind [] of apiVersion 'v1'"]),
        ("apiVersion: [v1]\nkind: policy\n", ["f1.yaml: kind 'policy' of apiVersion ['v1']"]),
        ("apiVersion: v1\nkind: List\nitems: 3\n", ["f1.yaml: kind 'List' of apiVersion 'v1'"]),
        (V3 + "kind: [Profile]\nmetadata: {name: x}\n", ["f1.yaml: unknown resource type: kind ['Profile']"]),
        (V3 + "kind: Thing\nmetadata: {name: x}\n", ["f1.yaml: unknown resource type: kind 'Thing'"]),
        (V3 + "kind: Profile\n", ["f1.yaml: Profile: metadata is missing"]),
        (
            POLICY.replace("app == 'b'", "app ==").replace("selector", "colour: 1, selector"),
            ["not recognized or is in the wrong location: spec.colour"],
        ),
        (POLICY.replace("app == 'b'", "app =="), ["f1.yaml: GlobalNetworkPolicy p: spec.selector"]),
        (
            f"{POLICY}---\n{POLICY}---\n{V1_PROFILE.replace('allow', 'alow')}---\n{PODS.replace('5432', '0x')}",
            [
                "f1.yaml, document 2: GlobalNetworkPolicy p is in f1.yaml, document 1 already",
                "f1.yaml, document 3: error with field Action = 'alow' (profile: spec.egress[0].action",
            ],
        ),
        ("apiVersion: tortie/v1\nkind: Assertion\nfrom: a\n", ["f1.yaml: to is missing"]),
    ],
)
def test_every_fault_is_named_with_its_place(text: str, faults: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        read(text)
    for fault in faults:
        assert any(fault in problem for problem in caught.value.problems), caught.value.problems


def test_faults_of_several_files_are_told_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        read("x", "a: [", V3 + "kind: Tier\nmetadata: {name: A_B}\n")
    for name in ("f1.yaml", "f2.yaml", "f3.yaml"):
        assert any(name in problem for problem in caught.value.problems), caught.value.problems


def test_an_endpoint_without_address_is_noted() -> None:
    loaded = read(V3 + "kind: WorkloadEndpoint\nmetadata: {name: n1-cni-a-eth0}\n"
                  "spec: {node: n1, orchestrator: cni, endpoint: eth0, containerID: a}\n")  # fmt: skip
    assert loaded.notes == ("f1.yaml: WorkloadEndpoint n1-cni-a-eth0 has no address: nobody can speak to it",)


def test_laid_over_and_taken_out() -> None:
    base = read(V1_PROFILE, POLICY)
    over = read(POLICY.replace("app == 'b'", "all()"))
    found = laid_over(base.resources, over)
    assert found[GLOBAL_NETWORK_POLICY.key("p")].spec.selector == "all()"
    assert taken_out(found, over).keys() == found.keys() - over.resources.keys()
    with pytest.raises(Conflict, match=r"f1.yaml: GlobalNetworkPolicy p is not there"):
        taken_out({}, over)


def test_a_revision_that_is_past_is_a_conflict() -> None:
    from dataclasses import replace

    stale = read(POLICY.replace("name: p", "name: p, resourceVersion: '7'"))
    key = GLOBAL_NETWORK_POLICY.key("p")
    assert laid_over({key: replace(stale.resources[key], revision=7)}, stale)
    with pytest.raises(Conflict, match="is at revision 8, not at 7"):
        laid_over({key: replace(stale.resources[key], revision=8)}, stale)
    with pytest.raises(Conflict, match="is not there, not at 7"):
        laid_over({}, stale)


def test_the_v1_form_keeps_what_it_does_not_speak_of_and_refuses_to_lose_the_rest() -> None:
    there = read(V1_PROFILE).resources
    key = next(iter(there))
    services = "spec: {egress: [{action: Allow, destination: {services: {name: x, namespace: y}}}]}"
    newer = read(f"{V3}kind: Profile\nmetadata: {{name: {there[key].name}}}\n{services}\n")
    with pytest.raises(Conflict, match="services, which the v1 form has no field for"):
        laid_over(newer.resources, read(V1_PROFILE))
    assert laid_over(there, read(V1_PROFILE))[key].spec == there[key].spec


def test_an_assertion_of_a_change_takes_the_place_of_the_one_of_its_name() -> None:
    said = "apiVersion: tortie/v1\nkind: Assertion\nmetadata: {name: x}\nspec: {from: a, to: b}\n"
    other = said.replace("name: x", "name: y")
    base, change = read(f"{said}---\n{other}"), read(said.replace("from: a", "from: c"))
    assert [str(item) for item in assertions_of(base, change)] == ["a may reach b", "c may reach b"]
    with pytest.raises(Invalid, match=r"f1\.yaml, document 2: Assertion x is in f1\.yaml, document 1 already"):
        read(f"{said}---\n{said}")
