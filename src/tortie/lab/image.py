"""The star image, made in seconds from the distribution's own Python: no registry and no base image is needed.

The same files of the distribution give the same bytes, so the image's digest names its content.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tortie
from tortie.base.errors import Unavailable

PYTHON = Path("/usr/bin/python3")
# No nslookup: Debian's brings 40 MB of libraries; getent asks the same resolver.
_SHELL = ("bash", "sleep", "cat", "ls", "echo", "env", "true")
_FILES_AND_TEXT = ("date", "head", "tail", "grep", "id", "kill", "uname", "touch", "rm", "mkdir", "tr", "wc", "cut")
_NETWORK = ("sed", "hostname", "ip", "ping", "curl", "wget", "getent")
TOOLS = _SHELL + _FILES_AND_TEXT + _NETWORK
NEEDED_TOOLS = ("bash", "sleep", "cat", "ls")
# What our programs use, and what a person who types python3 in a container would miss first.
MODULES = (
    "encodings.idna",
    "encodings.latin_1",
    "encodings.ascii",
    "encodings.utf_8",
    "argparse",
    "http.client",
    "http.server",
    "json.tool",
    "site",
    "subprocess",
    "urllib.request",
    "zlib",
)
MTIME = 1451606400  # one fixed moment for every file: bytes do not depend on when they were made
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
FORMAT = 2  # part of the cache key: raise it when the way of making changes

_LAUNCHER = """#!/usr/bin/python3 -IS
import sys

sys.path.insert(0, "/star/lib")
from tortie.stars.{name} import main

main()
"""
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "star/target/debug/star-probe": _LAUNCHER.format(name="probe"),
    "star/target/debug/star-collect": _LAUNCHER.format(name="collect"),
}
_LINKS = {
    "bin": "usr/bin",
    "sbin": "usr/sbin",
    "lib": "usr/lib",
    "lib64": "usr/lib64",
    # Bash replaces itself by a single command: with `/bin/sh -c CMD` the program is process 1 and gets SIGTERM itself.
    "usr/bin/sh": "bash",
    "usr/bin/star-probe": "/star/target/debug/star-probe",
    "usr/bin/star-collect": "/star/target/debug/star-collect",
}
_FOLDERS = ("dev", "mnt", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "var/log")


@dataclass(frozen=True, slots=True)
class Image:
    """A one-layer image as a registry gives it out: blobs by digest, and its manifest."""

    manifest: bytes
    config: bytes
    layer: Path

    @property
    def digest(self) -> str:
        return _digest(self.manifest)

    def blobs(self) -> Mapping[str, bytes | Path]:
        manifest = json.loads(self.manifest)
        return {manifest["config"]["digest"]: self.config, manifest["layers"][0]["digest"]: self.layer}


def star_image(cache: Path) -> Image:
    """The star image, from `cache` when the same files have given it before.

    Raises Unavailable when the distribution lacks something that it cannot do without.
    """
    entries = _entries()
    folder = cache / f"star-{_key(entries)[:32]}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".star-", dir=cache))
        try:
            _make(entries, beside)
            os.rename(beside, folder)
        except OSError as error:
            shutil.rmtree(beside, ignore_errors=True)
            if not folder.is_dir():  # else another process was first, with the same bytes
                raise Unavailable(f"star image: {error}") from error
    config, manifest = (folder / "config.json").read_bytes(), (folder / "manifest.json").read_bytes()
    return Image(manifest, config, folder / "layer.tar.gz")


def docker_archive(image: Image, names: Sequence[str], out: Path) -> None:
    """Write the image in the form that `docker load`, podman and nerdctl read."""
    with tarfile.open(out, "w") as tar:
        config_name = f"{hashlib.sha256(image.config).hexdigest()}.json"
        _add_bytes(tar, config_name, image.config, 0o644)
        with gzip.open(image.layer) as file:
            _add_bytes(tar, "layer.tar", file.read(), 0o644)
        table = [{"Config": config_name, "RepoTags": list(names), "Layers": ["layer.tar"]}]
        _add_bytes(tar, "manifest.json", json.dumps(table).encode(), 0o644)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One path of the image: a file's bytes or where they are, or a link's target."""

    source: Path | None = None
    content: bytes | None = None
    link: str | None = None
    mode: int = 0o644


def _entries() -> dict[str, _Entry]:
    if not PYTHON.exists():
        raise Unavailable(f"star image: {PYTHON} is missing: install python3")
    entries = {name: _Entry(link=target) for name, target in _LINKS.items()}
    for name, text in _FILES.items():
        entries[name] = _Entry(content=text.encode(), mode=0o755 if text.startswith("#!") else 0o644)
    programs = _programs()
    entries.update((f"usr/bin/{name}", _Entry(source=path, mode=0o755)) for name, path in programs.items())
    modules = _modules()
    binaries = [*programs.values(), *(path for path in modules if ".so" in path.suffixes)]
    for path in [*modules, *_libraries(binaries), *_unlisted()]:
        entries[_inside(path)] = _Entry(source=path, mode=0o755 if ".so" in path.name else 0o644)
    python = PYTHON.resolve().name
    entries[f"usr/bin/{python}"] = entries.pop("usr/bin/python3")
    entries["usr/bin/python3"] = _Entry(link=python)
    entries.update(_own_files())
    return entries


def _own_files() -> Iterator[tuple[str, _Entry]]:
    """Our package `stars` and the house style, at the same places relative to each other as in the source tree."""
    root = Path(tortie.__file__).parent
    yield "star/lib/tortie/__init__.py", _Entry(content=b"")
    for folder, pattern in (("stars", "*.py"), ("stars/assets", "*"), ("web/static", "*")):
        for path in sorted((root / folder).glob(pattern)):
            if path.is_file():
                yield f"star/lib/tortie/{folder}/{path.name}", _Entry(content=path.read_bytes())


def _programs() -> dict[str, Path]:
    found = {name: shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin") for name in TOOLS}
    if missing := [name for name in NEEDED_TOOLS if found[name] is None]:
        raise Unavailable(f"star image: this machine has no {', '.join(missing)}")
    return {"python3": PYTHON.resolve(), **{name: Path(path).resolve() for name, path in found.items() if path}}


def _modules() -> list[Path]:
    """The files of the standard library that our programs and MODULES load, found by loading them."""
    script = (
        "import sys, importlib\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "for name in sys.argv[2:]: importlib.import_module(name)\n"
        "files = {getattr(m, '__file__', None) or '' for m in list(sys.modules.values())}\n"
        "print('\\n'.join(sorted(f for f in files if f.startswith('/usr/lib/python3'))))\n"
    )
    source = os.fspath(Path(tortie.__file__).parent.parent)
    names = ("tortie.stars.probe", "tortie.stars.collect", *MODULES)
    lines = _run([os.fspath(PYTHON), "-IS", "-c", script, source, *names])
    return [Path(line) for line in lines.splitlines()]


def _libraries(binaries: Iterable[Path]) -> list[Path]:
    """The shared libraries that the loader would bring in for these files, the loader itself included."""
    found = set()
    for binary in binaries:
        for line in _run(["ldd", os.fspath(binary)]).splitlines():
            if match := re.search(r"(?:=> )?(/\S+) \(0x", line):
                found.add(Path(match[1]))
            elif "not found" in line:
                raise Unavailable(f"star image: {binary}: {line.strip()}")
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
        raise Unavailable(f"star image: {argv[0]}: {error}") from error
    if done.returncode != 0:
        raise Unavailable(f"star image: {argv[0]} failed: {done.stderr.strip()[-300:]}")
    return done.stdout


def _key(entries: Mapping[str, _Entry]) -> str:
    """A digest of everything that the image is made from; files of the distribution by size and time."""
    digest = hashlib.sha256(f"{FORMAT} {platform.machine()}".encode())
    for name in sorted(entries):
        entry = entries[name]
        seal = entry.content or (entry.link or "").encode()
        if entry.source is not None:
            status = entry.source.stat()
            seal = f"{entry.source} {status.st_size} {status.st_mtime_ns}".encode()
        digest.update(f"{name}\0{entry.mode}\0{hashlib.sha256(seal).hexdigest()}\n".encode())
    return digest.hexdigest()


def _make(entries: Mapping[str, _Entry], folder: Path) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as tar:
        _write(tar, {**entries, **_compiled(entries)})
    # Pulled inside one machine: making it quickly matters more than a tenth of its size.
    packed = gzip.compress(raw.getbuffer(), compresslevel=1, mtime=0)
    (folder / "layer.tar.gz").write_bytes(packed)
    config = _config(_digest(raw.getbuffer()))
    (folder / "config.json").write_bytes(config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "size": len(config), "digest": _digest(config)},
        "layers": [{"mediaType": LAYER_TYPE, "size": len(packed), "digest": _digest(packed)}],
    }
    (folder / "manifest.json").write_bytes(json.dumps(manifest, indent=3).encode())


def _compiled(entries: Mapping[str, _Entry]) -> dict[str, _Entry]:
    """Byte code of every module, made by the Python that will read it and never checked against a time."""
    sources = {name: e for name, e in entries.items() if name.endswith(".py") and e.link is None}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for name, entry in sources.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_content(entry))
        mode = ["--invalidation-mode", "unchecked-hash", "-s", scratch, "-p", "/"]
        _run([os.fspath(PYTHON), "-I", "-m", "compileall", "-q", *mode, scratch])
        made = sorted(root.rglob("*.pyc"))
        return {os.fspath(path.relative_to(root)): _Entry(content=path.read_bytes()) for path in made}


def _write(tar: tarfile.TarFile, entries: Mapping[str, _Entry]) -> None:
    folders = {os.fspath(parent) for name in entries for parent in Path(name).parents} | set(_FOLDERS) - {"."}
    for name in sorted({*folders, *entries} - {"."}):
        entry = entries.get(name)
        if entry is None:
            tar.addfile(_member(name, tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755))
        elif entry.link is not None:
            member = _member(name, tarfile.SYMTYPE, 0o777)
            member.linkname = entry.link
            tar.addfile(member)
        else:
            _add_bytes(tar, name, _content(entry), entry.mode)


def _content(entry: _Entry) -> bytes:
    return entry.content if entry.content is not None else (entry.source or Path()).read_bytes()


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = _member(name, tarfile.REGTYPE, mode)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, MTIME
    return member


def _config(diff_id: str) -> bytes:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    config = {
        "architecture": machine,
        "os": "linux",
        "created": "2016-01-01T00:00:00Z",
        "config": {
            "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "MALLOC_ARENA_MAX=2"],
            "Entrypoint": ["star-probe"],
            "WorkingDir": "/star",
            "Labels": {"tortie.image": "star"},
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": "2016-01-01T00:00:00Z", "created_by": "tortie"}],
    }
    return json.dumps(config, sort_keys=True).encode()


def _digest(data: bytes | memoryview) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
