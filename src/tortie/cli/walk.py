"""`tortie walk`: replay a document and check every step with real packets."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from tortie.cli.lab import Meter, json_option, need_root
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


def as_report(report: Report) -> str:
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


@click.command(epilog="Examples:  tortie walk stars    tortie walk stars --here --check 9b")
@click.argument("document")
@click.option("--here", is_flag=True, help="On the running lab, from where it stands, instead of a lab of its own.")
@click.option("--check", "step", metavar="STEP", help="Only compare this step's matrix, on the running lab.")
@click.option("--agents", type=int, help="How many agents (2).")
@click.option("--store", help="sqlite, or etcd on the master.")
@click.option("--name", metavar="LAB", help="The lab's name; without it, yours with --here, else walk-DOCUMENT.")
@json_option
def walk(
    document: str, here: bool, step: str | None, agents: int | None, store: str | None, name: str | None, as_json: bool
) -> None:
    """Replay DOCUMENT as typed and compare who reaches whom with what it says, after every step, with real packets.

    Exits 0 only if every step did what the document says and every matrix is the wanted one.
    """
    from tortie.base.errors import Invalid
    from tortie.lab import plan

    need_root("walk")
    how = {"store": store or "sqlite", "routing": "direct", "runtime": "docker"}
    options = plan.check_options(document, agents=agents, later={}, **how)
    for name_of, value in (("--agents", agents), ("--store", store)):
        if (here or step) and value is not None:
            raise Invalid(f"{name_of} is for a lab of the walk's own; the running lab stays as it is")
    terminal = Terminal()
    if here or step:
        report = _on_running(name or plan.DEFAULT_NAME, document, step, terminal)
    else:
        report = _on_own(plan.check_name(name or f"walk-{document}"), options, terminal)
    if as_json:
        click.echo(as_report(report))
    wrong = [check for check in report.checks if not check.holds]
    held = f"{len(report.checks) - len(wrong)} of {len(report.checks)} checks hold"
    click.echo(f"\n{held}" + "".join(f"\n  step {c.step}: {c.name}: {c.detail}" for c in wrong), err=True)
    sys.exit(0 if report.holds else 1)


def _on_running(name: str, document: str, step: str | None, terminal: Terminal) -> Report:
    """Go on from where the lab stands, and note how far it came; or only look, with `step`."""
    from tortie.base.errors import Conflict
    from tortie.lab import create
    from tortie.lab.api import Lab
    from tortie.lab.walks import stars

    lab = Lab.find(name)
    if lab.state["options"]["document"] != document:
        raise Conflict(f"lab {name} is up for {lab.state['options']['document']}, not for {document}")
    if step:
        return stars.check_step(lab, terminal, step)
    done = lab.state["until"]
    if done == stars.STEPS[-1].key:
        return stars.check_step(lab, terminal, done)
    report = stars.walk_all(lab, terminal, None if done == "0" else done)
    create.note(lab.switch.where, until=stars.STEPS[-1].key)
    return report


def _on_own(name: str, options: Any, terminal: Terminal) -> Report:
    """A lab for this walk alone, removed behind it."""
    from tortie.base.errors import Conflict
    from tortie.lab import remove, state
    from tortie.lab.bring_up import Wish, bring_up
    from tortie.lab.walks import stars

    if remove.exists(name):
        raise Conflict(f"lab {name} is up already; `tortie down --name {name}` ends it, `--here --name {name}` uses it")
    meter = Meter()
    try:
        lab, _ = bring_up(Wish(name, options), meter)
        meter.close()
        return stars.walk_all(lab, terminal)
    finally:
        with state.locked(name) as lock:
            remove.remove(name)
            lock.unlink(missing_ok=True)
