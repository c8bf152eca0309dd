"""`tortie walk`: replay a document and check every step with real packets."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from tortie.cli.screen import Command, Meter, Terminal, json_option, need_root
from tortie.lab.walks.walk import Report


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


@click.command(
    cls=Command,
    examples=[
        ("tortie walk stars", "every step, in a lab of its own"),
        ("tortie walk hello --store etcd", "another document, the store on a real etcd"),
        ("tortie walk stars --runtime ucr", "its apps without Docker"),
        ("tortie walk stars --here", "on your lab, from where it stands"),
        ("tortie walk stars --check 9b", "only compare that step's matrix there"),
    ],
)
@click.argument("document")
@click.option("--here", is_flag=True, help="On the running lab, from where it stands, instead of a lab of its own.")
@click.option("--check", "step", metavar="STEP", help="Only compare this step's matrix, on the running lab.")
@click.option("--agents", type=int, help="How many agents (the document's).")
@click.option("--public-agents", type=int, help="How many public agents (the document's).")
@click.option("--store", help="sqlite, or etcd on the master.")
@click.option("--routing", help="direct, vxlan or bgp.")
@click.option("--runtime", help="docker, or ucr: apps of Docker's kind run without it, their networks come by CNI.")
@click.option("--subnets", type=int, help="Spread the agents over this many subnets with a router between (1).")
@click.option("--bare", is_flag=True, default=None, help="Refuse to begin with a network that is placed already.")
@click.option("--name", metavar="LAB", help="The lab's name; without it, yours with --here, else walk-DOCUMENT.")
@json_option
def walk(document: str, here: bool, step: str | None, name: str | None, as_json: bool, **made: Any) -> None:
    """Replay DOCUMENT as typed and compare who reaches whom with what it says, after every step, with real packets.

    Exits 0 only if every step did what the document says and every matrix is the wanted one.
    """
    from tortie.base.errors import Invalid
    from tortie.lab import plan
    from tortie.lab.documents import check_options, from_first_line

    need_root("walk")
    asked = {key: value for key, value in made.items() if value is not None}
    how = {"agents": None, "store": "sqlite", "routing": "direct", "runtime": "docker", **asked}
    options = check_options(document, **how)
    if (here or step) and asked:
        options_said = ", ".join(f"--{key.replace('_', '-')}" for key in asked)
        raise Invalid(f"{options_said}: for a lab of the walk's own; the running lab stays as it is")
    terminal = Terminal()
    if here or step:
        report = _on_running(name or plan.DEFAULT_NAME, document, step, terminal)
    else:
        options, placed = from_first_line(options)
        if placed:
            click.echo(f"{document}: {placed}", err=True)
        report = _on_own(plan.check_name(name or f"walk-{document}"), options, terminal)
    if as_json:
        click.echo(as_report(report))
    wrong = [check for check in report.checks if not check.holds]
    held = f"{len(report.checks) - len(wrong)} of {len(report.checks)} checks hold  ({terminal.seconds:.0f} s)"
    click.echo(f"\n{held}" + "".join(f"\n  step {c.step}: {c.name}: {c.detail}" for c in wrong), err=True)
    sys.exit(0 if report.holds else 1)


def _on_running(name: str, document: str, step: str | None, terminal: Terminal) -> Report:
    """Go on from where the lab stands, and note how far it came; or only look, with `step`."""
    from tortie.base.errors import Conflict
    from tortie.lab import create
    from tortie.lab.api import Lab
    from tortie.lab.walks.story import open_story

    story = open_story(document)
    lab = Lab.find(name)
    if lab.state["options"]["document"] != document:
        raise Conflict(f"lab {name} is up for {lab.state['options']['document']}, not for {document}")
    if step:
        return story.check_step(lab, terminal, step)
    done = lab.state["until"]
    if done == story.end:
        return story.check_step(lab, terminal, done)
    report = story.walk_all(lab, terminal, None if done == "0" else done)
    create.note(lab.switch.where, until=story.end)
    return report


def _on_own(name: str, options: Any, terminal: Terminal) -> Report:
    """A lab for this walk alone, removed behind it."""
    from tortie.base.errors import Conflict
    from tortie.lab import remove, state
    from tortie.lab.bring_up import Wish, bring_up, interruptible
    from tortie.lab.walks.story import open_story

    if remove.exists(name):
        raise Conflict(
            f"lab {name} is up already: a walk makes its own\n"
            f"type: tortie down --name {name}    (or walk on it: tortie walk {options.document} --here --name {name})"
        )
    with interruptible():
        try:
            lab, _ = bring_up(Wish(name, options), Meter())
            return open_story(options.document).walk_all(lab, terminal)
        except KeyboardInterrupt:
            click.echo(f"\ninterrupted: lab {name} is removed again", err=True)
            sys.exit(130)
        finally:
            with state.locked(name):
                remove.remove(name)
