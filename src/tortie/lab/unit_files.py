"""Unit files where they lie on a host: found by name, linked to what wants them. Standard library only."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tortie.base.errors import NotFound, TortieError
from tortie.lab.units import SUFFIX, Unit, full, parse, plain, sound

FOLDER = Path("/etc/systemd/system")
LARGEST = 1 << 20

Enabled = Literal["enabled", "disabled", "static"]


def path_of(name: str, folder: Path = FOLDER) -> Path | None:
    """The unit's file, for an instance perhaps its template's; None when there is none."""
    if not sound(name):
        return None
    base, at, _ = plain(name).partition("@")
    candidates = [folder / full(name), *([folder / f"{base}@{SUFFIX}"] if at else [])]
    return next((path for path in candidates if path.is_file()), None)


def load(name: str, folder: Path = FOLDER) -> Unit:
    """NotFound when there is no such file; Invalid names each of its faults."""
    path = path_of(name, folder)
    if path is None:
        raise NotFound(f"no unit {full(name)}")
    try:
        with path.open(encoding="utf-8") as file:
            return parse(name, file.read(LARGEST))
    except (OSError, UnicodeDecodeError) as error:
        raise TortieError(f"{path}: {error}") from error


def enabled(name: str, unit: Unit, folder: Path = FOLDER) -> Enabled:
    """`static`: nothing says what would want it."""
    if not unit.wanted_by:
        return "static"
    return "enabled" if any(link.is_symlink() for link in _links(name, unit, folder)) else "disabled"


def enable(name: str, unit: Unit, folder: Path = FOLDER) -> list[tuple[Path, Path]]:
    """Each link made now with what it leads to."""
    path, made = path_of(name, folder), []
    for link in _links(name, unit, folder):
        if path is not None and not link.is_symlink():
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(path)
            made.append((link, path))
    return made


def disable(name: str, folder: Path = FOLDER) -> list[Path]:
    """Each link taken away, wherever it is, also where the file has gone already; folders left empty go with them."""
    gone = [link for link in sorted(folder.glob("*.wants/*")) if link.is_symlink() and link.name == full(name)]
    for link in gone:
        link.unlink()
        if not any(link.parent.iterdir()):
            link.parent.rmdir()
    return gone


def _links(name: str, unit: Unit, folder: Path) -> list[Path]:
    return [folder / f"{target}.wants" / full(name) for target in unit.wanted_by]
