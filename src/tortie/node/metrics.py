"""The agent's figures for Prometheus. Those that mean what one of Calico's agent means have its name (`felix_…`), so
that dashboards made for it go on working; what only we have begins with `tortie_node_`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from tortie.dataplane.kernel import sysctl
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT
from tortie.model.kinds.node import NODE
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.tier import TIER
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.node.agent import Agent
from tortie.policy.policies import POLICIES

STATES = ("up", "down", "closed")
IN_SYNC, WAITING = 3, 1  # of Calico's resync states


def collect(agent: Agent, states: Mapping[str, str]) -> Iterator[Metric]:
    """`states`: of each endpoint of this host."""
    yield from _counters(agent)
    yield from _gauges(agent, states)
    yield from _conntrack()
    yield _passes(agent)
    yield _labelled("tortie_node_endpoints", "Endpoints of this host", "state", _counted(states.values()))
    drops: dict[str, int] = dict(Counter(drop.software or "other" for drop in agent.foreign.drops))
    yield _labelled("tortie_node_foreign_drops", "Chains of others that drop what ours lets pass", "software", drops)
    host = GaugeMetricFamily("felix_host", "The node's name", labels=["host"])
    host.add_metric([agent.brain.node], 1)
    yield host


def _counters(agent: Agent) -> Iterator[Metric]:
    counts = agent.counts
    looked_at = counts.store_events - counts.events_merged
    for name, text, count in (
        ("tortie_node_passes", "Passes over the kernel's state", counts.passes),
        ("tortie_node_pass_failures", "Passes that failed", counts.failures),
        ("tortie_node_table_repairs", "Times that the table was read because others touched it", counts.repairs),
        ("tortie_node_table_rebuilds", "Times that the whole table was loaded again", counts.rebuilds),
        ("tortie_node_table_refusals", "Parts of the table that the kernel refused", counts.refusals),
        ("tortie_node_element_changes", "Elements put and dropped", counts.element_changes),
        ("tortie_node_chain_changes", "Chains written and removed", counts.rule_changes),
        ("tortie_node_conversations_ended", "Conversations that their address left behind", counts.conversations_ended),
        ("tortie_node_store_events", "Changes of the store that were read", counts.store_events),
        ("tortie_node_store_events_merged", "Of those: replaced by a later one unseen", counts.events_merged),
        ("tortie_node_child_starts", "Starts of the process that owns the nftables socket", counts.child_starts),
        ("tortie_node_interface_events", "Changes of interfaces, routes and addresses", counts.kernel_events),
        ("felix_resyncs_started", "Times that the store was read whole", counts.resyncs),
        ("felix_nft_calls", "Transactions of nftables", counts.transactions + counts.refused),
        ("felix_nft_errors", "Transactions of nftables that were refused or failed", counts.refused + counts.failures),
        ("felix_int_dataplane_failures", "Passes that failed and are done again", counts.failures),
        (
            "felix_int_dataplane_messages",
            "Changes that came to the dataplane",
            looked_at,
        ),
        ("felix_log_errors", "Errors in the log", counts.log_errors),
        ("felix_nflog_logs_received", "Decisions and ends of conversations that were read", agent.flows.told),
        ("felix_nflog_buffer_overruns", "Decisions that came too fast to be read", agent.flows.lost),
        (
            "tortie_node_flow_overruns",
            "Times that ends of conversations came too fast to be read",
            agent.flows.overruns,
        ),
        ("tortie_node_flows_overflown", "Additions to a flow of nobody", agent.flows.records.book.overflown),
        ("tortie_node_conversations_forgotten", "Conversations whose end is missed", agent.flows.records.forgotten),
    ):
        yield CounterMetricFamily(name, text, value=count)


def _gauges(agent: Agent, states: Mapping[str, str]) -> Iterator[Metric]:
    brain, counts = agent.brain, agent.counts
    table = brain.table.ledger.counts()
    kinds = {
        "hosts": NODE.prefix,
        "host_endpoints": HOST_ENDPOINT.prefix,
        "workload_endpoints": WORKLOAD_ENDPOINT.prefix,
        "profiles": PROFILE.prefix,
        "tiers": TIER.prefix,
    }
    known = {name: brain.count(prefix) for name, prefix in kinds.items()}
    known["policies"] = sum(brain.count(kind.prefix) for kind in POLICIES)
    chains, sets = brain.table.ledger.rules, brain.table.ledger.defs
    synced = IN_SYNC if agent.health.store_in_sync else WAITING
    for name, text, value in (
        *((f"felix_cluster_num_{name}", f"Of the cluster: {name}", number) for name, number in known.items()),
        ("felix_active_local_endpoints", "Endpoints of this host", len(states)),
        ("felix_active_local_policies", "Chains of policies in force here", _named(chains, "pi_", "po_")),
        (
            "felix_active_local_selectors",
            "Sets of addresses in force here",
            _named(sets, "s4_", "s6_"),
        ),
        ("felix_nft_chains", "Our chains in the kernel", table["chains"]),
        ("felix_nft_sets", "Our sets in the kernel", table["sets"]),
        ("felix_nft_rules", "Our rules", sum(len(chain.rules) for chain in chains.values())),
        ("tortie_node_table_elements", "Our elements in the kernel", table["elements"]),
        ("felix_route_table_num_routes", "Our routes", len(brain.routes.have)),
        ("felix_route_table_num_ifaces", "Interfaces with our settings", agent.interfaces),
        (
            "felix_resync_state",
            "3: the store was read whole; 1: not yet",
            synced,
        ),
        ("tortie_node_ready", "Ready", int(agent.ready)),
        ("tortie_node_table_owned", "Nobody else can change our table", int(agent.health.owned)),
        ("tortie_node_unreadable", "Keys of the store that cannot be read", len(brain.unreadable)),
        ("tortie_node_pending_events", "Changes of the store that wait to be looked at", agent.pending),
        ("tortie_node_largest_batch", "Changes of the store looked at in one go, at most", counts.largest_batch),
        ("tortie_node_route_failures", "Routes that cannot be set", len(agent.health.route_failures)),
        ("tortie_node_flows", "Flows that are remembered", len(agent.flows.records.book)),
        ("tortie_node_conversations", "Allowed conversations that go on", agent.flows.records.conversations),
        ("tortie_node_last_pass_seconds", "The last pass took", counts.last_pass_seconds),
    ):
        yield GaugeMetricFamily(name, text, value=value)


def _conntrack() -> Iterator[Metric]:
    """Where the first comes to the second, new conversations are dropped whatever policy says."""
    for name, text in (("count", "Conversations in this host's table"), ("max", "Conversations that it has room for")):
        found = sysctl.number(f"net/netfilter/nf_conntrack_{name}")
        if found is not None:
            yield GaugeMetricFamily(f"tortie_node_conntrack_{name}", text, value=found)


def _named(names: Mapping[str, object], *beginnings: str) -> int:
    return sum(name.startswith(beginnings) for name in names)


def _passes(agent: Agent) -> Metric:
    """How long passes take."""
    times = agent.counts.pass_times
    family = HistogramMetricFamily("felix_int_dataplane_apply_time_seconds", "A pass takes")
    buckets, total = [], 0
    for bound, count in times.counted():
        total += count
        buckets.append((bound, total))
    family.add_metric([], buckets=buckets, sum_value=times.total)
    return family


def _counted(found: Any) -> dict[str, int]:
    counted = Counter(found)
    return {state: counted[state] for state in STATES}


def _labelled(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for word, value in values.items():
        family.add_metric([word], value)
    return family
