"""Input and output of a container or of a session in one, as exec and attach use them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

Output = Literal["STDOUT", "STDERR"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A command to run in a container. `environment` and `user`: on top of the container's own."""

    id: str
    parent: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    terminal: bool = False
    rows: int = 0
    columns: int = 0


class Streams(Protocol):
    """Ids are container ids: a task's own, or a session's. NotFound: there is none."""

    async def launch(self, session: Session) -> None:
        """Makes it; its command begins when somebody first reads its output. Raises NotFound without its parent."""

    def output(self, container_id: str) -> AsyncIterator[tuple[Output, bytes]]:
        """From now on (from the first byte for a session's first reader), never empty, until it ends.
        With a terminal all of it is STDOUT."""

    async def write(self, container_id: str, data: bytes) -> None:
        """Waits while its input is full; what it does not read any more is dropped."""

    async def close_input(self, container_id: str) -> None:
        """Its standard input ends; on a terminal nothing happens."""

    async def resize(self, container_id: str, rows: int, columns: int) -> None: ...

    async def wait(self, container_id: str) -> int:
        """wait(2)'s status."""

    async def signal(self, container_id: str, number: int) -> None: ...

    async def remove(self, container_id: str) -> None:
        """A session's: ended with everything it started, and forgotten."""


@asynccontextmanager
async def closing(output: AsyncIterator[tuple[Output, bytes]]) -> AsyncIterator[AsyncIterator[tuple[Output, bytes]]]:
    """Whoever stops reading an output before its end lets go of it at once, and not when it is collected."""
    try:
        yield output
    finally:
        if isinstance(output, AsyncGenerator):
            await output.aclose()
