"""This host, as commands that must run on it know it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from tortie.cli.calicoctl.era019.line import Failure


def hostname(environ: Mapping[str, str]) -> str:
    """The name of this host's node; the variable HOSTNAME replaces the system's own name."""
    return (environ.get("HOSTNAME") or socket.gethostname()).lower()


def need_root() -> None:
    if os.geteuid() != 0:
        raise Failure("This command must be run as root.")
