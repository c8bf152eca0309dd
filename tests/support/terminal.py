"""A program at a terminal of its own, with somebody who types and reads."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.waiting import PATIENCE


class Terminal:
    """`seen` is what has been printed since the text that was waited for last."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        self.seen = ""
        self.code: int | None = None
        # Our own end of it is kept open, so that it can be looked at when the program has ended.
        self._end, self._own = pty.openpty()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._end)
            os.login_tty(self._own)
            os.execvpe(argv[0], list(argv), dict(environ))

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def wait_for(self, text: str) -> None:
        """Until it stands there; what was before is forgotten."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            ready, _, _ = select.select([self._end], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"no {text!r} within {PATIENCE} s in {self.seen!r}"
            self.seen += os.read(self._end, 4096).decode(errors="replace")
        self.seen = self.seen.partition(text)[2]

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._own, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def modes(self) -> list[Any]:
        """As tcgetattr has them."""
        return termios.tcgetattr(self._own)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit code, once the program has ended; all that it has printed is read."""
        deadline = time.monotonic() + PATIENCE
        while self.code is None or select.select([self._end], [], [], 0)[0]:
            ready, _, _ = select.select([self._end], [], [], 0.02)
            if ready:
                self.seen += os.read(self._end, 4096).decode(errors="replace")
            if self.code is not None:
                continue
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            assert time.monotonic() < deadline, f"not ended within {PATIENCE} s: {self.seen!r}"
        return self.code

    def close(self) -> None:
        os.close(self._own)
        os.close(self._end)
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
