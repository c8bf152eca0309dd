"""The files of an image, found on this machine: programs, the libraries that they load, Python with its modules."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tortie
from tortie.base import distributions
from tortie.base.errors import Unavailable

PYTHON = Path("/usr/bin/python3")
LOCALE = Path("/usr/lib/locale/C.utf8")
"""Without it a shell complains of the environment that every image sets."""
PACKAGES_AT = "opt/tortie/lib"
LIBRARY_LEFT_OUT = frozenset(
    {"test", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "pydoc_data", "site-packages", "dist-packages"}
)
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
    "etc/hosts": "127.0.0.1 localhost\n",
}
LINKS = {
    "bin": "usr/bin",
    "sbin": "usr/sbin",
    "lib": "usr/lib",
    "lib64": "usr/lib64",
    # Bash replaces itself by a single command: with `/bin/sh -c CMD` the program is process 1 and gets SIGTERM itself.
    "usr/bin/sh": "bash",
}
FOLDERS = ("dev", "mnt", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "var/log")
"""Files, links and folders of every image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an image is made of. `needed`: programs of this machine; `tools`: such as come along where they are there.

    `modules`: what its Python programs import; the files of the standard library that these load go with them.
    `packages`: distributions of the running environment whose files, and those of what they require, lie in
    /opt/tortie/lib; with them the image has the running interpreter and its whole standard library.
    `source`: (folder below `src/tortie`, pattern) of our own files, which keep their places relative to each other in
    `source_at`; `files` and `links` by their path in the image; `folders`: empty ones; `config`: the image's defaults.
    """

    name: str
    needed: tuple[str, ...]
    tools: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    source: tuple[tuple[str, str], ...] = ()
    source_at: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of the image: a file's bytes or where they are, or a link's target."""

    source: Path | None = None
    content: bytes | None = None
    link: str | None = None
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class _Python:
    """An interpreter: its files are found below `prefix` and lie below /usr in the image."""

    program: Path
    prefix: Path
    library: Path

    def inside(self, path: Path) -> str:
        if path.is_relative_to(self.prefix):
            return f"usr/{path.relative_to(self.prefix)}"
        return _inside(path)


def entries_of(recipe: Recipe) -> dict[str, Entry]:
    entries = {name: Entry(link=target) for name, target in {**LINKS, **recipe.links}.items()}
    for name, text in {**FILES, **recipe.files}.items():
        entries[name] = Entry(content=text.encode(), mode=0o755 if text.startswith("#!") else 0o644)
    programs = _programs(recipe)
    entries.update((f"usr/bin/{name}", Entry(source=path, mode=0o755)) for name, path in programs.items())
    binaries = [*programs.values()]
    if recipe.modules or recipe.packages:
        brought = _python_entries(recipe)
        entries.update(brought)
        binaries += [e.source for e in brought.values() if e.source and (".so" in e.source.name or e.mode & 0o111)]
    for path in [*_libraries(binaries), *_unlisted(), *sorted(LOCALE.rglob("*"))]:
        if path.is_file():
            entries.setdefault(_inside(path), Entry(source=path, mode=0o755 if ".so" in path.name else 0o644))
    entries.update(_own_files(recipe))
    return entries


def _own_files(recipe: Recipe) -> Iterator[tuple[str, Entry]]:
    """Files of our own packages, at the same places relative to each other as in the source tree."""
    root = Path(tortie.__file__).parent
    if recipe.source:
        yield f"{recipe.source_at}/tortie/__init__.py", Entry(content=b"")
    for folder, pattern in recipe.source:
        for path in sorted((root / folder).glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{recipe.source_at}/tortie/{path.relative_to(root)}", Entry(content=path.read_bytes())


def _programs(recipe: Recipe) -> dict[str, Path]:
    where = "/usr/bin:/bin:/usr/sbin:/sbin"
    found = {name: shutil.which(name, path=where) for name in (*recipe.needed, *recipe.tools)}
    if missing := [name for name in recipe.needed if found[name] is None]:
        raise Unavailable(f"this machine has no {', '.join(missing)}")
    return {name: Path(path).resolve() for name, path in found.items() if path}


def _python_entries(recipe: Recipe) -> dict[str, Entry]:
    """The interpreter, the modules that it needs, the packages; nothing of them is a link of this machine."""
    python = _running_python() if recipe.packages else _system_python()
    modules = _whole_library(python) if recipe.packages else _modules(python, recipe)
    entries = {python.inside(path): _library_entry(path) for path in modules}
    entries.update(
        (f"{PACKAGES_AT}/{name}", _library_entry(path)) for name, path in distributions.files(recipe.packages)
    )
    name = python.program.name
    entries[f"usr/bin/{name}"] = Entry(source=python.program, mode=0o755)
    entries["usr/bin/python3"] = Entry(link=name)
    return entries


def _library_entry(path: Path) -> Entry:
    return Entry(source=path, mode=0o755 if ".so" in path.name else 0o644)


def _system_python() -> _Python:
    if not PYTHON.exists():
        raise Unavailable(f"{PYTHON} is missing: install python3")
    return _Python(PYTHON.resolve(), Path("/usr"), Path("/usr/lib"))


def _running_python() -> _Python:
    prefix = Path(sys.base_prefix)
    return _Python(Path(getattr(sys, "_base_executable", sys.executable)).resolve(), prefix, Path(os.__file__).parent)


def _whole_library(python: _Python) -> list[Path]:
    def wanted(path: Path) -> bool:
        inside = path.relative_to(python.library)
        return path.is_file() and inside.parts[0] not in LIBRARY_LEFT_OUT and "__pycache__" not in inside.parts

    return sorted(filter(wanted, python.library.rglob("*")))


def _modules(python: _Python, recipe: Recipe) -> list[Path]:
    """The files of the standard library that the recipe's modules load, found by loading them."""
    script = (
        "import sys, importlib\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "for name in sys.argv[2:]: importlib.import_module(name)\n"
        "files = {getattr(m, '__file__', None) or '' for m in list(sys.modules.values())}\n"
        "print('\\n'.join(sorted(f for f in files if f.startswith('/usr/lib/python3'))))\n"
    )
    source = os.fspath(Path(tortie.__file__).parent.parent)
    lines = _run([os.fspath(python.program), "-IS", "-c", script, source, *recipe.modules])
    return [Path(line) for line in lines.splitlines()]


def _libraries(binaries: Iterable[Path]) -> list[Path]:
    """The shared libraries that the loader would bring in for these files, the loader itself included."""
    found = set()
    for binary in binaries:
        for line in _run(["ldd", os.fspath(binary)]).splitlines():
            if match := re.search(r"(?:=> )?(/\S+) \(0x", line):
                found.add(Path(match[1]))
            elif "not found" in line:
                raise Unavailable(f"{binary}: {line.strip()}")
    return sorted(found)


def _unlisted() -> list[Path]:
    """What glibc opens by itself when a thread is cancelled: the loader does not know of it."""
    for line in _run(["ldconfig", "-p"]).splitlines():
        if match := re.search(r"libgcc_s\.so\.1 .*x86-64.* => (/\S+)|libgcc_s\.so\.1 .*AArch64.* => (/\S+)", line):
            return [Path(match[1] or match[2])]
    return []


def _inside(path: Path) -> str:
    """Where a file lies in the image: directly under /usr, as on a merged file system."""
    text = os.fspath(path).lstrip("/")
    return text if text.startswith("usr/") else f"usr/{text}"


def _run(argv: Sequence[str]) -> str:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{argv[0]}: {error}") from error
    if done.returncode != 0:
        raise Unavailable(f"{argv[0]} failed: {done.stderr.strip()[-300:]}")
    return done.stdout


def compiled(recipe: Recipe, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Byte code of every module, made by the Python that will read it and never checked against a time."""
    sources = {name: e for name, e in entries.items() if name.endswith(".py") and e.link is None}
    if not sources:
        return {}
    python = (_running_python() if recipe.packages else _system_python()).program
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for name, entry in sources.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content_of(entry))
        mode = ["--invalidation-mode", "unchecked-hash", "-s", scratch, "-p", "/"]
        _run([os.fspath(python), "-I", "-m", "compileall", "-q", "-j", "0", *mode, scratch])
        made = sorted(root.rglob("*.pyc"))
        return {os.fspath(path.relative_to(root)): Entry(content=path.read_bytes()) for path in made}


def content_of(entry: Entry) -> bytes:
    return entry.content if entry.content is not None else (entry.source or Path()).read_bytes()
