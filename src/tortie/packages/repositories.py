"""The cluster's list of repositories, in the store, and what they hold, read anew after a minute."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp
import anyio.to_thread
import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Unavailable
from tortie.packages import failures
from tortie.packages.failures import CosmosError
from tortie.packages.sources import BUILT_IN, Fetched, Trust, fetch
from tortie.packages.universe import Repository, Universe
from tortie.store.port import Compare, CompareFailed, Datastore, Put

PREFIX = "/tortie/v1/packages/"
LIST = PREFIX + "repositories"
FRESH_SECONDS = 60.0
DEFAULT = (Repository("Tortie", BUILT_IN),)


class Listed(msgspec.Struct):
    name: str
    uri: str


class _Stored(msgspec.Struct):
    repositories: list[Listed]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Repositories:
    """`default` is the list until somebody changes it; `clock` tells the time that expiries are compared with."""

    def __init__(
        self,
        store: Datastore,
        http: aiohttp.ClientSession,
        *,
        trust: Trust | None = None,
        default: Sequence[Repository] = DEFAULT,
        fresh: float = FRESH_SECONDS,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._http = http
        self._trust = trust or Trust()
        self._default = list(default)
        self._fresh = fresh
        self._clock = clock
        self._cached: tuple[float, tuple[Repository, ...], Universe] | None = None
        self._failed: tuple[float, tuple[Repository, ...], CosmosError] | None = None
        self._reading = asyncio.Lock()

    async def listed(self) -> list[Repository]:
        return (await anyio.to_thread.run_sync(self._read))[0]

    async def universe(self) -> Universe:
        """What all repositories hold. Raises CosmosError when one of them cannot be read: to everybody who waited for
        the same reading, since a silent one takes long to be given up."""
        asked = time.monotonic()
        async with self._reading:
            repositories = tuple(await self.listed())
            cached, failed = self._cached, self._failed
            if cached is not None and cached[1] == repositories and time.monotonic() < cached[0]:
                return cached[2]
            if failed is not None and failed[1] == repositories and asked < failed[0]:
                raise failed[2]
            try:
                found = [(repository, (await self._fetch(repository)).packages) for repository in repositories]
            except CosmosError as error:
                self._failed = time.monotonic(), repositories, error
                raise
            universe = Universe(found)
            self._cached, self._failed = (time.monotonic() + self._fresh, repositories, universe), None
            return universe

    async def names(self) -> tuple[set[str], list[str]]:
        """Of the packages of all repositories that the cluster has or began with, and of our own; for each repository
        that cannot be read, why."""
        names, unread = set[str](), []
        for repository in dict.fromkeys([*DEFAULT, *self._default, *await self.listed()]):
            try:
                names |= {package.name for package in (await self._fetch(repository)).packages}
            except failures.CosmosError as error:
                unread.append(str(error))
        return names, unread

    async def add(self, repository: Repository, index: int | None = None) -> list[Repository]:
        """The list with the repository at that place, by default the last. It is read once before."""
        listed, revision = await anyio.to_thread.run_sync(self._read)
        check_new(repository, listed, index)
        await self._fetch(repository, adding=True)
        place = len(listed) if index is None else index
        return await self._write([*listed[:place], repository, *listed[place:]], revision)

    async def delete(self, name: str | None, uri: str | None) -> list[Repository]:
        """The list without the repository of this name and this uri, as far as they are given."""
        if name is None and uri is None:
            raise failures.repository_unnamed()
        listed, revision = await anyio.to_thread.run_sync(self._read)
        left = [one for one in listed if not _is(one, name, uri)]
        if len(left) == len(listed):
            raise failures.repository_absent(name=name, uri=uri)
        return await self._write(left, revision)

    async def _fetch(self, repository: Repository, *, adding: bool = False) -> Fetched:
        key = f"{PREFIX}serials/{hashlib.sha256(repository.uri.encode()).hexdigest()[:32]}"
        newest = await anyio.to_thread.run_sync(self._serial, key)
        got = await fetch(self._http, repository, self._trust, now=self._clock(), newest=newest or 0, adding=adding)
        if got.serial is not None and got.serial != newest:
            await anyio.to_thread.run_sync(self._store.commit, [Put(key, str(got.serial).encode())])
        return got

    def _serial(self, key: str) -> int | None:
        found = self._store.get(key)
        return int(found.value) if found is not None and found.value.isdigit() else None

    def _read(self) -> tuple[list[Repository], int]:
        """The list and its revision in the store, 0 while it is the default."""
        found = self._store.get(LIST)
        if found is None:
            return list(self._default), 0
        try:
            stored = msgspec.json.decode(found.value, type=ready(_Stored))
        except msgspec.DecodeError as error:
            raise Unavailable(f"{LIST} in the store cannot be read: {error}") from error
        return [Repository(one.name, one.uri) for one in stored.repositories], found.revision

    async def _write(self, repositories: Sequence[Repository], revision: int) -> list[Repository]:
        value = msgspec.json.encode(_Stored([Listed(one.name, one.uri) for one in repositories]))
        try:
            await anyio.to_thread.run_sync(self._store.commit, [Put(LIST, value)], [Compare(LIST, revision)])
        except CompareFailed as error:
            raise failures.concurrent_access() from error
        self._cached = None
        return list(repositories)


def check_new(repository: Repository, listed: Sequence[Repository], index: int | None) -> None:
    """Raises CosmosError for a repository that cannot be added to the list."""
    if not (repository.name and repository.name.isprintable()):
        raise failures.bad_json("decode", f"{repository.name!r} is no name", ".name")
    name = repository.name if any(one.name == repository.name for one in listed) else None
    uri = repository.uri if any(one.uri == repository.uri for one in listed) else None
    if name is not None or uri is not None:
        raise failures.repository_present(name=name, uri=uri)
    if index is not None and not 0 <= index <= len(listed):
        raise failures.index_out_of_bounds(index, len(listed))
    if repository.uri == BUILT_IN:
        return
    try:
        parts = urlsplit(repository.uri)
        parts.port  # noqa: B018 - raises for one that is no number
    except ValueError as error:
        raise failures.uri_syntax(repository.name, repository.uri) from error
    if not parts.scheme or any(character.isspace() for character in repository.uri):
        raise failures.uri_syntax(repository.name, repository.uri)
    if parts.scheme not in ("http", "https"):
        raise failures.uri_scheme(repository.uri)
    if not parts.hostname:
        raise failures.uri_syntax(repository.name, repository.uri)


def _is(repository: Repository, name: str | None, uri: str | None) -> bool:
    return (name is None or repository.name == name) and (uri is None or repository.uri == uri)
