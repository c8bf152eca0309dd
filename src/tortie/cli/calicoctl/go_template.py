"""The part of Go's text/template that people give to `-o go-template`: fields, range, if, with, else, variables, pipes.

A field goes by its JSON name or by its Go name (`.ObjectMeta.Name`, `.Spec.CIDR`); an absent one is `<no value>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tortie.base.errors import Invalid
from tortie.cli.calicoctl.columns import text

_ACTION = re.compile(r"(?s)\{\{(- )?(.*?)( -)?\}\}")
_TERM = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|`[^`]*`|[$\w.+-]+|:=|=|\||\(|\)|,)""")
_MOST = 64 * 1024 * 1024
_WIDEST = 10_000


@dataclass(slots=True)
class _Block:
    """`kind` is text, print, range, if, with, or set; the parts of a block and of its else."""

    kind: str
    argument: str
    body: list[_Block] = field(default_factory=list)
    otherwise: list[_Block] = field(default_factory=list)


def render(template: str, value: Any) -> str:
    """Raises Invalid for a template that does not parse or asks for what is not there."""
    try:
        return _rendered(template, value)
    except RecursionError as error:
        raise Invalid("template: nested too deeply") from error


def _rendered(template: str, value: Any) -> str:
    blocks, rest = _parse(_pieces(template), None)
    assert not rest
    made, size = [], 0
    for piece in _Run({"$": value}).blocks(blocks, value):
        made.append(piece)
        size += len(piece)
        if size > _MOST:
            raise Invalid("template: the result is too large")
    return "".join(made)


def _pieces(template: str) -> Iterator[tuple[bool, str]]:
    """(is it an action, its text), blanks trimmed where `{{-` and `-}}` ask for it."""
    at, trim = 0, False
    for match in _ACTION.finditer(template):
        plain = template[at : match.start()]
        plain = plain.lstrip() if trim else plain
        yield False, plain.rstrip() if match[1] else plain
        if not re.match(r"\s*/\*.*\*/\s*$", match[2], re.DOTALL):
            yield True, match[2].strip()
        at, trim = match.end(), bool(match[3])
    rest = template[at:]
    if "{{" in rest:
        raise Invalid("template: unclosed action")
    yield False, rest.lstrip() if trim else rest


def _parse(pieces: Iterator[tuple[bool, str]], inside: str | None) -> tuple[list[_Block], str]:
    """The blocks up to `end` or `else`, and which of the two it was."""
    found: list[_Block] = []
    for action, content in pieces:
        if not action:
            found.append(_Block("text", content))
            continue
        word, _, argument = content.partition(" ")
        if word in ("range", "if", "with"):
            found.append(_opened(pieces, word, argument.strip()))
        elif word in ("end", "else"):
            if inside is None or (word == "end" and argument):
                raise Invalid(f"template: unexpected {{{{{content}}}}}")
            return found, content
        elif word in ("template", "define", "block", "break", "continue"):
            raise Invalid(f"template: {word} is not supported")
        else:
            found.append(_Block("print", content))
    if inside is not None:
        raise Invalid(f"template: unexpected end of the text, {inside} has no end")
    return found, ""


def _opened(pieces: Iterator[tuple[bool, str]], word: str, argument: str) -> _Block:
    if not argument:
        raise Invalid(f"template: {word} without a value")
    body, ended = _parse(pieces, word)
    block = _Block(word, argument, body)
    if ended.startswith("else"):
        chained = ended.removeprefix("else").strip()
        if chained.startswith("if "):
            block.otherwise = [_opened(pieces, "if", chained[3:].strip())]
        elif chained:
            raise Invalid(f"template: unexpected {{{{{ended}}}}}")
        else:
            block.otherwise, ended = _parse(pieces, word)
            if ended != "end":
                raise Invalid("template: a second else")
    return block


class _Run:
    def __init__(self, variables: dict[str, Any]) -> None:
        self._variables = variables

    def blocks(self, blocks: Sequence[_Block], dot: Any) -> Iterator[str]:
        for block in blocks:
            if block.kind == "text":
                yield block.argument
            elif block.kind == "print":
                yield from self._print(block.argument, dot)
            elif block.kind == "range":
                yield from self._range(block, dot)
            else:
                value = self._declared(block.argument, dot)
                inside = value if block.kind == "with" else dot
                yield from self.blocks(block.body, inside) if value else self.blocks(block.otherwise, dot)

    def _print(self, argument: str, dot: Any) -> Iterator[str]:
        names, _ = _names(argument)
        value = self._declared(argument, dot)
        if not names:
            yield "<no value>" if value is None else text(value) if not isinstance(value, dict | list) else _go(value)

    def _declared(self, argument: str, dot: Any) -> Any:
        names, expression = _names(argument)
        value = self._value(expression, dot)
        if names:
            self._variables[names[-1]] = value
        return value

    def _range(self, block: _Block, dot: Any) -> Iterator[str]:
        names, expression = _names(block.argument)
        value = self._value(expression, dot)
        if isinstance(value, Mapping):
            pairs: list[tuple[Any, Any]] = sorted(value.items())
        elif isinstance(value, list | tuple):
            pairs = list(enumerate(value))
        elif value is None:
            pairs = []
        else:
            raise Invalid(f"template: range can't iterate over {text(value)}")
        if not pairs:
            yield from self.blocks(block.otherwise, dot)
        for key, item in pairs:
            if names:
                self._variables[names[-1]] = item
            if len(names) == 2:
                self._variables[names[0]] = key
            yield from self.blocks(block.body, item)

    def _value(self, expression: str, dot: Any) -> Any:
        tokens = _tokens(expression)
        value = self._pipe(tokens, dot)
        if tokens:
            raise Invalid(f"template: unexpected {tokens[0]!r}")
        return value

    def _pipe(self, tokens: list[str], dot: Any) -> Any:
        value = self._call(tokens, dot)
        while tokens and tokens[0] == "|":
            tokens.pop(0)
            value = self._call(tokens, dot, (value,))
        return value

    def _call(self, tokens: list[str], dot: Any, last: tuple[Any, ...] = ()) -> Any:
        if not tokens:
            raise Invalid("template: missing value")
        name = tokens[0]
        if name in _FUNCTIONS:
            tokens.pop(0)
            arguments = []
            while tokens and tokens[0] not in ("|", ")"):
                arguments.append(self._term(tokens, dot))
            try:
                return _FUNCTIONS[name](*arguments, *last)
            except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
                raise Invalid(f"template: {name}: {error}") from error
        if last:
            raise Invalid(f"template: function {name!r} not defined")
        return self._term(tokens, dot)

    def _term(self, tokens: list[str], dot: Any) -> Any:
        token = tokens.pop(0)
        if token == "(":
            value = self._pipe(tokens, dot)
            if not tokens or tokens.pop(0) != ")":
                raise Invalid("template: unclosed left paren")
            return value
        if token[0] in '"`':
            return _text_of(token)
        if token.startswith("."):
            return _walk(dot, token)
        if token.startswith("$"):
            name, dotted, path = token.partition(".")
            if name not in self._variables:
                raise Invalid(f"template: undefined variable {name!r}")
            return _walk(self._variables[name], dotted + path)
        if token in ("true", "false"):
            return token == "true"
        if token == "nil":
            return None
        if re.fullmatch(r"[+-]?\d+", token):
            return int(token)
        raise Invalid(f"template: function {token!r} not defined")


def _names(argument: str) -> tuple[list[str], str]:
    """`$i, $x := expression`"""
    match = re.fullmatch(r"(?s)\s*(\$\w+)(?:\s*,\s*(\$\w+))?\s*:?=(?!=)\s*(.*)", argument)
    return ([name for name in (match[1], match[2]) if name], match[3]) if match else ([], argument)


def _tokens(expression: str) -> list[str]:
    found, at = [], 0
    expression = expression.strip()
    while at < len(expression):
        match = _TERM.match(expression, at)
        if match is None:
            raise Invalid(f"template: unexpected {expression[at : at + 20]!r}")
        found.append(match[1])
        at = match.end()
    return found


def _text_of(token: str) -> str:
    if token[0] == "`":
        return token[1:-1]
    import json

    try:
        return str(json.loads(token))
    except ValueError as error:
        raise Invalid(f"template: bad text {token}") from error


def _walk(value: Any, path: str) -> Any:
    for name in (part for part in path.split(".") if part):
        if isinstance(value, list | tuple):
            raise Invalid(f"template: can't evaluate field {name} of a list; use range")
        value = _field(value, name)
    return value


def _field(value: Any, name: str) -> Any:
    """By its JSON name, else by its Go name: capitals do not count, the embedded parts of an object are itself."""
    if not isinstance(value, Mapping):
        return None
    if name in value:
        return value[name]
    if name == "TypeMeta":
        return value
    if name in ("ObjectMeta", "ListMeta"):
        return value.get("metadata")
    for key, found in value.items():
        if key.replace("-", "").lower() == name.lower():
            return found
    return None


def _go(value: Any) -> str:
    """As Go prints maps and lists."""
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{_go(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(_go(item) for item in value) + "]"
    return "<no value>" if value is None else text(value)


def _printf(form: str, *values: Any) -> str:
    rest = list(values)

    def put(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        if any(int(number) > _WIDEST for number in re.findall("[0-9]+", match[1])):
            raise ValueError(f"{match[0]}: wider than {_WIDEST}")
        value = rest.pop(0)
        if match[2] == "q":
            return '"' + text(value) + '"'
        return ("%" + match[1] + ("d" if match[2] == "d" else "s")) % (value if match[2] == "d" else _go(value))

    return re.sub(r"%([-0-9.]*)([%a-z])", put, form)


def _join(values: Any, separator: str = ",") -> str:
    return separator.join(text(value) for value in values or ())


def _truncated(values: Any, separator: str, most: int) -> str:
    whole = _join(values, separator)
    return whole if len(whole) <= most else whole[: max(0, most - 3)] + "..."


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else value[key]
    return value


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": lambda *values: next((value for value in values if not value), values[-1]),
    "or": lambda *values: next((value for value in values if value), values[-1]),
    "not": lambda value: not value,
    "eq": lambda one, *others: one in others,
    "ne": lambda one, other: one != other,
    "lt": lambda one, other: one < other,
    "le": lambda one, other: one <= other,
    "gt": lambda one, other: one > other,
    "ge": lambda one, other: one >= other,
    "len": len,
    "index": _index,
    "print": lambda *values: "".join(_go(value) for value in values),
    "println": lambda *values: " ".join(_go(value) for value in values) + "\n",
    "printf": _printf,
    "join": _join,
    "joinAndTruncate": _truncated,
}
