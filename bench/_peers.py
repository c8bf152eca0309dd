"""The same policy by iptables-nft, as other plug-ins write it: what one would have instead on the same kernel."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

ACCEPT, CLEAR = "-j MARK --set-xmark 0x10000/0x10000", "-j MARK --set-xmark 0x0/0x10000"
ACCEPTED = "-m mark --mark 0x10000/0x10000"
KNOWN = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
UNKNOWN = "-m conntrack --ctstate INVALID -j DROP"


def load(netns: str, text: str, *options: str) -> None:
    """Into a network namespace."""
    command = ["ip", "netns", "exec", netns, "iptables-nft-restore", *options]
    subprocess.run(command, input=text, text=True, check=True)


def kube(address: str, others: int) -> str:
    """The policy of as many pods as there are, `address` among them: each has a chain, found by its address, one rule
    after the other."""
    lines = [":PODS - [0:0]"]
    addresses = [*(f"10.70.{i // 250}.{i % 250 + 1}" for i in range(others)), address]
    lines += [f":POD-{i} - [0:0]" for i in range(len(addresses))]
    lines += [f"-A FORWARD {KNOWN}", "-A FORWARD -j PODS"]
    lines += [f"-A PODS -d {one}/32 -j POD-{i}" for i, one in enumerate(addresses)]
    for i in range(len(addresses)):
        lines += [f"-A POD-{i} -s 10.66.0.0/24 -j ACCEPT", f"-A POD-{i} -j DROP"]
    return _table(lines)


def linear(address: str, networks: Sequence[str]) -> str:
    """A rule for each network that may reach the address."""
    rules = [f"-A FORWARD -d {address}/32 -s {net} -j ACCEPT" for net in networks]
    return _table([f"-A FORWARD {KNOWN}", *rules, f"-A FORWARD -d {address}/32 -j DROP"])


def calico(interfaces: tuple[str, str], policies: int) -> str:
    """Two workloads: the first may send everything, the second has as many policies, the last of which lets the first
    in. Marks carry the verdicts, as in the original: each is looked at behind each policy."""
    one, two = interfaces
    names = ("from", "to", "fw", "tw", *(f"pi-{i}" for i in range(policies)))
    lines = [f":{name} - [0:0]" for name in names]
    lines += [f"-A FORWARD {CLEAR}", "-A FORWARD -i veth+ -j from", "-A FORWARD -o veth+ -j to"]
    lines += [f"-A FORWARD {ACCEPTED} -j ACCEPT", f"-A from -i {one} -g fw", f"-A from -i {two} -g fw"]
    lines += [f"-A to -o {two} -g tw", f"-A to -o {one} {KNOWN}", "-A from -j DROP", "-A to -j DROP"]
    lines += [f"-A fw {KNOWN}", f"-A fw {UNKNOWN}", f"-A fw {ACCEPT}", f"-A tw {KNOWN}", f"-A tw {UNKNOWN}"]
    lines.append(f"-A tw {CLEAR}")
    for i in range(policies):
        last = i == policies - 1
        source = "-s 10.66.0.0/24" if last else f"-s 10.70.0.{i + 1}/32 -p tcp -m tcp --dport {8000 + i}"
        lines += [
            f"-A tw -m mark --mark 0x0/0x20000 -j pi-{i}",
            f"-A tw {ACCEPTED} -j RETURN",
            f"-A pi-{i} {source} {ACCEPT}",
        ]
        lines.append(f"-A pi-{i} {ACCEPTED} -j RETURN")
    return _table([*lines, "-A tw -j DROP"])


def _table(lines: list[str]) -> str:
    return "\n".join(["*filter", ":FORWARD ACCEPT [0:0]", *lines, "COMMIT", ""])
