"""The product with its dependencies as one file, named after its content: the same files give the same name."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tortie
from tortie import __version__
from tortie.base import distributions
from tortie.base.errors import Unavailable
from tortie.packages.rollout.hand.artefact import DIGITS, tag

MTIME = 1451606400
LEVEL = 3
"""A tenth more to send than with the best one, in a third of the time."""
PROGRAMS = {
    "tortie": "tortie.cli.main",
    "calicoctl": "tortie.cli.calicoctl.main",
    "dcos": "tortie.cli.dcos.main",
}
_PROGRAM = """\
#!{python} -I
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "lib"))
from {module} import main

sys.exit(main())
"""


@dataclass(frozen=True, slots=True)
class Artefact:
    """`tag`: the Python and the machine that its compiled modules are for; `packed`: a tar, compressed."""

    name: str
    tag: str
    packed: bytes


def build(python: str, *, only_name: bool = False) -> Artefact:
    """Of what runs here. `python`: the interpreter of the hosts, of the same version as this one. `only_name`: packing
    takes most of the time, and who only makes a plan sends nothing.

    Unavailable when a part of the product cannot be read.
    """
    plain = io.BytesIO()
    try:
        with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name, content in sorted(_members(python)):
                member = tarfile.TarInfo(name)
                member.size, member.mtime = len(content), MTIME
                member.mode = 0o755 if name.startswith("bin/") or ".so" in name else 0o644
                tar.addfile(member, io.BytesIO(content))
    except OSError as error:
        raise Unavailable(f"{error.filename}: {error.strerror}") from error
    data = plain.getvalue()
    packed = b"" if only_name else gzip.compress(data, compresslevel=LEVEL, mtime=0)
    return Artefact(hashlib.sha256(data).hexdigest()[:DIGITS], tag(), packed)


def _members(python: str) -> Iterator[tuple[str, bytes]]:
    for program, module in PROGRAMS.items():
        yield f"bin/{program}", _PROGRAM.format(python=python, module=module).encode()
    path, text = distributions.metadata(__version__)
    yield f"lib/{path}", text.encode()
    for name, file in _own_files():
        yield f"lib/tortie/{name}", file.read_bytes()
    for name, file in dict(distributions.files(distributions.REQUIRED)).items():
        # What an installer writes beside: it says where and how, which is another matter on each machine.
        if not name.endswith((".dist-info/RECORD", ".dist-info/INSTALLER", ".dist-info/REQUESTED", "direct_url.json")):
            yield f"lib/{name}", file.read_bytes()


def _own_files() -> Iterator[tuple[str, Path]]:
    root = Path(tortie.__file__).parent
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = Path(folder, name)
            if path.is_file() and path.suffix != ".pyc":
                yield str(path.relative_to(root)), path
