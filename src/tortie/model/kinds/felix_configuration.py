"""FelixConfiguration `default` and `node.NAME` (the node's fields win one by one): settings of the node agent.

Ours: `hostServices` Enabled lets udp/53 and DHCP from a workload to its own host pass before egress policy;
`foreignAccept` Enabled writes an accept for packets of workloads into Docker's chain DOCKER-USER and into firewalld;
`flowLogs` Disabled keeps no record of who talked to whom.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.named import check_default_or_node
from tortie.model.resource import Kind, Metadata

DURATIONS = ("_interval", "_timeout", "_ttl", "_delay")


class HostPort(Value, frozen=True, kw_only=True):
    """A port of a host that policy cannot close. Without `net`: for every peer."""

    protocol: int | str = "TCP"
    port: int = 0
    net: str = ""


class FelixConfigurationSpec(Value, frozen=True, kw_only=True):
    """None means not set here; the agent's default applies. What other agents know and this one does not is kept."""

    allow_ipip_packets_from_workloads: bool | None = msgspec.field(default=None, name="allowIPIPPacketsFromWorkloads")
    allow_vxlan_packets_from_workloads: bool | None = msgspec.field(default=None, name="allowVXLANPacketsFromWorkloads")
    aws_src_dst_check: Literal["DoNothing", "Enable", "Disable"] | None = None
    bpf_attach_type: str | None = None
    bpf_connect_time_load_balancing: str | None = None
    bpf_connect_time_load_balancing_enabled: bool | None = None
    bpf_conntrack_cleanup_mode: str | None = None
    bpf_conntrack_log_level: str | None = None
    bpf_conntrack_timeouts: dict[str, Any] | None = None
    bpf_ctlb_log_filter: str | None = msgspec.field(default=None, name="bpfCTLBLogFilter")
    bpf_data_iface_pattern: str | None = None
    bpf_disable_gro_for_ifaces: str | None = msgspec.field(default=None, name="bpfDisableGROForIfaces")
    bpf_disable_unprivileged: bool | None = None
    bpf_dsr_optout_cidrs: tuple[str, ...] | None = msgspec.field(default=None, name="bpfDSROptoutCIDRs")
    bpf_enabled: bool | None = None
    bpf_enforce_rpf: str | None = msgspec.field(default=None, name="bpfEnforceRPF")
    bpf_exclude_cidrs_from_nat: tuple[str, ...] | None = msgspec.field(default=None, name="bpfExcludeCIDRsFromNAT")
    bpf_export_buffer_size_mb: int | None = msgspec.field(default=None, name="bpfExportBufferSizeMB")
    bpf_ext_to_service_connmark: int | None = None
    bpf_external_service_mode: str | None = None
    bpf_force_track_packets_from_ifaces: str | None = None
    bpf_host_conntrack_bypass: bool | None = None
    bpf_host_networked_nat_without_ctlb: str | None = msgspec.field(default=None, name="bpfHostNetworkedNATWithoutCTLB")
    bpf_jit_hardening: str | None = msgspec.field(default=None, name="bpfJITHardening")
    bpf_kube_proxy_endpoint_slices_enabled: bool | None = None
    bpf_kube_proxy_healthz_port: int | None = None
    bpf_kube_proxy_iptables_cleanup_enabled: bool | None = None
    bpf_kube_proxy_min_sync_period: str | None = None
    bpf_l3_iface_pattern: str | None = None
    bpf_log_filters: dict[str, str] | None = None
    bpf_log_level: str | None = None
    bpf_map_size_conntrack: int | None = None
    bpf_map_size_conntrack_cleanup_queue: int | None = None
    bpf_map_size_conntrack_scaling: str | None = None
    bpf_map_size_if_state: int | None = None
    bpf_map_size_ip_sets: int | None = msgspec.field(default=None, name="bpfMapSizeIPSets")
    bpf_map_size_nat_affinity: int | None = msgspec.field(default=None, name="bpfMapSizeNATAffinity")
    bpf_map_size_nat_backend: int | None = msgspec.field(default=None, name="bpfMapSizeNATBackend")
    bpf_map_size_nat_frontend: int | None = msgspec.field(default=None, name="bpfMapSizeNATFrontend")
    bpf_map_size_per_cpu_conntrack: int | None = None
    bpf_map_size_route: int | None = None
    bpf_policy_debug_enabled: bool | None = None
    bpf_profiling: str | None = None
    bpf_psnat_ports: int | str | None = msgspec.field(default=None, name="bpfPSNATPorts")
    bpf_redirect_to_peer: str | None = None
    cgroup_v2_path: str | None = None
    chain_insert_mode: Literal["insert", "append", "Insert", "Append"] | None = None
    dataplane_driver: str | None = None
    dataplane_watchdog_timeout: str | None = None
    debug_disable_log_dropping: bool | None = None
    debug_host: str | None = None
    debug_memory_profile_path: str | None = None
    debug_port: int | None = None
    debug_simulate_calc_graph_hang_after: str | None = None
    debug_simulate_dataplane_apply_delay: str | None = None
    debug_simulate_dataplane_hang_after: str | None = None
    default_endpoint_to_host_action: Literal["Drop", "Return", "Accept"] | None = None
    device_route_protocol: int | None = None
    device_route_source_address: str | None = None
    device_route_source_address_i_pv6: str | None = None
    disable_conntrack_invalid_check: bool | None = None
    endpoint_reporting_delay: str | None = None
    endpoint_reporting_enabled: bool | None = None
    endpoint_status_path_prefix: str | None = None
    external_nodes_list: tuple[str, ...] | None = None
    failsafe_inbound_host_ports: tuple[HostPort, ...] | None = None
    failsafe_outbound_host_ports: tuple[HostPort, ...] | None = None
    feature_detect_override: str | None = None
    feature_gates: str | None = None
    foreign_accept: Literal["Enabled", "Disabled"] | None = None
    floating_ips: Literal["Enabled", "Disabled"] | None = msgspec.field(default=None, name="floatingIPs")
    flow_logs: Literal["Enabled", "Disabled"] | None = None
    flow_logs_collector_debug_trace: bool | None = None
    flow_logs_flush_interval: str | None = None
    flow_logs_goldmane_server: str | None = None
    flow_logs_local_reporter: str | None = None
    flow_logs_policy_evaluation_mode: str | None = None
    generic_xdp_enabled: bool | None = msgspec.field(default=None, name="genericXDPEnabled")
    go_gc_threshold: int | None = msgspec.field(default=None, name="goGCThreshold")
    go_max_procs: int | None = None
    go_memory_limit_mb: int | None = msgspec.field(default=None, name="goMemoryLimitMB")
    health_enabled: bool | None = None
    health_host: str | None = None
    health_port: int | None = None
    health_timeout_overrides: tuple[dict[str, Any], ...] | None = None
    host_services: Literal["Enabled", "Disabled"] | None = None
    interface_exclude: str | None = None
    interface_prefix: str | None = None
    interface_refresh_interval: str | None = None
    ip_forwarding: str | None = None
    ipip_enabled: bool | None = None
    ipip_mtu: int | None = msgspec.field(default=None, name="ipipMTU")
    ipsets_refresh_interval: str | None = None
    iptables_backend: Literal["Auto", "Legacy", "NFT", "auto", "legacy", "nft"] | None = None
    iptables_filter_allow_action: Literal["Accept", "Return"] | None = None
    iptables_filter_deny_action: Literal["Drop", "Reject"] | None = None
    iptables_lock_file_path: str | None = None
    iptables_lock_probe_interval: str | None = None
    iptables_lock_timeout: str | None = None
    iptables_mangle_allow_action: Literal["Accept", "Return"] | None = None
    iptables_mark_mask: int | None = None
    iptables_nat_outgoing_interface_filter: str | None = msgspec.field(
        default=None, name="iptablesNATOutgoingInterfaceFilter"
    )
    iptables_post_write_check_interval: str | None = None
    iptables_refresh_interval: str | None = None
    ipv4_elevated_route_priority: int | None = None
    ipv4_normal_route_priority: int | None = None
    ipv6_elevated_route_priority: int | None = None
    ipv6_normal_route_priority: int | None = None
    ipv6_support: bool | None = None
    istio_ambient_mode: str | None = None
    istio_dscp_mark: int | str | None = msgspec.field(default=None, name="istioDSCPMark")
    kube_node_port_ranges: tuple[int | str, ...] | None = None
    log_action_rate_limit: str | None = None
    log_debug_filename_regex: str | None = None
    log_file_path: str | None = None
    log_prefix: str | None = None
    log_severity_file: str | None = None
    log_severity_screen: str | None = None
    log_severity_sys: str | None = None
    max_ipset_size: int | None = None
    metadata_addr: str | None = None
    metadata_port: int | None = None
    mtu_iface_pattern: str | None = None
    nat_outgoing_address: str | None = None
    nat_outgoing_exclusions: str | None = None
    nat_port_range: int | str | None = None
    netlink_timeout: str | None = None
    nftables_filter_allow_action: Literal["Accept", "Return"] | None = None
    nftables_filter_deny_action: Literal["Drop", "Reject"] | None = None
    nftables_mangle_allow_action: Literal["Accept", "Return"] | None = None
    nftables_mark_mask: int | None = None
    nftables_mode: Literal["Auto", "Enabled", "Disabled"] | None = None
    nftables_refresh_interval: str | None = None
    openstack_region: str | None = None
    policy_sync_path_prefix: str | None = None
    program_cluster_routes: str | None = None
    prometheus_go_metrics_enabled: bool | None = None
    prometheus_metrics_ca_file: str | None = msgspec.field(default=None, name="prometheusMetricsCAFile")
    prometheus_metrics_cert_file: str | None = None
    prometheus_metrics_client_auth: str | None = None
    prometheus_metrics_enabled: bool | None = None
    prometheus_metrics_host: str | None = None
    prometheus_metrics_key_file: str | None = None
    prometheus_metrics_port: int | None = None
    prometheus_process_metrics_enabled: bool | None = None
    prometheus_wire_guard_metrics_enabled: bool | None = None
    remove_external_routes: bool | None = None
    reporting_interval: str | None = None
    reporting_ttl: str | None = msgspec.field(default=None, name="reportingTTL")
    require_mtu_file: bool | None = msgspec.field(default=None, name="requireMTUFile")
    route_refresh_interval: str | None = None
    route_source: Literal["CalicoIPAM", "WorkloadIPs"] | None = None
    route_sync_disabled: bool | None = None
    route_table_range: dict[str, Any] | None = None
    route_table_ranges: tuple[dict[str, Any], ...] | None = None
    service_loop_prevention: Literal["Drop", "Reject", "Disabled"] | None = None
    sidecar_acceleration_enabled: bool | None = None
    usage_reporting_enabled: bool | None = None
    usage_reporting_initial_delay: str | None = None
    usage_reporting_interval: str | None = None
    use_internal_dataplane_driver: bool | None = None
    vxlan_enabled: bool | None = None
    vxlan_mtu: int | None = msgspec.field(default=None, name="vxlanMTU")
    vxlan_mtuv6: int | None = msgspec.field(default=None, name="vxlanMTUV6")
    vxlan_port: int | None = None
    vxlan_vni: int | None = msgspec.field(default=None, name="vxlanVNI")
    windows_manage_firewall_rules: str | None = None
    wireguard_enabled: bool | None = None
    wireguard_enabled_v6: bool | None = None
    wireguard_host_encryption_enabled: bool | None = None
    wireguard_interface_name: str | None = None
    wireguard_interface_name_v6: str | None = None
    wireguard_keep_alive: str | None = None
    wireguard_listening_port: int | None = None
    wireguard_listening_port_v6: int | None = None
    wireguard_mtu: int | None = msgspec.field(default=None, name="wireguardMTU")
    wireguard_mtuv6: int | None = msgspec.field(default=None, name="wireguardMTUV6")
    wireguard_routing_rule_priority: int | None = None
    wireguard_threading_enabled: bool | None = None
    workload_source_spoofing: Literal["Disabled", "Any"] | None = None
    xdp_enabled: bool | None = None
    xdp_refresh_interval: str | None = None


def check(spec: FelixConfigurationSpec) -> Iterator[Problem]:
    for prefix in (spec.interface_prefix or "cali").split(","):
        yield from checks.interface("spec.interfacePrefix", prefix)
    for end, severity in (
        ("logSeverityScreen", spec.log_severity_screen),
        ("logSeverityFile", spec.log_severity_file),
        ("logSeveritySys", spec.log_severity_sys),
    ):
        yield from checks.one_of(f"spec.{end}", severity or None, checks.SEVERITIES)
    for end, port in (
        ("healthPort", spec.health_port),
        ("prometheusMetricsPort", spec.prometheus_metrics_port),
        ("vxlanPort", spec.vxlan_port),
        ("wireguardListeningPort", spec.wireguard_listening_port),
    ):
        yield from checks.between(f"spec.{end}", port, 1, 65535)
    yield from _check_numbers(spec)
    for info in msgspec.structs.fields(spec):
        if info.name.endswith(DURATIONS):
            yield from checks.duration(f"spec.{info.encode_name}", getattr(spec, info.name))
    for end, several in (
        ("failsafeInboundHostPorts", spec.failsafe_inbound_host_ports),
        ("failsafeOutboundHostPorts", spec.failsafe_outbound_host_ports),
    ):
        for item in several or ():
            yield from _host_port(f"spec.{end}", item)


def _check_numbers(spec: FelixConfigurationSpec) -> Iterator[Problem]:
    for end, number, limit in (
        ("vxlanVNI", spec.vxlan_vni, 2**24 - 1),
        ("deviceRouteProtocol", spec.device_route_protocol, 255),
        ("iptablesMarkMask", spec.iptables_mark_mask, 2**32 - 1),
        ("nftablesMarkMask", spec.nftables_mark_mask, 2**32 - 1),
        ("ipipMTU", spec.ipip_mtu, 65535),
        ("vxlanMTU", spec.vxlan_mtu, 65535),
        ("vxlanMTUV6", spec.vxlan_mtuv6, 65535),
        ("wireguardMTU", spec.wireguard_mtu, 65535),
        ("wireguardMTUV6", spec.wireguard_mtuv6, 65535),
    ):
        yield from checks.between(f"spec.{end}", number, 0, limit)
    yield from checks.address("spec.natOutgoingAddress", spec.nat_outgoing_address, 4)


def _host_port(field: str, item: HostPort) -> Iterator[Problem]:
    if item.protocol not in ("TCP", "UDP", "SCTP", "tcp", "udp", "sctp"):
        yield Problem(f"{field}.protocol", f"{item.protocol!r} is none of TCP, UDP, SCTP")
    yield from checks.between(f"{field}.port", item.port, 0, 65535)
    if item.net:
        yield from checks.cidr(f"{field}.net", item.net, plain=True)


def defaults(metadata: Metadata, spec: FelixConfigurationSpec) -> tuple[Metadata, FelixConfigurationSpec]:
    return metadata, msgspec.structs.replace(spec, floating_ips=spec.floating_ips or "Disabled")


FELIX_CONFIGURATION = Kind(
    name="FelixConfiguration",
    plural="felixconfigurations",
    spec=FelixConfigurationSpec,
    check=check,
    check_whole=check_default_or_node,
    defaults=defaults,
)
