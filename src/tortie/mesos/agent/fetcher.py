"""Brings a task's URIs into its sandbox: files, http and https, unpacked and made executable as asked."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import ssl
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiohttp
import anyio
import anyio.to_thread

from tortie.base.errors import Invalid, Unavailable
from tortie.mesos.agent.sandbox_files import check_way, free_place
from tortie.wire import mesos as wire

TARS = (".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")
SYSTEM_CAS = Path("/etc/ssl/certs/ca-certificates.crt")
STALLED = 60.0


def path_of(value: str) -> str:
    """Of a URI or an absolute path. Raises Invalid when it is neither."""
    if "://" not in value:
        return value
    try:
        return unquote(urlsplit(value).path)
    except ValueError as error:
        raise Invalid(f"'{value}' is no URI: {error}") from error


def basename(uri: wire.URI) -> str:
    """The name in the sandbox. Raises Invalid when there is none, or it leads out of the sandbox."""
    name = uri.output_file or path_of(uri.value).rpartition("/")[2]
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise Invalid(f"'{uri.value}' gives no file name inside the sandbox")
    return name


class Fetcher:
    """`cache`: where files of URIs that ask for it are kept."""

    def __init__(self, cache: Path, cache_limit: int = 2 * 1024**3) -> None:
        self.cache = cache
        self.cache_limit = cache_limit

    async def fetch(self, uri: wire.URI, sandbox: Path, user: str, say: Callable[[str], None]) -> None:
        """Raises Invalid for a URI that nothing can be done with, Unavailable when it cannot be had."""
        target = free_place(sandbox, basename(uri))
        say(f"Fetching '{uri.value}' to '{target}'")
        if uri.cache:
            await self._through_cache(uri, target, user, say)
        else:
            await _bring(uri.value, target)
        await anyio.to_thread.run_sync(_finish, uri, target, sandbox)

    async def _through_cache(self, uri: wire.URI, target: Path, user: str, say: Callable[[str], None]) -> None:
        home = self.cache / (user or "root")
        kept = home / f"{hashlib.sha256(uri.value.encode()).hexdigest()[:16]}-{target.name}"
        if kept.exists():
            say(f"Found '{uri.value}' in the cache")
            os.utime(kept)
        else:
            home.mkdir(parents=True, exist_ok=True)
            beside = kept.with_name(f".{kept.name}.{os.getpid()}.{id(uri)}")
            try:
                await _bring(uri.value, beside)
                beside.rename(kept)
            finally:
                beside.unlink(missing_ok=True)
        await anyio.to_thread.run_sync(shutil.copyfile, kept, target)
        self._trim(keep=kept)

    def _trim(self, keep: Path) -> None:
        """Drops what was used longest ago until the cache is within its limit."""
        files = sorted((p for p in self.cache.glob("*/*") if p.is_file()), key=lambda p: p.stat().st_mtime)
        size = sum(p.stat().st_size for p in files)
        for path in files:
            if size <= self.cache_limit:
                return
            if path != keep:
                size -= path.stat().st_size
                path.unlink()


async def _bring(value: str, target: Path) -> None:
    scheme = value.partition("://")[0].lower() if "://" in value else ""
    if scheme in ("http", "https"):
        await _download(value, target)
    elif scheme in ("", "file"):
        source = Path(path_of(value))
        if not source.is_absolute():
            raise Invalid(f"'{value}' is relative: an absolute path or a URI is expected")
        try:
            await anyio.to_thread.run_sync(shutil.copyfile, source, target)
        except OSError as error:
            raise Unavailable(f"Failed to copy '{source}': {error.strerror}") from error
    else:
        raise Invalid(f"Failed to fetch '{value}': scheme '{scheme}' is not supported")


def trusted() -> ssl.SSLContext:
    """The system's own authorities, read anew: one may have been added since."""
    context = ssl.create_default_context()
    if SYSTEM_CAS.exists():
        context.load_verify_locations(SYSTEM_CAS)
    return context


async def _download(url: str, target: Path) -> None:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=STALLED)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.get(url, ssl=trusted()) as reply,
        ):
            if reply.status != 200:
                raise Unavailable(f"Error downloading '{url}': received HTTP return code {reply.status}")
            with target.open("wb") as file:
                async for chunk in reply.content.iter_chunked(1 << 16):
                    file.write(chunk)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise Unavailable(f"Error downloading '{url}': {error or type(error).__name__}") from error


def _finish(uri: wire.URI, target: Path, sandbox: Path) -> None:
    if uri.executable:
        target.chmod(target.stat().st_mode | 0o111)
        return
    if not uri.extract:
        return
    name = target.name
    try:
        if name.endswith(TARS):
            for member in _run("tar", "--quoting-style=literal", "-tf", str(target)).splitlines():
                check_way(sandbox, member)
            _run("tar", "-C", str(sandbox), "-xf", str(target))
        elif name.endswith(".gz"):
            with gzip.open(target) as packed, free_place(sandbox, name.removesuffix(".gz")).open("wb") as plain:
                shutil.copyfileobj(packed, plain)
        elif name.endswith(".zip"):
            _unzip(target, sandbox)
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise Unavailable(f"Failed to extract '{target}': {error}") from error


def _unzip(target: Path, sandbox: Path) -> None:
    with zipfile.ZipFile(target) as archive:
        for entry in archive.infolist():
            check_way(sandbox, entry.filename)
            if (link := sandbox / entry.filename.strip("/")).is_symlink():
                link.unlink()
            written = Path(archive.extract(entry, sandbox))
            mode = entry.external_attr >> 16 & 0o777
            if mode and not entry.is_dir():
                written.chmod(mode)


def _run(*command: str) -> str:
    """What it prints."""
    done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise Unavailable(f"Failed to extract: {' '.join(command)}: exit {done.returncode}: {said}")
    return done.stdout.decode(errors="surrogateescape")
