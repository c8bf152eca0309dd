"""The launcher in C, for hosts with a C compiler: it starts in a tenth of the time of the one in Python."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from tortie.base.errors import Unavailable

COMPILERS = ("cc", "gcc", "clang")
FOLDERS = "/usr/local/bin:/usr/bin:/bin"
FLAGS = ("-x", "c", "-std=gnu11", "-O2", "-s", "-Wall", "-Wextra", "-Werror")
SECONDS = 120.0
SOURCE = files("tortie.plugins") / "launcher.c"


def find_compiler(folders: str = FOLDERS) -> str | None:
    """A C compiler of the system's, not one that the caller's environment leads to."""
    return next(filter(None, (shutil.which(name, path=folders) for name in COMPILERS)), None)


def build(compiler: str, defined: Mapping[str, str | int]) -> bytes:
    """The program; `defined`: what its source leaves open. It blocks. Unavailable says what the compiler said.

    Static where the C library can be linked so: that halves its start.
    """
    words = [f"-D{name}={value if isinstance(value, int) else literal(value)}" for name, value in defined.items()]
    with tempfile.TemporaryDirectory(prefix="tortie-launcher-") as folder:
        target = Path(folder) / "launcher"
        said = ""
        for linking in (("-static",), ()):
            said = _compile([compiler, *FLAGS, *linking, *words, "-o", str(target), "-"])
            if not said:
                return target.read_bytes()
    raise Unavailable(f"{compiler}: {said}")


def literal(text: str) -> str:
    """As a constant of C, whatever is in it."""
    plain = "".join(
        chr(byte) if (chr(byte).isascii() and chr(byte).isalnum()) or byte in b"/._-:, " else f"\\{byte:03o}"
        for byte in text.encode(errors="surrogateescape")
    )
    return f'"{plain}"'


def _compile(command: list[str]) -> str:
    """What it has to complain of; nothing when it did its work."""
    env = {"PATH": FOLDERS, "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, input=SOURCE.read_bytes(), capture_output=True, timeout=SECONDS, check=False, env=env
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.decode(errors="replace").strip()[-500:] or f"exit {done.returncode}" if done.returncode else ""
