"""`tortie walk`: replay a document and check every step with real packets."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from tortie.lab.walks.matrix import Cell, Party
from tortie.lab.walks.walk import Check, Report


class Terminal:
    """Shows a walk as it goes: on standard error, so that `--json` stays clean."""

    def __init__(self) -> None:
        self._tty = sys.stderr.isatty()
        self._start = time.monotonic()
        self._line_open = False

    def _say(self, text: str, **style: Any) -> None:
        if self._line_open:
            click.echo("\r\033[K", nl=False, err=True)
            self._line_open = False
        click.echo(click.style(text, **style) if self._tty else text, err=True)

    def step(self, key: str, title: str) -> None:
        self._say(f"\nstep {key}: {title}  ({time.monotonic() - self._start:.0f} s)", bold=True)

    def command(self, host: str, text: str) -> None:
        self._say(f"  {host}# {text}")

    def waiting(self, what: str, seconds: float) -> None:
        if self._tty and seconds > 0.5:
            click.echo(f"\r\033[K  waiting for {what} ({seconds:.0f} s)", nl=False, err=True)
            self._line_open = True

    def check(self, check: Check) -> None:
        mark, colour = ("ok", "green") if check.holds else ("WRONG", "red")
        detail = "" if check.holds or not check.detail else f"\n      {check.detail.strip()}"
        self._say(f"  {mark}  {check.name}{detail}", fg=colour)

    def matrix(self, step: str, seen: Sequence[Cell]) -> None:
        for line in matrix_table(seen):
            self._say(f"    {line}")


LETTER = {"open": "A", "refused": "r", "dropped": "-"}


def matrix_table(seen: Sequence[Cell]) -> list[str]:
    """Sources down, destinations across; in a cell one letter a probe: A answered, r refused, - silent, ! wrong."""
    if not seen:
        return []
    probes = list(dict.fromkeys(cell.probe for cell in seen))
    rows: dict[Party, dict[Party, str]] = {}
    for cell in seen:
        letter = LETTER[cell.seen.value] if cell.seen and cell.holds else "!"
        row = rows.setdefault(cell.source, {})
        row[cell.destination] = row.get(cell.destination, "") + letter
    columns = list(dict.fromkeys(cell.destination for cell in seen))
    names = {
        party: party.name if party.role != "app" else f"{party.name} ({party.host})" for party in [*rows, *columns]
    }
    apps = [party for party in columns if party.role == "app"]
    width = max(len(names[party]) for party in rows)
    lines = [f"probes: {' '.join(map(str, probes))}  (A answered, r refused, - silent, ! not as wanted)"]
    lines.append(" " * width + "  " + "  ".join(names[party] for party in apps))
    for source, row in rows.items():
        cells = (row.get(party, "").ljust(len(names[party])) for party in apps)
        lines.append(f"{names[source]:{width}}  " + "  ".join(cells))
    peers = [cell for cell in seen if cell.destination.role == "peer"]
    right = sum(cell.holds for cell in peers)
    lines.append(f"and {right} of {len(peers)} probes to the second containers of each network as wanted")
    return lines


def as_json(report: Report) -> str:
    """The report as one JSON object."""
    checks = [{"step": c.step, "name": c.name, "holds": c.holds, "detail": c.detail} for c in report.checks]
    matrices = {
        step: [
            {
                "source": cell.source.name,
                "destination": cell.destination.name,
                "destinationHost": cell.destination.host,
                "probe": str(cell.probe),
                "wanted": cell.wanted.value,
                "seen": cell.seen.value if cell.seen else None,
            }
            for cell in cells
        ]
        for step, cells in report.matrices.items()
    }
    return json.dumps({"holds": report.holds, "checks": checks, "matrices": matrices})
