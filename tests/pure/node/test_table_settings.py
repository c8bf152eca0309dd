"""The settings of a host's table, from what people write: what cannot be is as if it were not set, and is told."""

from __future__ import annotations

import pytest

from tortie.dataplane.render.rules import Manner, Marks
from tortie.dataplane.render.settings import Hiding, Settings
from tortie.model.kinds.felix_configuration import FelixConfigurationSpec, HostPort
from tortie.model.kinds.ip_pool import IPPoolSpec
from tortie.node.records import merge_settings
from tortie.policy.verdict import FAILSAFE_IN


def merged(**fields: object) -> Settings:
    return merge_settings(FelixConfigurationSpec(**fields), None)  # type: ignore[arg-type]


def test_an_empty_list_of_failsafes_closes_and_an_absent_one_is_the_usual() -> None:
    assert merged().failsafes_in == FAILSAFE_IN
    assert merged(failsafe_inbound_host_ports=()).failsafes_in == ()
    own = merge_settings(
        FelixConfigurationSpec(failsafe_inbound_host_ports=()),
        FelixConfigurationSpec(failsafe_inbound_host_ports=(HostPort(protocol="udp", port=53, net="10.1.2.3/8"),)),
    )
    assert own.failsafes_in == ((17, 53, "10.0.0.0/8"),)
    assert own.problems == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"failsafe_inbound_host_ports": (HostPort(protocol="ICMP", port=1),)},
        {"failsafe_outbound_host_ports": (HostPort(port=0),)},
        {"failsafe_inbound_host_ports": (HostPort(port=22, net="here"),)},
        {"nftables_mark_mask": 0x10},
        {"iptables_mark_mask": 0},
        {"nat_port_range": "9:1"},
        {"nat_port_range": "1:70000"},
        {"nat_port_range": 0},
        {"iptables_nat_outgoing_interface_filter": 'eth0" accept'},
        {"interface_prefix": "cali,a b"},
        {"nat_outgoing_address": "fd00::1"},
    ],
)
def test_what_cannot_be_is_told_and_has_no_effect(fields: dict[str, object]) -> None:
    found = merged(**fields)
    assert len(found.problems) == 1
    usual = Settings()
    assert (found.marks, found.hiding, found.interface_prefixes) == (usual.marks, Hiding(), usual.interface_prefixes)
    assert not set(found.failsafes_in) - set(usual.failsafes_in)


def test_marks_are_the_lowest_bits_of_the_mask_and_ours_wins() -> None:
    assert merged(nftables_mark_mask=0xF0, iptables_mark_mask=0xF).marks == Marks(0x10, 0x20)
    assert merged(iptables_mark_mask=0x80000001).marks == Marks(1, 0x80000000)


def test_pools_of_both_families_without_those_in_others() -> None:
    pools = [IPPoolSpec(cidr=cidr, nat_outgoing=True) for cidr in ("10.1.0.0/16", "10.0.0.0/8", "fd00::/64", "no")]
    found = merge_settings(None, None, pools)
    assert found.pools == found.masqueraded == ("10.0.0.0/8", "fd00::/64")


def test_hiding() -> None:
    found = merged(
        nat_outgoing_address="10.0.0.1",
        nat_port_range="1024:2000",
        nat_outgoing_exclusions="IPPoolsAndHostIPs",
        iptables_nat_outgoing_interface_filter="eth+",
    )
    assert found.hiding == Hiding("10.0.0.1", "1024-2000", "eth*", True)
    assert found.problems == ()


def test_what_means_nothing_here_is_named() -> None:
    default = FelixConfigurationSpec(bpf_enabled=True, vxlan_port=4790, reporting_ttl="90s", unknown=(("newest", "1"),))
    own = FelixConfigurationSpec(health_port=9099)
    assert merge_settings(default, own).ignored == ("bpfEnabled", "healthPort", "newest", "reportingTTL")
    assert merged(flow_logs="Disabled", failsafe_inbound_host_ports=(), log_prefix="x").ignored == ()


def test_what_a_refusal_is_and_how_a_line_of_the_log_begins() -> None:
    assert merged().manner == Manner(refusal="drop", log="calico-packet")
    assert merged(iptables_filter_deny_action="Reject").manner.refusal == "reject"
    assert merged(nftables_filter_deny_action="Drop", iptables_filter_deny_action="Reject").manner.refusal == "drop"
    assert merged(log_prefix="seen %n").manner.log == "seen %n"
