"""Packets between workloads of two hosts, each way of routing against the bare path that a hand would make.

`direct` and `bgp` against plain routes, `vxlan` against a hand-made tunnel without learning, each with connection
tracking and without; policy is in force on both ends of ours. Needs root, iperf3, taskset, and bird for `bgp`; in
namespaces of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

from tests.kernel.netlab import Host, Lab, inside, own_tag
from tests.support.waiting import wait_until

from bench._paths import MEASURES, Figures, Way, measure, ratios, routed
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.resource import Metadata, Resource

MODES = {"direct": "routes", "bgp": "routes", "vxlan": "vxlan"}
BARE = (("q", False, False), ("w", True, False), ("s", False, True), ("u", True, True))
"""Names of hosts made by hand: with a tunnel or without, with connection tracking (and no other rule) or without."""
BLOCKS = ("10.65.128", "10.65.129")
MTU = 1450


def run() -> list[tuple[str, str]]:
    """(what was measured, the figure) pairs."""
    with tempfile.TemporaryDirectory() as directory:
        lab = Lab(Path(directory))
        try:
            modes = [mode for mode in MODES if mode != "bgp" or shutil.which("bird")]
            ways = {mode: _ours(lab, mode, 10 * number) for number, mode in enumerate(modes, 2)}
            for number, (name, vxlan, tracked) in enumerate(BARE):
                what = f"{'tracked' if tracked else 'bare'} {'vxlan' if vxlan else 'routes'}"
                ways[what] = _bare(lab, name, 110 + 10 * number, vxlan=vxlan, tracked=tracked)
            for way in ways.values():
                way.check()
            return [row for what, how in MEASURES.items() for row in _rows(measure(ways, how), what, how.unit, modes)]
        finally:
            _end_birds(Path(directory))
            lab.close()


def _rows(found: Figures, what: str, unit: str, modes: list[str]) -> list[tuple[str, str]]:
    pairs = [(mode, f"{kind} {MODES[mode]}") for mode in modes for kind in ("bare", "tracked")]
    return ratios(found, what, unit, pairs)


def _ours(lab: Lab, mode: str, last: int) -> Way:
    """Two hosts of a store of their own, a workload of one profile on each, and one of another that must not answer."""
    lab.move(f"sqlite://{lab.directory}/{mode}")
    spec = IPPoolSpec(cidr="10.65.0.0/16", vxlan_mode="Always" if mode == "vxlan" else "Never", nat_outgoing=False)
    lab.client.apply(Resource(kind=IP_POOL, metadata=Metadata(name="p"), spec=spec))
    for name in ("n", "m"):
        lab.profile(name, own_tag(name))
    names = [f"{mode[0]}{number}" for number in (1, 2)]
    for name, block in zip(names, BLOCKS, strict=True):
        lab.block(f"{block}.0/26", name, {1: name, 2: name})
    options = ("--networking-backend", "bird") if mode == "bgp" else ()
    one, two = (lab.host(name, f"10.9.0.{last + number}", *options) for number, name in enumerate(names, 1))
    client = one.container(f"{names[0]}a", f"{BLOCKS[0]}.1", "n")
    server = two.container(f"{names[1]}a", f"{BLOCKS[1]}.1", "n")
    shut = two.container(f"{names[1]}b", f"{BLOCKS[1]}.2", "m")
    if mode == "vxlan":
        _narrow(client.netns, server.netns)
    way = Way(client.netns, server.netns, server.address, shut.address)
    wait_until(lambda: _way_of(one, f"{BLOCKS[1]}.0/26"), message=one.story)
    return way


def _way_of(host: Host, cidr: str) -> str:
    return inside(host.netns, "ip", "route", "show", cidr)


def _narrow(*namespaces: str) -> None:
    """As a plug-in does: what fits into the tunnel."""
    for netns in namespaces:
        inside(netns, "ip", "link", "set", "eth0", "mtu", str(MTU))


def _bare(lab: Lab, name: str, last: int, *, vxlan: bool, tracked: bool) -> Way:
    addresses = [f"10.9.0.{last + number}" for number in range(2)]
    hosts = [Host(f"{name}{i}", lab.plug(f"{name}{i}", address), address, lab) for i, address in enumerate(addresses)]
    boxes = [routed(host, f"{name}{i}a", f"10.66.{i}.1", alike=tracked) for i, host in enumerate(hosts)]
    for number, host in enumerate(hosts):
        if tracked:
            rule = "ct state established,related accept"
            inside(host.netns, "nft", f"table ip c {{ chain f {{ type filter hook forward priority 0; {rule}; }}; }}")
        other = 1 - number
        if vxlan:
            _tunnel(host, addresses[number], addresses[other], number)
            inside(host.netns, "ip", "route", "add", f"10.66.{other}.0/24", "via", f"10.67.0.{other}", "dev", "vx",
                   "onlink")  # fmt: skip
        else:
            inside(host.netns, "ip", "route", "add", f"10.66.{other}.0/24", "via", addresses[other])
    if vxlan:
        _narrow(*(box.netns for box in boxes))
    return Way(boxes[0].netns, boxes[1].netns, boxes[1].address)


def _tunnel(host: Host, own: str, far: str, number: int) -> None:
    def mac(n: int) -> str:
        return f"66:00:00:00:00:0{n + 1}"

    for words in (
        f"link add vx address {mac(number)} type vxlan id 4096 dstport 4789 local {own} dev eth0 nolearning",
        f"link set vx mtu {MTU} up",
        f"addr add 10.67.0.{number}/32 dev vx",
        f"neigh add 10.67.0.{1 - number} lladdr {mac(1 - number)} dev vx nud permanent",
    ):
        inside(host.netns, "ip", *words.split())
    inside(host.netns, "bridge", "fdb", "add", mac(1 - number), "dev", "vx", "dst", far)


def _end_birds(directory: Path) -> None:
    """Those that the agents started: they outlive them."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].rpartition(b"/")[2] == b"bird" and any(word.startswith(bytes(directory)) for word in words):
            os.kill(int(entry), signal.SIGTERM)
