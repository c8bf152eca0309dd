"""Asking a BIRD at its control socket: one command, one answer."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path

from tortie.base.errors import Unavailable

DIRECTORY = Path("/var/lib/tortie/bird")
NAME = "bird.ctl"
SOCKET = DIRECTORY / NAME


def ask(path: Path, command: str, seconds: float = 2.0) -> list[str]:
    """BIRD's answer to one command, a line each with its code. Unavailable when nothing answers there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(seconds)
        try:
            sock.connect(str(path))
            reader = sock.makefile("r", encoding="utf-8", errors="replace")
            _answer(reader)
            sock.sendall(f"{command}\n".encode())
            return _answer(reader)
        except OSError as error:
            raise Unavailable(f"bird at {path}: {error.strerror or error}") from error


def _answer(reader: Iterable[str]) -> list[str]:
    """Lines up to the last one of an answer: a code and a blank. A line that goes on has a dash, or begins with one."""
    lines: list[str] = []
    for line in reader:
        lines.append(line.rstrip("\n"))
        if line[:4].isdigit() and line[4:5] == " ":
            return lines
    if not lines:
        raise OSError("closed without an answer")
    return lines
