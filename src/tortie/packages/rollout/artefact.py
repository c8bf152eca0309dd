"""The product with its dependencies as one file, named after its content: the same files give the same name."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tortie
from tortie import __version__
from tortie.base import distributions
from tortie.base.errors import Unavailable
from tortie.packages.rollout.compiled import byte_code
from tortie.packages.rollout.hand import bytecode
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
    """`tag`: the Python and the machine that its compiled modules are for; `packed`: a tar, compressed; `compiled`:
    another one with the byte code of its sources. That is never the same twice, so the name says nothing of it."""

    name: str
    tag: str
    packed: bytes
    compiled: bytes = b""

    @property
    def payload(self) -> bytes:
        """What goes with a request."""
        return self.packed + self.compiled

    @property
    def said(self) -> dict[str, Any]:
        """What a request says of it."""
        digest = hashlib.sha256(self.compiled).hexdigest()
        there = {"magic": bytecode.MAGIC, "size": len(self.compiled), "digest": digest}
        return {"compiled": there} if self.compiled else {}


class _Member(NamedTuple):
    """`path`: where a source lies here."""

    name: str
    content: bytes
    path: Path | None = None


def build(python: str, *, only_name: bool = False) -> Artefact:
    """Of what runs here. `python`: the interpreter of the hosts, of the same version as this one. `only_name`: packing
    takes most of the time, and who only makes a plan sends nothing.

    Unavailable when a part of the product cannot be read; Invalid when one is no Python.
    """
    try:
        members = sorted(_members(python))
    except OSError as error:
        raise Unavailable(f"{error.filename}: {error.strerror}") from error
    plain = _tar(members)
    name = hashlib.sha256(plain).hexdigest()[:DIGITS]
    if only_name:
        return Artefact(name, tag(), b"")
    with ThreadPoolExecutor(1) as pool:
        packed = pool.submit(_packed, plain)
        compiled = _packed(_tar(_compiled(members)))
        return Artefact(name, tag(), packed.result(), compiled)


def _packed(plain: bytes) -> bytes:
    return gzip.compress(plain, compresslevel=LEVEL, mtime=0)


def _tar(members: Iterable[_Member]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content, _ in members:
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), MTIME
            member.mode = 0o755 if name.startswith("bin/") or ".so" in name else 0o644
            tar.addfile(member, io.BytesIO(content))
    return plain.getvalue()


def _compiled(members: Iterable[_Member]) -> Iterator[_Member]:
    for name, content, path in members:
        if path is not None and name.endswith(".py"):
            yield _Member(bytecode.path_of(name), byte_code(name, content, path))


def _members(python: str) -> Iterator[_Member]:
    for program, module in PROGRAMS.items():
        yield _Member(f"bin/{program}", _PROGRAM.format(python=python, module=module).encode())
    path, text = distributions.metadata(__version__)
    yield _Member(f"lib/{path}", text.encode())
    for name, file in _own_files():
        yield _Member(f"lib/tortie/{name}", file.read_bytes(), file)
    for name, file in dict(distributions.files(distributions.REQUIRED)).items():
        # What an installer writes beside: it says where and how, which is another matter on each machine.
        if not name.endswith((".dist-info/RECORD", ".dist-info/INSTALLER", ".dist-info/REQUESTED", "direct_url.json")):
            yield _Member(f"lib/{name}", file.read_bytes(), file)


def _own_files() -> Iterator[tuple[str, Path]]:
    root = Path(tortie.__file__).parent
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = Path(folder, name)
            if path.is_file() and path.suffix != ".pyc":
                yield str(path.relative_to(root)), path
