"""What the supervisor of a host looks after: the lab's daemons, units of files, programs that are run once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tortie.base.errors import Invalid, NotFound, TortieError
from tortie.lab import unit_files
from tortie.lab.plan import Daemon, Manner
from tortie.lab.service import Service, ready_names
from tortie.lab.units import DAEMONS, Unit, daemon_of, full, plain, sound

ENDED = ("stopped", "failed", "done")


class Table:
    """Services by name. A unit's file is read when the unit is first asked for, and again when told to."""

    def __init__(self, daemons: Sequence[Daemon], folder: Path = unit_files.FOLDER) -> None:
        self.services = {daemon.name: Service(daemon, own=daemon) for daemon in daemons}
        self.folder = folder
        self._runs = 0

    def __iter__(self) -> Iterator[Service]:
        return iter(list(self.services.values()))

    def find(self, name: str) -> tuple[Service, tuple[str, ...]]:
        """The service that a unit or a daemon of this name is, and what has no effect of a file that was read for it
        now. NotFound, and Invalid with every fault of its file."""
        for known in (daemon_of(name), plain(name)):
            if known in self.services:
                return self.services[known], ()
        unit = self._load(plain(name))
        service = Service(self._daemon(unit), state="stopped", wanted=False)
        self.services[service.name] = service
        return service, unit.warnings

    def reload(self) -> list[str]:
        """Reads the files of all units that are known, and those that stand in for the lab's daemons; takes effect at
        the next start of each. Tells what has no effect, and which file keeps its unit as it was."""
        told: list[str] = []
        for service in self:
            if service.passing:
                continue
            try:
                unit = self._unit_of(service)
            except Invalid as error:
                told += [f"{problem}; the unit stays as it was" for problem in error.problems]
            except TortieError as error:
                told.append(f"{error}; the unit stays as it was")
            else:
                self._take(service, unit)
                told += unit.warnings if unit else ()
        return told

    def run(self, argv: Sequence[str], name: str = "") -> Service:
        """A program that is started now and forgotten when it has ended. Invalid when its name is taken."""
        if not argv:
            raise Invalid("no program is given")
        self._runs += 1
        name = plain(name) or f"run-u{self._runs}"
        if not sound(name):
            raise Invalid(f"{name[:100]!r} is no name of a unit")
        if name in self.services or daemon_of(name) in self.services or unit_files.path_of(name, self.folder):
            raise Invalid(f"Unit {full(name)} was already loaded or has a fragment file.")
        service = Service(Daemon(name, tuple(argv), grace=90.0, manner=Manner(restart="no", group=True)), passing=True)
        self.services[name] = service
        return service

    def forget_ended(self) -> None:
        """Programs that were run once, and units whose file has gone."""
        for service in self:
            if service.own is not None or service.state not in ENDED:
                continue
            if service.passing or unit_files.path_of(service.name, self.folder) is None:
                del self.services[service.name]

    def due(self, now: float) -> list[Service]:
        """Those that may be started now."""
        ready = ready_names(self)
        return [s for s in self if s.may_start(now, ready if s.own is s.daemon else ready | self._not_coming(s))]

    def _not_coming(self, service: Service) -> set[str]:
        """Of those that a unit comes after, whom it does not wait for: who is not there, or not wanted."""
        return {name for name in service.daemon.after if name not in self.services or not self.services[name].wanted}

    def _load(self, name: str) -> Unit:
        return unit_files.load(name, self.folder)

    def _unit_of(self, service: Service) -> Unit | None:
        """Its file as it is now; None when there is none."""
        names = [service.name]
        if service.own is not None:
            names += [unit for unit, daemon in DAEMONS.items() if daemon == service.name]
        for name in names:
            try:
                return self._load(name)
            except NotFound:
                continue
        return None

    def _take(self, service: Service, unit: Unit | None) -> None:
        if unit is None:
            service.daemon = service.own or service.daemon
        elif service.own is None:
            service.daemon = self._daemon(unit)
        else:
            # Who waits for the lab's daemon waits for what it was to be ready for.
            own = service.own
            service.daemon = replace(unit.daemon, name=own.name, ready=own.ready, after=own.after)

    def _daemon(self, unit: Unit) -> Daemon:
        after = dict.fromkeys(daemon_of(name) for name in unit.daemon.after)
        return replace(unit.daemon, after=tuple(after))
