"""What an endpoint is called: by people, by the orchestrator, by the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tortie.base.errors import Invalid, NotFound
from tortie.base.meant import meant
from tortie.model.kinds.workload_endpoint import CONTAINER_ANNOTATION, TASK_ANNOTATION, TASK_NAME_ANNOTATION
from tortie.model.resource import Resource

# What drivers write where an endpoint has no workload of its own name.
GENERIC = frozenset(("libnetwork",))
SHORTEST_ID = 12
LONGEST_NAME = 60
"""Nobody types a name that is longer; an address says as much."""
SHOWN = 12


def full_name(resource: Resource[Any]) -> str:
    """`namespace/endpoint`, which no two endpoints share."""
    return f"{resource.metadata.namespace}/{resource.metadata.name}"


def title(resource: Resource[Any]) -> str:
    """The name that says most to a person: of the task, the container, the pod or workload, else the endpoint's own."""
    notes, spec = resource.metadata.annotations, resource.spec
    pod = f"{resource.metadata.namespace}/{spec.pod}" if spec.pod else ""
    workload = "" if spec.workload in GENERIC else spec.workload
    known = (notes.get(TASK_NAME_ANNOTATION), notes.get(CONTAINER_ANNOTATION), pod, workload)
    return next((name for name in known if name), resource.metadata.name)


def find(name: str, endpoints: Mapping[str, Resource[Any]]) -> str:
    """The key of the one endpoint with this name. A whole name wins over a short one.

    NotFound names those that are near, Invalid those that are all meant."""
    for names in (_whole, _short):
        found = [key for key, resource in endpoints.items() if name and name in names(resource)]
        if len(found) == 1:
            return found[0]
        if found:
            several = f"{name!r} is more than one endpoint: {_listed(found, endpoints)}"
            raise Invalid(f"{several}\nask about one of them by what stands there")
    known = {title(resource) for resource in endpoints.values()}
    known |= {text for resource in endpoints.values() for text in (*_whole(resource), *_short(resource))}
    there = f"\nthere are: {_listed(list(endpoints), endpoints)}" if endpoints else "\nthere is no endpoint at all"
    raise NotFound(f"no endpoint is called {name!r}{meant(name, known)}{there}")


def _whole(resource: Resource[Any]) -> tuple[str, ...]:
    metadata, spec, notes = resource.metadata, resource.spec, resource.metadata.annotations
    own = (spec.workload, spec.pod, spec.container_id, spec.endpoint if spec.orchestrator in GENERIC else "")
    inside = tuple(f"{metadata.namespace}/{text}" for text in (spec.workload, spec.pod) if text)
    noted = tuple(notes.get(note, "") for note in (CONTAINER_ANNOTATION, TASK_ANNOTATION, TASK_NAME_ANNOTATION))
    return tuple(text for text in (full_name(resource), metadata.name, *own, *inside, *noted) if text not in GENERIC)


def _short(resource: Resource[Any]) -> tuple[str, ...]:
    """A task's name without its groups (`client` of `client.calico-stars`), the beginning of an id."""
    spec = resource.spec
    task = resource.metadata.annotations.get(TASK_NAME_ANNOTATION, "").partition(".")[0]
    ids = (spec.container_id, spec.endpoint if spec.orchestrator in GENERIC else "")
    return tuple(text for text in (task, *(found[:SHORTEST_ID] for found in ids)) if text)


def _listed(keys: list[str], endpoints: Mapping[str, Resource[Any]]) -> str:
    """By the names that say most; where those are shared, by the whole ones, or by address where these are long."""
    titles = Counter(title(endpoints[key]) for key in keys)
    names = sorted(t if titles[t := title(endpoints[key])] == 1 else _apart(endpoints[key]) for key in keys)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _apart(resource: Resource[Any]) -> str:
    own, addresses = full_name(resource), resource.spec.ip_networks
    if len(own) <= LONGEST_NAME or not addresses:
        return own
    return f"{addresses[0].partition('/')[0]} ({resource.spec.node})"
