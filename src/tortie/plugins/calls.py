"""How a plug-in runs what blocks, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from tortie.base.errors import Unavailable

T = TypeVar("T")


async def blocking(call: Callable[..., T], *args: Any, **named: Any) -> T:
    """Run a blocking call in a worker thread. A caller whose deadline passed does not wait for it: whatever the call
    still does then has a record, and is collected."""
    return await anyio.to_thread.run_sync(partial(call, *args, **named), abandon_on_cancel=True)


@contextmanager
def deadline(seconds: float, what: str) -> Iterator[None]:
    """Unavailable, saying what took too long, once `seconds` have passed."""
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError as error:
        raise Unavailable(f"{what}: not done within {seconds:g} s") from error
