"""The file in which every call of net-modules stands with its answer, where operators of the original look for it."""

from __future__ import annotations

import logging
from logging.handlers import TimedRotatingFileHandler
from pathlib import Path

log = logging.getLogger("netmodules")

FILE = Path("/var/log/calico/isolator.log")
KEPT = 10
"""Days."""


class _File(TimedRotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Whoever writes is to hear of it."""
        raise  # noqa: PLE0704 - it is called where the failure is being handled


class Journal:
    """Made with the first call: a host that has none has no file either."""

    def __init__(self, path: Path = FILE) -> None:
        self._path = path
        self._handler: _File | None = None
        self._failed = ""

    def write(self, request: bytes, reply: bytes) -> None:
        """A file that cannot be written is told of once; the call is answered all the same. It blocks."""
        text = f"{request.decode(errors='replace').strip()} -> {reply.decode(errors='replace')}"
        record = logging.makeLogRecord({"msg": text.replace("\n", "\\n"), "levelname": "INFO"})
        try:
            self._open().handle(record)
        except OSError as error:
            if self._failed != str(error):
                self._failed = str(error)
                log.warning("%s: %s", self._path, error.strerror)

    def _open(self) -> _File:
        if self._handler is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handler = _File(self._path, when="midnight", backupCount=KEPT, encoding="utf-8")
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            self._handler = handler
        return self._handler
