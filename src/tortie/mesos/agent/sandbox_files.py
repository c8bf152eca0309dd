"""Files that the agent writes in a sandbox, which belongs to its task: it follows no link there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tortie.base.errors import Invalid

NAMES = {"STDOUT": "stdout", "STDERR": "stderr"}
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class SandboxFiles:
    """`containers/NAME/stdout` and `stderr` in a sandbox. Raises Invalid when something else lies in their place."""

    def __init__(self, sandbox: Path, name: str) -> None:
        self._files: dict[str, int] = {}
        try:
            with _directory(sandbox, "containers", name) as place:
                for stream, file in NAMES.items():
                    self._files[stream] = os.open(file, _APPEND, 0o644, dir_fd=place)
        except OSError as error:
            self.close()
            raise Invalid(f"{sandbox}/containers/{name}: {error.strerror}") from error

    def write(self, stream: str, data: bytes) -> int:
        """How many bytes of it the disk did not take."""
        try:
            while data:
                data = data[os.write(self._files[stream], data) :]
        except OSError:
            return len(data)
        return 0

    def close(self) -> None:
        while self._files:
            os.close(self._files.popitem()[1])

    def __enter__(self) -> SandboxFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _directory(root: Path, *names: str) -> Iterator[int]:
    at = os.open(root, _DIRECTORY)
    try:
        for name in names:
            with suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=at)
            below = os.open(name, _DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)
