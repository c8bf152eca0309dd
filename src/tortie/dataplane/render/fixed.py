"""The base chains in the table, and what hangs on them besides workload endpoints: the maps of host endpoints, floating
addresses, the hosts that there are tunnels with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from tortie.dataplane.ledger import Ledger
from tortie.dataplane.render import base, extras, hosts
from tortie.dataplane.render.chains import Chains, write_failsafes
from tortie.dataplane.render.hosts import SLOTS, Slot, Verdict
from tortie.dataplane.render.settings import PEERS, Settings
from tortie.dataplane.render.stacks import Stack
from tortie.dataplane.want import SetDef
from tortie.policy.values import Resolved, ResolvedHost

Elements = Mapping[tuple[str, str], str]
"""Verdicts, or nothing, by set and key."""


class FixedPart:
    """Written again as a whole when something changes that it depends on; nothing of it grows with endpoints."""

    def __init__(self, ledger: Ledger, chains: Chains, settings: Settings) -> None:
        self._ledger = ledger
        self._chains = chains
        self._settings = settings
        self._peers: frozenset[str] = frozenset()
        self._stacks: list[Stack] = []
        self._work = hosts.NOTHING
        self._extras = base.NO_EXTRAS
        self._floating: Mapping[str, str] = {}
        for name, definition in base.LIVE_SETS.items():
            ledger.put_set(name, definition)
        self._write()

    def set_settings(self, settings: Settings) -> None:
        self._settings = settings
        self._write_peers()
        self._write()

    def set_peers(self, peers: Iterable[str]) -> None:
        """The addresses of the cluster's hosts, who may send what comes out of tunnels."""
        found = frozenset(peers)
        if found != self._peers:
            self._peers = found
            self._write_peers()

    def _write(self) -> None:
        chains = base.base_chains(self._settings, self._work, self._extras)
        for name in base.OPTIONAL:
            if name not in chains:
                self._chains.drop_chain(name)
        for name, (written, place) in chains.items():
            self._chains.put_chain(name, written, base=place)

    def _write_peers(self) -> None:
        for version, name in PEERS.items():
            wanted = {peer: "" for peer in self._peers if extras.version_of(peer) == version}
            self._settle(name, SetDef(f"ipv{version}_addr"), wanted if self._settings.knows_hosts else None)

    def _settle(self, name: str, definition: SetDef, wanted: Mapping[str, str] | None) -> None:
        """A set or map with these elements; None: it is not there."""
        if wanted is None:
            self._ledger.drop_set(name)
            return
        if name not in self._ledger.defs:
            self._ledger.put_set(name, definition)
        for gone in self._ledger.elements(name).keys() - wanted.keys():
            self._ledger.drop_element(name, gone)
        for key, verdict in wanted.items():
            self._ledger.put_element(name, key, verdict)

    def set_hosts(
        self, by_interface: Mapping[str, str], held: Mapping[str, ResolvedHost], closed: Mapping[str, bool]
    ) -> None:
        """Host endpoints by key, the one of each interface, and which of them are closed. They are few."""
        elements, work = hosts.dispatch(by_interface, held, closed)
        verdicts = [*(found for part in elements.values() for found in part.values()), *work.others.values()]
        stacks = [found for found in verdicts if isinstance(found, Stack)]
        write_failsafes(self._chains, self._settings, wanted=bool(stacks))
        for stack in stacks:
            self._chains.hold(stack)
        for slot in SLOTS:
            self._settle_slot(slot, elements.get(slot))
        if work != self._work:
            self._work = work
            self._write()
        for stack in self._stacks:
            self._chains.release(stack)
        self._stacks = stacks

    def _settle_slot(self, slot: Slot, verdicts: Mapping[str, Verdict] | None) -> None:
        wanted = {f'"{name}"': hosts.verdict_text(found) for name, found in (verdicts or {}).items()}
        self._settle(slot.map, SetDef("ifname", verdict=True), None if verdicts is None else wanted)

    def set_extras(self, endpoints: Sequence[Resolved], owned: Callable[[Resolved, str], bool]) -> None:
        """The endpoints that have floating addresses or sources besides their own. They are few too."""
        pairs = extras.floating(endpoints, owned) if self._settings.floating else {}
        spoofers = extras.spoof_rules(endpoints) if self._settings.spoofing else []
        chains = extras.floating_chains(pairs)
        for name in extras.floating_chains(self._floating).keys() - chains.keys():
            self._chains.drop_chain(name)
        for name, written in chains.items():
            self._chains.put_chain(name, written)
        self._floating = pairs
        elements = extras.floating_elements(pairs)
        for maps in (extras.TO_FLOATING, extras.HAIRPIN):
            for version, name in maps.items():
                wanted = {key: verdict for (of, key), verdict in elements.items() if of == name}
                self._settle(name, SetDef(f"ipv{version}_addr", verdict=True), wanted or None)
        families = tuple(sorted({extras.version_of(outside) for outside in pairs}))
        if (found := base.Extras(families, tuple(spoofers))) != self._extras:
            self._extras = found
            self._write()
