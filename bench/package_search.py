"""A repository of 1,000 packages: reading it, believing it, and searching it, also over HTTP as `dcos` does."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.package_service import CONFIG, index, package, service, shelf

from bench import quick
from tortie.packages import signing
from tortie.packages.sources import Trust, index_of
from tortie.packages.universe import Repository, Universe, read_index

PACKAGES, VERSIONS, ROUNDS = 1000, 10, 30
WORDS = ("balancer", "store", "queue", "network", "policy", "metrics", "log", "cache", "proxy", "search", "web", "demo")


def entries(packages: int, versions: int) -> list[dict[str, Any]]:
    dice = random.Random(7)
    return [
        package(
            f"{WORDS[number % len(WORDS)]}-{number}",
            f"{release}.0",
            release,
            description=" ".join(dice.choices(WORDS, k=20)),
            tags=dice.sample(WORDS, 4),
            config=CONFIG,
        )
        for number in range(packages)
        for release in range(versions)
    ]


def _milliseconds(work: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken)


def _again(data: bytes) -> float:
    """As a service that has read it once: the bytes are new."""
    index_of(data)
    return _milliseconds(lambda: index_of(bytes(bytearray(data))), 3)


def _plain_scan(universe: Universe, query: str) -> list[str]:
    """The slow twin: every text made small again for every query."""
    return [one.name for one in universe.search() if any(query.lower() in text.lower() for text in one.searched)]


def run() -> list[tuple[str, str]]:
    packages, versions, rounds = (100, 2, 3) if quick() else (PACKAGES, VERSIONS, ROUNDS)
    data = index(*entries(packages, versions))
    size = f"{packages} packages of {versions} versions"
    found = read_index(data)
    here = Repository("Bench", "http://bench.test/repo")
    universe = Universe([(here, found)])
    assert [one.name for one in universe.search("Balancer")] == _plain_scan(universe, "Balancer")
    figures = [
        (f"{size}: the index", f"{len(data) / 1e6:.1f} MB"),
        ("read and checked", f"{_milliseconds(lambda: read_index(data), 3):.0f} ms"),
        ("the same again a minute later, unchanged", f"{_again(data):.1f} ms"),
        ("made ready to search", f"{_milliseconds(lambda: Universe([(here, found)]), 3):.0f} ms"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        private, public = Path(folder, "key"), Path(folder, "key.pub")
        signing.generate(private, public)
        signature = signing.sign(data, private)
        verified = _milliseconds(lambda: signing.verify(data, signature, [public]), 3)
        figures.append(("its signature verified (a process of openssl)", f"{verified:.0f} ms"))
    for what, query in (("a word", "balancer"), ("a pattern", "*-77*"), ("nothing found", "nonsense"), ("all", "")):
        took = _milliseconds(lambda query=query: universe.search(query), rounds)  # type: ignore[misc]
        figures.append((f"search for {what}: {len(universe.search(query))} found", f"{took:.2f} ms"))
    figures.append(
        ("the same word by a plain scan", f"{_milliseconds(lambda: _plain_scan(universe, 'balancer'), rounds):.2f} ms")
    )
    index_of.cache_clear()
    return [*figures, *asyncio.run(_over_http(data, rounds))]


async def _over_http(data: bytes, rounds: int) -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        async with shelf({"/repo": data}) as web:
            here, trust = Repository("Bench", f"{web.url}/repo"), Trust(unsigned=[web.url])
            async with service(
                Path(folder), "http://127.0.0.1:1", repositories=[here], trust=trust, fresh=3600
            ) as cosmos:
                begun = time.perf_counter()
                await cosmos.ask("/package/search", {"query": "balancer"})
                first = (time.perf_counter() - begun) * 1000
                taken = []
                for _ in range(rounds):
                    begun = time.perf_counter()
                    answer = await cosmos.ask("/package/search", {"query": "balancer"})
                    taken.append((time.perf_counter() - begun) * 1000)
                size = len(json.dumps(answer.body))
    return [
        ("over HTTP, the first, with the repository read", f"{first:.0f} ms"),
        (f"over HTTP, later ones, {size / 1000:.0f} kB", f"{statistics.median(taken):.1f} ms"),
    ]
