"""What a walk needs of a lab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class Ran(Protocol):
    """A command that has ended."""

    @property
    def returncode(self) -> int: ...
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...


class Host(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def address(self) -> str:
        """Its IPv4 address on the lab's segment."""
        ...

    @property
    def role(self) -> str:
        """`outside`, `master` or `agent`."""
        ...

    def run(self, argv: Sequence[str], *, timeout: float = 60) -> Ran:
        """Run to its end as on that host, in its /root. Raises Unavailable after `timeout` seconds."""
        ...

    def path(self, inside: str) -> Path:
        """A file of the host, reached from outside."""
        ...

    def netns(self) -> Path:
        """The file of its network namespace, to be opened from outside."""
        ...

    def netns_of(self, pid: int) -> Path:
        """The file of the network namespace of one of its processes; `pid` as that host counts."""
        ...


class Lab(Protocol):
    @property
    def hosts(self) -> Mapping[str, Host]: ...
    @property
    def state(self) -> Mapping[str, Any]:
        """What `up` noted: `options` among it."""
        ...
