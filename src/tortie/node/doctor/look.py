"""Looks at a host for the doctor: nothing is changed; features are tried in a network namespace that ends with it."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tortie.base.errors import TortieError
from tortie.dataplane.foreign import Chains, ForeignDrop, find_drops
from tortie.dataplane.kernel import nft
from tortie.dataplane.kernel.batch import batches
from tortie.dataplane.kernel.netlink import NETLINK_NETFILTER, NetlinkError, open_socket
from tortie.dataplane.steps import AddChain, AddSet, Step, WriteRules
from tortie.dataplane.tunnels import Tunnel, tunnel_of
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.resource import decode
from tortie.node import foreign, records
from tortie.node.doctor.judge import Seen, Tried
from tortie.store.open import open_store
from tortie.store.policies import name_faults

SOCKET = "/run/tortie/node.sock"
SECONDS = 10.0
CLONE_NEWNET = 0x40000000
UNSYNCHRONISED = 5  # of adjtimex
PREFIXES = ("cali",)
SYSCTLS = (
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.all.arp_ignore",
    "net.netfilter.nf_conntrack_count",
    "net.netfilter.nf_conntrack_max",
)
HOOK = "type filter hook {} priority {}; policy accept;"
NAT = "type nat hook {} priority {}; policy accept;"


def _rule(rule: str, base: str = "") -> list[Step]:
    return [AddChain("c", base), WriteRules("c", [rule], "doctor/1")]


FEATURES: Mapping[str, tuple[str, Sequence[Step]]] = {
    "sets of addresses": ("nf_tables", [AddSet("s", "ipv4_addr")]),
    "sets of networks": ("nf_tables", [AddSet("s", "ipv6_addr", True)]),
    "sets of several fields": ("nf_tables", [AddSet("s", "ipv4_addr . inet_proto . inet_service")]),
    "verdict maps": ("nf_tables", [AddSet("m", "ifname", False, True), *_rule("iifname vmap @m")]),
    "forwarded packets": ("nf_tables", _rule("drop", HOOK.format("forward", -4))),
    "connection tracking": ("nft_ct", _rule("ct state established,related accept", HOOK.format("forward", -4))),
    "untracked packets": ("nft_ct", _rule("notrack", HOOK.format("prerouting", -300))),
    "local addresses": ("nft_fib_inet", _rule("fib daddr type local accept", HOOK.format("prerouting", -300))),
    "logging": ("nft_log", _rule('log prefix "x" level info')),
    "limits": ("nft_limit", _rule("limit rate 5/second burst 5 packets accept")),
    "refusals": ("nft_reject_inet", _rule("reject", HOOK.format("forward", -4))),
    "masquerading": ("nft_masq", _rule("masquerade", NAT.format("postrouting", 110))),
    "translated addresses": (
        "nft_nat",
        _rule("meta nfproto ipv4 dnat ip to 10.0.0.1", NAT.format("prerouting", -110)),
    ),
}
LINKS = {"pairs of interfaces": "veth", "VXLAN tunnels": "vxlan"}


def look(store: str, status_socket: str = SOCKET) -> Seen:
    """Everything; what cannot be seen says why."""
    root = os.geteuid() == 0
    tried, owner = _try_features() if root else ([], None)
    status, status_reason = _status(status_socket)
    prefixes, uplink = PREFIXES, _uplink(status)
    drops, leftovers, foreign_reason = _foreign(uplink[0] if uplink else "", prefixes) if root else ([], [], "")
    store_reason, names, tunnels = _store(store)
    return Seen(
        release=platform.release(),
        root=root,
        tried=tried,
        owner_flags=owner,
        sysctls={name: _sysctl(name) for name in SYSCTLS},
        drops=drops,
        foreign_reason=foreign_reason,
        leftovers=leftovers,
        programs={"nft": shutil.which("nft") is not None},
        status=status,
        status_reason=status_reason,
        store=store,
        store_reason=store_reason,
        names=tuple(names),
        tunnels=tunnels,
        synchronised=_synchronised(),
        now=time.time(),
        built=Path(__file__).stat().st_mtime,
        uplink=uplink,
        workloads={name: mtu for name, mtu in _mtus().items() if name.startswith(prefixes)},
    )


def _try_features() -> tuple[list[Tried], bool]:
    """In a thread of its own, which takes its namespace along when it ends."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_try_inside).result()


def _try_inside() -> tuple[list[Tried], bool]:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        return [Tried("network namespaces", "", os.strerror(ctypes.get_errno()))], False
    found = [_try_link(name, kind) for name, kind in LINKS.items()]
    with open_socket(NETLINK_NETFILTER) as sock:
        try:
            nft.take_table(sock, 0)
        except NetlinkError as error:
            return [*found, Tried("nftables", "nf_tables", str(error))], False
        found += [_try_steps(sock, feature, *tried) for feature, tried in FEATURES.items()]
    with open_socket(NETLINK_NETFILTER) as sock:
        try:
            nft.drop_table(sock)
            nft.take_table(sock, nft.OWNER | nft.PERSIST)
            owner = True
        except NetlinkError:
            owner = False
    return found, owner


def _try_steps(sock: socket.socket, feature: str, module: str, steps: Sequence[Step]) -> Tried:
    nft.drop_table(sock)
    nft.take_table(sock, 0)
    ready, refused = batches((), steps, 1 << 20, 0)
    try:
        for batch in ready:
            nft.transact(sock, batch, feature)
    except NetlinkError as error:
        return Tried(feature, module, NetlinkError.words(error.code))
    return Tried(feature, module, refused[0].reason if refused else "")


def _try_link(feature: str, kind: str) -> Tried:
    """The thread's namespace is that of the program it starts."""
    more = ["id", "4096", "dstport", "4789"] if kind == "vxlan" else []
    try:
        done = subprocess.run(
            ["ip", "link", "add", f"try{kind}", "type", kind, *more], capture_output=True, text=True, check=False
        )
    except OSError as error:
        return Tried(feature, kind, f"ip: {error.strerror} (package iproute2)")
    return Tried(feature, kind, done.stderr.strip() if done.returncode else "")


def _sysctl(name: str) -> str | None:
    try:
        return Path("/proc/sys", name.replace(".", "/")).read_text().strip()
    except OSError:
        return None


def _status(path: str) -> tuple[dict[str, Any] | None, str]:
    """What the node says of itself, over its socket: HTTP/1.0, so the answer ends with the connection."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(SECONDS)
            sock.connect(path)
            sock.sendall(b"GET /status HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: sock.recv(1 << 16), b""))
        found = json.loads(answer.partition(b"\r\n\r\n")[2])
    except OSError as error:
        return None, f"{path}: {error.strerror or error}"
    except ValueError as error:
        return None, f"{path}: {error}"
    return (found, "") if isinstance(found, dict) else (None, f"{path}: not a status")


def _uplink(status: Mapping[str, Any] | None) -> tuple[str, int] | None:
    """The interface by which this host reaches others, and its MTU."""
    target = str((status or {}).get("address") or "")
    try:
        listed = json.loads(subprocess.run(["ip", "-j", "addr"], capture_output=True, text=True, check=True).stdout)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None
    for link in listed:
        if target and any(address.get("local") == target for address in link.get("addr_info", ())):
            return str(link["ifname"]), int(link["mtu"])
    return None


def _mtus() -> dict[str, int]:
    found = {}
    for path in Path("/sys/class/net").glob("*/mtu"):
        try:
            found[path.parent.name] = int(path.read_text())
        except OSError:
            continue  # It went while we looked.
    return found


def _foreign(uplink: str, prefixes: Sequence[str]) -> tuple[list[ForeignDrop], list[str], str]:
    try:
        chains = foreign.look()
    except TortieError as error:
        return [], [], str(error)
    return find_drops(chains, uplink, prefixes), _leftovers(chains), ""


def _leftovers(chains: Chains) -> list[str]:
    """Tables of another Calico that are still in force."""
    return sorted(
        {
            f"{chain.family} {chain.table}"
            for chain in chains.values()
            if chain.table == "calico" or chain.name.startswith(("cali-", "filter-cali-"))
        }
    )


def _store(url: str) -> tuple[str, list[str], list[Tunnel]]:
    """(why it does not answer, what is wrong with the names of policies, tunnels in use)."""
    tunnels = set[Tunnel]()
    try:
        datastore = open_store(url, create=False)
        try:
            names = name_faults(datastore)
            for item in datastore.list(IP_POOL.prefix).items:
                tunnels |= _tunnels(item.value)
        finally:
            datastore.close()
    except TortieError as error:
        return str(error), [], []
    return "", names, sorted(tunnels)


def _tunnels(value: bytes) -> set[Tunnel]:
    """The one that all packets of a pool between hosts are in."""
    try:
        found = records.pool_ways([decode(IP_POOL, value).spec])
    except TortieError:
        return set()
    always = [tunnel_of(way.encapsulation, way.cidr.version) for way in found if way.reach == "Always"]
    return {tunnel for tunnel in always if tunnel}


def _synchronised() -> bool | None:
    """What the kernel says of its clock."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else bool(state != UNSYNCHRONISED)
