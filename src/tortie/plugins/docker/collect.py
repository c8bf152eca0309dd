"""What runtimes forgot: which records, endpoints and interfaces of this host have no container any more."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tortie.plugins.docker.holdings import Stored
from tortie.plugins.docker.names import HOST_PREFIX, PEER_PREFIX, host_interface

GRACE_SECONDS = 60.0
"""From the last step of a record: longer than any call may take, with the engine's retries."""


@dataclass(frozen=True, slots=True)
class Suspects:
    """`records` to retire, `endpoints` (ids) without a record to remove, `interfaces` (host ends) to delete; `added`:
    keys of endpoints that a person added to containers that are gone."""

    records: Sequence[Stored]
    endpoints: Collection[str]
    interfaces: Collection[str]
    added: Collection[str] = frozenset()

    def both(self, earlier: Suspects) -> Suspects:
        """What was suspect in an earlier round already: one look may fall into the middle of a change."""
        seen = {(s.key, s.revision) for s in earlier.records}
        return Suspects(
            [s for s in self.records if (s.key, s.revision) in seen],
            set(self.endpoints) & set(earlier.endpoints),
            set(self.interfaces) & set(earlier.interfaces),
            set(self.added) & set(earlier.added),
        )


NOBODY = Suspects([], frozenset(), frozenset())


def suspects(
    *,
    records: Sequence[Stored],
    endpoints: Collection[str],
    alive: Collection[str],
    interfaces: Mapping[str, int],
    busy: Collection[str],
    now: float,
    grace: float = GRACE_SECONDS,
    added: Mapping[str, str] | None = None,
    containers: Collection[str] = (),
) -> Suspects:
    """Compare what we hold with the endpoint ids that the engine's containers have (`alive`).

    `added`: the key of each endpoint that a person added to a container, and the container's id; it stays as long as
    the container does (`containers`: every id that the engine knows), whether that runs or not.

    Nothing that a call works on (`busy`), nothing younger than the grace, and nothing that lives is ever named.
    """
    dead = [
        s for s in records if s.holding.endpoint not in alive and s.key not in busy and s.holding.endpoint not in busy
    ]
    recorded = {s.holding.endpoint for s in records}
    orphans = {e for e in endpoints if e not in recorded and e not in alive and e not in busy}
    used = {host_interface(e) for e in {*recorded, *endpoints, *alive, *busy} if e}
    return Suspects(
        [s for s in dead if _is_old(s, now, grace)],
        orphans,
        {host for host in map(_leftover, interfaces) if host in interfaces and host not in used},
        {key for key, container in (added or {}).items() if container not in containers and key not in busy},
    )


def _is_old(stored: Stored, now: float, grace: float) -> bool:
    """A record from the future was written before the clock was set back."""
    return not 0 <= now - stored.holding.since < grace


def _leftover(interface: str) -> str:
    """The host's end that belongs to a container's end which the engine moved back here and forgot."""
    return HOST_PREFIX + interface.removeprefix(PEER_PREFIX) if interface.startswith(PEER_PREFIX) else ""
