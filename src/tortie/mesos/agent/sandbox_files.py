"""Files that the agent writes in a sandbox, which belongs to its task: it follows no link there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from tortie.base.errors import Invalid

NAMES = {"STDOUT": "stdout", "STDERR": "stderr"}
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def appending(sandbox: Path, name: str) -> FileIO:
    """That file of the sandbox, to write at its end.

    Whatever else its task has put in its place, a link or a pipe, is taken away; a directory raises OSError.
    """
    return FileIO(_own_file(sandbox, name), "ab")


def _own_file(sandbox: Path, name: str) -> int:
    with _directory(sandbox) as place:
        try:
            file = os.open(name, _APPEND, 0o644, dir_fd=place)
        except OSError:
            file = -1
        if file >= 0 and stat.S_ISREG(os.fstat(file).st_mode):
            return file
        if file >= 0:
            os.close(file)
        os.unlink(name, dir_fd=place)
        return os.open(name, _APPEND | os.O_EXCL, 0o644, dir_fd=place)


def check_way(sandbox: Path, name: str) -> None:
    """Raises Invalid when the way to a file of that name leaves the sandbox, by a link that came there earlier."""
    root, above = os.path.realpath(sandbox), (sandbox / name.strip("/")).parent
    while not above.exists() and not above.is_symlink():
        above = above.parent
    real = os.path.realpath(above)
    if os.path.normpath(name) != "." and real != root and not real.startswith(f"{root}/"):
        raise Invalid(f"'{name}' leads out of the sandbox")


def free_place(sandbox: Path, name: str) -> Path:
    """Where a file of that name may be written: missing directories are made, a link in its place is gone. Raises
    Invalid as `check_way` does."""
    check_way(sandbox, name)
    target = sandbox / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()
    return target


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
