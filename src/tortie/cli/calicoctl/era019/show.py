"""`calicoctl pool show` and `calicoctl endpoint show`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tortie.cli.calicoctl.era019 import usage
from tortie.cli.calicoctl.era019.line import Line, UsageError, read
from tortie.cli.calicoctl.table import table
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.store.client import Client

Job = Callable[[Client], str]

FILTERS = ("--host", "--orchestrator", "--workload", "--endpoint")


def pool(arguments: Sequence[str]) -> Job:
    line = read(arguments, usage.POOL, flags=("--ipv4", "--ipv6"))
    if line.words != ("show",) or len(line.flags) > 1:
        raise UsageError(usage.POOL)
    families = [version for version in (4, 6) if not line.flags or f"--ipv{version}" in line.flags]
    return lambda client: "\n".join(_pools(client, version) for version in families)


def endpoint(arguments: Sequence[str]) -> Job:
    line = read(arguments, usage.ENDPOINT, flags=("--detailed",), values=FILTERS)
    if line.words != ("show",):
        raise UsageError(usage.ENDPOINT)
    return lambda client: _endpoints(client, line)


def _pools(client: Client, version: int) -> str:
    rows = [
        [item.spec.cidr, ",".join(_options(item.spec))]
        for item in client.list(IP_POOL).items
        if (":" in item.spec.cidr) == (version == 6)
    ]
    return table([f"IPv{version} CIDR", "Options"], rows)


def _options(spec: IPPoolSpec) -> list[str]:
    options = ["ipip"] if spec.ipip_mode != "Never" else []
    options += ["vxlan"] if spec.vxlan_mode != "Never" else []
    options += ["nat-outgoing"] if spec.nat_outgoing else []
    return options + (["disabled"] if spec.disabled else [])


def _endpoints(client: Client, line: Line) -> str:
    found = [item.spec for item in client.list(WORKLOAD_ENDPOINT).items if matches(item.spec, line.values)]
    if "--detailed" in line.flags:
        return detailed(found)
    groups: dict[tuple[str, str], list[WorkloadEndpointSpec]] = {}
    for spec in found:
        groups.setdefault((spec.node, spec.orchestrator), []).append(spec)
    rows = [
        [*group, str(len({spec.workload for spec in members})), str(len(members))]
        for group, members in sorted(groups.items())
    ]
    return table(["Hostname", "Orchestrator ID", "Number of Workloads", "Number of Endpoints"], rows)


def detailed(found: Sequence[WorkloadEndpointSpec]) -> str:
    """One line for each endpoint."""
    headings = ["Hostname", "Orchestrator ID", "Workload ID", "Endpoint ID", "Addresses", "MAC", "Profiles", "State"]
    return table(headings, sorted(_detailed(spec) for spec in found))


def matches(spec: WorkloadEndpointSpec, filters: Mapping[str, str]) -> bool:
    """Does the endpoint have every identifier that the options name?"""
    values = zip(FILTERS, (spec.node, spec.orchestrator, spec.workload, spec.endpoint), strict=True)
    return all(filters.get(option, value) == value for option, value in values)


def _detailed(spec: WorkloadEndpointSpec) -> list[str]:
    return [
        spec.node,
        spec.orchestrator,
        spec.workload,
        spec.endpoint,
        "\n".join(spec.ip_networks),
        spec.mac,
        ",".join(spec.profiles),
        "active",
    ]
