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
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
from tests.support.balancing import Bench, Fleet, Load, bench
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
CHANGES, SCALINGS, ROLLINGS, RELOADS = 100, 100, 20, 20

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
    lines = [f"global\n  maxconn 4000\n  stats socket {directory}/sock\n{DEFAULTS}"]
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
def haproxy(config: Path, processor: int, ready: int) -> Iterator[int]:
    """Its pid."""
    command = ["taskset", "-c", str(processor), "haproxy", "-f", str(config), "-db"]
    process = subprocess.Popen(command, env=os.environ | {"PATH": PATH}, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: can_bind("127.0.0.1", ready) or process.poll() is not None)
        assert process.poll() is None, f"haproxy refuses {config}"
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def answers(directory: Path, port: int) -> Path:
    """The configuration of an HAProxy that answers by itself."""
    config = directory / "behind.cfg"
    config.write_text(
        f"global\n  maxconn 4000\n{DEFAULTS}\nfrontend x\n  bind *:{port}\n  http-request return status 200\n"
    )
    return config


def spent(pid: int) -> float:
    """Seconds of processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wrk(port: int, script: Path) -> tuple[float, int]:
    """Requests a second, and all of them. RuntimeError when one went wrong."""
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
    rate, all_ = re.search(r"Requests/sec:\s+([0-9.]+)", said), re.search(r"(\d+) requests in", said)
    assert rate
    assert all_
    return float(rate[1]), int(all_[1])


def rates(count: int, directory: Path) -> Iterator[tuple[str, str]]:
    """Ratios of rounds: other work on the machine hits each file alike."""
    behind = free_port()
    services = apps(count, behind)
    script = directory / "hosts.lua"
    script.write_text(
        "local n = 0\nrequest = function()\n  n = n + 1\n"
        f"  return wrk.format('GET', '/', {{Host = string.format('app-%04d.test', n * 7919 % {count})}})\nend\n"
    )
    with ExitStack() as undo:
        undo.enter_context(haproxy(answers(directory, behind), 1, behind))
        ports, pids = {}, {}
        settings = Settings(
            work_dir=str(directory / "ours"), http_port=free_port(), appid_port=free_port(), stats_port=free_port(),
            maxconn=4000,
        )  # fmt: skip
        rendered = render(services, settings)
        files = Files(directory / "ours")
        files.config.parent.mkdir()
        files.provide(rendered.files)
        files.write(rendered.text)
        ports["ours"] = settings.http_port
        pids["ours"] = undo.enter_context(haproxy(files.config, 0, settings.http_port))
        for name, closing, chain in (("hand", True, False), ("kept", False, False), ("conditions", True, True)):
            port, place = free_port(), directory / name
            place.mkdir()
            (place / "haproxy.cfg").write_text(by_hand(services, port, place, closing=closing, chain=chain))
            pids[name] = undo.enter_context(haproxy(place / "haproxy.cfg", 0, port))
            ports[name] = port
        rounds = [{name: load(port, script, pids[name]) for name, port in ports.items()} for _ in range(ROUNDS)]
    yield f"requests/s, {count} apps, our file", _spread([r["ours"][0] for r in rounds], "{:,.0f}")
    yield (
        f"processor time for 100,000 requests, {count} apps, our file",
        _spread([r["ours"][1] for r in rounds], "{:.2f} s"),
    )
    for name, text in (
        ("hand", "a file by hand with a map"),
        ("conditions", "a file by hand with a condition for each host"),
        ("kept", "a file by hand with a map that keeps connections to servers"),
    ):
        yield f"requests/s, {count} apps, ours / {text}", _spread([r["ours"][0] / r[name][0] for r in rounds], "{:.2f}")
        yield f"  processor time, {text} / ours", _spread([r[name][1] / r["ours"][1] for r in rounds], "{:.2f}")


def load(port: int, script: Path, pid: int) -> tuple[float, float]:
    """Requests a second, and seconds of processor time for 100,000: a busy machine does not change those."""
    before = spent(pid)
    rate, sent = wrk(port, script)
    return rate, (spent(pid) - before) / sent * 100_000


def _spread(values: Sequence[float], form: str) -> str:
    return f"{form.format(median(values))} ({form.format(min(values))} to {form.format(max(values))})"


def other(number: int, behind: int) -> dict[str, Any]:
    """An app that nothing happens to."""
    made = host_app(f"/other-{number:04}", 20000 + number, [behind] * 3, HAPROXY_0_VHOST=f"o{number}.test")
    for task, address in zip(made["tasks"], ADDRESSES, strict=True):
        task |= {"host": address, "id": f"{task['id']}.{address}"}
    return made


def first_requests(directory: Path, others: int) -> Iterator[tuple[str, str]]:
    """From the moment that Marathon tells of a running task to its first answer through the balancer."""
    behind = free_port()
    with haproxy(answers(directory, behind), 1, behind):
        return asyncio.run(_first_requests(directory, others, behind))


async def _first_requests(directory: Path, others: int, behind: int) -> Iterator[tuple[str, str]]:
    took = []
    async with bench(directory) as (made, http):
        one = Fleet(made, "one", HAPROXY_0_BALANCE="first")
        await one.start(1)
        rest = [other(number, behind) for number in range(others)]
        made.marathon.apps = [one.shown(), *rest]
        program = made.start()
        await until(one.settled)
        await made.marathon.subscribed()
        before = spent(program.pid)
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
        busy = (spent(program.pid) - before) / CHANGES
        one.kill(1)
        await one.bury()
    took.sort()
    label = f"task running to its first answer, {others + 1:,} apps"
    return iter(
        [
            (label, f"median {took[len(took) // 2] * 1000:.0f} ms, p99 {took[-2] * 1000:.0f} ms"),
            ("  processor time of the balancer, a server coming and one going", f"{busy * 1000:.0f} ms"),
        ]
    )


async def reload(made: Bench, http: aiohttp.ClientSession, wanted: int) -> None:
    async with http.get(f"http://127.0.0.1:{made.stats_port}/_mlb_signal/usr1"):
        pass

    async def done() -> bool:
        return bool((await made.state(http))["haproxy"].get("reloads", 0) >= wanted)

    await until(done)


async def only_one_worker(made: Bench) -> bool:
    return sorted((await made.haproxy.processes()).values()) == ["master", "worker"]


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
        load = Load(made, workers=12, limit=10_000_000, hosts=[fleet.host for fleet in fleets])
        async with load:
            for number in range(RELOADS):
                await reload(made, http, state["reloads"] + number + 1)
        sent = sum(load.statuses.values())
        rows.append((f"requests that failed, {RELOADS} reloads by hand", f"{sent - load.statuses[200]} of {sent:,}"))
        await until(partial(only_one_worker, made))
        state = (await made.state(http))["haproxy"]
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
            lambda place: first_requests(place, 0),
            lambda place: first_requests(place, 999),
        ]
        if missing:
            yield "requests/s", f"not measured: no {', '.join(missing)}"
        else:
            parts += [lambda place: rates(10, place), lambda place: rates(1000, place)]
        for number, part in enumerate(parts):
            (directory / str(number)).mkdir()
            yield from part(directory / str(number))
