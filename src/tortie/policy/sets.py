"""The sets that rules speak of: addresses and networks of selectors, ports by name. Followed while rules use them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tortie.model.selector import Selector, parse
from tortie.model.selector.nodes import And, Equal
from tortie.policy.labels import Gained, LabelIndex
from tortie.policy.nets import NetTable
from tortie.policy.values import (
    Changed,
    MembersChanged,
    NamedPort,
    NamedPortGone,
    NetsChanged,
    PortMember,
    PortsChanged,
    SelectorGone,
)

# No label that a person can write: it keeps the ports apart from the endpoints that have them.
PORT_LABEL = "\0port"
Use = str | NamedPort
Ports = Sequence[tuple[str, int, int]]


class Sets:
    """One call per thing learned; each answers with what the sets in use gained and lost."""

    def __init__(self) -> None:
        self._index: LabelIndex[str] = LabelIndex()
        self._ports: LabelIndex[PortMember] = LabelIndex()
        self._named: dict[str, NamedPort] = {}
        self._port_keys: dict[str, int] = {}
        self._nets: dict[str, NetTable] = {}

    def has(self, selector: str, address: str) -> bool:
        """Whether the address is in the set of a selector in use."""
        table = self._nets.get(selector)
        return self._index.has(selector, address) or (table is not None and table.has(address))

    def has_port(self, port: NamedPort, member: PortMember) -> bool:
        return self._ports.has(_name(port), member)

    def is_wide(self, selector: str) -> bool:
        """Whether the set holds networks of more than one address."""
        return selector in self._nets

    def members(self, key: str) -> tuple[str, ...]:
        """What an endpoint or a set of networks brings."""
        return self._index.brought(key)

    def put(
        self,
        key: str,
        labels: Mapping[str, str] | None,
        profiles: tuple[str, ...] = (),
        members: tuple[str, ...] = (),
        ports: Ports = (),
    ) -> list[Changed]:
        """An endpoint or a set of networks. `ports`: (name, protocol, port) of each; `labels` None: it is gone."""
        found = self._translated(self._index.set_endpoint(key, labels, profiles, members))
        before = self._port_keys.pop(key, 0)
        wanted = ports if labels is not None else ()
        for number, (name, protocol, port) in enumerate(wanted):
            marked = {**(labels or {}), PORT_LABEL: f"{protocol}:{name}"}
            values = tuple((address, protocol, port) for address in members)
            found += self._port_changes(self._ports.set_endpoint(f"{key} {number}", marked, profiles, values))
        for number in range(len(wanted), before):
            found += self._port_changes(self._ports.set_endpoint(f"{key} {number}", None))
        if wanted:
            self._port_keys[key] = len(wanted)
        return found

    def set_profile(self, name: str, labels: Mapping[str, str] | None) -> list[Changed]:
        return [
            *self._translated(self._index.set_profile(name, labels)),
            *self._port_changes(self._ports.set_profile(name, labels)),
        ]

    def use(self, what: Use) -> list[Changed]:
        if isinstance(what, str):
            return self._translated(self._index.use(what), first=True)
        name = _name(what)
        self._named[name] = what
        mark = Equal(PORT_LABEL, f"{what.protocol}:{what.name}")
        return self._port_changes(self._ports.use(name, Selector.of(And((mark, parse(what.selector).node)))))

    def disuse(self, what: Use) -> Changed:
        if isinstance(what, str):
            self._index.disuse(what)
            self._nets.pop(what, None)
            return SelectorGone(what)
        self._ports.disuse(_name(what))
        del self._named[_name(what)]
        return NamedPortGone(what)

    def _translated(self, gained: Iterable[Gained[str]], *, first: bool = False) -> list[Changed]:
        """Addresses and wider networks apart. The first answer of a set names its addresses, none too."""
        found: list[Changed] = []
        for change in gained:
            added, removed = _wide(change.added), _wide(change.removed)
            if added or removed:
                self._note_nets(change.name, added, removed)
                found.append(NetsChanged(change.name, added, removed))
            addresses = MembersChanged(change.name, change.added - added, change.removed - removed)
            if addresses.added or addresses.removed or first:
                found.append(addresses)
        return found

    def _note_nets(self, selector: str, added: frozenset[str], removed: frozenset[str]) -> None:
        table = self._nets.setdefault(selector, NetTable())
        for net in removed:
            table.discard(net)
        for net in added:
            table.add(net)
        if not table:
            del self._nets[selector]

    def _port_changes(self, gained: Iterable[Gained[PortMember]]) -> list[Changed]:
        return [PortsChanged(self._named[change.name], change.added, change.removed) for change in gained]


def _wide(members: frozenset[str]) -> frozenset[str]:
    return frozenset(member for member in members if "/" in member)


def _name(port: NamedPort) -> str:
    return f"{port.protocol}:{port.name} {port.selector}"
