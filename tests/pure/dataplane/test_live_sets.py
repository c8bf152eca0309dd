"""Networks in sets: the kernel takes none that lies in another, and a change costs what it changes."""

from __future__ import annotations

import random
from ipaddress import IPv4Network, ip_network

from hypothesis import given
from hypothesis import strategies as st

from tortie.dataplane.ledger import Ledger
from tortie.dataplane.render.live import Cover, LiveSets
from tortie.dataplane.render.rules import selector_nets
from tortie.policy.values import NetsChanged

NETS = st.builds(
    lambda length, place: str(ip_network((place << 24, length), strict=False)),
    st.integers(0, 30),
    st.integers(0, 7),
) | st.builds(
    lambda length, place: str(ip_network((0x0A000000 + place, length), strict=False)),
    st.integers(20, 31),
    st.integers(0, 4095),
)


def outermost(held: set[str]) -> set[str]:
    """Written down plainly: those that lie in no other."""
    nets = {IPv4Network(text) for text in held}
    return {str(net) for net in nets if not any(net != other and net.subnet_of(other) for other in nets)}


@given(st.lists(st.tuples(st.booleans(), st.sets(NETS, max_size=6)), max_size=12))
def test_what_is_shown_are_the_outermost_networks(steps: list[tuple[bool, set[str]]]) -> None:
    cover, held, shown = Cover(4), set[str](), set[str]()
    for put, nets in steps:
        added, removed = (nets - held, set[str]()) if put else (set[str](), nets & held)
        held = (held | added) - removed
        came, went = cover.change(added, removed)
        assert not shown & set(came)
        assert shown >= set(went)
        shown = (shown | set(came)) - set(went)
        assert shown == outermost(held)
        assert bool(cover) == bool(held)


def test_many_at_once_end_where_one_by_one_does() -> None:
    pick = random.Random(1)
    nets = {str(ip_network((pick.getrandbits(32), pick.randint(8, 30)), strict=False)) for _ in range(400)}
    at_once, one_by_one, shown = Cover(4), Cover(4), set[str]()
    whole, _ = at_once.change(nets, ())
    for net in sorted(nets, key=lambda _: pick.random()):
        came, went = one_by_one.change({net}, ())
        shown = (shown | set(came)) - set(went)
    assert shown == set(whole) == outermost(nets)


def test_a_set_of_networks_is_there_while_it_has_some() -> None:
    ledger = Ledger()
    live = LiveSets(ledger)
    four, six = (selector_nets("has(a)", version) for version in (4, 6))
    assert live.learn_nets(NetsChanged("has(a)", frozenset({"10.0.0.0/8", "fd00::/8"}), frozenset()))
    assert {four, six} <= ledger.defs.keys()
    assert not live.learn_nets(NetsChanged("has(a)", frozenset({"10.1.0.0/16"}), frozenset()))
    assert list(ledger.elements(four)) == ["10.0.0.0/8"]
    assert live.learn_nets(NetsChanged("has(a)", frozenset(), frozenset({"fd00::/8"})))
    assert six not in ledger.defs
    assert not live.learn_nets(NetsChanged("has(a)", frozenset(), frozenset({"10.0.0.0/8"})))
    assert list(ledger.elements(four)) == ["10.1.0.0/16"]
