"""Whatever the way to it, the same resources make the same table: random histories through the brain of a host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from tests.differential.oracle import INTERFACES
from tests.differential.resources import Source, made
from tests.support.fake_table import FakeTable

from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec, HostPort
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE, NodeBgp, NodeSpec
from tortie.model.resource import Resource, encode
from tortie.node.brain import Brain
from tortie.store.port import Event

STEPS = 40


def settings(source: Source) -> Resource[Any]:
    some = source.some
    spec = FelixConfigurationSpec(
        floating_ips=some(("Enabled", "Disabled"), 0.7),
        workload_source_spoofing=some(("Any",), 0.5),
        nftables_mark_mask=some((0xF000,), 0.3),
        failsafe_inbound_host_ports=some(((), (HostPort(protocol="TCP", port=22, net="10.0.0.0/8"),)), 0.4),
        default_endpoint_to_host_action=some(("Accept",), 0.3),
        vxlan_port=some((8472,), 0.2),
        disable_conntrack_invalid_check=some((True,), 0.3),
        nat_outgoing_exclusions=some(("IPPoolsAndHostIPs",), 0.3),
        nat_port_range=some(("1024:65000",), 0.3),
        interface_prefix=some(("cali", "cali,tap", "tap"), 0.3),
    )
    return made(FELIX_CONFIGURATION, spec, "default")


def pool(source: Source) -> Resource[Any]:
    name, cidr = source.pick.choice((("four", "10.65.0.0/16"), ("other", "10.66.0.0/16"), ("six", "fd65::/64")))
    way: dict[str, Any] = source.pick.choice(
        ({}, {"vxlan_mode": "Always"}, {"ipip_mode": "Always"} if name != "six" else {})
    )
    return made(IP_POOL, IPPoolSpec(cidr=cidr, nat_outgoing=source.pick.random() < 0.5, **way), name)


def node(source: Source) -> Resource[Any]:
    number = source.pick.randint(1, 4)
    return made(NODE, NodeSpec(bgp=NodeBgp(ipv4_address=f"10.9.0.{number}/24")), f"h{number}")


def draw(source: Source) -> tuple[Resource[Any], bool]:
    """Mostly policy."""
    if source.pick.random() < 0.8:
        return source.change()
    return source.pick.choice((settings, pool, node))(source), source.pick.random() < 0.8


def event(resource: Resource[Any], put: bool) -> Event:
    return Event(resource.key, encode(resource) if put else None, 1)


def contents(brain: Brain) -> tuple[Mapping[str, str], Mapping[str, str], Mapping[str, Mapping[str, str]]]:
    ledger = brain.table.ledger
    live = {name: dict(ledger.elements(name)) for name, d in ledger.defs.items() if d.content is None}
    return {n: d.shape for n, d in ledger.defs.items()}, {n: c.mark for n, c in ledger.rules.items()}, live


@pytest.mark.parametrize("seed", range(12))
def test_every_way_to_the_same_resources_makes_the_same_table(seed: int) -> None:
    source = Source(seed)
    brain, kernel = Brain("h1", "10.9.0.1/24"), FakeTable()
    brain.table.set_interfaces(INTERFACES["h1"])
    held: dict[str, Resource[Any]] = {}
    changes = [(resource, True) for resource in source.first()]
    for _ in range(STEPS):
        changes.append(draw(source))
    for resource, put in changes:
        if put:
            held[resource.key] = resource
        else:
            held.pop(resource.key, None)
        brain.learn(event(resource, put))
        assert not brain.unreadable
        if source.pick.random() < 0.5:
            settle(brain, kernel)
    settle(brain, kernel)
    assert not brain.table.ledger.plan()
    other = Brain("h1", "10.9.0.1/24")
    listed = list(held.values())
    source.pick.shuffle(listed)
    for resource in listed:
        other.learn(event(resource, True))
    other.table.set_interfaces(INTERFACES["h1"])
    assert contents(other) == contents(brain)
    other.table.ledger.learn(kernel.have())
    assert not other.table.ledger.plan()
    brain.replace([])
    brain.table.set_interfaces({})
    settle(brain, kernel)
    assert contents(brain) == contents(Brain("h1", "10.9.0.1/24")), "nothing is left of it"


def settle(brain: Brain, kernel: FakeTable) -> None:
    plan = brain.table.ledger.plan()
    kernel.carry_out(plan, brain.table.ledger)
    brain.table.ledger.settled(plan)
    for name, chain in brain.table.ledger.rules.items():
        mentioned = {word.lstrip("@") for rule in chain.rules for word in re.findall(r"@\S+|(?<=jump )\S+", rule)}
        mentioned |= {word for rule in chain.rules for word in re.findall(r"(?<=goto )\S+", rule)}
        assert mentioned == chain.uses, name
        assert not any("{" in rule for rule in chain.rules), name
