"""How the agent's tasks wake each other."""

from __future__ import annotations

import anyio
from tests.support.waiting import PATIENCE

from tortie.node.health import Signal


def test_what_happens_before_somebody_has_come_to_waiting_is_not_missed() -> None:
    """Found when a clean-up took its whole deadline: the agent had slept through the change that it was about."""

    async def story() -> None:
        signal = Signal()
        news = signal.next()
        signal.set()
        with anyio.fail_after(PATIENCE):
            await news.wait()
        with anyio.move_on_after(0) as late:
            await signal.wait()
        assert late.cancelled_caught

    anyio.run(story)
