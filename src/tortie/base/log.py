"""Logs of the daemons: one line a record on standard error, `key=value` pairs after the text."""

from __future__ import annotations

import logging
import sys


def setup(name: str, *, debug: bool = False) -> logging.Logger:
    """Send records of every logger to standard error and return the daemon's own logger."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for library in ("aiohttp", "uvicorn"):
        logging.getLogger(library).setLevel(logging.WARNING)
    return logging.getLogger(name)
