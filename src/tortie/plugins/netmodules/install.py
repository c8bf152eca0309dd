"""Puts the command of net-modules, and a modules.json that names it, where Mesos agents look for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tortie.plugins import install as launchers
from tortie.plugins.launching import SOCKET, SPOOL
from tortie.plugins.netmodules import launcher
from tortie.wire.netmodules import modules

NAME = "calico_mesos"
MODULES = "modules.json"
LAUNCHER = launchers.Launcher(launcher, {"MODULES": 1, "SUPPORTED": ""})


def install(
    folder: Path, socket: str = SOCKET, spool: str = SPOOL, kind: launchers.Kind = "auto"
) -> Iterator[launchers.Placed]:
    """Writes the command; a modules.json that is there stays as it is. Unavailable says what fails."""
    yield from launchers.install(LAUNCHER, [NAME], folder, socket, spool, kind)
    if not (folder / MODULES).exists():
        launchers.place(folder / MODULES, modules(str(folder / NAME)).encode(), 0o644)
        yield launchers.Placed(folder / MODULES, "names it")
