"""The rollout's page while it changes ten times a second, with 50 agents: what it costs to be watched by one and by 50.

Beside it, in the same run: everything to everybody at each change, read and encoded for each. Chromium's own work, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import msgspec
from playwright.async_api import async_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from tests.support.browser import CHROMIUM, FLAGS
from tests.support.ports import free_port
from tests.support.simulated_agents import STEPS_HERE, TEXTS
from tests.support.waiting import until

from bench import quick
from tortie.framework.life import Seat
from tortie.packages.calico.board import board
from tortie.packages.calico.site import Site
from tortie.packages.calico.values import Agent, Wanted, tasks
from tortie.packages.rollout import book
from tortie.packages.rollout.inventory import Cni, Plan, Product, plan
from tortie.packages.rollout.machine import Rollout, begun, decide, ended
from tortie.store.open import open_store
from tortie.store.port import Datastore, Put
from tortie.web.serve import serve, tcp_listener

AGENTS, CHANGES, VIEWERS = (10, 20, (1, 5)) if quick() else (50, 100, (1, 50))
PERIOD = 0.1
METRICS = {"ScriptDuration": "script", "RecalcStyleDuration": "style", "LayoutDuration": "layout"}
SHIFTS = (
    "window.shift = 0; new PerformanceObserver(list => list.getEntries().forEach(e => window.shift += e.value))"
    ".observe({type: 'layout-shift', buffered: true})"
)


def planned() -> Plan:
    agents = [Agent(f"A{number}", f"agent-{number}") for number in range(AGENTS)]
    made = tasks(Wanted(cni=Cni()), "etcd://10.0.0.1:2379", agents, Product("0123", "t", "[Service]\n", {}, {}))
    change = {step: [{"text": TEXTS[step], "have": ""}] for step in STEPS_HERE}
    return plan(made, {agent.hostname: change for agent in agents}, "0123")


def rollouts(made: Plan) -> Iterator[Rollout]:
    """Each as the driver writes it down, one act after the other."""
    now = made.rollout(time.time())
    while (act := decide(now)) is not None:
        now = begun(now, act, time.time())
        yield now
        now = ended(now, act, None, time.time(), "ready, endpoints up: 12")
        yield now


# -- the server, a process of its own ----------------------------------------------------------------------------------


def main(url: str, port: str, way: str) -> None:
    store = open_store(url)
    kept = SimpleNamespace(leaving="")
    standing: Any = SimpleNamespace(
        store=store, trouble="", note="", removed=False, memory=SimpleNamespace(kept=kept), order=None
    )
    seat: Seat[Any] = Seat(lambda: None)
    seat.holder = standing
    site = Site(seat).application() if way == "differences" else everything(store)
    asyncio.run(serve(site, [tcp_listener("127.0.0.1", int(port))]))


def everything(store: Datastore) -> Starlette:
    """Reads, encodes and sends all of it for each who watches."""

    async def stream() -> AsyncIterator[bytes]:
        seen = b""
        while True:
            last = (await asyncio.to_thread(book.current, store)).rollout
            now = msgspec.json.encode(board(last, await asyncio.to_thread(book.current_plan, store), ""))
            if now != seen:
                seen = now
                yield b"event: rollout\ndata: " + now + b"\n\n"
            await asyncio.sleep(0.2)

    async def events(_request: Request) -> Response:
        return StreamingResponse(stream(), media_type="text/event-stream")

    return Starlette(routes=[Route("/v1/events", events)])


@contextmanager
def server(url: str, port: int, way: str) -> Iterator[subprocess.Popen[bytes]]:
    program = f"from bench.rollout_page import main; main({url!r}, '{port}', {way!r})"
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- who watches -------------------------------------------------------------------------------------------------------


class Watcher:
    def __init__(self) -> None:
        self.bytes = 0
        self.last = b""

    async def watch(self, http: aiohttp.ClientSession, url: str) -> None:
        async with http.get(f"{url}/v1/events") as reply:
            async for line in reply.content:
                self.bytes += len(line)
                if line.startswith(b"data: "):
                    self.last = line


async def _measured(way: str, viewers: int) -> dict[str, float]:
    made = planned()
    with tempfile.TemporaryDirectory() as folder:
        url, port = f"sqlite://{folder}/store", free_port()
        with closing(open_store(url)) as store, server(url, port, way) as child:
            states = rollouts(made)
            await _write(store, made, next(states))
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector, read_bufsize=1 << 20) as http:
                await until(lambda: _open(port), message="the server listens")
                watchers = [Watcher() for _ in range(viewers)]
                watching = [asyncio.ensure_future(one.watch(http, f"http://127.0.0.1:{port}")) for one in watchers]
                try:
                    await until(lambda: all(one.last for one in watchers), message="all watch")
                    whole = len(watchers[0].last)
                    before, cpu = sum(one.bytes for one in watchers), _cpu(child.pid)
                    await _change(store, made, states)
                    await asyncio.sleep(1)  # what is on the way
                    sent = sum(one.bytes for one in watchers) - before
                    cpu = _cpu(child.pid) - cpu
                finally:
                    for task in watching:
                        task.cancel()
                    await asyncio.gather(*watching, return_exceptions=True)
    return {"bytes": sent / CHANGES / viewers, "cpu": cpu / CHANGES, "whole": whole}


async def _open(port: int) -> bool:
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False


async def _write(store: Datastore, made: Plan, rollout: Rollout) -> None:
    writes = [Put(book.PLAN, msgspec.json.encode(made))] if store.get(book.PLAN) is None else []
    await asyncio.to_thread(store.commit, [*writes, Put(book.STATE, msgspec.json.encode(rollout))])


async def _change(store: Datastore, made: Plan, states: Iterator[Rollout]) -> None:
    begun_at = time.monotonic()
    for number, rollout in zip(range(CHANGES), states, strict=False):
        await _write(store, made, rollout)
        await asyncio.sleep(max(begun_at + (number + 1) * PERIOD - time.monotonic(), 0))


# -- a browser ---------------------------------------------------------------------------------------------------------


async def _browser() -> list[tuple[str, str]]:
    made = planned()
    with tempfile.TemporaryDirectory() as folder:
        url, port = f"sqlite://{folder}/store", free_port()
        with closing(open_store(url)) as store, server(url, port, "differences"):
            states = rollouts(made)
            await _write(store, made, next(states))
            await until(lambda: _open(port), message="the server listens")
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=60_000)
                page = await browser.new_page()
                page.set_default_timeout(60_000)
                await page.add_init_script(SHIFTS)
                await page.goto(f"http://127.0.0.1:{port}/")
                await page.locator("#hosts article").nth(AGENTS - 1).wait_for()
                session = await page.context.new_cdp_session(page)
                await session.send("Performance.enable")
                shift, before = await page.evaluate("window.shift"), await _metrics(session)
                await _change(store, made, states)
                after = await _metrics(session)
                shifted = await page.evaluate("window.shift") - shift
                await browser.close()
    cost = {word: (after[name] - before[name]) / CHANGES * 1000 for name, word in METRICS.items()}
    words = ", ".join(f"{value:.2f} {word}" for word, value in cost.items())
    return [
        (f"Chromium, {AGENTS} agents: work for a change", f"{sum(cost.values()):.2f} ms ({words})"),
        ("Chromium: cumulative layout shift of all changes", f"{shifted:.4f}"),
    ]


async def _metrics(session: Any) -> dict[str, float]:
    found = await session.send("Performance.getMetrics")
    return {one["name"]: one["value"] for one in found["metrics"]}


def run() -> list[tuple[str, str]]:
    figures = []
    for viewers in VIEWERS:
        found = {way: asyncio.run(_measured(way, viewers)) for way in ("everything", "differences")}
        now, once = found["differences"], found["everything"]
        who = f"{AGENTS} agents, {viewers} watching"
        figures += [
            (f"{who}: bytes for a change and viewer", f"{now['bytes']:.0f}, everything {once['bytes']:.0f}"),
            (f"{who}: bytes / the whole JSON once", f"{now['bytes'] / now['whole']:.4f}"),
            (
                f"{who}: processor time for a change",
                f"{now['cpu'] * 1000:.2f} ms, everything {once['cpu'] * 1000:.2f} ms",
            ),
            (
                f"{who}: and viewer",
                f"{now['cpu'] / viewers * 1e6:.0f} us, everything {once['cpu'] / viewers * 1e6:.0f} us",
            ),
        ]
    figures.append(("encoding all of it once", f"{_encoding() * 1e6:.0f} us"))
    return [*figures, *(asyncio.run(_browser()) if CHROMIUM else [])]


def _encoding() -> float:
    made = planned()
    shown = board(made.rollout(0.0), made, "")
    begun_at = time.perf_counter()
    for _ in range(100):
        msgspec.json.encode(shown)
    return (time.perf_counter() - begun_at) / 100
