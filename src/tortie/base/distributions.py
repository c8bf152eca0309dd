"""The files of installed Python distributions: what an image or an artefact of the product takes along."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tortie.base.errors import Unavailable

REQUIRED = ("aiohttp", "click", "dnspython", "httptools", "msgspec", "prometheus-client", "pyroute2", "pyyaml") + (
    "rich",
    "starlette",
    "uvicorn",
    "uvloop",
)
"""What the product needs, as its pyproject.toml says: it is not asked itself where it runs from a folder."""


def metadata(version: str) -> tuple[str, str]:
    """(path beside the package, text): by this the product finds its own version where it was not installed."""
    return f"tortie-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: tortie\nVersion: {version}\n"


def files(names: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """(path below the packages' folder, file) of these distributions and of all that they require here.

    Unavailable when one of `names` is not installed.
    """
    left, seen = list(names), set[str]()
    while left:
        name = left.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in seen:
            continue
        seen.add(key)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            if name in names:
                raise Unavailable(f"the Python package {name} is not installed") from None
            continue  # required on other systems or versions only
        extra = re.compile(r"extra\s*==")
        left += [re.split(r"[^A-Za-z0-9._-]", need)[0] for need in found.requires or () if not extra.search(need)]
        for file in found.files or ():
            path = Path(str(found.locate_file(file)))
            if ".." not in file.parts and file.suffix != ".pyc" and path.is_file():
                yield str(file), path
