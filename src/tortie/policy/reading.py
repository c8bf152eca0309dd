"""From the texts of files to resources and assertions: every form that people have. Pure.

Calico's v3 and v1 forms, Kubernetes' Namespace, ServiceAccount, Pod and NetworkPolicy, and assertions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from tortie.base.errors import Conflict, Invalid
from tortie.base.sources import documents
from tortie.model.documents import TORTIE_VERSION, item
from tortie.model.eras import stored_names
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import API_VERSION, Kind, Resource, problems
from tortie.policy.endpoints import addresses
from tortie.policy.world import World

if TYPE_CHECKING:
    from tortie.policy.assertions import Assertion

# The other forms are imported when a document needs them: most files are all of one form.
KUBERNETES = "k8s"
NOWHERE = "unplaced"
FIRST_ADDRESS = 240 << 24
"""Addresses for pods that have none yet, of a range that nobody uses."""
KNOWN = "Calico's v3 and v1 kinds, Kubernetes' Namespace, ServiceAccount, Pod and NetworkPolicy, tortie/v1 Assertion"


@dataclass(frozen=True, slots=True)
class Loaded:
    """`places`: where each resource is written, by key; `revisions`: those that a file names; `notes`: what a person
    should know; `old`: keys that were written in the v1 form, which does not speak of every field."""

    resources: Mapping[str, Resource[Any]] = field(default_factory=dict)
    assertions: tuple[Assertion, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    revisions: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    old: frozenset[str] = frozenset()


class Reader:
    """Reads several sets of files; a pod without an address gets the same one in all of them."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        self.stand_ins = 0
        """How many pods were given an address."""

    def read(self, texts: Iterable[tuple[str, str]]) -> Loaded:
        """All of (name, text). Invalid lists every fault, with its file and document."""
        resources: dict[str, Resource[Any]] = {}
        places: dict[str, str] = {}
        revisions: dict[str, int] = {}
        found: list[Assertion] = []
        notes: list[str] = []
        faults: list[str] = []
        old: set[str] = set()
        for place, document in _documents(texts, faults):
            try:
                if isinstance(document, dict) and document.get("apiVersion") == TORTIE_VERSION:
                    from tortie.policy.assertions import assertion

                    made = assertion(document, place)
                    if made.name and (twin := next((item for item in found if item.name == made.name), None)):
                        faults.append(f"{place}: Assertion {made.name} is in {twin.place} already")
                    found.append(made)
                    continue
                resource, revision = self._resource(document, place, notes)
            except Invalid as error:
                faults += [f"{place}: {problem}" for problem in error.problems]
                continue
            if resource is None:
                continue
            if resource.key in places:
                faults.append(f"{place}: {resource.kind.name} {resource.name} is in {places[resource.key]} already")
            resources[resource.key], places[resource.key] = resource, place
            if revision is not None:
                revisions[resource.key] = revision
            if _is_old(document):
                old.add(resource.key)
        if faults:
            raise Invalid(*faults)
        return Loaded(resources, tuple(found), places, revisions, tuple(notes), frozenset(old))

    def _resource(self, document: Any, place: str, notes: list[str]) -> tuple[Resource[Any] | None, int | None]:
        if not isinstance(document, dict):
            raise Invalid(f"expected a resource, found {type(document).__name__}")
        if document.get("apiVersion") != API_VERSION:
            return self._other_form(document, place, notes), None
        made = item(document)
        resource = made.resource
        faults = [f"{resource.kind.name} {resource.name}: {problem}" for problem in problems(resource)]
        if faults:
            raise Invalid(*faults)
        if resource.kind.name == WORKLOAD_ENDPOINT.name and not addresses(resource.spec.ip_networks):
            notes.append(f"{place}: WorkloadEndpoint {resource.name} has no address: nobody can speak to it")
        return resource, made.revision

    def _other_form(self, document: Any, place: str, notes: list[str]) -> Resource[Any] | None:
        from tortie.model import kubernetes_forms
        from tortie.model.v1 import documents as old
        from tortie.model.v1 import forms

        version, kind = document.get("apiVersion"), document.get("kind")
        if kubernetes_forms.is_kubernetes(document):
            if kind == "Pod":
                return self._pod(document, place, notes)
            return kubernetes_forms.from_kubernetes(document)
        if version == old.VERSION and isinstance(kind, str) and kind in forms.FORMS:
            notes += [f"{place}: {text}" for text in forms.warnings(document)]
            return forms.from_v1(document)
        raise Invalid(f"kind {kind!r} of apiVersion {version!r} is none of {KNOWN}")

    def _pod(self, document: Any, place: str, notes: list[str]) -> Resource[Any] | None:
        """A pod in a manifest is on no host and has no address: it gets one, so that it can be asked about."""
        from tortie.model.kubernetes_pods import pod_to_endpoint

        made = pod_to_endpoint(document)
        if made is not None:
            return made
        number = FIRST_ADDRESS + 1 + len(self._given)
        fresh = ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
        made = pod_to_endpoint(document, node=NOWHERE, address=fresh)
        if made is None:
            name = (document.get("metadata") or {}).get("name")
            notes.append(f"{place}: Pod {name} is finished or uses its host's network: it is no endpoint")
            return None
        spec = made.spec
        if spec.ip_networks == (f"{fresh}/32",):
            address = self._given.setdefault(made.key, fresh)
            self.stand_ins += 1
            spec = msgspec.structs.replace(spec, ip_networks=(f"{address}/32",))
        return replace(made, spec=msgspec.structs.replace(spec, node="" if spec.node == NOWHERE else spec.node))


def _is_old(document: dict[str, Any]) -> bool:
    """Whether a document that was read is in Calico's v1 form: Kubernetes' kinds of that version have a capital."""
    return document["apiVersion"] == "v1" and str(document["kind"])[:1].islower()


def laid_over(base: Mapping[str, Resource[Any]], change: Loaded) -> dict[str, Resource[Any]]:
    """The resources as they would be. Conflict for a revision that the base is past, and where a resource in the v1
    form would lose what that form cannot say."""
    found = dict(base)
    faults: list[str] = []
    for key, resource in change.resources.items():
        there = base.get(key)
        wanted, place = change.revisions.get(key), change.places[key]
        if wanted is not None and (there is None or there.revision not in (0, wanted)):
            at = "is not there" if there is None else f"is at revision {there.revision}"
            faults.append(f"{place}: {resource.kind.name} {resource.name} {at}, not at {wanted}")
        try:
            found[key] = _filled(there, resource) if there is not None and key in change.old else resource
        except Invalid as error:
            faults += [f"{place}: {problem}" for problem in error.problems]
    if faults:
        raise Conflict("\n".join(faults))
    return found


def _filled(there: Resource[Any], wanted: Resource[Any]) -> Resource[Any]:
    from tortie.model.v1 import forms

    return forms.fill(there, wanted)


def assertions_of(base: Loaded, change: Loaded) -> list[Assertion]:
    """Those of both; one that bears the name of another in the base takes its place, as a resource does."""
    named = {item.name for item in change.assertions if item.name}
    return [*(item for item in base.assertions if item.name not in named), *change.assertions]


def taken_out(base: Mapping[str, Resource[Any]], gone: Loaded) -> dict[str, Resource[Any]]:
    """The resources without those of a file. Conflict for one that is not there."""
    faults = [
        f"{gone.places[key]}: {resource.kind.name} {resource.name} is not there"
        for key, resource in gone.resources.items()
        if key not in base
    ]
    if faults:
        raise Conflict("\n".join(faults))
    return {key: resource for key, resource in base.items() if key not in gone.resources}


@dataclass(frozen=True, slots=True)
class Unread:
    """A value of a store that nobody here can read."""

    kind: Kind[Any]
    key: str
    value: bytes
    why: str


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store holds. `unread`: what closes whom it may be about, as on every host, or counts as absent."""

    resources: Mapping[str, Resource[Any]] = field(default_factory=dict)
    unread: tuple[Unread, ...] = ()


def world_of(resources: Iterable[Resource[Any]], unread: Iterable[Unread] = ()) -> World:
    """With the profiles of the namespaces and service accounts of pods, which are in force without being written.
    Invalid lists the policies whose selectors cannot be read."""
    listed = list(resources)
    known = {resource.name for resource in listed if resource.kind.name == PROFILE.name}
    world = World()
    faults: list[str] = []
    for resource in (*listed, *_profiles_of_pods(listed, known)):
        try:
            world.put(resource)
        except Invalid as error:
            faults += [f"{resource.kind.name} {resource.name}: {problem}" for problem in error.problems]
    if faults:
        raise Invalid(*faults)
    for lost in unread:
        world.put_unreadable(lost.kind, lost.key, lost.value, lost.why)
    return world


def still_unread(unread: Iterable[Unread], resources: Iterable[Resource[Any]]) -> list[Unread]:
    """Those in whose place no resource is written, under whatever name its era gives it."""
    written = {
        resource.kind.key(name, resource.metadata.namespace if resource.kind.namespaced else None)
        for resource in resources
        for name in stored_names(resource.name)
    }
    return [lost for lost in unread if lost.key not in written]


def _profiles_of_pods(resources: Sequence[Resource[Any]], known: set[str]) -> Iterator[Resource[Any]]:
    """Kubernetes has no pod without its namespace and account; manifests often leave them out."""
    pods = [r for r in resources if r.kind.name == WORKLOAD_ENDPOINT.name and r.spec.orchestrator == KUBERNETES]
    if not pods:
        return
    from tortie.model.kubernetes import account_profile, namespace_profile

    spaces = {str(pod.metadata.namespace) for pod in pods}
    accounts = {(str(pod.metadata.namespace), pod.spec.service_account_name or "default") for pod in pods}
    for space in sorted(spaces):
        if f"kns.{space}" not in known:
            yield namespace_profile({"metadata": {"name": space}})
    for space, account in sorted(accounts):
        if f"ksa.{space}.{account}" not in known:
            yield account_profile({"metadata": {"name": account, "namespace": space}})


def _documents(texts: Iterable[tuple[str, str]], faults: list[str]) -> Iterator[tuple[str, Any]]:
    """(place, document) of each, those in lists one by one."""
    for name, text in texts:
        shown = "standard input" if name == "-" else name
        try:
            found = documents(name, text)
        except Invalid as error:
            faults += error.problems
            continue
        for number, document in enumerate(found, 1):
            yield from _each(f"{shown}, document {number}" if len(found) > 1 else shown, document)


def _each(place: str, document: Any) -> Iterator[tuple[str, Any]]:
    inside = document if isinstance(document, list) else None
    if isinstance(document, dict) and str(document.get("kind")).endswith("List") and "items" in document:
        inside = document["items"] or []
    if not isinstance(inside, list):
        yield place, document
        return
    for number, part in enumerate(inside, 1):
        yield from _each(f"{place}, item {number}", part)
