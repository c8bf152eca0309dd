"""The sets of selectors and named ports in the table: they change while rules look things up in them."""

from __future__ import annotations

import ipaddress
from bisect import bisect_left, insort
from collections.abc import Iterable

from tortie.dataplane.ledger import Ledger
from tortie.dataplane.render.rules import port_set, selector_nets, selector_set
from tortie.dataplane.want import SetDef
from tortie.policy.nets import BITS, network
from tortie.policy.values import MembersChanged, NamedPort, NetsChanged, PortsChanged

FAMILIES = (4, 6)
Net = tuple[int, int]
"""First address and length of its prefix, as numbers."""


class LiveSets:
    """Each `learn_…` says whether sets came or went by it: then the rules that ask them must be written again.

    A set for IPv6, or for networks, is there only while it has members: a set costs every later change of rules.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._covers: dict[str, Cover] = {}

    def learn_members(self, change: MembersChanged) -> bool:
        came = self._make(selector_set(change.selector, 4), "ipv4_addr")
        for version in FAMILIES:
            added, removed = _of(version, change.added), _of(version, change.removed)
            came |= self._change(selector_set(change.selector, version), f"ipv{version}_addr", added, removed)
        return came

    def learn_ports(self, change: PortsChanged) -> bool:
        came = self._make(port_set(change.port, 4), "ipv4_addr . inet_proto . inet_service")
        added, removed = ([" . ".join(map(str, member)) for member in part] for part in (change.added, change.removed))
        for version in FAMILIES:
            name, kind = port_set(change.port, version), f"ipv{version}_addr . inet_proto . inet_service"
            came |= self._change(name, kind, _of(version, added), _of(version, removed))
        return came

    def learn_nets(self, change: NetsChanged) -> bool:
        came = False
        for version in FAMILIES:
            added, removed = _of(version, change.added), _of(version, change.removed)
            if not added and not removed:
                continue
            name = selector_nets(change.selector, version)
            cover = self._covers.setdefault(name, Cover(version))
            shown, hidden = cover.change(added, removed)
            came |= self._change(name, f"ipv{version}_addr", shown, hidden, interval=True)
            if not cover:
                del self._covers[name]
        return came

    def forget(self, what: str | NamedPort) -> None:
        """No rule asks for the selector or named port any more."""
        for version in FAMILIES:
            if isinstance(what, NamedPort):
                self._ledger.drop_set(port_set(what, version))
                continue
            self._covers.pop(selector_nets(what, version), None)
            self._ledger.drop_set(selector_set(what, version))
            self._ledger.drop_set(selector_nets(what, version))

    def _make(self, name: str, kind: str, *, interval: bool = False) -> bool:
        if name in self._ledger.defs:
            return False
        self._ledger.put_set(name, SetDef(kind, interval=interval))
        return True

    def _change(
        self, name: str, kind: str, added: Iterable[str], removed: Iterable[str], *, interval: bool = False
    ) -> bool:
        """Whether the set came or went. One for IPv4 addresses stays, without members too."""
        added = list(added)
        came = bool(added) and self._make(name, kind, interval=interval)
        for member in removed:
            self._ledger.drop_element(name, member)
        for member in added:
            self._ledger.put_element(name, member)
        stays = not interval and kind.startswith("ipv4")
        if stays or name not in self._ledger.defs or self._ledger.elements(name):
            return came
        self._ledger.drop_set(name)
        return True


def _of(version: int, members: Iterable[str]) -> list[str]:
    return [member for member in members if (":" in member) == (version == 6)]


class Cover:
    """Networks of one family without those that lie in another of them: the kernel takes no overlapping ones."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._bits = BITS[version]
        self._held: list[Net] = []
        self._by_length: dict[int, set[int]] = {}
        self._shown: set[Net] = set()

    def __bool__(self) -> bool:
        return bool(self._held)

    def change(self, added: Iterable[str], removed: Iterable[str]) -> tuple[list[str], list[str]]:
        """(what is shown now and was not, what was shown and is not)."""
        wanted, gone = ({self._net(text) for text in part} for part in (added, removed))
        before: dict[Net, bool] = {}
        if len(wanted) + len(gone) > max(64, len(self._held) // 8):
            before = dict.fromkeys(self._shown, True)
            self._all(wanted, gone)
            changed = self._shown ^ before.keys()
        else:
            for net in gone:
                self._remove(net, before)
            for net in wanted:
                self._add(net, before)
            changed = {net for net, was in before.items() if was != (net in self._shown)}
        shown = [self._text(net) for net in changed if net in self._shown]
        return shown, [self._text(net) for net in changed if net not in self._shown]

    def _all(self, added: set[Net], removed: set[Net]) -> None:
        """Everything anew: cheaper than one by one when many change."""
        self._held = sorted((set(self._held) - removed) | added)
        self._by_length, self._shown = {}, set()
        end = -1
        for net in self._held:
            self._by_length.setdefault(net[1], set()).add(net[0])
            if net[0] > end:
                self._shown.add(net)
                end = self._last(net)

    def _add(self, net: Net, before: dict[Net, bool]) -> None:
        if net[0] in self._by_length.setdefault(net[1], set()):
            return
        inside = self._inside(net)
        insort(self._held, net)
        self._by_length[net[1]].add(net[0])
        if self._covered(net):
            return
        self._show(net, True, before)
        for other in inside:
            if other in self._shown:
                self._show(other, False, before)

    def _remove(self, net: Net, before: dict[Net, bool]) -> None:
        lengths = self._by_length.get(net[1], set())
        if net[0] not in lengths:
            return
        lengths.discard(net[0])
        del self._held[bisect_left(self._held, net)]
        if net not in self._shown:
            return
        self._show(net, False, before)
        end = -1
        for other in self._inside(net):
            if other[0] > end:
                self._show(other, True, before)
                end = self._last(other)

    def _show(self, net: Net, shown: bool, before: dict[Net, bool]) -> None:
        before.setdefault(net, net in self._shown)
        (self._shown.add if shown else self._shown.discard)(net)

    def _covered(self, net: Net) -> bool:
        """Whether a wider one holds it."""
        wider = (length for length in self._by_length if length < net[1])
        return any(net[0] >> (self._bits - n) << (self._bits - n) in self._by_length[n] for n in wider)

    def _inside(self, net: Net) -> list[Net]:
        """Those held that lie in it, wider ones before what lies in them."""
        return self._held[bisect_left(self._held, net) : bisect_left(self._held, (self._last(net) + 1, 0))]

    def _last(self, net: Net) -> int:
        return net[0] + (1 << (self._bits - net[1])) - 1

    def _net(self, text: str) -> Net:
        _, length, prefix = network(text)
        return prefix << (self._bits - length), length

    def _text(self, net: Net) -> str:
        address = ipaddress.IPv4Address(net[0]) if self._version == 4 else ipaddress.IPv6Address(net[0])
        return f"{address}/{net[1]}"
