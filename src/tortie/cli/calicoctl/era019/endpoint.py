"""`calicoctl endpoint ENDPOINT_ID profile …`: which profiles an endpoint has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from tortie.base.errors import Conflict, NotFound
from tortie.cli.calicoctl.era019 import usage
from tortie.cli.calicoctl.era019.line import Failure, UsageError, read
from tortie.cli.calicoctl.era019.show import FILTERS, matches
from tortie.cli.calicoctl.table import table
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Resource
from tortie.store.client import Client

Job = Callable[[Client], str]
Endpoint = Resource[WorkloadEndpointSpec]
ATTEMPTS = 50


def command(arguments: Sequence[str]) -> Job:
    line = read(arguments, usage.ENDPOINT, values=FILTERS)
    match line.words:
        case (identifier, "profile", "show"):
            filters = {**line.values, "--endpoint": identifier}
            return lambda client: _show(_one(client, filters))
        case (identifier, "profile", "append" | "remove" | "set" as word, *names):
            filters = {**line.values, "--endpoint": identifier}
            return lambda client: change(client, lambda: _one(client, filters), word, names)
    raise UsageError(usage.ENDPOINT)


def _one(client: Client, filters: dict[str, str]) -> Endpoint:
    found = [item for item in client.list(WORKLOAD_ENDPOINT).items if matches(item.spec, filters)]
    return only(found, f"Endpoint {filters['--endpoint']} is unknown to Calico.")


def only(found: Sequence[Endpoint], none: str) -> Endpoint:
    """The one endpoint. Raises Failure: `none` when there is none, or that there are several."""
    if not found:
        raise Failure(none)
    if len(found) > 1:
        raise Failure(
            "More than 1 endpoint matches the provided criteria.  Please provide additional parameters to refine "
            "the search."
        )
    return found[0]


def _show(endpoint: Endpoint) -> str:
    if not endpoint.spec.profiles:
        return "Endpoint has no profiles associated with it."
    return table(["Name"], [[name] for name in endpoint.spec.profiles])


def change(client: Client, found: Callable[[], Endpoint], word: str, names: Sequence[str]) -> str:
    """Appends, removes or sets profiles of the endpoint that `found` reads anew at every attempt. What to say."""
    for _ in range(ATTEMPTS):
        endpoint = found()
        wanted, told = _decided(client, endpoint.spec.profiles, word, names)
        if wanted is None:
            return told
        try:
            client.update(replace(endpoint, spec=msgspec.structs.replace(endpoint.spec, profiles=wanted)))
        except (Conflict, NotFound):
            continue
        return told
    raise Failure(f"Failed to {word} profiles to endpoint.")


def _decided(
    client: Client, there: tuple[str, ...], word: str, names: Sequence[str]
) -> tuple[tuple[str, ...] | None, str]:
    """(the profiles it shall have, None to leave them, what to say). Raises Failure."""
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if list(names).count(name) > 1})
        raise Failure(f"Profile {', '.join(twice)} is given more than once")
    if not names:
        return ((), "Removed all profiles from endpoint.") if word == "set" else (None, "No profile specified.")
    if word == "remove":
        if absent := [name for name in names if name not in there]:
            raise Failure("\n".join(f"Profile {name} is not in endpoint profile list." for name in absent))
        return tuple(name for name in there if name not in names), f"Profile(s) {','.join(names)} removed."
    if absent := [name for name in names if client.find(PROFILE, name) is None]:
        raise Failure("\n".join(f"Profile with name {name} was not found." for name in absent))
    if word == "set":
        return tuple(names), f"Profile(s) set to {', '.join(names)}."
    if known := [name for name in names if name in there]:
        raise Failure("\n".join(f"Profile {name} is already in endpoint profile list" for name in known))
    return (*there, *names), f"Profile(s) {', '.join(names)} appended."
