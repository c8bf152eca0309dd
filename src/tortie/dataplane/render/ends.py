"""Hosts that speak from the ends of their tunnels: what a rule says about a host's address holds for those, too.

A host's own packets to a container behind a tunnel carry the address of the tunnel's end. A rule whose source names
networks (a host's address among them) would miss them. So such a rule also asks a set of the ends of the hosts in these
networks; there is none while no host in them has a tunnel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping

from tortie.dataplane.render.live import LiveSets
from tortie.dataplane.render.rules import ends_of, source_nets
from tortie.policy.nets import within
from tortie.policy.values import MembersChanged, RuleLists

Hosts = Mapping[str, frozenset[str]]
"""By a host's address the ends of its tunnels."""


class TunnelEnds:
    """Both methods name what sets came or went for, as `ends_of` does: rules that ask for them must be written anew."""

    def __init__(self, live: LiveSets) -> None:
        self._live = live
        self._hosts: Hosts = {}
        self._of: dict[Hashable, frozenset[tuple[str, ...]]] = {}
        self._users: Counter[tuple[str, ...]] = Counter()
        self._members: dict[tuple[str, ...], frozenset[str]] = {}

    def set_rules(self, owner: Hashable, rules: RuleLists | None) -> list[str]:
        """The rules of a policy or profile; None: it is gone."""
        old, new = self._of.pop(owner, frozenset()), source_nets(rules)
        if new:
            self._of[owner] = new
        self._users.update(new)
        self._users.subtract(old)
        for nets in [nets for nets in old if not self._users[nets]]:
            del self._users[nets]
        return [ends_of(nets) for nets in old ^ new if self._look(nets)]

    def set_hosts(self, hosts: Hosts) -> list[str]:
        """All hosts that there are tunnels to."""
        changed = [host for host in self._hosts.keys() | hosts.keys() if self._hosts.get(host) != hosts.get(host)]
        self._hosts = dict(hosts)
        concerned = [nets for nets in self._users if any(within(host, nets) for host in changed)]
        return [ends_of(nets) for nets in concerned if self._look(nets)]

    def _look(self, nets: tuple[str, ...]) -> bool:
        """Bring the set of these networks up to date; whether it came or went."""
        used = nets in self._users
        inside = [ends for host, ends in self._hosts.items() if within(host, nets)] if used else []
        old, new = self._members.pop(nets, frozenset[str]()), frozenset[str]().union(*inside)
        if not new:
            self._live.forget(ends_of(nets))
            return bool(old)
        self._members[nets] = new
        return self._live.learn_members(MembersChanged(ends_of(nets), new - old, old - new))
