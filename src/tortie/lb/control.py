"""The paths of port 9090 that HAProxy does not answer itself; it passes them on to our socket."""

from __future__ import annotations

from dataclasses import asdict
from html import escape
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tortie.lb.balancer import Told
from tortie.lb.follow import Follower
from tortie.lb.haproxy import Haproxy
from tortie.web.page import page, static_routes


def make_app(haproxy: Haproxy, follower: Follower, told: Told) -> Starlette:
    async def config(_: Request) -> Response:
        if text := haproxy.files.text():
            return PlainTextResponse(text)
        return PlainTextResponse("no configuration has been written yet\n", 404)

    async def vhost_map(_: Request) -> Response:
        return PlainTextResponse(haproxy.files.map_text("domain2backend.map"))

    async def app_map(_: Request) -> Response:
        return PlainTextResponse(haproxy.files.map_text("app2backend.map"))

    async def pids(_: Request) -> Response:
        return PlainTextResponse(" ".join(map(str, await haproxy.processes())))

    async def hup(_: Request) -> Response:
        follower.look_again()
        return PlainTextResponse("Sent SIGHUP signal to marathon-lb")

    async def usr1(_: Request) -> Response:
        follower.reload()
        return PlainTextResponse("Sent SIGUSR1 signal to marathon-lb")

    async def state() -> dict[str, Any]:
        return {"marathon": asdict(follower.seen), "haproxy": asdict(told) | {"processes": await haproxy.processes()}}

    async def state_json(_: Request) -> Response:
        return JSONResponse(await state())

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(_metrics(await state()), media_type="text/plain; version=0.0.4")

    async def overview(_: Request) -> Response:
        return page("Balancer", _overview(await state()), static="_mlb/static", live=False)

    return Starlette(
        routes=[
            Route("/_haproxy_getconfig", config),
            Route("/_haproxy_getvhostmap", vhost_map),
            Route("/_haproxy_getappmap", app_map),
            Route("/_haproxy_getpids", pids),
            Route("/_mlb_signal/hup", hup),
            Route("/_mlb_signal/usr1", usr1),
            Route("/_mlb", overview),
            Route("/_mlb/state", state_json),
            Route("/_mlb/metrics", metrics),
            *static_routes("/_mlb/static"),
        ]
    )


def _overview(state: dict[str, Any]) -> str:
    """What is in force, what is not, and why."""
    marathon, haproxy = state["marathon"], state["haproxy"]
    reading = f"reads {escape(marathon['urls'][0])}" if marathon["urls"] else "has not begun"
    apps = "none yet" if marathon["apps"] is None else marathon["apps"]
    lines = [
        ("Marathon", f"does not answer: {escape(marathon['failure'])}" if marathon["failure"] else reading),
        ("Apps", f"{apps}, {'told by events' if marathon['stream'] else 'no stream of events'}"),
        ("HAProxy", escape(haproxy["failure"]) or "as wanted"),
        ("Reloads", f"{haproxy['reloads']}, {haproxy['failed_reloads']} failed; {haproxy['changes']} server changes"),
        ("Old workers", f"{_old(haproxy)} still finish their connections"),
    ]
    if haproxy["reload_waits"]:
        lines.append(("Next reload", f"in {haproxy['reload_waits']:.0f} s: earlier workers are let finish"))
    rows = "".join(f"<tr><th scope=row>{name}</th><td>{value}</td></tr>" for name, value in lines)
    links = " · ".join(
        f'<a href="{address}">{text}</a>'
        for address, text in (
            ("haproxy?stats", "statistics"), ("_haproxy_getconfig", "configuration"), ("metrics", "metrics of HAProxy"),
            ("_mlb/metrics", "metrics of the balancer"), ("_mlb/state", "state as JSON"),
        )
    )  # fmt: skip
    return (
        f"<section class=card><table>{rows}</table><p>{links}</p></section>"
        + _listed("Left out", marathon["left_out"], "Everything that asks to be served is.")
        + _listed("Not answering yet", marathon["waiting"], "No server waits for its first requests.")
    )


def _listed(title: str, lines: list[str], none: str) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<section class=card><h2>{title}</h2>{f'<ul>{items}</ul>' if lines else f'<p>{none}</p>'}</section>"


def _metrics(state: dict[str, Any]) -> str:
    """The balancer's own figures, as Prometheus reads them; HAProxy's are on /metrics."""
    marathon, haproxy = state["marathon"], state["haproxy"]
    figures = (
        ("reloads_total", "Reloads of HAProxy", haproxy["reloads"]),
        ("failed_reloads_total", "Reloads that did not come up", haproxy["failed_reloads"]),
        ("server_changes_total", "Commands of the runtime API", haproxy["changes"]),
        ("marathon_reads_total", "Times that Marathon was asked", marathon["reads"]),
        ("old_workers", "Workers that still finish their connections", _old(haproxy)),
        ("left_out", "Services and tasks left out, with a reason in the log", len(marathon["left_out"])),
        ("waiting_servers", "Servers that have not answered yet", len(marathon["waiting"])),
        ("marathon_reachable", "Whether Marathon answered the last time", int(not marathon["failure"])),
        ("marathon_stream", "Whether the stream of events stands", int(marathon["stream"])),
        ("as_wanted", "Whether HAProxy is as wanted", int(not haproxy["failure"])),
        ("apps", "Apps of Marathon", marathon["apps"] or 0),
    )
    lines = []
    for name, text, value in figures:
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP tortie_lb_{name} {text}", f"# TYPE tortie_lb_{name} {kind}", f"tortie_lb_{name} {value}"]
    return "\n".join(lines) + "\n"


def _old(haproxy: dict[str, Any]) -> int:
    return sum(role == "old worker" for role in haproxy["processes"].values())
