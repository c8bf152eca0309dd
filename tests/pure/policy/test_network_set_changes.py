"""A network set that changes a little ends as a new one would, however its networks are written."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.global_network_set import GLOBAL_NETWORK_SET, GlobalNetworkSetSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, Rule
from tortie.node.flows.directory import Directory
from tortie.policy.engine import PolicyEngine
from tortie.policy.values import MembersChanged, NetsChanged

# Several ways to write one network, some that are none, addresses alone.
TEXTS = ["10.0.0.0/8", "10.1.2.3/8", "10.0.0.0/255.0.0.0", "10.1.0.0/16", "10.1.0.9/16", "10.1.1.1", "10.1.1.1/32",
         "fd00::/8", "FD00:0::1/8", "fd00::1", "nothing", "10.0.0.0/33", ""]  # fmt: skip
STEPS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.none() | st.lists(st.sampled_from(TEXTS), max_size=6)), max_size=12
)
LABELS = {"list": "x"}


def network_set(name: str, nets: list[str]) -> Resource[Any]:
    spec = GlobalNetworkSetSpec(nets=tuple(nets))
    return Resource(kind=GLOBAL_NETWORK_SET, metadata=Metadata(name=name, labels=LABELS), spec=spec)


def canonical(texts: list[str]) -> set[str]:
    found = set()
    for text in texts:
        try:
            net = ipaddress.ip_network(text, strict=False)
        except ValueError:
            continue
        found.add(str(net.network_address) if net.prefixlen == net.max_prefixlen else str(net))
    return found


def follower() -> PolicyEngine:
    """With a policy in use that asks for the sets."""
    engine = PolicyEngine("here")
    rule = Rule(action="Allow", source=EntityRule(selector="list == 'x'"))
    spec = GlobalNetworkPolicySpec(selector="all()", types=("Ingress",), ingress=(rule,))
    policy = Resource(kind=GLOBAL_NETWORK_POLICY, metadata=Metadata(name="p"), spec=spec)
    engine.set_policy(policy.key, policy)
    endpoint = WorkloadEndpointSpec(
        orchestrator="cni", workload="w", node="here", container_id="w", endpoint="e", ip_networks=("10.9.9.9/32",)
    )
    name = "here-cni-w-e"
    engine.set_endpoint(
        name, Resource(kind=WORKLOAD_ENDPOINT, metadata=Metadata(name=name, namespace="b"), spec=endpoint)
    )
    return engine


@given(STEPS)
def test_the_members_of_a_selector_are_those_of_all_its_sets(steps: list[tuple[str, list[str] | None]]) -> None:
    engine, held, told = follower(), dict[str, list[str]](), set[str]()
    for name, nets in steps:
        found = None if nets is None else network_set(name, nets)
        held = {key: value for key, value in held.items() if key != name} | ({} if nets is None else {name: nets})
        for change in engine.set_network_set(name, found):
            if isinstance(change, MembersChanged | NetsChanged):
                assert not change.added & told
                assert change.removed <= told
                told = (told | change.added) - change.removed
        assert told == {one for texts in held.values() for one in canonical(texts)}


@given(STEPS)
def test_an_address_is_found_in_the_narrowest_network_that_has_it(steps: list[tuple[str, list[str] | None]]) -> None:
    directory, held = Directory(), dict[str, list[str]]()
    for name, nets in steps:
        directory.set_network_set(name, None if nets is None else network_set(name, nets))
        held = {key: value for key, value in held.items() if key != name} | ({} if nets is None else {name: nets})
        for text in ("10.1.1.1", "10.1.7.7", "10.7.7.7", "fd00::1", "11.0.0.1"):
            address = ipaddress.ip_address(text)
            having = [
                (ipaddress.ip_network(net).prefixlen, key)
                for key, texts in held.items()
                for net in canonical(texts)
                if address in ipaddress.ip_network(net)
            ]
            narrowest = max((length for length, _ in having), default=None)
            found = directory.find(address.packed)[0]
            assert found.name in ({key for length, key in having if length == narrowest} if having else {"pvt", "pub"})
