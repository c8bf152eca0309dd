"""Puts the CNI plug-ins where container runtimes look for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tortie.plugins import install as launchers
from tortie.plugins.cni import launcher
from tortie.plugins.launching import SOCKET, SPOOL

NAMES = ("tortie", "calico", "calico-ipam")
LAUNCHER = launchers.Launcher(launcher, {"MODULES": 0, "SUPPORTED": launcher.ABOUT})


def install(
    folder: Path, socket: str = SOCKET, spool: str = SPOOL, kind: launchers.Kind = "auto"
) -> Iterator[launchers.Placed]:
    """Writes every name and the folder of what they keep. Unavailable says what fails."""
    return launchers.install(LAUNCHER, NAMES, folder, socket, spool, kind)
