"""What engine, verdict and slow twin must agree on, at any moment of a history."""

from __future__ import annotations

from typing import Any, Literal

from tests.pure.policy import slow_twin
from tests.pure.policy.history import PACKETS, History
from tests.pure.policy.slow_twin import Said, World

from tortie.model.resource import Resource
from tortie.policy.policies import policy_id
from tortie.policy.values import Construct, Direction, HostTiers, Tiers
from tortie.policy.verdict import Packet, Verdict

DIRECTIONS: tuple[Direction, Direction] = ("ingress", "egress")
ACTIONS: tuple[Literal["Drop", "Return", "Accept"], ...] = ("Drop", "Return", "Accept")
DECIDERS = ("policy ", "profile ", "the end of tier ")


def walk(seed: int, steps: int, *, each: int = 4) -> int:
    """A whole history, compared at every step, and packets at each `each`th; how many verdicts were compared. What
    fails names the seed and the step."""
    history, asked = History(seed, frozenset(Construct)), 0
    for number in range(steps):
        try:
            history.step()
            lists_agree(history)
            if number % each == 0:
                asked += verdicts_agree(history, 8)
        except Exception as error:
            error.add_note(f"seed {seed}, step {number}")
            raise
    history.clear()
    follower = history.follower
    assert (follower.endpoints, follower.rules, follower.sets) == ({}, {}, {}), f"seed {seed}"
    assert history.engine.uses() == frozenset(), f"seed {seed}"
    return asked


def lists_agree(history: History) -> None:
    """8.1, 8.5: who meets which policies in which order; and the answers add up to the engine's state."""
    world, engine = history.world, history.engine
    local = {key: e for key, e in world.workloads.items() if e.spec.node == "here" and e.spec.ip_networks}
    assert history.follower.endpoints.keys() == local.keys() | world.hosts.keys()
    assert {**engine.local(), **engine.local_hosts()} == history.follower.endpoints
    for key, endpoint in local.items():
        for direction in DIRECTIONS:
            assert ids(engine.local()[key].tiers(direction)) == twin_ids(world, endpoint, direction)
    for key, endpoint in world.hosts.items():
        found = engine.local_hosts()[key]
        parts: tuple[tuple[HostTiers, dict[str, Any]], ...] = (
            (found.normal, {}),
            (found.untracked, {"hook": "untracked"}),
            (found.forward, {"forward": True}),
        )
        for direction in DIRECTIONS:
            for tiers, where in parts:
                assert ids(tiers.of(direction)) == twin_ids(world, endpoint, direction, **where)
        assert ids(found.pre_dnat.ingress) == twin_ids(world, endpoint, "ingress", hook="preDNAT")


def verdicts_agree(history: History, count: int) -> int:
    """Some packets at every endpoint that they concern, in every role; how many verdicts were compared."""
    return sum(_one(history, packet) for packet in history.pick.sample(PACKETS, count))


def _one(history: History, packet: Packet) -> int:
    world, evaluator, asked = history.world, history.engine.evaluator(), 0
    for key, resolved in history.engine.local().items():
        endpoint = world.workloads[key]
        if packet.source in resolved.addresses:
            agree(evaluator.egress(resolved, packet), slow_twin.verdict(world, endpoint, "egress", packet), packet)
            action, services = history.pick.choice(ACTIONS), history.pick.random() < 0.5
            said = evaluator.to_host(resolved, packet, action=action, host_services=services)
            assert said.allowed == slow_twin.to_host(world, endpoint, packet, action, services=services), (packet, said)
        elif packet.destination in resolved.addresses:
            agree(evaluator.ingress(resolved, packet), slow_twin.verdict(world, endpoint, "ingress", packet), packet)
        else:
            continue
        asked += 1
    for key, host in history.engine.local_hosts().items():
        endpoint, failsafes = world.hosts[key], history.pick.random() < 0.5
        for direction in DIRECTIONS:
            said = evaluator.host_traffic(host, direction, packet, None if failsafes else ())
            wanted = slow_twin.host_traffic(world, endpoint, direction, packet, failsafes=failsafes)
            agree(said, wanted, packet)
            passed = slow_twin.forwarded(world, endpoint, direction, packet)
            agree(evaluator.forwarded(host, direction, packet), passed, packet)
            asked += 2
    return asked


def agree(said: Verdict, wanted: Said, packet: Packet) -> None:
    """On the answer, and on who gave it."""
    by = said.by if said.by.startswith(DECIDERS) and not said.by.endswith("does not exist") else ""
    assert (said.allowed, by) == wanted, (packet, said, wanted)


def ids(tiers: Tiers) -> list[tuple[str, str, list[tuple[str, bool]]]]:
    return [(t.name, t.default_action, [(p.id, p.staged) for p in t.policies]) for t in tiers]


def twin_ids(world: World, endpoint: Resource[Any], direction: str, **where: Any) -> list[Any]:
    return [
        (name, end, [(policy_id(p), slow_twin.staged(p)) for p in policies])
        for name, end, policies in slow_twin.lists(world, endpoint, direction, **where)
    ]
