"""The settings of a host that shape its table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tortie.base.errors import Invalid
from tortie.dataplane.render.language import Version
from tortie.dataplane.render.rules import Manner, Marks, Refusal
from tortie.policy.verdict import FAILSAFE_IN, FAILSAFE_OUT, VXLAN, Failsafe

DEFAULT_MARKS = Marks()
FAMILIES: tuple[Version, ...] = (4, 6)
# The sets of the addresses of the cluster's hosts.
PEERS: dict[Version, str] = {4: "peers4", 6: "peers6"}
PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,14}")


@dataclass(frozen=True, slots=True)
class Hiding:
    """How workloads are hidden behind their host. `address`: behind this one, where it is not the outgoing interface's;
    `ports`: from these (LOW-HIGH); `interface`: only where they leave by it; `hosts`: not before other hosts either."""

    address: str = ""
    ports: str = ""
    interface: str = ""
    hosts: bool = False


HIDING = Hiding()


@dataclass(frozen=True, slots=True)
class Settings:
    """`host_services`: udp/53 and DHCP from a workload to its own host pass before its egress policy.

    `pools`: every pool, disabled ones too; `masqueraded`: those whose addresses are hidden behind the host's own when
    they speak to what is in no pool. `tunnels`: the encapsulations in use between hosts.
    `invalid_passes`: what connection tracking finds invalid is for policy, not dropped. `flows`: what
    decides about a conversation tells of it. `refusal`, `log`: as of `Manner`. `problems`: what was set and cannot be,
    in words; `ignored`: what was set and means nothing here.
    """

    interface_prefixes: tuple[str, ...] = ("cali",)
    endpoint_to_host: Literal["Drop", "Return", "Accept"] = "Drop"
    host_services: bool = False
    pools: tuple[str, ...] = ()
    masqueraded: tuple[str, ...] = ()
    hiding: Hiding = HIDING
    failsafes_in: tuple[Failsafe, ...] = FAILSAFE_IN
    failsafes_out: tuple[Failsafe, ...] = FAILSAFE_OUT
    marks: Marks = DEFAULT_MARKS
    tunnels: frozenset[str] = frozenset()
    vxlan_port: int = VXLAN
    vxlan_from_workloads: bool = False
    ipip_from_workloads: bool = False
    invalid_passes: bool = False
    floating: bool = False
    spoofing: bool = False
    foreign_accept: bool = False
    flows: bool = False
    refusal: Refusal = "drop"
    log: str = Manner().log
    problems: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def knows_hosts(self) -> bool:
        """Whether rules ask for the addresses of the cluster's hosts."""
        return bool(self.tunnels or (self.masqueraded and self.hiding.hosts))

    @property
    def in_rules(self) -> tuple[object, ...]:
        """What the chains of policies and endpoints depend on."""
        failsafes = (self.failsafes_in, self.failsafes_out)
        encapsulated = (self.vxlan_port, self.vxlan_from_workloads, self.ipip_from_workloads)
        return (self.manner, failsafes, encapsulated, self.invalid_passes)

    @property
    def manner(self) -> Manner:
        """What rules of policies and profiles have in common."""
        return Manner(self.marks, self.flows, self.refusal, self.log)


def parse_prefixes(text: str) -> tuple[str, ...]:
    """The beginnings of workloads' interface names, from a list with commas."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if wrong := [part for part in found if not PREFIX.fullmatch(part)]:
        raise Invalid(*(f"interface prefix {part!r} is not 1 to 14 letters, digits, dots, dashes" for part in wrong))
    return found


def parse_port_range(text: str) -> str:
    """`LOW:HIGH` or one port, as nft writes it."""
    low, _, high = text.partition(":")
    if not (low.isdecimal() and (high or low).isdecimal() and 0 < int(low) <= int(high or low) <= 65535):
        raise Invalid(f"port range {text!r} is not LOW:HIGH between 1 and 65535")
    return f"{int(low)}-{int(high or low)}"


def parse_interface_filter(text: str) -> str:
    """A name, or the beginning of names with `+` behind it, as nft writes it."""
    name = text.removesuffix("+")
    if not PREFIX.fullmatch(name):
        raise Invalid(f"interface {text!r} is not a name, or the beginning of one and a +")
    return f"{name}*" if text.endswith("+") else name


def parse_marks(mask: int) -> Marks:
    """The two lowest bits of a mask. Invalid when there are fewer."""
    bits = [1 << place for place in range(32) if mask >> place & 1]
    if len(bits) < 2:
        raise Invalid(f"mark mask 0x{mask:x} has {len(bits)} bits of 32, two are needed")
    return Marks(bits[0], bits[1])
