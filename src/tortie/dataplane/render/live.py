"""The sets of selectors and named ports in the table: they change while rules look things up in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tortie.dataplane.ledger import Ledger
from tortie.dataplane.render.rules import port_set, selector_nets, selector_set
from tortie.dataplane.want import SetDef
from tortie.policy.values import MembersChanged, NamedPort, NetsChanged, PortsChanged

FAMILIES = (4, 6)


class LiveSets:
    """Each `learn_…` says whether sets came or went by it: then the rules that ask them must be written again.

    A set for IPv6, or for networks, is there only while it has members: a set costs every later change of rules.
    `wide`: the prefix lengths of a selector's networks of one family, each of which has a set of its own.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.wide: dict[tuple[str, int], tuple[int, ...]] = {}

    def learn_members(self, change: MembersChanged) -> bool:
        came = self._make(selector_set(change.selector, 4), "ipv4_addr")
        for version in FAMILIES:
            added, removed = _of(version, change.added), _of(version, change.removed)
            name, kind = selector_set(change.selector, version), f"ipv{version}_addr"
            came |= self._change(name, kind, added, removed, stays=version == 4)
        return came

    def learn_ports(self, change: PortsChanged) -> bool:
        came = self._make(port_set(change.port, 4), "ipv4_addr . inet_proto . inet_service")
        added, removed = ([" . ".join(map(str, member)) for member in part] for part in (change.added, change.removed))
        for version in FAMILIES:
            name, kind = port_set(change.port, version), f"ipv{version}_addr . inet_proto . inet_service"
            came |= self._change(name, kind, _of(version, added), _of(version, removed), stays=version == 4)
        return came

    def learn_nets(self, change: NetsChanged) -> bool:
        """A packet's address is looked up without what lies behind the prefix. (One set of ranges would do for all
        lengths; but newer kernels go over all of it whenever one changes: 14 ms among 100,000.)"""
        came = False
        for version in FAMILIES:
            added, removed = (_by_length(_of(version, nets)) for nets in (change.added, change.removed))
            for length in sorted(added.keys() | removed.keys()):
                name = selector_nets(change.selector, version, length)
                put, drop = added.get(length, ()), removed.get(length, ())
                if self._change(name, f"ipv{version}_addr", put, drop, stays=False):
                    self._note(change.selector, version, length, there=name in self._ledger.defs)
                    came = True
        return came

    def _note(self, selector: str, version: int, length: int, *, there: bool) -> None:
        lengths = {*self.wide.pop((selector, version), ()), length} - (set() if there else {length})
        if lengths:
            self.wide[selector, version] = tuple(sorted(lengths))

    def forget(self, what: str | NamedPort) -> None:
        """No rule asks for the selector or named port any more."""
        for version in FAMILIES:
            if isinstance(what, NamedPort):
                self._ledger.drop_set(port_set(what, version))
                continue
            self._ledger.drop_set(selector_set(what, version))
            for length in self.wide.pop((what, version), ()):
                self._ledger.drop_set(selector_nets(what, version, length))

    def _make(self, name: str, kind: str) -> bool:
        if name in self._ledger.defs:
            return False
        self._ledger.put_set(name, SetDef(kind))
        return True

    def _change(self, name: str, kind: str, added: Sequence[str], removed: Sequence[str], *, stays: bool) -> bool:
        """Whether the set came or went. `stays`: without members too."""
        came = bool(added) and self._make(name, kind)
        for member in removed:
            self._ledger.drop_element(name, member)
        for member in added:
            self._ledger.put_element(name, member)
        if stays or name not in self._ledger.defs or self._ledger.elements(name):
            return came
        self._ledger.drop_set(name)
        return True


def _of(version: int, members: Iterable[str]) -> list[str]:
    return [member for member in members if (":" in member) == (version == 6)]


def _by_length(nets: Iterable[str]) -> dict[int, list[str]]:
    """The first addresses of networks by the lengths of their prefixes."""
    found: dict[int, list[str]] = {}
    for net in nets:
        first, _, length = net.partition("/")
        found.setdefault(int(length), []).append(first)
    return found
