"""Values of the original's flags: durations, `file://` values, both spellings of a name."""

from __future__ import annotations

import re
from pathlib import Path

from tortie.base.errors import Invalid

_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "secs": 1, "mins": 60, "hrs": 3600, "days": 86400, "weeks": 604800}
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ns|us|ms|secs|mins|hrs|days|weeks)$")


def seconds(text: str) -> float:
    """`15secs`, `10mins`, `500ms`. Raises Invalid."""
    found = _DURATION.match(text.strip())
    if not found:
        raise Invalid(f"{text!r} is no duration; expected a number and one of {', '.join(_UNITS)}")
    return float(found[1]) * _UNITS[found[2]]


def value(text: str) -> str:
    """The text itself, or the content of the file that `file:///path` names."""
    if not text.startswith("file://"):
        return text
    path = Path(text.removeprefix("file://"))
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{text}: {error}") from error
