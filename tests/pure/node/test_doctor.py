"""What the doctor makes of what it sees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tortie.dataplane.foreign import ForeignDrop
from tortie.node.doctor.judge import Finding, Seen, Tried, judge

STATUS: dict[str, Any] = {
    "node": "h1",
    "ready": True,
    "store": {"inSync": True, "reason": ""},
    "table": {"owned": True, "reason": ""},
    "endpoints": {"/calico/x/e1": {"state": "up", "reasons": []}},
    "routes": {"failures": {}},
    "unreadable": {},
}
FINE = Seen(
    release="6.12.1-generic",
    tried=(Tried("sets", "nf_tables"),),
    owner_flags=True,
    sysctls={"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.rp_filter": "1", "net.ipv4.conf.all.arp_ignore": "0"},
    programs={"nft": True},
    status=STATUS,
    store="sqlite:///s",
    synchronised=True,
    now=2.0,
    built=1.0,
    uplink=("eth0", 1500),
    workloads={"calia": 1450},
    tunnels=("vxlan",),
)
DROP = ForeignDrop("ip filter FORWARD", "policy drop", "docker", "from cali*", ("iptables -I DOCKER-USER ...",))


def bad(seen: Seen) -> list[Finding]:
    return [finding for finding in judge(seen) if finding.level != "ok"]


def test_a_host_in_order_has_nothing_to_say() -> None:
    assert not bad(FINE)
    assert {finding.what for finding in judge(FINE)} == {"kernel", "forwarding", "other tables", "node", "store"}


@pytest.mark.parametrize(
    ("change", "level", "what", "said", "mend"),
    [
        ({"root": False}, "problem", "root", "only be seen by root", "sudo"),
        ({"release": "4.19.0-6-amd64"}, "problem", "kernel", "older than 5.10", ""),
        ({"tried": (Tried("logging", "nft_log", "No such file"),)}, "problem", "kernel", "No such", "modprobe nft_log"),
        ({"owner_flags": False}, "note", "kernel", "others can change our table", ""),
        ({"sysctls": {"net.ipv4.ip_forward": "0"}}, "problem", "forwarding", "not forwarded", "ip_forward=1"),
        ({"sysctls": {"net.ipv4.conf.all.rp_filter": "2"}}, "note", "rp_filter", "loose", ""),
        ({"sysctls": {"net.ipv4.conf.all.arp_ignore": "1"}}, "problem", "arp", "no answer", "arp_ignore=0"),
        (
            {"sysctls": {"net.netfilter.nf_conntrack_count": "99", "net.netfilter.nf_conntrack_max": "100"}},
            "problem",
            "conntrack",
            "99 of 100",
            "nf_conntrack_max=200",
        ),
        ({"drops": (DROP,)}, "problem", "docker", "foreignAccept", "DOCKER-USER"),
        ({"foreign_reason": "iptables is locked"}, "problem", "other tables", "locked", ""),
        ({"leftovers": ("ip calico",)}, "problem", "leftovers", "another Calico", "nft delete table ip calico"),
        ({"programs": {"nft": False}}, "note", "nft", "not installed", "apt-get install nftables"),
        ({"status": None, "status_reason": "no socket"}, "problem", "node", "no socket", "systemctl start"),
        ({"status": STATUS | {"ready": False}}, "problem", "node", "not ready", ""),
        ({"status": STATUS | {"table": {"owned": False, "ownerReason": "old"}}}, "note", "table", "old", ""),
        (
            {"status": STATUS | {"endpoints": {"/a/e2": {"state": "closed", "reasons": ["no such rule"]}}}},
            "problem",
            "endpoint",
            "e2 is closed: no such rule",
            "",
        ),
        (
            {"status": STATUS | {"routes": {"failures": {"10.0.0.1/32": "in the way"}}}},
            "problem",
            "route",
            "in the way",
            "ip route show 10.0.0.1/32",
        ),
        ({"status": STATUS | {"routes": {"problems": ["no IPv6"]}}}, "problem", "route", "no IPv6", ""),
        (
            {"status": STATUS | {"tunnels": {"failures": {"tunl0": "no ipip"}}}},
            "problem",
            "route",
            "tunl0: no ipip",
            "",
        ),
        ({"status": STATUS | {"tunnels": {"reason": "no free address"}}}, "problem", "route", "no free address", ""),
        ({"status": STATUS | {"bgp": {"problems": ["no secret"]}}}, "problem", "route", "bgp: no secret", ""),
        (
            {"status": STATUS | {"routes": {"mtu": 1400}}},
            "problem",
            "mtu",
            "larger than 1400, what the node",
            "mtu 1400",
        ),
        ({"tunnels": ("vxlan-v6",)}, "problem", "mtu", "larger than 1430", "ip link set calia mtu 1430"),
        ({"status": STATUS | {"unreadable": {"/k": "broken"}}}, "problem", "store", "/k cannot be read: broken", ""),
        ({"store": "etcd://x:1", "store_reason": "refused"}, "problem", "store", "refused", "calicoctl get nodes"),
        ({"names": ("x is stored twice",)}, "problem", "policy names", "x is stored twice", "migrate-policy-names"),
        ({"synchronised": False}, "note", "clock", "not synchronised", ""),
        ({"now": 0.5}, "problem", "clock", "behind", "timedatectl"),
        ({"workloads": {"calia": 1500}}, "problem", "mtu", "larger than 1450", "ip link set calia mtu 1450"),
    ],
)
def test_each_trouble_is_named_with_what_mends_it(
    change: dict[str, Any], level: str, what: str, said: str, mend: str
) -> None:
    (finding,) = bad(replace(FINE, **change))
    assert (finding.level, finding.what) == (level, what)
    assert said in finding.said
    assert mend in " && ".join(finding.mend)


def test_what_cannot_be_seen_is_no_trouble() -> None:
    assert {f.what for f in bad(replace(FINE, synchronised=None, uplink=None, sysctls={}, owner_flags=None))} == set()
