"""Host endpoints, tunnels and translated addresses by real packets: what the differential test does not draw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.differential.net import BEHIND, HOSTS, WORKLOADS, Net
from tests.differential.plant import Plant
from tests.differential.resources import Source, made
from tests.kernel.netlab import Lab, inside

from tortie.model.kinds.felix_configuration import HostPort
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT, HostEndpointSpec
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE, NodeBgp, NodeSpec
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, Nat
from tortie.model.rule import EntityRule, Rule

pytestmark = pytest.mark.root

ALLOW, DENY = Rule(action="Allow"), Rule(action="Deny")
FLOATING = "203.0.113.7"


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    lab = Lab(Path(tmp_path_factory.mktemp("hosts")))
    found = Net(lab)
    try:
        found.build()
        yield found
    finally:
        lab.close()


@pytest.fixture
def plant(net: Net) -> Iterator[Plant]:
    """Workloads with an open profile, no host endpoint."""
    found = Plant(net)
    for name in WORKLOADS:
        found.put(workload(name))
    found.put(made(PROFILE, ProfileSpec(ingress=(ALLOW,), egress=(ALLOW,)), "open"))
    found.open()
    found.load()
    try:
        yield found
    finally:
        found.close()


def workload(name: str, **fields: Any) -> Any:
    resource = Source(0).workload(name)
    spec = msgspec.structs.replace(
        resource.spec, profiles=("open",), ip_nats=(), allow_spoofed_source_prefixes=(), ports=()
    )
    metadata = resource.metadata
    return made(WORKLOAD_ENDPOINT, msgspec.structs.replace(spec, **fields), metadata.name, metadata.namespace)


def host_endpoint(host: str, interface: str, *profiles: str) -> Any:
    spec = HostEndpointSpec(node=host, interface_name=interface, profiles=profiles)
    return made(HOST_ENDPOINT, spec, f"{host}-hep", None, {"role": "host"})


def policy(name: str = "p", ingress: tuple[Rule, ...] = (), egress: tuple[Rule, ...] = (), **head: Any) -> Any:
    types = (*(("Ingress",) if ingress else ()), *(("Egress",) if egress else ()))
    fields: dict[str, Any] = {"selector": "role == 'host'", "types": types, "ingress": ingress, "egress": egress}
    return made(GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec(**fields | head), name)


def tcp(port: int, action: Any = "Allow") -> Rule:
    return Rule(action=action, protocol="TCP", destination=EntityRule(ports=(port,)))


def udp(port: int, action: Any = "Allow") -> Rule:
    return Rule(action=action, protocol="UDP", destination=EntityRule(ports=(port,)))


def put(plant: Plant, *resources: Any) -> None:
    for resource in resources:
        plant.put(resource)
    plant.load()


@pytest.fixture
def translated(net: Net) -> Iterator[None]:
    """Somebody else's translations on the first host: of what it sends, and of what comes to it."""
    h1, o1, w1 = HOSTS["h1"][0], "10.9.0.9", WORKLOADS["w1"][1]
    rules = f"""table ip other {{
      chain sent {{ type nat hook output priority -100; ip daddr {HOSTS["h2"][0]} tcp dport 7000 dnat to {o1}:80; }}
      chain came {{ type nat hook prerouting priority -100; ip daddr {h1} tcp dport 7001 dnat to {w1}:80; }}
    }}"""
    inside(net.netns["h1"], "nft", rules)
    yield
    inside(net.netns["h1"], "nft", "delete table ip other")


@pytest.mark.usefixtures("translated")
def test_what_a_host_sends_is_judged_by_where_it_really_goes(plant: Plant) -> None:
    put(plant, host_endpoint("h1", "eth0"), policy(egress=(tcp(80),)))
    assert plant.arrives("h1", "o1", "tcp/7000", to=HOSTS["h2"][0])
    assert plant.refused("h1", "o1", "tcp/443")
    put(plant, policy(egress=(tcp(7000),)))
    assert plant.refused("h1", "o1", "tcp/7000", to=HOSTS["h2"][0])


@pytest.mark.usefixtures("translated")
def test_pre_dnat_policy_sees_the_address_before_the_translation_and_a_workloads_policy_the_one_behind(
    plant: Plant,
) -> None:
    h1 = HOSTS["h1"][0]
    assert plant.arrives("o1", "w1", "tcp/7001", to=h1)
    early: dict[str, Any] = {"pre_dnat": True, "apply_on_forward": True}
    put(plant, host_endpoint("h1", "*", "open"), policy(ingress=(tcp(7001, "Deny"),), **early))
    assert plant.refused("o1", "w1", "tcp/7001", to=h1)
    assert plant.refused("w2", "w1", "tcp/7001", to=h1), "and of workloads, by the host endpoint for all interfaces"
    assert plant.arrives("o1", "w1", "tcp/80")
    for port, comes in ((7001, False), (80, True)):
        put(plant, policy(ingress=(ALLOW,), **early))
        put(plant, policy("w", ingress=(tcp(port),), selector="projectcalico.org/orchestrator == 'cni'"))
        assert (plant.arrives if comes else plant.refused)("o1", "w1", "tcp/7001", to=h1), port


def test_a_host_endpoint_without_policy_leaves_the_failsafes_and_what_workloads_do(plant: Plant) -> None:
    put(plant, host_endpoint("h1", "*"))
    for source, destination, what, comes in (
        ("o1", "h1", "tcp/22", True),
        ("o1", "h1", "tcp/80", False),
        ("h1", "o1", "udp/53", True),
        ("h1", "o1", "tcp/80", False),
        ("h1", "w1", "tcp/80", True),
        ("w1", "h1", "tcp/80", True),
        ("o1", "w1", "tcp/80", True),
        ("w1", "w3", "tcp/80", True),
    ):
        for six in (False, True):
            answer = (plant.arrives if comes else plant.refused)(source, destination, what, six=six)
            assert answer, (source, destination, what, six)
    plant.configure(
        failsafe_inbound_host_ports=(HostPort(protocol="TCP", port=22, net="10.8.0.0/24"),),
        failsafe_outbound_host_ports=(),
    )
    plant.load()
    assert plant.arrives("o2", "h1", "tcp/22")
    assert plant.refused("o1", "h1", "tcp/22")
    assert plant.refused("h1", "o1", "udp/53")


def test_untracked_policy_keeps_its_packets_out_of_connection_tracking_and_leaves_failsafes_and_neighbours(
    plant: Plant,
) -> None:
    rules = {"ingress": (udp(4000), DENY), "egress": (udp(4000), DENY)}
    put(
        plant,
        host_endpoint("h1", "eth0"),
        policy("raw", **rules, do_not_track=True, apply_on_forward=True),
        policy("all", ingress=(ALLOW,), egress=(ALLOW,), order=10),
    )
    for six in (False, True):
        assert plant.arrives("o1", "h1", "udp/4000", six=six)
        assert plant.arrives("h1", "o1", "udp/4000", six=six)
        assert plant.refused("o1", "h1", "udp/80", six=six)
        assert plant.refused("o1", "w1", "udp/80", six=six), "also what is forwarded"
        assert plant.arrives("o1", "h1", "tcp/22", six=six)
    assert plant.tracked("h1", 4000) == 0
    put(plant, policy("raw", ingress=(tcp(1),), do_not_track=True, apply_on_forward=True))
    assert plant.arrives("o1", "h1", "udp/4000")
    assert plant.tracked("h1", 4000) == 1


def test_floating_addresses(plant: Plant, net: Net) -> None:
    inside(net.netns["o1"], "ip", "route", "replace", f"{FLOATING}/32", "via", HOSTS["h1"][0])
    inside(net.netns["h1"], "ip", "route", "replace", f"{FLOATING}/32", "via", "10.9.0.9")
    nat = (Nat(internal_ip=WORKLOADS["w1"][1], external_ip=FLOATING),)
    put(plant, workload("w1", ip_nats=nat))
    assert plant.refused("o1", "w1", "tcp/80", to=FLOATING)
    plant.configure(floating_ips="Enabled")
    put(plant, policy("w", ingress=(tcp(80),), selector="projectcalico.org/orchestrator == 'cni'"))
    for source in ("o1", "h1", "w2", "w1"):
        assert plant.arrives(source, "w1", "tcp/80", to=FLOATING), source
        assert source == "h1" or plant.refused(source, "w1", "tcp/443", to=FLOATING), source
    assert plant.arrives("w1", "w1", "tcp/80", to=FLOATING) == FLOATING
    put(plant, workload("w1"))
    assert plant.refused("o1", "w1", "tcp/80", to=FLOATING)


def test_workloads_speak_to_what_is_in_no_pool_from_their_hosts_address(plant: Plant) -> None:
    pools = (("four", "10.65.0.0/16"), ("six", "fd65::/64"))
    assert plant.arrives("w1", "o1", "tcp/80") == WORKLOADS["w1"][1]
    put(plant, *(made(IP_POOL, IPPoolSpec(cidr=cidr, nat_outgoing=True), name) for name, cidr in pools))
    for six in (False, True):
        assert plant.arrives("w1", "o1", "tcp/80", six=six) == HOSTS["h1"][six]
        assert plant.arrives("w1", "w3", "tcp/80", six=six) == WORKLOADS["w1"][1 + six]
        assert plant.arrives("o1", "w1", "tcp/80", six=six) != HOSTS["h1"][six]
    plant.configure(
        nat_outgoing_address=BEHIND[0],
        nat_port_range="61000:61005",
        nat_outgoing_exclusions="IPPoolsAndHostIPs",
        iptables_nat_outgoing_interface_filter="eth+",
    )
    node = NodeSpec(bgp=NodeBgp(ipv4_address=f"{HOSTS['h2'][0]}/24"))
    put(plant, made(NODE, node, "h2"))
    for what in ("tcp/80", "udp/53"):
        assert plant.arrives("w1", "o1", what) == BEHIND[0]
        assert plant.arrives("w1", "h2", what) == WORKLOADS["w1"][1]
    assert plant.arrives("w1", "o1", "tcp/80", six=True) == HOSTS["h1"][1]
    plant.configure(iptables_nat_outgoing_interface_filter="wlan0")
    plant.load()
    assert plant.arrives("w1", "o1", "tcp/80") == WORKLOADS["w1"][1]


def test_a_source_that_is_not_ones_own_only_where_it_is_asked_for_and_allowed(plant: Plant, net: Net) -> None:
    own = "198.51.100.5"
    inside(net.netns["w1"], "ip", "addr", "replace", f"{own}/32", "dev", "lo")
    inside(net.netns["h1"], "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.caliw1.rp_filter=0")
    put(plant, workload("w1", allow_spoofed_source_prefixes=("198.51.100.0/24",)))
    assert plant.refused("w1", "o1", "tcp/80", own=own)
    plant.configure(workload_source_spoofing="Any")
    put(plant, policy("w", egress=(tcp(80),), selector="projectcalico.org/orchestrator == 'cni'"))
    assert plant.arrives("w1", "o1", "tcp/80", own=own) == own
    assert plant.refused("w1", "o1", "tcp/443", own=own), "policy is still asked"
    put(plant, workload("w1"))
    assert plant.refused("w1", "o1", "tcp/80", own=own)


def test_tunnel_packets_are_let_in_from_the_clusters_hosts_alone_and_are_not_tracked(plant: Plant) -> None:
    assert plant.arrives("o1", "h1", "udp/4789")
    nodes = [made(NODE, NodeSpec(bgp=NodeBgp(ipv4_address=f"{four}/24")), name) for name, (four, _) in HOSTS.items()]
    put(plant, *nodes, made(IP_POOL, IPPoolSpec(cidr="10.65.0.0/16", vxlan_mode="Always"), "pool"))
    assert plant.refused("o1", "h1", "udp/4789")
    assert plant.arrives("h2", "h1", "udp/4789")
    assert plant.tracked("h1", 4789) == plant.tracked("h2", 4789) == 0
    put(plant, host_endpoint("h1", "*"), policy(ingress=(DENY,), egress=(DENY,)))
    assert plant.arrives("h2", "h1", "udp/4789"), "a host endpoint's policy is not about the tunnel"
    assert plant.arrives("h1", "h2", "udp/4789")
    assert plant.refused("h2", "h1", "udp/4000")
    assert plant.refused("o1", "h1", "udp/4789")
