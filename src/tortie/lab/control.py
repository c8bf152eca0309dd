"""Orders to a host's supervisor, from outside the lab or from inside that host."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from tortie.base.errors import NotFound, TortieError, Unavailable

INSIDE = Path("/run/lab/control.sock")
"""Where a host finds its own supervisor."""


class Refused(TortieError):
    """The supervisor could not do it; the text says why."""


def order(path: Path, operation: str, name: str | None = None, timeout: float = 200.0, **more: Any) -> dict[str, Any]:
    """The supervisor's answer. Unavailable: nobody there; NotFound: no such unit; Refused: it did not come about."""
    request = {"op": operation, **more} | ({"name": name} if name else {})
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout)
            sock.connect(str(path))
            sock.sendall(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(sock.makefile("rb").readline() or b"{}")
    except (OSError, ValueError) as error:
        raise Unavailable(f"supervisor at {path}: {error}") from error
    if "unknown" in answer:
        raise NotFound(answer["error"])
    if "error" in answer:
        raise Refused(answer["error"])
    if not answer:
        raise Unavailable(f"supervisor at {path} ended")
    return answer
