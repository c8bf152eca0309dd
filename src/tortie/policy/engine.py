"""The policy of one host: learns endpoints, profiles, policies, tiers, and answers with what changed for this host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tortie.base.shares import Shares
from tortie.model.kinds.profile import DEFAULT_ALLOW, DEFAULT_ALLOW_NAME, ProfileSpec
from tortie.model.kinds.workload_endpoint import WorkloadEndpointSpec
from tortie.model.resource import Resource
from tortie.policy import endpoints
from tortie.policy.compile import compile_profile
from tortie.policy.endpoints import Party
from tortie.policy.labels import Gained, LabelIndex, discard
from tortie.policy.lists import Lists, Owner, lists_of, resolved
from tortie.policy.order import Tier
from tortie.policy.policies import compile_policy
from tortie.policy.sets import Sets, Use
from tortie.policy.values import (
    Changed,
    CompiledPolicy,
    Construct,
    EndpointChanged,
    HostEndpointChanged,
    NetsChanged,
    PolicyChanged,
    ProfileChanged,
    Resolved,
    ResolvedHost,
    RuleLists,
)
from tortie.policy.verdict import Evaluator

Memo = dict[tuple[frozenset[str], tuple[str, ...], bool], Lists]
"""By the selectors and profiles of endpoints, of hosts' ones or not."""
MEMO = 4096
NOTHING: frozenset[Owner] = frozenset()


class PolicyEngine:
    """Endpoints of every host feed the selectors; rules are followed only for what this host's endpoints list.

    One call per thing learned, None for gone. The order of learning does not matter for where it ends.
    `node` None: every host is this one (for questions asked without a kernel). `rendered`: what the renderer can
    express; an endpoint that needs more has a problem, which closes it.
    """

    def __init__(self, node: str | None, rendered: frozenset[Construct] = frozenset()) -> None:
        self.node = node
        self.sets = Sets()
        self._rendered = rendered
        self._renders_all = rendered >= frozenset(Construct)
        self._chosen: LabelIndex[str] = LabelIndex()
        self._parties: dict[str, Party] = {}
        self._local: dict[str, Resolved | ResolvedHost] = {}
        self._selecting: dict[str, set[str]] = {}
        self._policies: dict[str, CompiledPolicy] = {}
        self._policy_of: dict[str, str] = {}
        self._by_selector: dict[str, set[str]] = {}
        self._by_tier: dict[str, set[str]] = {}
        self._tiers: dict[str, Tier] = {}
        self._rules: dict[Owner, RuleLists] = {}
        self._listing: Shares[str, Owner] = Shares()
        self._users: dict[Use, set[Owner]] = {}
        self._lacking: dict[Owner, tuple[str, ...]] = {}
        self._waiting: set[str] | None = None
        self._memo: Memo = {}
        self.set_profile(DEFAULT_ALLOW_NAME, DEFAULT_ALLOW.spec)

    def evaluator(self) -> Evaluator:
        """Verdicts on the endpoints of this host, by the present state."""
        return Evaluator(self.rules_of_profile, self.rules_of_policy, self.sets)

    def rules_of_profile(self, name: str) -> RuleLists | None:
        return self._rules.get(("profile", name))

    def rules_of_policy(self, name: str) -> RuleLists | None:
        return self._rules.get(("policy", name))

    def policy_ids(self) -> list[str]:
        """Of all policies that are known."""
        return list(self._policies)

    def tier_of_policy(self, name: str) -> str:
        """Empty when there is no such policy."""
        policy = self._policies.get(name)
        return policy.tier if policy else ""

    def local(self) -> dict[str, Resolved]:
        """The workload endpoints of this host by key."""
        return {key: value for key, value in self._local.items() if isinstance(value, Resolved)}

    def local_hosts(self) -> dict[str, ResolvedHost]:
        """The host endpoints of this host by key."""
        return {key: value for key, value in self._local.items() if isinstance(value, ResolvedHost)}

    def select(self, selector: str) -> frozenset[str]:
        """The keys of the endpoints and host endpoints of this host that a selector's canonical text matches."""
        if selector in self._by_selector:
            return self._chosen.members(selector)
        self._chosen.use(selector)
        found = self._chosen.members(selector)
        self._chosen.disuse(selector)
        return found

    def rules_in_use(self) -> list[RuleLists]:
        """Of every policy and profile that an endpoint of this host lists."""
        return [rules for owner in sorted(self._listing) if (rules := self._rules.get(owner)) is not None]

    def uses(self) -> frozenset[Use]:
        """The selectors and named ports that rules in use mention."""
        return frozenset(self._users)

    def hold(self) -> None:
        """From now on the endpoints that changes touch wait: many changes at once cost each of them one look, not one
        for each change. What else changes is told as ever."""
        self._waiting = set() if self._waiting is None else self._waiting

    def release(self) -> Iterator[list[Changed]]:
        """The changes of the endpoints that waited, one after the other; to be taken to its end."""
        waiting, self._waiting = self._waiting or set(), None
        for key in sorted(waiting):
            yield self._settle((key,))

    def has(self, key: str) -> bool:
        """There is such an endpoint of this host."""
        return key in self._parties

    def set_endpoint(self, key: str, resource: Resource[WorkloadEndpointSpec] | None) -> list[Changed]:
        """`key` is the store's key of the endpoint."""
        return self._set_party(key, endpoints.workload(resource) if resource else None)

    def set_host_endpoint(self, key: str, resource: Resource[Any] | None) -> list[Changed]:
        return self._set_party(key, endpoints.host(resource) if resource else None)

    def set_network_set(self, key: str, resource: Resource[Any] | None) -> list[Changed]:
        """A NetworkSet or a GlobalNetworkSet."""
        found = endpoints.network_set(resource, frozenset(self.sets.members(key))) if resource else None
        return self._closing(self._put(key, found))

    def set_profile(self, name: str, spec: ProfileSpec | None) -> list[Changed]:
        """The one that allows everything is in force without being stored, and is no other if somebody stores it."""
        if name == DEFAULT_ALLOW_NAME:
            spec = DEFAULT_ALLOW.spec
        labels = spec.labels_to_apply if spec else None
        members = self.sets.set_profile(name, labels)
        touched = self._select(self._chosen.set_profile(name, labels))
        rules = self._set_rules(("profile", name), compile_profile(spec) if spec else None)
        return self._closing([*members, *rules], touched)

    def set_unreadable_profile(self, name: str, why: str) -> list[Changed]:
        """One that is in the store and cannot be read: whoever lists it is closed, for nobody knows its labels."""
        changes = self.set_profile(name, None)
        rules = self._set_rules(("profile", name), RuleLists(problems=(f"cannot be read: {why}",)))
        return [*changes, *self._closing(rules)]

    def set_policy(self, key: str, resource: Resource[Any] | None) -> list[Changed]:
        """A policy of any kind, staged ones too. Raises Invalid when its selectors cannot be read."""
        return self.set_compiled(key, compile_policy(resource) if resource else None)

    def set_compiled(self, key: str, found: tuple[CompiledPolicy, RuleLists] | None) -> list[Changed]:
        """As `set_policy`; also for what stands in the place of a policy."""
        old = self._policy_of.get(key)
        gone = self._drop_policy(key, old) if old is not None and (found is None or found[0].id != old) else []
        if found is None:
            return gone
        name = self._policy_of[key] = found[0].id
        touched = self._place(name, found[0])
        return [*gone, *self._closing(self._set_rules(("policy", name), found[1]), touched)]

    def _drop_policy(self, key: str, name: str) -> list[Changed]:
        del self._policy_of[key]
        changes = self._settle(self._place(name, None))
        return [*changes, *self._set_rules(("policy", name), None)]

    def set_tier(self, name: str, tier: Tier | None) -> list[Changed]:
        if self._tiers.get(name) == tier:
            return []
        self._memo.clear()
        if tier is None:
            del self._tiers[name]
        else:
            self._tiers[name] = tier
        selectors = {self._policies[policy].selector for policy in self._by_tier.get(name, ())}
        return self._settle({key for selector in selectors for key in self._chosen.members(selector)})

    def _set_party(self, key: str, party: Party | None) -> list[Changed]:
        members = self._put(key, party)
        local = party is not None and self.node in (None, party.node)
        if party is not None and local:
            self._parties[key] = party
            touched = self._select(self._chosen.set_endpoint(key, party.labels, party.profiles, (key,)))
        else:
            self._parties.pop(key, None)
            touched = self._select(self._chosen.set_endpoint(key, None))
        return self._closing(members, touched | {key})

    def _put(self, key: str, party: Party | None) -> list[Changed]:
        if party is None:
            return self.sets.put(key, None)
        return self.sets.put(key, party.labels, party.profiles, party.members, party.ports)

    def _select(self, gained: Iterable[Gained[str]]) -> set[str]:
        """Note which policy selectors endpoints of this host match; the endpoints for which that changed."""
        touched: set[str] = set()
        for change in gained:
            for key in change.added:
                self._selecting.setdefault(key, set()).add(change.name)
            for key in change.removed:
                self._unselect(key, change.name)
            touched |= change.added | change.removed
        return touched

    def _unselect(self, key: str, selector: str) -> None:
        held = self._selecting[key]
        held.discard(selector)
        if not held:
            del self._selecting[key]

    def _place(self, name: str, policy: CompiledPolicy | None) -> set[str]:
        """Put a policy where its selector and tier say; the endpoints whose lists that may change."""
        old = self._policies.get(name)
        if old == policy:
            return set()
        self._memo.clear()
        touched: set[str] = set()
        if policy is not None:
            self._policies[name] = policy
            self._by_tier.setdefault(policy.tier, set()).add(name)
            self._by_selector.setdefault(policy.selector, set()).add(name)
            touched |= self._select(self._chosen.use(policy.selector)) | self._chosen.members(policy.selector)
        else:
            self._policies.pop(name, None)
        if old is not None:
            touched |= self._chosen.members(old.selector)
            if policy is None or policy.tier != old.tier:
                discard(self._by_tier, old.tier, name)
            if policy is None or policy.selector != old.selector:
                discard(self._by_selector, old.selector, name)
                self._forget_selector(old.selector)
        return touched

    def _forget_selector(self, selector: str) -> None:
        if selector not in self._by_selector:
            for key in self._chosen.members(selector):
                self._unselect(key, selector)
            self._chosen.disuse(selector)

    def _set_rules(self, owner: Owner, rules: RuleLists | None) -> list[Changed]:
        old = self._rules.get(owner)
        if rules is None:
            self._rules.pop(owner, None)
        else:
            self._rules[owner] = rules
        if old == rules or owner not in self._listing:
            return []
        # What the new rules use is followed before what only the old ones used is let go: a shared selector stays.
        gained = self._follow(owner, _uses(rules) - _uses(old))
        return [*gained, _rules_changed(owner, rules), *self._unfollow(owner, _uses(old) - _uses(rules))]

    def _follow(self, owner: Owner, uses: Iterable[Use]) -> list[Changed]:
        found: list[Changed] = []
        for what in sorted(uses, key=str):
            if what not in self._users:
                found += self.sets.use(what)
            self._users.setdefault(what, set()).add(owner)
        return found

    def _unfollow(self, owner: Owner, uses: Iterable[Use]) -> list[Changed]:
        found: list[Changed] = []
        for what in sorted(uses, key=str):
            discard(self._users, what, owner)
            if what not in self._users:
                found.append(self.sets.disuse(what))
        return found

    def _closing(self, changes: list[Changed], touched: Iterable[str] = ()) -> list[Changed]:
        """The changes, and those of the endpoints that they touch or close."""
        return [*changes, *self._settle(set(touched) | self._judged(changes))]

    def _judged(self, changes: Iterable[Changed]) -> set[str]:
        """Judge again what the renderer lacks for the owners that changes are about; the endpoints it matters to."""
        owners: set[Owner] = set()
        for change in changes:
            if isinstance(change, NetsChanged):
                owners |= self._users.get(change.selector, set())
            elif isinstance(change, PolicyChanged):
                owners.add(("policy", change.id))
            elif isinstance(change, ProfileChanged):
                owners.add(("profile", change.name))
        touched: set[str] = set()
        for owner in owners:
            if self._lacking.pop(owner, ()) != self._lacks(owner):
                touched |= self._listing.keys(owner)
        return touched

    def _lacks(self, owner: Owner) -> tuple[str, ...]:
        """What the rules of an owner need and the renderer has not."""
        if owner not in self._lacking:
            rules, found = self._rules.get(owner), []
            if rules and Construct.NAMED_PORTS not in self._rendered and rules.named_ports():
                found.append(Construct.NAMED_PORTS)
            if rules and Construct.NETS not in self._rendered and any(map(self.sets.is_wide, rules.selectors())):
                found.append(Construct.NETS)
            self._lacking[owner] = tuple(f"{owner[0]} {owner[1]}: {what.value} cannot be enforced" for what in found)
        return self._lacking[owner]

    def _settle(self, keys: Iterable[str]) -> list[Changed]:
        """Bring the lists of endpoints up to date: what they begin to list is told first, what nobody lists last."""
        if self._waiting is not None:
            self._waiting.update(keys)
            return []
        found: list[Changed] = []
        for key in sorted(keys):
            old, party = self._local.get(key), self._parties.get(key)
            lists = self._lists(key, party) if party else None
            begun, ended = self._listing.put(key, lists.owners if lists else NOTHING)
            for owner in sorted(begun):
                found += self._begin(owner)
            new = resolved(party, lists, self._problems(lists)) if party and lists else None
            if new != old:
                found.append(self._store(key, old, new))
            for owner in sorted(ended):
                found += self._end(owner)
        return found

    def _store(
        self, key: str, old: Resolved | ResolvedHost | None, new: Resolved | ResolvedHost | None
    ) -> EndpointChanged | HostEndpointChanged:
        if new is None:
            del self._local[key]
            return HostEndpointChanged(key, None) if isinstance(old, ResolvedHost) else EndpointChanged(key, None)
        self._local[key] = new
        return HostEndpointChanged(key, new) if isinstance(new, ResolvedHost) else EndpointChanged(key, new)

    def _begin(self, owner: Owner) -> list[Changed]:
        """Somebody lists it, for the first time."""
        rules = self._rules.get(owner)
        return [*self._follow(owner, _uses(rules)), _rules_changed(owner, rules)]

    def _end(self, owner: Owner) -> list[Changed]:
        """Nobody lists it any more."""
        self._lacking.pop(owner, None)
        return [_rules_changed(owner, None), *self._unfollow(owner, _uses(self._rules.get(owner)))]

    def _lists(self, key: str, party: Party) -> Lists:
        selectors = frozenset(self._selecting.get(key, ()))
        place = selectors, party.profiles, party.host
        if (known := self._memo.get(place)) is not None:
            return known
        if len(self._memo) >= MEMO:
            self._memo.clear()
        policies = [self._policies[name] for text in selectors for name in self._by_selector.get(text, ())]
        found = self._memo[place] = lists_of(party, policies, self._tiers)
        return found

    def _problems(self, lists: Lists) -> tuple[str, ...]:
        return () if self._renders_all else tuple([text for owner in lists.enforced for text in self._lacks(owner)])


def _uses(rules: RuleLists | None) -> frozenset[Use]:
    return frozenset((*rules.selectors(), *rules.named_ports())) if rules else frozenset()


def _rules_changed(owner: Owner, rules: RuleLists | None) -> Changed:
    kind, name = owner
    return PolicyChanged(name, rules) if kind == "policy" else ProfileChanged(name, rules)
