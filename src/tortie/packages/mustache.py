"""Templates of packages: Mustache as Cosmos renders it into JSON. Pure.

Variables, sections, inverted sections, comments and changed delimiters; no partials. Nothing is escaped for HTML:
strings come out escaped for JSON, booleans and numbers as JSON writes them, null as nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tortie.base.errors import Invalid

DEEPEST = 50
"""Sections inside sections."""
LONGEST = 1024 * 1024
"""Characters of a rendered text, and of steps on the way: lists inside lists multiply."""
AS_JSON = "asJson"
_REST_OF_LINE = re.compile(r"[ \t]*(?:\r?\n|\Z)")


@dataclass(frozen=True, slots=True)
class Variable:
    name: str


@dataclass(frozen=True, slots=True)
class Section:
    """`raw`: the text between its tags, as it stands in the template."""

    name: str
    inverted: bool
    parts: Sequence[Part]
    raw: str


Part: TypeAlias = "str | Variable | Section"


@dataclass(slots=True)
class _Open:
    """A section whose end has not been read yet; `begins` is where its inside begins."""

    name: str
    inverted: bool
    parts: list[Part]
    begins: int


def parse(template: str) -> Sequence[Part]:
    """Raises Invalid with the line of what is wrong."""
    reader = _Reader(template)
    reader.read()
    return reader.stack[0].parts


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.stack = [_Open("", False, [], 0)]
        self.delimiters = ("{{", "}}")
        self.at = 0

    def read(self) -> None:
        while (start := self.text.find(self.delimiters[0], self.at)) >= 0:
            kind, name, end = self._tag(start)
            before = self.text[self.at : start]
            if kind in ("#", "^", "/", "!", "="):
                before, end = self._standalone(before, start, end)
            self._put(before)
            self._take(kind, name, start, end)
            self.at = end
        self._put(self.text[self.at :])
        if len(self.stack) > 1:
            raise Invalid(f"the section {{{{#{self.stack[-1].name}}}}} is not closed")

    def _tag(self, start: int) -> tuple[str, str, int]:
        """What it does, what it names, where it ends."""
        opening, closing = self.delimiters
        inside = start + len(opening)
        kind = self.text[inside : inside + 1]
        if kind == "{" and opening == "{{":
            closing = "}}}"
        elif kind == "=":
            closing = "=" + closing
        end = self.text.find(closing, inside)
        if end < 0:
            raise Invalid(f"{self._line(start)}: a tag without an end")
        content = self.text[inside:end]
        if kind and kind in "#^/!&{>=":
            content = content[1:]
        else:
            kind = ""
        return kind, content.strip(), end + len(closing)

    def _standalone(self, before: str, start: int, end: int) -> tuple[str, int]:
        """A tag alone on its line takes the line with it; one that has another beside it does not."""
        line = self.text.rfind("\n", 0, start) + 1
        rest = _REST_OF_LINE.match(self.text, end)
        if line < self.at or rest is None or self.text[line:start].strip(" \t"):
            return before, end
        return before[: len(before) - (start - line)], rest.end()

    def _take(self, kind: str, name: str, start: int, end: int) -> None:
        if kind == "!":
            return
        if kind == "=":
            self._delimit(name, start)
        elif kind == ">":
            raise Invalid(f"{self._line(start)}: {{{{>{name}}}}}: a package's template has no other to include")
        elif kind in ("#", "^"):
            if len(self.stack) > DEEPEST:
                raise Invalid(f"{self._line(start)}: more than {DEEPEST} sections inside each other")
            self.stack.append(_Open(name, kind == "^", [], end))
        elif kind == "/":
            self._close(name, start)
        elif not name:
            raise Invalid(f"{self._line(start)}: a tag without a name")
        else:
            self.stack[-1].parts.append(Variable(name))

    def _close(self, name: str, start: int) -> None:
        if len(self.stack) == 1:
            raise Invalid(f"{self._line(start)}: {{{{/{name}}}}} closes nothing")
        if self.stack[-1].name != name:
            opened = self.stack[-1].name
            raise Invalid(f"{self._line(start)}: {{{{/{name}}}}} where {{{{/{opened}}}}} was expected")
        done = self.stack.pop()
        raw = self.text[done.begins : start]
        self.stack[-1].parts.append(Section(done.name, done.inverted, done.parts, raw))

    def _delimit(self, name: str, start: int) -> None:
        new = name.split()
        if len(new) != 2 or any("=" in one for one in new):
            raise Invalid(f"{self._line(start)}: {{{{={name}=}}}}: two new delimiters were expected")
        self.delimiters = (new[0], new[1])

    def _put(self, text: str) -> None:
        if text:
            self.stack[-1].parts.append(text)

    def _line(self, at: int) -> str:
        return f"line {self.text.count(chr(10), 0, at) + 1}"


def render(template: str, context: Mapping[str, Any]) -> str:
    """The text. Raises Invalid for a template that cannot be read, or grows without measure."""
    writer = _Writer(context)
    writer.write(parse(template), (context,))
    return "".join(writer.out)


class _Writer:
    def __init__(self, context: Mapping[str, Any]) -> None:
        self.context = context
        self.out: list[str] = []
        self.spent = 0

    def write(self, parts: Sequence[Part], scopes: tuple[Any, ...]) -> None:
        for part in parts:
            if isinstance(part, str):
                self._say(part)
            elif isinstance(part, Variable):
                self._say(text_of(look_up(part.name, scopes)))
            else:
                self._section(part, scopes)

    def _section(self, section: Section, scopes: tuple[Any, ...]) -> None:
        if section.name == AS_JSON and not section.inverted and AS_JSON not in self.context:
            value = self.context.get(section.raw.strip())
            self._say(value if isinstance(value, str) else "null")
            return
        value = look_up(section.name, scopes)
        if section.inverted:
            if not truthy(value):
                self.write(section.parts, scopes)
        elif isinstance(value, list):
            for item in value:
                self._say("")
                self.write(section.parts, (*scopes, item))
        elif truthy(value):
            self.write(section.parts, (*scopes, value))

    def _say(self, text: str) -> None:
        self.spent += len(text) + 1
        if self.spent > LONGEST:
            raise Invalid(f"the template makes more than {LONGEST} characters")
        self.out.append(text)


def look_up(name: str, scopes: Sequence[Any]) -> Any:
    """The value of a dotted name: its first part in the innermost scope that has it, the others inside that."""
    if name == ".":
        return scopes[-1]
    first, *others = name.split(".")
    value = next((scope[first] for scope in reversed(scopes) if isinstance(scope, Mapping) and first in scope), None)
    for part in others:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def truthy(value: Any) -> bool:
    """What opens a section: all but false, null, the empty string and the empty list. Zero does."""
    return not (value is None or value is False or value in ("", []))


def text_of(value: Any) -> str:
    """A value as it stands in the text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)[1:-1]
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return f"[{', '.join(json.dumps(_plain(item), ensure_ascii=False) for item in value)}]"
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Whole numbers without their fraction, also inside."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
