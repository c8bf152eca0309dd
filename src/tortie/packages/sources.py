"""Repositories read: from the product's own files, a directory, a zip, an index over HTTP. All of one or nothing."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp
import anyio.to_thread

from tortie.base.errors import Invalid
from tortie.base.sources import json_value
from tortie.packages import failures, signing
from tortie.packages.definition import Package
from tortie.packages.failures import CosmosError
from tortie.packages.media import REPOSITORY
from tortie.packages.seal import check_seal
from tortie.packages.universe import RELEASE, Repository, read_index, read_tree

BUILT_IN = "builtin:tortie"
"""The packages that come with the product."""
_MOST_BYTES = 64 * 1024 * 1024
_MOST_UNPACKED = 256 * 1024 * 1024
_MOST_FILES = 50_000
_MOST_REDIRECTS = 5
_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=5, sock_read=20)
_ASKING = {
    "Accept": ", ".join([*map(REPOSITORY.format, (5, 4, 3)), "application/zip", "application/json"]),
    "Accept-Encoding": "gzip",
    "User-Agent": f"cosmos/0.6.3 dcos/{RELEASE}",
}


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to believe: `keys` are files with public keys; what is at or below one of `unsigned` needs no signature."""

    keys: Sequence[Path] = ()
    unsigned: Sequence[str] = field(default=())

    def needs_none(self, uri: str) -> bool:
        if {".", ".."} & {*unquote(urlsplit(uri).path).split("/")}:
            return False  # leads elsewhere than it looks
        return any(uri == one or uri.startswith(f"{one.rstrip('/')}/") for one in self.unsigned)


@dataclass(frozen=True, slots=True)
class Fetched:
    """`serial` is None where nothing is signed."""

    packages: Sequence[Package]
    serial: int | None = None


async def fetch(
    http: aiohttp.ClientSession,
    repository: Repository,
    trust: Trust,
    *,
    now: datetime,
    newest: int = 0,
    adding: bool = False,
) -> Fetched:
    """Everything of a repository. Raises CosmosError: away, cut off, not to be believed, or not to be read."""
    uri = repository.uri
    try:
        if uri == BUILT_IN:
            return Fetched(built_in())
        parts = urlsplit(uri)
        if parts.scheme == "file":
            return Fetched(await anyio.to_thread.run_sync(_local, Path(unquote(parts.path))))
        return await _Remote(http, repository, trust, adding).read(now, newest)
    except Invalid as error:
        raise failures.repository_refused(repository.name, uri, str(error)) from error


@cache
def built_in() -> Sequence[Package]:
    return read_tree(dict(_below(files("tortie.packages").joinpath("repo"), "")))


def _below(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for child in folder.iterdir():
        if child.is_dir():
            yield from _below(child, f"{prefix}{child.name}/")
        else:
            yield f"{prefix}{child.name}", child.read_bytes()


def _local(path: Path) -> Sequence[Package]:
    """A directory of packages, a zip of one, or an index."""
    try:
        if path.is_dir():
            return read_folder(path)
        if path.stat().st_size > _MOST_BYTES:
            raise Invalid(f"{path} is larger than {_MOST_BYTES} bytes")
        return _either(path.read_bytes())
    except OSError as error:
        raise Invalid(f"{error.filename or path}: {error.strerror or error}") from error


def read_folder(path: Path) -> Sequence[Package]:
    return read_tree(_folder(path))


def _folder(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    size = 0
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            if not file.is_file():
                continue
            size += file.stat().st_size
            if size > _MOST_UNPACKED or len(found) >= _MOST_FILES:
                raise Invalid(f"{path} holds more than {_MOST_UNPACKED} bytes or {_MOST_FILES} files")
            found[str(file.relative_to(path))] = file.read_bytes()
    return found


def _either(data: bytes) -> Sequence[Package]:
    return read_tree(unzipped(data)) if data[:2] == b"PK" else index_of(data)


@lru_cache(maxsize=4)
def index_of(data: bytes) -> Sequence[Package]:
    """The packages of an index. Repositories are asked every minute and seldom have changed."""
    return tuple(read_index(data))


def unzipped(data: bytes) -> dict[str, bytes]:
    """The files of a zip, in memory. Raises Invalid for one that is broken, or grows without measure."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            size = sum(member.file_size for member in members)
            if size > _MOST_UNPACKED or len(members) > _MOST_FILES:
                raise Invalid(f"the zip holds more than {_MOST_UNPACKED} bytes or {_MOST_FILES} files")
            return {member.filename: archive.read(member) for member in members}
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise Invalid(f"the zip cannot be read: {error}") from error


class _Remote:
    """One repository over HTTP."""

    def __init__(self, http: aiohttp.ClientSession, repository: Repository, trust: Trust, adding: bool) -> None:
        self.http = http
        self.name, self.uri = repository.name, repository.uri
        self.trust = trust
        self.adding = adding

    async def read(self, now: datetime, newest: int) -> Fetched:
        data = await self._get(self.uri)
        if self.trust.needs_none(self.uri):
            return Fetched(await anyio.to_thread.run_sync(_either, data))
        try:
            await self._verify(data)
        except Invalid:
            # It may have been renewed between the two requests.
            data = await self._get(self.uri)
            await self._verify(data)
        return await anyio.to_thread.run_sync(read_signed, data, now, newest)

    async def _verify(self, data: bytes) -> None:
        where = signature_of(self.uri)
        try:
            signature = await self._get(where)
        except CosmosError as error:
            raise Invalid(f"it is not signed: {where}: {error}") from error
        await anyio.to_thread.run_sync(signing.verify, data, signature, self.trust.keys)

    async def _get(self, uri: str) -> bytes:
        try:
            async with self.http.get(uri, headers=_ASKING, timeout=_TIMEOUT, max_redirects=_MOST_REDIRECTS) as reply:
                if reply.status != 200:
                    raise failures.repository_answer(self.name, self.uri, reply.status, adding=self.adding)
                if urlsplit(uri).scheme == "https" and reply.url.scheme != "https":
                    raise Invalid(f"{uri} leads to {reply.url}, which is not https")
                data = bytearray()
                async for chunk in reply.content.iter_chunked(1 << 16):
                    data += chunk
                    if len(data) > _MOST_BYTES:
                        raise Invalid(f"{uri} gives more than {_MOST_BYTES} bytes")
                return bytes(data)
        except aiohttp.TooManyRedirects as error:
            cause = f"more than {_MOST_REDIRECTS} redirects, the last of them from {error.history[-1].url}"
            raise failures.uri_unreachable(self.name, self.uri, cause) from error
        except aiohttp.InvalidURL as error:
            raise failures.uri_syntax(self.name, self.uri) from error
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise failures.uri_unreachable(self.name, self.uri, str(error) or type(error).__name__) from error


def read_signed(data: bytes, now: datetime, newest: int) -> Fetched:
    """The packages of an index whose signature is good. Raises Invalid."""
    if data[:2] == b"PK":
        raise Invalid("a signed repository is an index, not a zip: a zip has no serial")
    try:
        index = json_value(data, last_wins=True)
    except UnicodeDecodeError as error:
        raise Invalid(f"the index is no JSON: {error}") from error
    serial = check_seal(index if isinstance(index, dict) else {}, now=now, newest=newest)
    return Fetched(index_of(data), serial)


def signature_of(uri: str) -> str:
    """Where the signature of an index lies."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/') or '/repository'}.sig"))
