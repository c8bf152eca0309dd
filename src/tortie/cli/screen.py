"""What the lab's commands share at the terminal: options, progress, a walk as it goes, help with examples first."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tortie.base.errors import Invalid
from tortie.lab.plan import DEFAULT_NAME

if TYPE_CHECKING:
    from tortie.lab.walks.matrix import Cell, Party
    from tortie.lab.walks.walk import Check

name_option = click.option("--name", default=DEFAULT_NAME, metavar="LAB", help="The lab's name; without it, yours.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


class Command(click.Command):
    """A command whose help shows examples before anything else."""

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **given: Any) -> None:
        super().__init__(*args, **given)
        self.examples = examples

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                formatter.write_dl(list(self.examples), col_max=40)
            formatter.write_paragraph()
        super().format_help(ctx, formatter)


def need_root(what: str) -> None:
    """Refuse with the line to type; nothing has been done yet."""
    if os.geteuid() != 0:
        import shlex

        # sudo has a PATH of its own: the whole path works there.
        typed = shlex.join([os.path.abspath(sys.argv[0]), *sys.argv[1:]])
        raise Invalid(f"{what} needs root: a lab is made of network namespaces and mounts\ntype: sudo {typed}")


def program() -> str:
    """How to type this command from where the person is: by its name when that finds it, else by its path."""
    import shutil

    found = shutil.which("tortie")
    own = os.path.abspath(sys.argv[0])
    if found and os.path.realpath(found) == os.path.realpath(own):
        return "tortie"
    near = os.path.relpath(own)
    return own if near.startswith("..") else near


def coloured(tty: bool) -> bool:
    """Colour only where a person looks, and not where they asked for none (NO_COLOR, TERM=dumb)."""
    if os.environ.get("CLICOLOR_FORCE", "0") != "0":
        return True
    return tty and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Line:
    """Standard error, with one line at its end that is written over where a person looks."""

    def __init__(self) -> None:
        self.tty = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = coloured(sys.stderr.isatty())
        self._start = time.monotonic()
        self._open = False

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def over(self, text: str) -> None:
        """Show this in place of the line before; nothing where nobody looks."""
        if self.tty:
            import shutil

            width = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be written over
            click.echo(f"\r\033[K{text[:width]}", nl=False, err=True)
            self._open = True

    def say(self, text: str, **style: Any) -> None:
        if self._open:
            click.echo("\r\033[K", nl=False, err=True)
            self._open = False
        click.echo(click.style(text, **style) if self.colour and style else text, err=True, color=self.colour)


class Meter:
    """Progress of `up` on standard error: one line that is written over where a person looks, else one a phase."""

    def __init__(self) -> None:
        self._line = Line()
        self._said = ("", 0)

    def doing(self, what: str, done: int, of: int, waiting: str = "") -> None:
        text = f"{what}: {done} of {of}"
        shown = f"{text}, waiting for {waiting}" if waiting else text
        if (shown, int(self.seconds)) == self._said:
            return
        self._said = (shown, int(self.seconds))
        if done == of:
            self._line.say(f"{text}  ({self.seconds:.1f} s)")
        else:
            self._line.over(f"({self.seconds:.0f} s) {shown}")

    def say(self, text: str) -> None:
        self._line.say(text)

    @property
    def seconds(self) -> float:
        return self._line.seconds


class Terminal:
    """Shows a walk as it goes: on standard error, so that `--json` stays clean."""

    def __init__(self) -> None:
        self._line = Line()
        self._exported: set[tuple[str, str]] = set()

    @property
    def seconds(self) -> float:
        return self._line.seconds

    def step(self, key: str, title: str) -> None:
        self._line.say("")
        self._line.say(f"step {key}: {title}  ({self.seconds:.0f} s)", bold=True)

    def command(self, host: str, text: str) -> None:
        # One command a line, as a person types them at one shell, where what was exported stays.
        for part in [text] if text.startswith("for ") else text.split("; "):
            if (host, part) not in self._exported:
                self._line.say(f"  {host}# {part}")
            if part.startswith("export "):
                self._exported.add((host, part))

    def waiting(self, what: str, seconds: float) -> None:
        if seconds > 0.5:
            self._line.over(f"  waiting for {what} ({seconds:.0f} s)")

    def check(self, check: Check) -> None:
        mark, colour = ("ok", "green") if check.holds else ("WRONG", "red")
        detail = "" if check.holds or not check.detail else f"\n      {check.detail.strip()}"
        self._line.say(f"  {mark}  {check.name}{detail}", fg=colour)

    def explain(self, text: str) -> None:
        for line in click.wrap_text(text, 76).splitlines():
            self._line.say(f"  {line}")

    def matrix(self, step: str, seen: Sequence[Cell]) -> None:
        for line in matrix_table(seen):
            self._line.say(f"    {line}")


LETTER = {"open": "A", "refused": "r", "dropped": "-"}


def matrix_table(seen: Sequence[Cell]) -> list[str]:
    """Sources down, destinations across; in a cell one letter a probe: A answered, r refused, - silent, ! wrong."""
    shown = [cell for cell in seen if cell.destination.role == "app"]
    if not shown:
        return []
    rows: dict[Party, dict[Party, str]] = {cell.source: {} for cell in shown}
    for cell in shown:
        letter = LETTER[cell.seen.value] if cell.seen and cell.holds else "!"
        row = rows[cell.source]
        row[cell.destination] = row.get(cell.destination, "") + letter
    probes = list(dict.fromkeys(cell.probe for cell in shown))
    apps = [party for party in rows if party.role == "app"]
    names = {party: party.name if party.role != "app" else f"{party.name} ({party.host})" for party in rows}
    width = max(map(len, names.values()))
    columns = {party: max(len(party.name), len(probes)) for party in apps}
    lines = [f"in each cell: {', '.join(map(str, probes))}", "A answered, r refused, - silent, ! not as wanted"]
    lines.append(" " * width + "  " + "  ".join(party.name.ljust(columns[party]) for party in apps).rstrip())
    for source, row in rows.items():
        cells = (row.get(party, "").ljust(columns[party]) for party in apps)
        lines.append(f"{names[source]:{width}}  {'  '.join(cells)}".rstrip())
    for role, which in (("peer", "to the second containers of each network"), ("host", "from containers to hosts")):
        others = [cell for cell in seen if cell.destination.role == role]
        if others or role == "peer":
            lines.append(f"and {sum(cell.holds for cell in others)} of {len(others)} probes {which} as wanted")
    return lines
