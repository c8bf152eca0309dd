"""The policy of one host: learns endpoints and profiles, answers with what changed for this host."""

from __future__ import annotations

import ipaddress
from collections import Counter

from tortie.model.kinds.profile import ProfileSpec
from tortie.model.kinds.workload_endpoint import WorkloadEndpointSpec
from tortie.model.resource import Resource
from tortie.policy.compile import compile_profile
from tortie.policy.labels import LabelIndex
from tortie.policy.values import Changed, EndpointChanged, ProfileChanged, Resolved, RuleLists, SelectorGone
from tortie.policy.verdict import Evaluator

NAMESPACE_LABEL = "projectcalico.org/namespace"
ORCHESTRATOR_LABEL = "projectcalico.org/orchestrator"
BROADCAST = ipaddress.IPv4Address("255.255.255.255")
RESERVED = ("pcns.", "pcsa.")


class PolicyEngine:
    """Endpoints of every host feed the selectors; rules are followed only for profiles that this host's list.

    One call per thing learned, None for gone. The order of learning does not matter for where it ends.
    """

    def __init__(self, node: str) -> None:
        self.node = node
        self._index = LabelIndex()
        self._profiles: dict[str, RuleLists] = {}
        self._local: dict[str, Resolved] = {}
        self._listed: Counter[str] = Counter()
        self._selector_uses: Counter[str] = Counter()

    def evaluator(self) -> Evaluator:
        """Verdicts on the endpoints of this host, by the present state."""
        return Evaluator(self._profiles.get, self._index.members)

    def local(self) -> dict[str, Resolved]:
        """The endpoints of this host by key."""
        return dict(self._local)

    def set_endpoint(self, key: str, resource: Resource[WorkloadEndpointSpec] | None) -> list[Changed]:
        """`key` is the store's key of the endpoint."""
        if resource is None:
            return [*self._index.set_endpoint(key, None), *self._set_local(key, None)]
        spec, addresses = resource.spec, _addresses(resource.spec)
        profiles = tuple(dict.fromkeys(spec.profiles))
        if not addresses:
            return self.set_endpoint(key, None)
        members = self._index.set_endpoint(key, _labels(resource), profiles, addresses)
        resolved = Resolved(spec.interface_name, addresses, profiles) if spec.node == self.node else None
        return [*members, *self._set_local(key, resolved)]

    def set_profile(self, name: str, spec: ProfileSpec | None) -> list[Changed]:
        members = self._index.set_profile(name, spec.labels_to_apply if spec else None)
        old, new = self._profiles.get(name), compile_profile(spec) if spec else None
        if new is None:
            self._profiles.pop(name, None)
        else:
            self._profiles[name] = new
        if old == new or not self._listed[name]:
            return [*members]
        # What the new rules use is followed before what only the old ones used is let go: a shared selector stays.
        gained = self._use(new)
        return [*members, *gained, ProfileChanged(name, new), *self._disuse(old)]

    def _set_local(self, key: str, resolved: Resolved | None) -> list[Changed]:
        old = self._local.get(key)
        if old == resolved:
            return []
        if resolved is None:
            del self._local[key]
        else:
            self._local[key] = resolved
        before: list[Changed] = []
        after: list[Changed] = []
        for name in dict.fromkeys(resolved.profiles if resolved else ()):
            self._listed[name] += 1
            if self._listed[name] == 1:
                rules = self._profiles.get(name)
                before += [*self._use(rules), ProfileChanged(name, rules)]
        for name in dict.fromkeys(old.profiles if old else ()):
            self._listed[name] -= 1
            if not self._listed[name]:
                del self._listed[name]
                after += [ProfileChanged(name, None), *self._disuse(self._profiles.get(name))]
        return [*before, EndpointChanged(key, resolved), *after]

    def _use(self, rules: RuleLists | None) -> list[Changed]:
        found: list[Changed] = []
        for selector in sorted(rules.selectors() if rules else ()):
            self._selector_uses[selector] += 1
            found += self._index.use(selector)
        return found

    def _disuse(self, rules: RuleLists | None) -> list[Changed]:
        found: list[Changed] = []
        for selector in sorted(rules.selectors() if rules else ()):
            self._selector_uses[selector] -= 1
            if not self._selector_uses[selector]:
                del self._selector_uses[selector]
                self._index.disuse(selector)
                found.append(SelectorGone(selector))
        return found


def _addresses(spec: WorkloadEndpointSpec) -> tuple[str, ...]:
    """The endpoint's addresses without their /32 or /128; what is not an address of a single host is left out."""
    found = []
    for text in spec.ip_networks:
        try:
            address = ipaddress.ip_interface(text).ip
        except ValueError:
            continue
        special = address.is_loopback or address.is_multicast or address.is_link_local or address.is_unspecified
        if not special and address != BROADCAST:
            found.append(str(address))
    return tuple(dict.fromkeys(found))


def _labels(resource: Resource[WorkloadEndpointSpec]) -> dict[str, str]:
    """Own labels without the reserved ones, and those that every workload endpoint has."""
    labels = {key: value for key, value in resource.metadata.labels.items() if not key.startswith(RESERVED)}
    labels[NAMESPACE_LABEL] = resource.metadata.namespace or ""
    labels[ORCHESTRATOR_LABEL] = resource.spec.orchestrator
    return labels
