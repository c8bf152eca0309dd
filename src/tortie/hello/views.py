"""The number of page views, kept by a Redis server."""

from __future__ import annotations

import socket

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 5.0
MAX_LINE = 512


class NoAnswer(Exception):
    """The server did not count this view; the text says why."""


def count_view(host: str, port: int, key: str = "hits") -> int:
    """Add one and return how many there are now. A connection of its own each time: an open one would hide that the
    server has moved or that policy has closed the way. Raises NoAnswer."""
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.sendall(command("INCR", key))
            return integer(_line(connection))
    except OSError as error:  # no such name and every time-out are among them
        raise NoAnswer(f"{host}:{port}: {error}") from error


def command(*words: str) -> bytes:
    """A command as the server's protocol has it: an array of strings."""
    raw = [word.encode() for word in words]
    return b"".join([b"*%d\r\n" % len(raw), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in raw)])


def integer(line: bytes) -> int:
    """The value of an integer reply; NoAnswer for an error reply or anything else."""
    digits = line[1:].removesuffix(b"\r\n")
    if not line.startswith(b":") or not line.endswith(b"\r\n") or not digits.isdigit():
        raise NoAnswer(f"redis says {line[:80].decode(errors='replace')!r}")
    return int(digits)


def _line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\r\n") and len(line) < MAX_LINE:
        piece = connection.recv(MAX_LINE)
        if not piece:
            raise NoAnswer("the connection ended before the reply")
        line += piece
    return line
