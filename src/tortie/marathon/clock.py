"""Times as Marathon writes them."""

from __future__ import annotations

from datetime import UTC, datetime

from tortie.base.errors import Invalid


def iso(seconds: float) -> str:
    """`2016-05-03T12:01:44.123Z`: comparable as text."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def after(last: str, now: float) -> str:
    """A version for a change at `now`: always later than `last`, by a millisecond if need be."""
    version = iso(now)
    if version > last:
        return version
    return iso(datetime.fromisoformat(last).timestamp() + 0.0015)


def parse(version: str) -> str:
    """A timestamp in any usual form, as we write it. Raises Invalid."""
    try:
        moment = datetime.fromisoformat(version)
    except ValueError as error:
        raise Invalid(f"Invalid timestamp: {version!r}") from error
    return iso((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
