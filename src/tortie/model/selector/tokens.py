"""The words of a selector.

A word such as `in` or `contains` is an operator only right after a label; everywhere else it is a label's name.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tortie.base.errors import Invalid

MAX_LABEL = 512

LABEL = "label"
STRING = "string"
HAS = "has"
ALL = "all()"
GLOBAL = "global()"
EOF = "EOF"

_BLANK = " \t"
_IDENTIFIER = re.compile(r"[A-Za-z0-9_./-]+")
_FUNCTION = re.compile(r"(has|all|global)\([ \t]*")
_OPERATOR = re.compile(r"(not[ \t]*in|in|contains|starts[ \t]*with|ends[ \t]*with)(?![A-Za-z0-9_])")
_PUNCTUATION = {"(", ")", "{", "}", ","}
_DOUBLED = {"=": "==", "&": "&&", "|": "||"}


class Token(NamedTuple):
    """`kind` is a punctuation mark, an operator in its canonical words, or one of the names above."""

    kind: str
    text: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.text!r}" if self.text else self.kind


def tokens(text: str) -> list[Token]:
    """All tokens, the last one EOF. Raises Invalid with the reason."""
    found: list[Token] = []
    at = 0
    while True:
        at = _skip_blank(text, at)
        if at == len(text):
            found.append(Token(EOF))
            return found
        token, at = _next(text, at, found[-1] if found else None)
        found.append(token)


def _skip_blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def _next(text: str, at: int, last: Token | None) -> tuple[Token, int]:
    char = text[at]
    if char in _PUNCTUATION:
        return Token(char), at + 1
    if char in "\"'":
        end = text.find(char, at + 1)
        if end < 0:
            raise Invalid("unterminated string")
        return Token(STRING, text[at + 1 : end]), end + 1
    if char == "!":
        return (Token("!="), at + 2) if text[at : at + 2] == "!=" else (Token("!"), at + 1)
    if char in _DOUBLED:
        wanted = _DOUBLED[char]
        if text[at : at + 2] != wanted:
            raise Invalid(f"expected {wanted}")
        return Token(wanted), at + 2
    if last is not None and last.kind == LABEL:
        return _operator(text, at, last.text)
    return _word(text, at)


def _operator(text: str, at: int, label: str) -> tuple[Token, int]:
    match = _OPERATOR.match(text, at)
    if match is None:
        raise Invalid(f'expected operator after label "{label}"')
    word = match[1]
    for start, canonical in (("not", "not in"), ("starts", "starts with"), ("ends", "ends with")):
        if word.startswith(start):
            return Token(canonical), match.end()
    return Token(word), match.end()


def _word(text: str, at: int) -> tuple[Token, int]:
    function = _FUNCTION.match(text, at)
    if function is None:
        label, end = _label(text, at)
        return Token(LABEL, label), end
    name, at = function[1], function.end()
    label = ""
    if name == "has":
        label, at = _label(text, at)
        at = _skip_blank(text, at)
    if at >= len(text) or text[at] != ")":
        raise Invalid(f"no closing ')' after {name}(")
    return Token(HAS if name == "has" else f"{name}()", label), at + 1


def _label(text: str, at: int) -> tuple[str, int]:
    match = _IDENTIFIER.match(text, at)
    if match is None:
        raise Invalid("expected identifier")
    if len(match[0]) > MAX_LABEL:
        raise Invalid(f"label too long: {match[0]}")
    return match[0], match.end()
