"""The endless reply of a watch: from bytes as they arrive to JSON messages, one a line. No socket in here."""

from __future__ import annotations

from tortie.base.errors import Unavailable

HEAD_LIMIT = 65536


class Stream:
    """An HTTP/1.1 reply in the making. `status` is 0 until its head is whole; `ended` once its body is."""

    def __init__(self) -> None:
        self.status = 0
        self.ended = False
        self._raw = b""
        self._body = bytearray()
        self._chunked = True
        self._left: int | None = None  # of the present chunk or of the whole body; None: its size is to be read

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are whole now. Raises Unavailable for what is no HTTP reply."""
        self._raw += data
        if not self.status and not self._head():
            return []
        self._take()
        *lines, rest = self._body.split(b"\n")
        self._body = bytearray(b"" if self.ended else rest)
        last = [bytes(rest)] if self.ended and rest.strip() else []
        return [bytes(line) for line in lines if line.strip()] + last

    def _head(self) -> bool:
        head, found, rest = self._raw.partition(b"\r\n\r\n")
        if not found:
            if len(head) > HEAD_LIMIT:
                raise Unavailable("an endless head of a reply")
            return False
        first, *lines = head.split(b"\r\n")
        words = first.split(b" ", 2)
        if not words[0].startswith(b"HTTP/1.") or len(words) < 2 or not (words[1].isdigit() and len(words[1]) == 3):
            raise Unavailable(f"not an HTTP reply: {first[:60]!r}")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        self._chunked = fields.get(b"transfer-encoding", b"").lower() == b"chunked"
        if not self._chunked:
            length = fields.get(b"content-length", b"")
            self._left = int(length) if length.isdigit() and len(length) < 19 else 1 << 62
        self.status, self._raw = int(words[1]), rest
        return True

    def _take(self) -> None:
        """Move what has arrived of the body out of its chunks."""
        while not self.ended:
            if self._left is None and not self._size():
                return
            if self._left is None:
                continue
            part, self._raw = self._raw[: self._left], self._raw[self._left :]
            self._body += part
            self._left -= len(part)
            if self._left:
                return
            self._left = None
            self.ended = self.ended or not self._chunked

    def _size(self) -> bool:
        """Read the line with the size of the next chunk; false when it has not arrived as a whole."""
        line, found, rest = self._raw.partition(b"\r\n")
        if not found:
            return False
        self._raw = rest
        if line:  # an empty one ends the chunk before
            try:
                self._left = int(line.split(b";")[0], 16)
            except ValueError:
                raise Unavailable(f"not the size of a chunk: {line[:60]!r}") from None
            if self._left == 0:
                self.ended = True
        return True
