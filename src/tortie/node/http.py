"""Health, status and metrics of the agent, as an ASGI application for its root-only socket."""

from __future__ import annotations

from collections import Counter
from typing import Any

from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tortie.node.agent import Agent


def status(agent: Agent) -> dict[str, Any]:
    """The whole state as JSON values: the agent's own health and every endpoint of this host."""
    brain, health = agent.brain, agent.health
    return {
        "node": brain.node,
        "address": brain.address,
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
        },
        "bgp": {"backend": brain.ways.backend, "problems": health.bgp_problems},
        "tunnels": {
            "interfaces": {name: device.address for name, device in brain.ways.devices.items()},
            "farEnds": len(brain.ways.neighbours.have),
            "failures": health.tunnel_problems,
            "reason": health.tunnel_reason,
        },
        "conversations": {"ended": agent.counts.conversations_ended, "reason": health.conversations_reason},
        "sysctls": {"failures": health.sysctl_problems},
        "foreign": {
            "drops": [
                {"said": str(drop), "software": drop.software, "mend": drop.mend} for drop in agent.foreign.drops
            ],
            "reason": agent.foreign.reason,
        },
        "unreadable": brain.unreadable,
        "settings": {"problems": list(brain.table.settings.problems)},
        "endpoints": {key: _endpoint(agent, key) for key in sorted(brain.revisions)},
        "hostEndpoints": {key: _host_endpoint(agent, key) for key in sorted(brain.table.host_endpoints())},
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


class _Collector:
    """Reads the agent's figures when they are asked for."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> list[Any]:
        agent, counts = self._agent, self._agent.counts
        found: list[Any] = []
        for name, text, count in (
            ("tortie_node_passes", "Passes over the kernel's state", counts.passes),
            ("tortie_node_pass_failures", "Passes that failed", counts.failures),
            ("tortie_node_table_repairs", "Times that the table was read because others touched it", counts.repairs),
            ("tortie_node_table_rebuilds", "Times that the whole table was loaded again", counts.rebuilds),
            ("tortie_node_element_changes", "Elements put and dropped", counts.element_changes),
            ("tortie_node_chain_changes", "Chains written and removed", counts.rule_changes),
            (
                "tortie_node_conversations_ended",
                "Conversations ended because their address went to another workload",
                counts.conversations_ended,
            ),
            ("tortie_node_store_events", "Changes of the store that were read", counts.store_events),
        ):
            found.append(CounterMetricFamily(name, text, value=count))
        endpoints = [_endpoint(agent, key)["state"] for key in agent.brain.revisions]
        states = GaugeMetricFamily("tortie_node_endpoints", "Endpoints of this host by state", labels=["state"])
        for state in ("up", "down", "closed"):
            states.add_metric([state], endpoints.count(state))
        found.append(states)
        drops = GaugeMetricFamily(
            "tortie_node_foreign_drops", "Chains of others that drop packets of workloads", labels=["software"]
        )
        for software, count in Counter(drop.software or "other" for drop in agent.foreign.drops).items():
            drops.add_metric([software], count)
        found.append(drops)
        for kind, count in agent.brain.table.ledger.counts().items():
            found.append(GaugeMetricFamily(f"tortie_node_table_{kind}", f"Our {kind} in the kernel", value=count))
        found.append(GaugeMetricFamily("tortie_node_routes", "Our routes", value=len(agent.brain.routes.have)))
        found.append(
            GaugeMetricFamily("tortie_node_last_pass_seconds", "The last pass took", value=counts.last_pass_seconds)
        )
        return found


def application(agent: Agent) -> Starlette:
    """GET /liveness, /readiness (204 or 503 with the reason), /status (JSON), /metrics (Prometheus text)."""
    registry = CollectorRegistry()
    registry.register(_Collector(agent))

    async def liveness(_request: Request) -> Response:
        return Response(status_code=204)

    async def readiness(_request: Request) -> Response:
        if agent.ready:
            return Response(status_code=204)
        return JSONResponse({"reasons": agent.not_ready()}, status_code=503)

    async def show(_request: Request) -> Response:
        return JSONResponse(status(agent))

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/liveness", liveness),
            Route("/readiness", readiness),
            Route("/status", show),
            Route("/metrics", metrics),
        ]
    )
