"""Labels of endpoints out of any text that a runtime gives. Pure."""

from __future__ import annotations

import re


def label_key(text: str) -> str:
    """As Calico makes a label's key of any text: slashes to dots, what no label may hold to dashes, runs to one dot."""
    return _clean(text) or "-"


def label_value(text: str) -> str:
    return _clean(text)


def _clean(text: str) -> str:
    plain = re.sub(r"[^-_.a-zA-Z0-9]", "-", text.replace("/", "."))
    return re.sub(r"[-.]*\.[-.]*", ".", plain).strip("-_.")[:63].rstrip("-_.")
