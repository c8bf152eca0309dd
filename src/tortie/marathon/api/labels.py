"""Label selectors of `GET /v2/apps?label=`: `a,b==1,c!=2,d in (x, y),e notin (z)`. All terms must hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tortie.base.errors import Invalid

_WORD = r"(?:[A-Za-z0-9._-]|\\.)+"
_TERM = re.compile(
    rf"\s*(?P<key>{_WORD})\s*(?:(?P<equal>==|!=)\s*(?P<value>{_WORD})"
    rf"|\s(?P<among>in|notin)\s*\(\s*(?P<values>{_WORD}(?:\s*,\s*{_WORD})*)\s*\))?\s*(?:,|$)"
)
Selector = Callable[[Mapping[str, str]], bool]


def parse(text: str) -> Selector:
    """Raises Invalid with the place where it stopped making sense. `!=` and `notin` need the key to be there."""
    terms: list[tuple[str, bool, frozenset[str] | None]] = []
    at = 0
    while at < len(text) or text.endswith(","):
        term = _TERM.match(text, at)
        if term is None:
            raise Invalid(f"Can not parse label selector {text}. Reason: unexpected {text[at:]!r} at {at + 1}")
        found = [term["value"]] if term["value"] else re.findall(_WORD, term["values"] or "")
        wanted = frozenset(_plain(value) for value in found) or None
        terms.append((_plain(term["key"]), (term["equal"] or term["among"] or "==") in ("==", "in"), wanted))
        at = term.end()
        if at == len(text) and not text.endswith(","):
            break
    if not terms:
        raise Invalid(f"Can not parse label selector {text}. Reason: it is empty")
    return lambda labels: all(_holds(labels, *term) for term in terms)


def _plain(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word)


def _holds(labels: Mapping[str, str], key: str, positive: bool, wanted: frozenset[str] | None) -> bool:
    if key not in labels:
        return False
    return wanted is None or (labels[key] in wanted) == positive
