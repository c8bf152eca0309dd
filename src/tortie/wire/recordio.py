"""RecordIO: each record is its length in decimal, a newline, then its bytes. Used by Mesos's streaming calls."""

from __future__ import annotations

from tortie.base.errors import Invalid

MAX_RECORD = 64 * 1024 * 1024


def frame(record: bytes) -> bytes:
    return b"%d\n%s" % (len(record), record)


class Deframer:
    """Feed it bytes as they come; it gives back whole records, of `longest` bytes at most."""

    def __init__(self, longest: int = MAX_RECORD) -> None:
        self.longest = longest
        self._buffer = bytearray()

    @property
    def pending(self) -> bool:
        """Whether a record has begun and is not whole."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Raises Invalid when the stream is not RecordIO."""
        self._buffer += data
        records = []
        while (end := self._buffer.find(b"\n")) >= 0:
            digits = bytes(self._buffer[:end])
            if not digits.isdigit() or len(digits) > 20 or int(digits) > self.longest:
                raise Invalid(f"RecordIO: {digits[:20]!r} is no record length")
            start, stop = end + 1, end + 1 + int(digits)
            if len(self._buffer) < stop:
                break
            records.append(bytes(self._buffer[start:stop]))
            del self._buffer[:stop]
        else:
            if len(self._buffer) > 20:
                raise Invalid(f"RecordIO: {bytes(self._buffer[:20])!r} is no record length")
        return records
