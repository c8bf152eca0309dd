"""Where the configuration lies: one file as up to 0.4, or a directory for each cluster of which one is attached."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from tortie.cli.dcos import settings
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.settings import Settings

FILE = "dcos.toml"
ATTACHED = "attached"
SETUP = "setup"
NONE_ATTACHED = "No cluster is attached. Please run `dcos cluster attach <cluster-name>`"


class Cluster(NamedTuple):
    id: str
    path: str

    @property
    def file(self) -> str:
        return os.path.join(self.path, FILE)

    @property
    def attached(self) -> bool:
        return os.path.exists(os.path.join(self.path, ATTACHED))

    def settings(self) -> Settings:
        return read(self.file)

    @property
    def name(self) -> str:
        return str(settings.stored(self.settings(), "cluster.name") or self.id)


def home(environ: Mapping[str, str]) -> str:
    return os.path.expanduser(environ.get("DCOS_DIR") or "~/.dcos")


def clusters(environ: Mapping[str, str]) -> list[Cluster]:
    top = os.path.join(home(environ), "clusters")
    try:
        names = sorted(os.listdir(top))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DcosError(f"{top}: {error.strerror}") from error
    found = (Cluster(name, os.path.join(top, name)) for name in names if name != SETUP)
    return [cluster for cluster in found if os.path.isdir(cluster.path)]


def cluster(environ: Mapping[str, str], name: str) -> Cluster:
    """By its id or its name. Raises DcosError."""
    for one in clusters(environ):
        if name in (one.id, one.name):
            return one
    raise DcosError(f"Cluster [{name}] does not exist")


def attached(environ: Mapping[str, str]) -> Cluster | None:
    """DCOS_CLUSTER names it; else the one that is attached, or the only one."""
    if environ.get("DCOS_CLUSTER"):
        return cluster(environ, environ["DCOS_CLUSTER"])
    known = clusters(environ)
    return next((one for one in known if one.attached), known[0] if len(known) == 1 else None)


def path(environ: Mapping[str, str]) -> str:
    """The file of this configuration; it need not be there. Raises DcosError when no cluster of several is attached."""
    if environ.get("DCOS_CONFIG"):
        return os.path.expanduser(environ["DCOS_CONFIG"])
    if one := attached(environ):
        return one.file
    if clusters(environ):
        raise DcosError(NONE_ATTACHED)
    return os.path.join(home(environ), FILE)


def read(file: str) -> Settings:
    """Nothing when there is no file. A file with a token that others may read is refused."""
    try:
        with open(file, encoding="utf-8") as opened:
            mode = os.fstat(opened.fileno()).st_mode & 0o777
            found = settings.parse(opened.read(), file)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise DcosError(f"Error opening file [{file}]: {getattr(error, 'strerror', None) or error}") from error
    if mode & 0o077 and settings.stored(found, settings.TOKEN):
        raise DcosError(
            f"Permissions '{mode:o}' for configuration file [{file}] are too open: it holds a token. "
            f"Only its owner may read it: `chmod 600 {file}`"
        )
    return found


def write(file: str, changed: Settings) -> None:
    write_text(file, settings.dump(changed))


def write_text(file: str, text: str) -> None:
    """Readable by its owner only, and never half-written."""
    directory = os.path.dirname(file) or "."
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        fresh = f"{file}.{os.getpid()}"
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
            opened.write(text)
        os.replace(fresh, os.path.realpath(file))
    except OSError as error:
        raise DcosError(f"Error writing file [{file}]: {error.strerror or error}") from error
