"""The formats of `get -o`: what is asked for, and documents in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tortie.base.errors import Invalid
from tortie.cli.calicoctl.columns import Columns, draw

TABLES = ("ps", "wide", "custom-columns", "name")


class Format(NamedTuple):
    """`argument`: the columns or the template that a format takes."""

    name: str
    argument: str = ""

    @property
    def is_table(self) -> bool:
        return self.name in TABLES


def parse_format(text: str) -> Format:
    """From `-o`; a template in a file is read here. Raises Invalid."""
    name, _, argument = text.partition("=")
    if name in ("ps", "wide", "yaml", "json", "name") and "=" not in text:
        return Format(name)
    if name in ("custom-columns", "go-template"):
        if not argument:
            raise Invalid(f"need to specify {'columns' if name == 'custom-columns' else 'template'}: {name}=...")
        return Format(name, argument)
    if name == "go-template-file":
        try:
            with open(argument, encoding="utf-8") as file:
                return Format("go-template", file.read())
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"cannot read the template {argument}: {error}") from error
    raise Invalid(f"unrecognized output format '{text}'")


def table(columns: Columns, documents: Sequence[Any], asked: Format) -> str:
    """Raises Invalid for a heading that the kind has not."""
    if asked.name == "custom-columns":
        headings = columns.chosen(asked.argument.split(","))
    else:
        headings = columns.wide if asked.name == "wide" else columns.narrow
    rows = [[columns.cells[heading](document) for heading in headings] for document in documents]
    return draw(headings, rows)


def structured(value: Any, asked: Format) -> str:
    """YAML with its keys in alphabetical order, indented JSON, or what the template makes of it."""
    if asked.name == "json":
        import json

        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    if asked.name == "go-template":
        from tortie.cli.calicoctl.go_template import render

        return render(asked.argument, value)
    from tortie.base.yaml_text import dump

    return dump(value)
