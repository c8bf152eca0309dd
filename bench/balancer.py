"""The balancer: HAProxy by our file beside one by hand, and what a change costs with many apps.

Needs haproxy, wrk and taskset.

HAProxy and what it asks have a processor of their own; the load has the other. Each round measures each file once.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from tests.support.balancing import Fleet, Load, bench
from tests.support.fake_marathon import host_app
from tests.support.ports import free_port
from tests.support.waiting import until, wait_until

from tortie.lb.files import Files
from tortie.lb.haproxy import can_bind
from tortie.lb.render import Settings, render
from tortie.lb.service import Server, Service, server_id, server_name

ROUNDS, SECONDS = 5, 2
ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
PATH = os.environ["PATH"] + ":/usr/sbin"
CHANGES, SCALINGS, ROLLINGS = 100, 100, 20

DEFAULTS = """
defaults
  mode http
  maxconn 10000
  timeout connect 3s
  timeout client 30s
  timeout server 30s
"""


def apps(count: int, port: int) -> list[Service]:
    """Each with a virtual host and three servers."""
    found = []
    for number in range(count):
        names = [server_name(address, address, port) for address in ADDRESSES]
        servers = tuple(
            Server(address, address, port, name=name, id=server_id(name))
            for address, name in zip(ADDRESSES, names, strict=True)
        )
        found.append(
            Service(
                app_id=f"/app-{number:04}", index=0, port=20000 + number, mode="http",
                vhosts=(f"app-{number:04}.test",), servers=servers,
            )
        )  # fmt: skip
    return found


def by_hand(services: Sequence[Service], port: int, directory: Path, *, closing: bool, chain: bool) -> str:
    """As few lines as do it. `closing`: connections to servers end with the answer, as in ours; `chain`: a condition
    for each host, as marathon-lb has it, instead of a file to look up.
    """
    lines = [f"global\n  maxconn 20000\n  stats socket {directory}/sock\n{DEFAULTS}"]
    lines += ["  option http-server-close"] if closing else []
    lines += ["frontend in", f"  bind *:{port}"]
    if chain:
        for service in services:
            lines.append(f"  acl h_{service.name} hdr(host) -i {service.vhosts[0]}")
            lines.append(f"  use_backend {service.name} if h_{service.name}")
    else:
        hosts = directory / "hosts.map"
        hosts.write_text("".join(f"{service.vhosts[0]} {service.name}\n" for service in services))
        lines.append(f"  use_backend %[req.hdr(host),field(1,:),lower,map({hosts})]")
    for service in services:
        lines += [f"backend {service.name}", "  balance roundrobin"]
        lines += [f"  server s{n} {server.address}:{server.port}" for n, server in enumerate(service.servers)]
    return "\n".join(lines) + "\n"


@contextmanager
def haproxy(config: Path, processor: int, ready: int) -> Iterator[None]:
    command = ["taskset", "-c", str(processor), "haproxy", "-f", str(config), "-db"]
    process = subprocess.Popen(command, env=os.environ | {"PATH": PATH}, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: can_bind("127.0.0.1", ready))
        yield
    finally:
        process.terminate()
        process.wait()


def wrk(port: int, script: Path) -> float:
    """Requests a second; nothing when one went wrong."""
    command = [
        "taskset",
        "-c",
        "1",
        "wrk",
        "-t1",
        "-c32",
        f"-d{SECONDS}s",
        "-s",
        str(script),
        f"http://127.0.0.1:{port}/",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"requests failed: {said}")
    found = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    assert found, said
    return float(found[1])


def rates(count: int, directory: Path) -> Iterator[tuple[str, str]]:
    """Ratios of rounds: other work on the machine hits each file alike."""
    behind = free_port()
    services = apps(count, behind)
    (directory / "behind.cfg").write_text(
        f"global\n  maxconn 20000\n{DEFAULTS}\nfrontend x\n  bind *:{behind}\n  http-request return status 200\n"
    )
    script = directory / "hosts.lua"
    script.write_text(
        "local n = 0\nrequest = function()\n  n = n + 1\n"
        f"  return wrk.format('GET', '/', {{Host = string.format('app-%04d.test', n * 7919 % {count})}})\nend\n"
    )
    with ExitStack() as undo:
        undo.enter_context(haproxy(directory / "behind.cfg", 1, behind))
        ports = {}
        settings = Settings(
            work_dir=str(directory / "ours"), http_port=free_port(), appid_port=free_port(), stats_port=free_port(),
            maxconn=20000,
        )  # fmt: skip
        rendered = render(services, settings)
        files = Files(directory / "ours")
        files.config.parent.mkdir()
        files.provide(rendered.files)
        files.write(rendered.text)
        ports["ours"] = settings.http_port
        undo.enter_context(haproxy(files.config, 0, settings.http_port))
        for name, closing, chain in (("by hand", True, False), ("kept", False, False), ("conditions", True, True)):
            port, place = free_port(), directory / name
            place.mkdir()
            (place / "haproxy.cfg").write_text(by_hand(services, port, place, closing=closing, chain=chain))
            undo.enter_context(haproxy(place / "haproxy.cfg", 0, port))
            ports[name] = port
        rounds = [{name: wrk(port, script) for name, port in ports.items()} for _ in range(ROUNDS)]
    yield f"requests/s, {count} apps, our file", _spread([r["ours"] for r in rounds], "{:,.0f}")
    for name, text in (
        ("by hand", "ours / a file by hand with a map"),
        ("conditions", "ours / a file by hand with a condition for each host"),
        ("kept", "ours / a file by hand with a map that keeps connections to servers"),
    ):
        yield f"{text}, {count} apps", _spread([r["ours"] / r[name] for r in rounds], "{:.2f}")


def _spread(values: Sequence[float], form: str) -> str:
    return f"{form.format(median(values))} ({form.format(min(values))} to {form.format(max(values))})"


async def first_requests(directory: Path, others: int) -> Iterator[tuple[str, str]]:
    """From the moment that Marathon tells of a running task to its first answer through the balancer."""
    took = []
    async with bench(directory) as (made, http):
        one = Fleet(made, "one", HAPROXY_0_BALANCE="first")
        await one.start(1)
        rest = [host_app(f"/other-{n:04}", 20000 + n, [9, 10, 11], HAPROXY_0_VHOST=f"o{n}.test") for n in range(others)]
        made.marathon.apps = [one.shown(), *rest]
        made.start()
        await until(one.settled)
        await made.marathon.subscribed()
        for _ in range(CHANGES):
            # The balancer has come to rest: a change that comes while it works on another one is another matter.
            await asyncio.sleep(0.1)
            one.kill(1)
            (backend,) = await one.start(1)
            began = time.monotonic()
            await made.show(one.shown(), *rest)
            while not backend.served:
                await made.get(http, host=one.host)
            took.append(time.monotonic() - began)
            await until(one.settled)
            await one.bury()
        one.kill(1)
        await one.bury()
    took.sort()
    label = f"task running to its first answer, {others + 1:,} apps"
    return iter([(label, f"median {took[len(took) // 2] * 1000:.0f} ms, p99 {took[-2] * 1000:.0f} ms")])


async def losses(directory: Path) -> Iterator[tuple[str, str]]:
    """Requests that fail while an app is scaled and deployed anew all the time."""
    rows = []
    dice = random.Random(6)
    async with bench(directory) as (made, http):
        fleets = [
            Fleet(made, "turns"),
            Fleet(made, "fewest", HAPROXY_0_BALANCE="leastconn", HAPROXY_0_STICKY="true"),
            Fleet(made, "hashed", HAPROXY_0_BALANCE="source"),
        ]

        async def change(starts: int, kills: int) -> None:
            for fleet in fleets:
                await fleet.start(starts)
                fleet.kill(kills)
            await made.show(*(fleet.shown() for fleet in fleets))
            for fleet in fleets:
                await until(fleet.settled)
                await fleet.bury()

        made.marathon.apps = []
        made.start()
        await made.marathon.subscribed()
        await change(3, 0)
        begun = (await made.state(http))["haproxy"]["reloads"]
        for what, times in (("scalings", SCALINGS), ("rolling deployments", ROLLINGS)):
            load = Load(made, workers=12, limit=10_000_000, hosts=[fleet.host for fleet in fleets])
            async with load:
                size = 3
                for _ in range(times):
                    if what == "scalings":
                        wanted = dice.choice([n for n in range(1, 7) if n != size])
                        await change(max(0, wanted - size), max(0, size - wanted))
                        size = wanted
                    else:
                        for _ in range(3):
                            await change(1, 0)
                            await change(0, 1)
                if size != 3:
                    await change(max(0, 3 - size), max(0, size - 3))
            sent = sum(load.statuses.values())
            rows.append(
                (f"requests that failed, 3 apps, {times} {what} each", f"{sent - load.statuses[200]} of {sent:,}")
            )
        state = (await made.state(http))["haproxy"]
        rows.append(("reloads for all of these", str(state["reloads"] - begun)))
        rows.append(("processes of HAProxy afterwards", ", ".join(state["processes"].values())))
        for fleet in fleets:
            fleet.kill(1000)
            await fleet.bury()
    return iter(rows)


def run() -> Iterator[tuple[str, str]]:
    """(what was measured, the figure) pairs."""
    missing = [program for program in ("haproxy", "wrk", "taskset") if shutil.which(program, path=PATH) is None]
    with tempfile.TemporaryDirectory(prefix="lb") as name:
        directory = Path(name)
        parts: list[Callable[[Path], Iterator[tuple[str, str]]]] = [
            lambda place: asyncio.run(losses(place)),
            lambda place: asyncio.run(first_requests(place, 0)),
            lambda place: asyncio.run(first_requests(place, 999)),
        ]
        if missing:
            yield "requests/s", f"not measured: no {', '.join(missing)}"
        else:
            parts += [lambda place: rates(10, place), lambda place: rates(1000, place)]
        for number, part in enumerate(parts):
            (directory / str(number)).mkdir()
            yield from part(directory / str(number))
