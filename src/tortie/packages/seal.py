"""What a signed index says of itself: a serial that only grows, and how long it is good. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tortie.base.errors import Invalid
from tortie.packages.definition import Package

GOOD_FOR = timedelta(days=30)


def sealed(packages: Sequence[Package], *, serial: int, now: datetime, good_for: timedelta = GOOD_FOR) -> bytes:
    """An index to be signed: the Universe's form, so that clients who know no seal read it too."""
    until = (now + good_for).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    order = sorted(packages, key=lambda one: (one.name, one.release))
    index = {"packages": [one.entry() for one in order], "serial": serial, "expires": until}
    return json.dumps(index, ensure_ascii=False, separators=(",", ":")).encode()


def check_seal(index: Mapping[str, Any], *, now: datetime, newest: int) -> int:
    """The serial. Raises Invalid when the index is older than one seen before, or too old."""
    serial, expires = index.get("serial"), index.get("expires")
    if isinstance(serial, bool) or not isinstance(serial, int) or not 0 <= serial < 1 << 63:
        raise Invalid("it is signed but has no serial")
    if serial < newest:
        raise Invalid(f"its serial {serial} is older than {newest}, which was seen before")
    try:
        until = datetime.fromisoformat(str(expires))
        if until.tzinfo is None:
            raise ValueError
    except ValueError:
        raise Invalid("it is signed but does not say when it expires") from None
    if until <= now:
        raise Invalid(f"it expired at {expires}")
    return serial
