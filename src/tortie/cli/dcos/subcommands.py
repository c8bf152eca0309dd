"""Commands that packages bring: programs `dcos-NAME` below the configuration's directory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from tortie.cli.dcos import files
from tortie.cli.dcos.errors import DcosError


def find(environ: Mapping[str, str], name: str) -> str | None:
    """The program of that command: of the attached cluster, else of all clusters."""
    if not name or "/" in name or name.startswith("."):
        return None
    one = None if environ.get("DCOS_CONFIG") else files.attached(environ)
    for top in ([one.path] if one else []) + [files.home(environ)]:
        packages = os.path.join(top, "subcommands")
        if not os.path.isdir(packages):
            continue
        for package in sorted(os.listdir(packages)):
            program = os.path.join(packages, package, "env", "bin", f"dcos-{name}")
            if os.access(program, os.X_OK) and os.path.isfile(program):
                return program
    return None


def become(program: str, arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs it in this process's place, with the configuration that this command has found."""
    try:
        os.execve(program, [program, *arguments], {**environ, "DCOS_CONFIG": files.path(environ)})
    except OSError as error:
        raise DcosError(f"{program}: {error.strerror}") from error
