"""The families of failure, named after what the caller can do about them.

Every front owns one table from these families to its protocol's own terms (HTTP status, exit code, CNI code).
The text of an error carries the noun and its name: `block 10.0.0.0/26 is at another revision`.
"""

from __future__ import annotations


class TortieError(Exception):
    """Base of every failure that Tortie raises on purpose; `str()` is fit to show to a person."""


class Invalid(TortieError):
    """The request itself is wrong: mend it, never retry. `problems` lists every one found."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class NotFound(TortieError):
    """The named thing does not exist."""


class Conflict(TortieError):
    """Somebody else changed it, or it exists already: read again, then retry."""


class Unavailable(TortieError):
    """A peer, the store or the kernel did not answer: back off, then retry."""


class NoNetworkStore(Unavailable):
    """This host's cluster has a store of its own, and nobody has said yet where the network's is."""
