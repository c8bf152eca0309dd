"""Puts the launcher where runtimes look for plug-ins."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tortie import __version__
from tortie.base.errors import Unavailable
from tortie.plugins.cni import launcher
from tortie.plugins.cni.spool import make_spool

FOLDER = Path("/opt/cni/bin")
NAMES = ("tortie", "calico", "calico-ipam")
SYSTEM_PYTHON = "/usr/bin/python3"


def text(socket: str, spool: str) -> str:
    """The launcher for this host. Isolated from the caller's environment: some runtimes pass on a user's."""
    python = SYSTEM_PYTHON if os.access(SYSTEM_PYTHON, os.X_OK) else os.path.realpath(sys.executable)
    paths = {"SOCKET": socket, "SPOOL": spool, "VERSION": __version__}
    lines = inspect.getsource(launcher).splitlines(keepends=True)
    body = [f"{name} = {paths[name]!r}\n" if (name := line.partition(" = ")[0]) in paths else line for line in lines]
    return f"#!{python} -ISE\n" + "".join(body)


def install(folder: Path, socket: str = launcher.SOCKET, spool: str = launcher.SPOOL) -> Iterator[Path]:
    """Writes every name, each put in place whole, and the folder of what they keep. Unavailable says what fails."""
    body = text(socket, spool)
    make_spool(Path(spool))
    for name in NAMES:
        beside = folder / f".{name}.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            beside.write_text(body)
            beside.chmod(0o755)
            beside.rename(folder / name)
        except OSError as error:
            raise Unavailable(f"{folder / name}: {error.strerror}") from error
        yield folder / name
