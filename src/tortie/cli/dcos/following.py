"""The ends of files, by the files API of master and agents, and how they grow.

Files are measured in bytes and come as text: a cut inside a character shows by the mark in its place, and is moved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tortie.cli.dcos import urls
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.session import say, tell
from tortie.cli.dcos.web import Http

BLOCK = 200
"""Bytes that a line is thought to have."""
PIECE = 50000
"""At most so many bytes are asked for at once: less than any server gives."""
PAUSE = 1.0
CUT = "\ufffd"
NO_FILES = "No files exist. Exiting."


class Remote(NamedTuple):
    """`shown`: in the line above its text; `url`: of the server's call to read files."""

    shown: str
    url: str
    path: str


class Reader:
    """One file; `at` is the byte up to which it has been printed."""

    def __init__(self, http: Http, remote: Remote) -> None:
        self.remote = remote
        self.at = 0
        self.waiting = False
        self._http = http

    def size(self) -> int:
        return int(self._ask(-1, 0)["offset"])

    def text(self, start: int, end: int) -> str:
        parts: list[str] = []
        while start < end:
            length = min(PIECE, end - start)
            part = self._text(start, length)
            shorter = length
            while part.endswith(CUT) and start + shorter < end and shorter > max(length - 3, 1):
                # Perhaps the first bytes of a character of up to four.
                shorter -= 1
                part = self._text(start, shorter)
            parts.append(part)
            start += shorter
        return "".join(parts)

    def _text(self, start: int, length: int) -> str:
        return str(self._ask(start, length)["data"])

    def _ask(self, offset: int, length: int) -> Any:
        where = urls.query(self.remote.url, {"path": self.remote.path, "offset": offset, "length": length})
        found = self._http.get(where)
        if not isinstance(found, dict) or not isinstance(found.get("offset"), int) or "data" not in found:
            raise DcosError(f"Error decoding response from [{where}]: it is no part of a file")
        return found

    def end(self, lines: int) -> list[str]:
        """The last lines; `at` is the file's end then."""
        self.at = size = self.size()
        window = BLOCK * max(lines, 1)
        while True:
            start = max(size - window, 0)
            found = last_lines(self.text(start, size), lines, whole=start == 0)
            if found is not None:
                return found
            window *= 4

    def grown(self) -> list[str]:
        """The lines since; the last one when it is whole, or has not changed for a while."""
        size = self.size()
        if size < self.at:
            self.at = 0  # it was emptied, and begins anew
        text = self.text(self.at, size)
        whole, newline, rest = text.rpartition("\n")
        if rest and not self.waiting:
            self.waiting = True
            text, size = whole + newline, size - len(rest.encode())
            if CUT in rest:
                return []  # its bytes cannot be counted: all of it next time
        else:
            self.waiting = False
        self.at = size
        return text.removesuffix("\n").split("\n") if text else []


def last_lines(text: str, count: int, *, whole: bool) -> list[str] | None:
    """The last lines of a file's end; None when more of the file is needed. An empty file has one, empty line."""
    lines = text.removesuffix("\n").split("\n")
    if whole or len(lines) > count:
        return lines[len(lines) - count :] if len(lines) > count else lines
    return None


def print_ends(http: Http, remotes: Sequence[Remote], lines: int, *, follow: bool) -> int:
    """Files that cannot be read are left out. Raises DcosError when none can."""
    readers = [Reader(http, remote) for remote in remotes]
    header = ""
    header = _print(readers, lambda reader: reader.end(lines), header)
    while follow:
        time.sleep(PAUSE)
        header = _print(readers, Reader.grown, header)
    return 0


def _print(readers: list[Reader], read: Callable[[Reader], list[str]], header: str) -> str:
    found = []
    for reader in list(readers):
        try:
            found.append((reader.remote.shown, read(reader)))
        except DcosError:
            readers.remove(reader)
    if not readers:
        raise DcosError(NO_FILES)
    for shown, lines in found:
        if not lines:
            continue
        if len(readers) > 1 and shown != header:
            say(f"===> {shown} <===")
        header = shown
        if lines == [""]:
            tell("No logs for this task")
        else:
            print("\n".join(lines), flush=True)
    return header
