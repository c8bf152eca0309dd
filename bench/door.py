"""The entry door beside HAProxy as a plain reverse proxy, and beside the usual stack: Starlette, uvicorn, aiohttp.

Needs haproxy and wrk. All three take the same prefix off and pass to the same server, an HAProxy that answers itself.
Each round measures each once; what a request costs is the proxy's own processor time.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from tests.support.mesos_client import request
from tests.support.ports import free_port
from tests.support.waiting import wait_until

from bench import quick

ROUNDS, SECONDS, CLIENTS = (1, 1, 4) if quick() else (5, 3, 16)
LARGE = 1 << 20
TORTIE = "from tortie.cli.main import main; main()"
PATH = os.environ["PATH"] + ":/usr/sbin"

HAPROXY = """
global
  maxconn 1000
  nbthread 1
  tune.bufsize 1100000
defaults
  mode http
  timeout connect 3s
  timeout client 30s
  timeout server 30s
"""
BEHIND = """
frontend behind
  bind 127.0.0.1:{port}
  http-request return status 200 content-type text/plain file {large} if {{ path /large }}
  http-request return status 200 content-type application/json string '{{"id":"x"}}'
"""
PROXY = """
frontend proxy
  bind 127.0.0.1:{port}
  http-request replace-path /mesos(.*) \\1
  option forwardfor
  default_backend server
backend server
  server one 127.0.0.1:{behind}
"""
USUAL = """
import sys, aiohttp, uvicorn
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route
port, behind = map(int, sys.argv[1:])

@asynccontextmanager
async def life(app):
    async with aiohttp.ClientSession(auto_decompress=False) as app.state.http:
        yield

async def proxy(request):
    url = f"http://127.0.0.1:{behind}{request.url.path.removeprefix('/mesos')}"
    body = request.stream() if request.method == "POST" else None
    reply = await request.app.state.http.request(request.method, url, headers=request.headers, data=body)
    return StreamingResponse(reply.content.iter_any(), reply.status, dict(reply.headers))

app = Starlette(routes=[Route("/{path:path}", proxy)], lifespan=life)
uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="error", loop="uvloop")
"""


@contextmanager
def program(port: int, path: str, *command: str) -> Iterator[int]:
    """Its process, once it answers 200."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=os.environ | {"PATH": PATH}
    )

    def answers() -> bool:
        assert process.poll() is None, f"{command[:3]}: exit {process.returncode}"
        try:
            return request(port, "GET", path)[0] == 200
        except OSError:
            return False

    try:
        wait_until(answers)
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


def haproxy(work: Path, name: str, text: str, port: int, path: str) -> tuple[int, str, tuple[str, ...]]:
    file = work / f"{name}.cfg"
    file.write_text(HAPROXY + text)
    return port, path, ("haproxy", "-db", "-f", str(file))


def processor(pid: int) -> float:
    """Seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(port: int, path: str) -> tuple[int, float]:
    """Requests answered, and the median time of one in ms."""
    words = ("wrk", "-t1", f"-c{CLIENTS}", f"-d{SECONDS}s", "--latency", f"http://127.0.0.1:{port}{path}")
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in text, text
    count = re.search(r"(\d+) requests in", text)
    half = re.search(r"50%\s+([\d.]+)(us|ms|s)", text)
    assert count, text
    assert half, text
    return int(count[1]), float(half[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[half[2]]


def run() -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        work = Path(directory)
        large = work / "large"
        large.write_bytes(b"x" * LARGE)
        behind, ports = free_port(), {name: free_port() for name in ("door", "haproxy", "starlette + aiohttp")}
        port, path, words = haproxy(work, "behind", BEHIND.format(port=behind, large=large), behind, "/")
        stack.enter_context(program(port, path, *words))
        at = f"127.0.0.1:{behind}"
        door = (sys.executable, "-c", TORTIE, "door", "run", "--listen", f"127.0.0.1:{ports['door']}")
        usual = (sys.executable, "-c", USUAL, str(ports["starlette + aiohttp"]), str(behind))
        proxy = haproxy(work, "proxy", PROXY.format(port=ports["haproxy"], behind=behind), ports["haproxy"], "/mesos/")
        pids = {
            "haproxy": stack.enter_context(program(proxy[0], proxy[1], *proxy[2])),
            "door": stack.enter_context(
                program(ports["door"], "/mesos/", *door, "--master", at, "--state", str(work / "state"))
            ),
            "starlette + aiohttp": stack.enter_context(program(ports["starlette + aiohttp"], "/mesos/", *usual)),
        }
        return [*_figures("small", "/mesos/x", pids, ports), *_figures("1 MiB", "/mesos/large", pids, ports)]


def _figures(what: str, path: str, pids: dict[str, int], ports: dict[str, int]) -> list[tuple[str, str]]:
    cost: dict[str, list[float]] = {name: [] for name in pids}
    rate: dict[str, list[float]] = {name: [] for name in pids}
    wait: dict[str, list[float]] = {name: [] for name in pids}
    for _ in range(ROUNDS):
        for name, pid in pids.items():
            before = processor(pid)
            count, half = load(ports[name], path)
            cost[name].append((processor(pid) - before) / count * 1e6)
            rate[name].append(count / SECONDS)
            wait[name].append(half)
    found = []
    for name in pids:
        figures = (
            f"{median(cost[name]):.0f} µs of processor, {median(rate[name]):.0f}/s, median {median(wait[name]):.2f} ms"
        )
        found.append((f"{what}: {name}", figures))
    for other in ("haproxy", "starlette + aiohttp"):
        ratio = median(a / max(b, 1e-9) for a, b in zip(cost["door"], cost[other], strict=True))
        found.append((f"{what}: door to {other}, processor per request", f"{ratio:.2f}"))
    return found
