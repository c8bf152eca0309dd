"""Health, status and metrics of the agent, as an ASGI application for its root-only socket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import ProcessCollector
from prometheus_client.core import CollectorRegistry, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tortie import __version__
from tortie.model.resource import printable
from tortie.node import counters, metrics
from tortie.node.agent import Agent
from tortie.node.flows.http import routes as flow_routes


def status(agent: Agent) -> dict[str, Any]:
    """The whole state as JSON values: the agent's own health and every endpoint of this host."""
    brain, health = agent.brain, agent.health
    return {
        "node": brain.node,
        "version": __version__,
        "address": brain.address,
        "address6": brain.ways.address6.partition("/")[0],
        "ready": agent.ready,
        "store": {"inSync": health.store_in_sync, "reason": health.store_reason},
        "table": {
            "owned": health.owned,
            "ownerReason": health.owner_reason,
            "reason": health.table_reason,
            "repairs": agent.counts.repairs,
            "rebuilds": agent.counts.rebuilds,
            "refusals": agent.counts.refusals,
            **brain.table.ledger.counts(),
        },
        "routes": {
            "count": len(brain.routes.have),
            "failures": health.route_failures,
            "problems": brain.ways.problems,
            "mtu": brain.ways.mtu,
        },
        "bgp": {
            "backend": brain.ways.backend,
            "socket": str(agent.bird.socket),
            "problems": health.bgp_problems,
        },
        "tunnels": {
            "interfaces": {name: device.address for name, device in brain.ways.devices.items()},
            "farEnds": sum(len(known.have) for known in brain.ways.neighbours.values()),
            "failures": health.tunnel_problems,
            "reason": health.tunnel_reason,
        },
        "conversations": {"ended": agent.counts.conversations_ended, "reason": health.conversations_reason},
        "sysctls": {"failures": health.sysctl_problems},
        "foreign": _foreign(agent),
        "flows": _flows(agent),
        "unreadable": {printable(key): why for key, why in brain.unreadable.items()},
        "settings": {
            "problems": list(brain.table.settings.problems),
            "ignored": list(brain.table.settings.ignored),
        },
        "endpoints": {key: _endpoint(agent, key) for key in sorted(brain.revisions)},
        "hostEndpoints": {key: _host_endpoint(agent, key) for key in sorted(brain.table.host_endpoints())},
    }


def _foreign(agent: Agent) -> dict[str, Any]:
    drops = [{"said": str(drop), "software": drop.software, "mend": drop.mend} for drop in agent.foreign.drops]
    return {"drops": drops, "reason": agent.foreign.reason}


def _flows(agent: Agent) -> dict[str, Any]:
    flows, records = agent.flows, agent.flows.records
    return {
        "reason": flows.reason,
        "held": len(records.book),
        "conversations": records.conversations,
        "lost": flows.lost,
        "overruns": flows.overruns,
        "overflown": records.book.overflown,
    }


def _host_endpoint(agent: Agent, key: str) -> dict[str, Any]:
    """`closed`: but for the failsafes. `down`: no interface of this host is its."""
    table = agent.brain.table
    reasons, interfaces = table.host_problems(key), table.host_interfaces(key)
    return {
        "interfaces": interfaces,
        "profiles": list(table.host_endpoints()[key].profiles),
        "state": "closed" if reasons else "up" if interfaces else "down",
        "reasons": reasons,
        "notes": table.notes(key),
    }


def _endpoint(agent: Agent, key: str) -> dict[str, Any]:
    table = agent.brain.table
    endpoint = table.endpoint(key)
    missing = agent.missing(key)
    closed = bool(table.problems(key))
    return {
        "interface": endpoint.interface if endpoint else "",
        "addresses": list(endpoint.addresses) if endpoint else [],
        "profiles": list(endpoint.profiles) if endpoint else [],
        "state": "closed" if closed else "down" if missing else "up",
        "reasons": missing,
        "notes": table.notes(key),
    }


def _lacking(agent: Agent) -> str:
    """What this host is yet to have before it can be reached, or nothing."""
    if not agent.brain.ways.ends_missing():
        return ""
    why = agent.health.tunnel_reason
    return f"the ends of its tunnels are not as pools ask{f': {why}' if why else ''}"


class _Collector:
    """Reads the agent's figures when they are asked for."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> Iterator[Metric]:
        agent = self._agent
        return metrics.collect(agent, {key: _endpoint(agent, key)["state"] for key in agent.brain.revisions})


def application(agent: Agent) -> Starlette:
    """GET /liveness, /readiness (204 or 503 with the reason), /status, /peers (JSON), /metrics (Prometheus text),
    /flows, /flows-filter-hints, /counters."""
    registry = CollectorRegistry()
    registry.register(_Collector(agent))
    ProcessCollector(registry=registry)

    async def liveness(_request: Request) -> Response:
        if seconds := agent.stuck(time.monotonic()):
            return JSONResponse({"reasons": [f"a pass has been going on for {seconds:.0f} s"]}, status_code=503)
        return Response(status_code=204)

    async def readiness(_request: Request) -> Response:
        if agent.ready:
            return Response(status_code=204)
        return JSONResponse({"reasons": agent.not_ready()}, status_code=503)

    async def show(_request: Request) -> Response:
        return JSONResponse(status(agent))

    async def peers(_request: Request) -> Response:
        return JSONResponse({**agent.brain.neighbours.told(agent.brain.ways), "lacking": _lacking(agent)})

    async def figures(_request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/liveness", liveness),
            Route("/readiness", readiness),
            Route("/status", show),
            Route("/peers", peers),
            Route("/metrics", figures),
            counters.route(agent.brain),
            *flow_routes(agent.flows, agent.brain.node),
        ]
    )
