"""Which of the known clusters commands speak to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

from tortie.cli.dcos import files
from tortie.cli.dcos.errors import DcosError


def attach(environ: Mapping[str, str], cluster: files.Cluster) -> None:
    """From now on this one, and no other."""
    try:
        with open(os.path.join(cluster.path, files.ATTACHED), "w", encoding="utf-8"):
            pass
        for other in files.clusters(environ):
            if other.path != cluster.path:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(other.path, files.ATTACHED))
    except OSError as error:
        raise DcosError(f"Failed to attach cluster: {error}") from error
