"""Files as a case to ask about: what people's own tests begin with. The doing part of this room, with `live`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tortie.base.errors import Invalid
from tortie.base.sources import Sources
from tortie.policy.assertions import Assertion, Broken, check
from tortie.policy.path import Answer, Way
from tortie.policy.reading import Reader, world_of
from tortie.policy.words import Told
from tortie.policy.world import Service, World


@dataclass(frozen=True, slots=True)
class Case:
    """What files say. `notes`: what a person should know of them, such as pods without an address."""

    world: World
    assertions: Sequence[Assertion] = ()
    notes: Sequence[str] = field(default=())

    def ask(self, source: str, destination: str, service: str) -> Answer:
        """The whole way of a flow, by names as `tortie why` takes them. NotFound and Invalid as there."""
        way = Way(self.world)
        return way.ask(way.end(source), way.end(destination), Service.parse(service))

    def may(self, source: str, destination: str, service: str) -> bool:
        """Whether the flow may begin."""
        return self.ask(source, destination, service).allowed

    def why(self, source: str, destination: str, service: str) -> str:
        """The answer in words, as `tortie why` prints it."""
        return "\n".join(Told(Way(self.world), self.ask(source, destination, service)).lines())

    def broken(self) -> list[Broken]:
        """The assertions of the files that do not hold."""
        return check(self.world, self.assertions)


def load(*names: str | Path) -> Case:
    """Files and directories of v3, v1 and Kubernetes resources and of assertions. Invalid lists every fault."""
    sources = Sources()
    faults: list[str] = []
    texts: list[tuple[str, str]] = []
    for name in names:
        try:
            texts += sources.texts(str(name))
        except Invalid as error:
            faults += error.problems
    try:
        loaded = Reader().read(texts)
    except Invalid as error:
        faults += error.problems
    if faults:
        raise Invalid(*faults)
    return Case(world_of(loaded.resources.values()), loaded.assertions, loaded.notes)
