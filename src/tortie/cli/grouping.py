"""Groups of commands whose help says what each is for, in a whole sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

WHOLE = 1000
"""Longer than any command's first sentence: none is cut."""


class Group(click.Group):
    """`sections`: a heading for some of its commands, in this order; the rest stand under Commands."""

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]] | None = None, **given: Any) -> None:
        super().__init__(*args, **given)
        self.sections = sections or {}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        listed = {name: command.get_short_help_str(WHOLE) for name, command in found if command and not command.hidden}
        placed = {name for names in self.sections.values() for name in names}
        rest = [name for name in listed if name not in placed]
        for heading, names in (*self.sections.items(), ("Commands", rest)):
            rows = [(name, listed[name].rstrip(".")) for name in names if name in listed]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)
