"""This program's own terminal, lent to a command elsewhere."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any


class Terminal:
    """`raw`: keys go to the command as they are pressed, Ctrl-C among them."""

    def __init__(self, *, raw: bool) -> None:
        self._raw = raw
        self._before: Any = None
        self._handlers: dict[int, Any] = {}

    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        found = os.get_terminal_size(1)
        return found.lines, found.columns

    def enter(self, resized: Callable[[], None]) -> None:
        """`resized` is called whenever the window has another size, and once now."""
        self._handle(signal.SIGWINCH, lambda _number, _frame: resized())
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._handle(number, _end)
        resized()
        if self._raw:
            import termios
            import tty

            self._before = termios.tcgetattr(0)
            tty.setraw(0, termios.TCSADRAIN)

    def leave(self) -> None:
        """As it was before; more than once is once."""
        while self._handlers:
            signal.signal(*self._handlers.popitem())
        if self._before is not None:
            import termios

            termios.tcsetattr(0, termios.TCSADRAIN, self._before)
            self._before = None

    def _handle(self, number: int, handler: Callable[[int, Any], None]) -> None:
        self._handlers[number] = signal.signal(number, handler)


def _end(number: int, _frame: Any) -> None:
    """By way of `leave`: a terminal that stays raw is of no use to anybody."""
    raise SystemExit(128 + number)


class Escape:
    """Keys that end an attachment: Ctrl-P Ctrl-Q."""

    KEYS = b"\x10\x11"

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What is to be passed on, and whether the keys were pressed. The first key waits for the one behind it."""
        data = self._held + data
        self._held = b""
        before, found, _ = data.partition(self.KEYS)
        if found:
            return before, True
        if data.endswith(self.KEYS[:1]):
            self._held = self.KEYS[:1]
            data = data[:-1]
        return data, False
