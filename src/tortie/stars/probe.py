"""star-probe: measures whether each target answers HTTP, and says so on /status."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence

from tortie.stars import targets
from tortie.stars.fetch import CONNECT_SECONDS, TOTAL_SECONDS, fetch, split_url
from tortie.stars.flags import number, parse, wrong
from tortie.stars.http1 import Request, Response
from tortie.stars.run import Log, Schedule, quick_names, serve, small_stacks

DETAILS = "/v1/status"

USAGE = """star-probe: probe HTTP addresses and report which ones answer.

Usage:
    star-probe --urls=<urls> [--http-address=<address>] [--http-port=<port>]
               [--http-probe-seconds=<seconds>] [--logfile=<path>]
    star-probe --help

Options:
    --urls=<urls>                   Comma list of addresses, such as http://frontend:9000/status
    --http-address=<address>        Address to listen on [default: 0.0.0.0].
    --http-port=<port>              Port to listen on [default: 9000].
    --http-probe-seconds=<seconds>  Seconds between two probes of one target [default: 5].
    --logfile=<path>                Append the log to this file [default: standard output].
    --help                          Show this text."""

_DEFAULTS: dict[str, str | None] = {
    "--urls": None,
    "--http-address": "0.0.0.0",
    "--http-port": "9000",
    "--http-probe-seconds": "5",
    "--logfile": None,
}


class Probe:
    """The targets' state, kept by the schedule's threads and read by the server's."""

    def __init__(self, urls: Sequence[str], period: float, log: Log) -> None:
        self._period = period
        self._log = log
        self._lock = threading.Lock()
        self._state = targets.start(urls, time.time())
        self._schedule = Schedule(period, self.probe_once)

    def start(self) -> None:
        self._log("Probing all targets")
        for url in self._state.targets:
            self._schedule.add(url)

    def probe_once(self, url: str) -> None:
        """One probe on a connection of its own; a change of state is logged."""
        self._log(f"Probing target: [{url}]")
        got = fetch(url, min(CONNECT_SECONDS, self._period), min(TOTAL_SECONDS, 2 * self._period))
        result = targets.Result(got.error, got.detail, got.latency, got.status)
        with self._lock:
            before = self._state.targets[url]
            self._state = targets.record(self._state, url, result, time.time())
            after = self._state.targets[url]
        if not before.probed or before.reachable != after.reachable:
            word = "reachable" if after.reachable else "unreachable"
            why = f" ({after.error}: {after.detail})" if after.error else ""
            self._log(f"Target [{url}] is now {word}.{why}")

    def answer(self, request: Request) -> Response:
        """GET /status as the original has it; GET /v1/status with ages, reasons and changes; 404 for all else."""
        if request.method != "GET" or request.target not in ("/status", DETAILS):
            return Response(404)
        with self._lock:
            state = self._state
        if request.target == DETAILS:
            return _json(targets.details(state, time.time(), self._period))
        self._log(f"Request from [{request.peer}]")
        # The header tells our collector where to find more; others never look.
        return _json(targets.status(state), {"Star-Details": DETAILS})


def _json(value: object, headers: dict[str, str] | None = None) -> Response:
    body = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
    return Response(200, body, "application/json", headers or {})


def main(argv: Sequence[str] | None = None) -> None:
    """Run until a signal; exit 1 for a usage error, 101 for a value or port that cannot be used."""
    flags = parse(sys.argv[1:] if argv is None else argv, _DEFAULTS, USAGE)
    if flags["--urls"] is None:
        wrong("--urls is required", USAGE)
    urls = [url for url in (flags["--urls"] or "").split(",") if url]
    for url in urls:
        try:
            split_url(url)
        except ValueError as error:
            wrong(f"--urls: {error}", USAGE)
    port = number("--http-port", flags["--http-port"], 0, 65535)
    period = number("--http-probe-seconds", flags["--http-probe-seconds"], 1, 86400)
    quick_names()
    small_stacks()
    log = Log(flags["--logfile"])
    print("\n   *  S T A R  *\n", flush=True)
    log(f"Target URLs: [{', '.join(urls)}]")
    probe = Probe(urls, period, log)
    log("Starting client driver")
    probe.start()
    serve(flags["--http-address"] or "0.0.0.0", port, probe.answer, log)


if __name__ == "__main__":
    main()
