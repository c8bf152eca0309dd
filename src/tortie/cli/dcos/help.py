"""`dcos help`."""

from __future__ import annotations

from tortie.cli.dcos.about import COMMAND

__all__ = ["COMMAND"]
