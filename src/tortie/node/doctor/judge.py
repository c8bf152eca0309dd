"""From what was seen of a host to findings, each with the commands that mend it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tortie.dataplane.foreign import ForeignDrop
from tortie.dataplane.tunnels import TUNNELS, Tunnel

Level = Literal["ok", "note", "problem"]
FULL = 0.9
OLDEST_KERNEL = (5, 10)
ACCEPT = """calicoctl patch felixconfiguration default --patch '{"spec":{"foreignAccept":"Enabled"}}'"""


@dataclass(frozen=True, slots=True)
class Finding:
    """`mend`: commands to type, one after the other."""

    level: Level
    what: str
    said: str
    mend: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tried:
    """A feature of the kernel that was tried in a network namespace of its own. `reason`: why not, or nothing."""

    feature: str
    module: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of one host. None: it could not be seen."""

    release: str = ""
    root: bool = True
    tried: Sequence[Tried] = ()
    owner_flags: bool | None = None
    sysctls: Mapping[str, str | None] = field(default_factory=dict)
    drops: Sequence[ForeignDrop] = ()
    foreign_reason: str = ""
    leftovers: Sequence[str] = ()
    programs: Mapping[str, bool] = field(default_factory=dict)
    status: Mapping[str, Any] | None = None
    status_reason: str = ""
    store: str = ""
    store_reason: str = ""
    names: tuple[str, ...] = ()
    tunnels: Sequence[Tunnel] = ()
    synchronised: bool | None = None
    now: float = 0.0
    built: float = 0.0
    uplink: tuple[str, int] | None = None
    workloads: Mapping[str, int] = field(default_factory=dict)


def judge(seen: Seen) -> list[Finding]:
    """Every finding; what is in order too."""
    return [
        *_kernel(seen),
        *_sysctls(seen),
        *_others(seen),
        *_node(seen),
        *_store(seen),
        *_clock(seen),
        *_mtu(seen),
    ]


def _kernel(seen: Seen) -> Iterator[Finding]:
    if not seen.root:
        yield Finding("problem", "root", "most of what follows can only be seen by root", ("sudo tortie doctor",))
    numbers = tuple(int(part) for part in seen.release.split("-")[0].split(".")[:2] if part.isdecimal())
    wanted = ".".join(map(str, OLDEST_KERNEL))
    if len(numbers) == 2 and numbers < OLDEST_KERNEL:
        yield Finding("problem", "kernel", f"{seen.release} is older than {wanted}")
    for tried in seen.tried:
        if tried.reason:
            said = f"{tried.feature}: {tried.reason}"
            yield Finding("problem", "kernel", said, (f"modprobe {tried.module}",) if tried.module else ())
    if seen.tried and not any(tried.reason for tried in seen.tried):
        yield Finding("ok", "kernel", f"{seen.release} has all that is needed ({len(seen.tried)} features tried)")
    if seen.owner_flags is False:
        yield Finding("note", "kernel", "before Linux 6.9 others can change our table: it is mended when they do")


def _sysctls(seen: Seen) -> Iterator[Finding]:
    forward = seen.sysctls.get("net.ipv4.ip_forward")
    if forward == "0":
        said = "packets are not forwarded between workloads (the node switches it on)"
        yield Finding("problem", "forwarding", said, ("sysctl -w net.ipv4.ip_forward=1",))
    elif forward:
        yield Finding("ok", "forwarding", "on")
    if seen.sysctls.get("net.ipv4.conf.all.rp_filter") == "2":
        said = "loose for all interfaces: sources of workloads are checked by our table alone"
        yield Finding("note", "rp_filter", said)
    if seen.sysctls.get("net.ipv4.conf.all.arp_ignore") not in (None, "0"):
        said = "arp_ignore is set for all interfaces: workloads get no answer from their gateway"
        yield Finding("problem", "arp", said, ("sysctl -w net.ipv4.conf.all.arp_ignore=0",))
    count, most = (seen.sysctls.get(f"net.netfilter.nf_conntrack_{name}") for name in ("count", "max"))
    if count and most and int(most) and int(count) > FULL * int(most):
        said = f"{count} of {most} conversations: new ones will be dropped"
        yield Finding("problem", "conntrack", said, (f"sysctl -w net.netfilter.nf_conntrack_max={2 * int(most)}",))


def _others(seen: Seen) -> Iterator[Finding]:
    """Tables of others on the way of our packets."""
    for drop in seen.drops:
        helped = drop.software in ("docker", "firewalld")
        said = f"{drop}; the node does it itself with foreignAccept: {ACCEPT}" if helped else str(drop)
        yield Finding("problem", drop.software or "other tables", said, drop.mend)
    if seen.foreign_reason:
        yield Finding("problem", "other tables", seen.foreign_reason)
    elif not seen.drops and seen.root:
        yield Finding("ok", "other tables", "none drops packets of workloads")
    for name in seen.leftovers:
        said = f"{name} is of another Calico: what it drops stays dropped"
        yield Finding("problem", "leftovers", said, (f"nft delete table {name}",))
    if not seen.programs.get("nft", True):
        yield Finding("note", "nft", "is not installed: the node needs it not, who wants to look does", INSTALL_NFT)


REWRITE = ("calicoctl get globalnetworkpolicies -o yaml > all.yaml", "calicoctl replace -f all.yaml")
INSTALL_NFT = ("apt-get install nftables",)


def _node(seen: Seen) -> Iterator[Finding]:
    if seen.status is None:
        start = ("systemctl start calico-node", "tortie node run --help")
        yield Finding("problem", "node", f"does not run on this host: {seen.status_reason}", start)
        return
    table = seen.status.get("table", {})
    reasons = [table.get("reason"), seen.status.get("store", {}).get("reason")]
    if not seen.status.get("ready"):
        yield Finding("problem", "node", "; ".join(filter(None, reasons)) or "not ready yet")
    else:
        yield Finding("ok", "node", f"{seen.status.get('node')} enforces policy")
    if table and not table.get("owned"):
        yield Finding("note", "table", f"others can change it ({table.get('ownerReason')})")
    for key, endpoint in seen.status.get("endpoints", {}).items():
        if endpoint.get("state") != "up":
            said = f"{key.rpartition('/')[2]} is {endpoint.get('state')}: {'; '.join(endpoint.get('reasons', ()))}"
            yield Finding("problem", "endpoint", said)
    for destination, reason in seen.status.get("routes", {}).get("failures", {}).items():
        yield Finding("problem", "route", f"{destination}: {reason}", (f"ip route show {destination}",))
    for said in _ways(seen.status):
        yield Finding("problem", "route", said)
    for key, reason in seen.status.get("unreadable", {}).items():
        yield Finding("problem", "store", f"{key} cannot be read: {reason}")


def _ways(status: Mapping[str, Any]) -> Iterator[str]:
    """What keeps packets from other hosts, or from fitting."""
    yield from status.get("routes", {}).get("problems", ())
    tunnels = status.get("tunnels", {})
    yield from (f"{name}: {reason}" for name, reason in tunnels.get("failures", {}).items())
    yield from filter(None, [tunnels.get("reason")])
    yield from (f"bgp: {problem}" for problem in status.get("bgp", {}).get("problems", ()))


def _store(seen: Seen) -> Iterator[Finding]:
    if seen.store_reason:
        ask = () if seen.store.startswith("sqlite") else (f"TORTIE_STORE={seen.store} calicoctl get nodes",)
        yield Finding("problem", "store", seen.store_reason, ask)
    elif seen.store:
        yield Finding("ok", "store", f"{seen.store} answers")
    for said in seen.names:
        yield Finding("problem", "policy names", said, ("calicoctl datastore migrate-policy-names",))


def _clock(seen: Seen) -> Iterator[Finding]:
    if seen.now and seen.now < seen.built:
        yield Finding("problem", "clock", "is behind the day on which this program was installed", ("timedatectl",))
    elif seen.synchronised is False:
        yield Finding("note", "clock", "is not synchronised: leases and logs of several hosts may not agree")


def _mtu(seen: Seen) -> Iterator[Finding]:
    if seen.uplink is None:
        return
    name, size = seen.uplink
    overhead = max((TUNNELS[tunnel].overhead for tunnel in seen.tunnels), default=0)
    fits, why = size - overhead, f"what {name} ({size}) takes with {overhead} bytes around it"
    told = (seen.status or {}).get("routes", {}).get("mtu", fits)
    if seen.tunnels and told < fits:
        fits, why = told, "what the node says that fits between hosts"
    large = sorted(device for device, mtu in seen.workloads.items() if mtu > fits)
    if large:
        few = ", ".join(large[:3]) + (f" and {len(large) - 3} more" if len(large) > 3 else "")
        said = f"{few}: larger than {fits}, {why}"
        mend = tuple(f"ip link set {device} mtu {fits}" for device in large[:3])
        yield Finding("problem", "mtu", said, mend)
