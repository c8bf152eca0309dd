"""From a selector's text to its nodes.

    or      := and ("||" and)*
    and     := unary ("&&" unary)*
    unary   := "!"* primary            binds to one primary; pairs cancel
    primary := "(" or ")" | has(label) | all() | global() | label operator operand

The empty text is `all()`.
"""

from __future__ import annotations

from functools import lru_cache

from tortie.base.errors import Invalid
from tortie.model.selector import tokens as t
from tortie.model.selector.nodes import (
    All,
    And,
    Contains,
    EndsWith,
    Equal,
    Global,
    Has,
    In,
    Node,
    Not,
    NotEqual,
    NotIn,
    Or,
    Selector,
    StartsWith,
)

MAX_DEPTH = 64

_WITH_STRING: dict[str, type[Equal | NotEqual | Contains | StartsWith | EndsWith]] = {
    "==": Equal,
    "!=": NotEqual,
    "contains": Contains,
    "starts with": StartsWith,
    "ends with": EndsWith,
}
_WITH_SET: dict[str, type[In | NotIn]] = {"in": In, "not in": NotIn}


@lru_cache(maxsize=4096)
def parse(text: str) -> Selector:
    """The selector that `text` writes. Raises Invalid with the reason when it is none."""
    found = t.tokens(text)
    if found[0].kind == t.EOF:
        return Selector.of(All())
    parser = _Parser(found)
    node = parser.disjunction(0)
    parser.end()
    return Selector.of(node)


class _Parser:
    def __init__(self, found: list[t.Token]) -> None:
        self._tokens = found
        self._at = 0

    def end(self) -> None:
        if self._peek() != t.EOF:
            rest = " ".join(str(token) for token in self._tokens[self._at : -1])
            raise Invalid(f"unexpected content at end of selector [{rest}]")

    def disjunction(self, depth: int) -> Node:
        operands = [self._conjunction(depth)]
        while self._accept("||"):
            operands.append(self._conjunction(depth))
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def _conjunction(self, depth: int) -> Node:
        operands = [self._unary(depth)]
        while self._accept("&&"):
            operands.append(self._unary(depth))
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def _unary(self, depth: int) -> Node:
        negated = False
        while self._accept("!"):
            negated = not negated
        node = self._primary(depth)
        if not negated:
            return node
        # Pairs cancel across brackets too: the canonical text, which has none there, must read as the same again.
        return node.operand if isinstance(node, Not) else Not(node)

    def _primary(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise Invalid(f"selector is nested deeper than {MAX_DEPTH} brackets")
        token = self._take()
        if token.kind == "(":
            node = self.disjunction(depth + 1)
            self._expect(")", "expected )")
            return node
        if token.kind == t.HAS:
            return Has(token.text)
        if token.kind == t.ALL:
            return All()
        if token.kind == t.GLOBAL:
            return Global()
        if token.kind == t.LABEL:
            return self._comparison(token.text)
        if token.kind == t.EOF:
            raise Invalid("unexpected end of string looking for op")
        raise Invalid(f"unexpected token {token}")

    def _comparison(self, label: str) -> Node:
        operator = self._take()
        if operator.kind in _WITH_STRING:
            return _WITH_STRING[operator.kind](label, self._expect(t.STRING, "expected string").text)
        if operator.kind in _WITH_SET:
            return _WITH_SET[operator.kind](label, self._set())
        if operator.kind == t.EOF:
            raise Invalid("unexpected end of string looking for op")
        raise Invalid(f'expected operator after label "{label}"')

    def _set(self) -> frozenset[str]:
        self._expect("{", "expected set literal")
        values: set[str] = set()
        while self._peek() != "}":
            values.add(self._expect(t.STRING, "expected string").text)
            if not self._accept(","):
                break
        self._expect("}", "expected }")
        return frozenset(values)

    def _peek(self) -> str:
        return self._tokens[self._at].kind

    def _take(self) -> t.Token:
        token = self._tokens[self._at]
        if token.kind != t.EOF:
            self._at += 1
        return token

    def _accept(self, kind: str) -> bool:
        if self._peek() != kind:
            return False
        self._at += 1
        return True

    def _expect(self, kind: str, message: str) -> t.Token:
        if self._peek() != kind:
            raise Invalid(message)
        return self._take()
