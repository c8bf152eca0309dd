"""The configuration of BIRD 2 for one host. Pure.

BIRD brings what other hosts and routers announce for pools without encapsulation, and announces this host's blocks. The
agent owns everything else that leads to workloads: their own routes, the blackholes of blocks, what goes by a tunnel.
So no prefix has two owners: BIRD's own static blackholes stay out of the kernel.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from tortie.base.errors import Invalid
from tortie.base.numbers import whole
from tortie.dataplane.bgp import BGP_PORT, Bgp, Session
from tortie.dataplane.routes import PoolWay
from tortie.model import checks
from tortie.model.ipam import Network
from tortie.model.kinds import bgp_filter
from tortie.model.kinds.bgp_filter import BGPFilterSpec, FilterRule

SCAN_SECONDS = 2
METRIC6 = 2048
"""Of BIRD's routes of IPv6: the agent's have 1024, and must win as its routes of IPv4 do, which have 0 against 32."""
WORD = re.compile(r"[A-Za-z0-9_.:*-]*")


@dataclass(frozen=True, slots=True)
class Announced:
    """`blocks`: this host's; `pools`: how each travels; `hidden`: pools that must not be announced."""

    blocks: Sequence[Network]
    pools: Sequence[PoolWay]
    hidden: Sequence[Network] = ()
    workloads: Sequence[str] = ("cali",)
    """Beginnings of workloads' interface names."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """`text`: the whole file; `problems`: what was left out of it, and why."""

    text: str
    problems: tuple[str, ...] = ()


def configuration(bgp: Bgp, announced: Announced, log: str) -> Configuration:
    """What BIRD cannot be told is left out whole: a session without its filter would say too much."""
    bgp, problems = _sound(bgp)
    lines = [
        f'log "{log}" 1048576 "{log}.1" {{ info, remote, warning, error, auth, fatal, bug }};',
        f"router id {bgp.router_id};",
        "timeformat protocol iso short;",
        f"protocol device {{ scan time {SCAN_SECONDS}; }}",
    ]
    for name, spec in bgp.filters.items():
        lines += _filter(name, spec)
    # Both families on every host: a family that went away would leave in the kernel what it had brought.
    for version in (4, 6):
        lines += _family(bgp, announced, version)
    for session in bgp.sessions:
        lines += _session(session, bgp)
    return Configuration("\n".join(lines) + "\n", problems)


def _sound(bgp: Bgp) -> tuple[Bgp, tuple[str, ...]]:
    """Without the sessions and settings that cannot stand in the file. What other programs stored stands there in lines
    of BIRD's language: nothing in it may end a word."""
    faults = {name: _filter_faults(name, spec) for name, spec in bgp.filters.items()}
    problems = [f"BGPFilter {name}: {fault}" for name, found in faults.items() for fault in found]
    sessions = []
    for session in bgp.sessions:
        wrong = [text for text in (session.reachable_by, session.client_of) if not WORD.fullmatch(text)]
        problems += [f"{session.name}: {_strange(text)}" for text in wrong]
        if not wrong and not any(faults[name] for name in session.filters):
            sessions.append(session)
    config, whose = bgp.config, "BGPConfiguration default"
    ignored = tuple(name for name in config.ignored_interfaces if WORD.fullmatch(name))
    problems += [f"{whose}: {_strange(name)}" for name in config.ignored_interfaces if name not in ignored]
    where, told = "spec.prefixAdvertisements", []
    values = {community.name: community.value for community in config.communities}
    for prefix in config.prefix_advertisements:
        wrong = [str(fault) for fault in checks.cidr(f"{where}.cidr", prefix.cidr)]
        for text in prefix.communities:
            try:
                _parts(values.get(text, text))
            except Invalid as error:
                wrong.append(f"{where}.communities: {error}")
        problems += [f"{whose}: {fault}" for fault in wrong]
        told += [] if wrong else [prefix]
    config = msgspec.structs.replace(config, ignored_interfaces=ignored, prefix_advertisements=tuple(told))
    filters = {name: spec for name, spec in bgp.filters.items() if not faults[name]}
    return replace(bgp, sessions=tuple(sessions), filters=filters, config=config), tuple(problems)


def _filter_faults(name: str, spec: BGPFilterSpec) -> list[str]:
    rules = (*spec.import_v4, *spec.export_v4, *spec.import_v6, *spec.export_v6)
    texts = (name, *(rule.interface or "" for rule in rules))
    found = [*map(str, bgp_filter.check(spec)), *(_strange(text) for text in texts if not WORD.fullmatch(text))]
    if not found:
        try:
            list(_filter(name, spec))
        except Invalid as error:
            found.append(str(error))
    return found


def _strange(text: str) -> str:
    return f"{text!r} cannot stand in BIRD's configuration"


def _family(bgp: Bgp, announced: Announced, version: int) -> Iterator[str]:
    channel = f"ipv{version}"
    blocks = [net for net in announced.blocks if net.version == version and net.prefixlen < net.max_prefixlen]
    ignored = [f'-"{name}"' for name in bgp.config.ignored_interfaces]
    ours = [f'-"{prefix}*"' for prefix in announced.workloads]
    interfaces = ", ".join((*ignored, *ours, '"*"'))
    yield f"protocol static blocks{version} {{ {channel};"
    yield from (f"  route {block} blackhole;" for block in sorted(blocks))
    yield "}"
    yield f"protocol direct direct{version} {{ {channel}; interface {interfaces}; }}"
    yield from _export(bgp, announced, blocks, version)
    tunnels = [pool.cidr for pool in announced.pools if pool.encapsulation and pool.cidr.version == version]
    yield f"filter to_kernel{version} {{"
    yield "  if source != RTS_BGP then reject;"
    yield from (f"  if net ~ {cidr} then reject;" for cidr in tunnels)
    yield "  accept;"
    yield "}"
    metric = f" metric {METRIC6};" if version == 6 else ""
    yield f"protocol kernel kernel{version} {{ learn; persist; scan time {SCAN_SECONDS}; merge paths on;{metric}"
    yield f"  graceful restart; {channel} {{ import all; export filter to_kernel{version}; }}; }}"


def _export(bgp: Bgp, announced: Announced, blocks: Sequence[Network], version: int) -> Iterator[str]:
    """What peers hear: blocks whole, borrowed addresses alone, nothing within an own block."""
    yield f"function announce{version}(bool same_as)"
    yield "{"
    yield from (f"  if net ~ {cidr} then reject;" for cidr in announced.hidden if cidr.version == version)
    yield '  if same_as && defined(ifname) && (ifname ~ "*.calico" || ifname ~ "tunl0") then reject;'
    for advertised in bgp.config.prefix_advertisements:
        if ipaddress.ip_network(advertised.cidr).version == version:
            values = {community.name: community.value for community in bgp.config.communities}
            added = "".join(_add(values.get(text, text)) for text in advertised.communities)
            yield f"  if net ~ {advertised.cidr} then {{ {added}}}"
    # A router that hears a block from its own node and from others of the mesh must take its own node's way.
    yield f"  if !same_as && source = RTS_BGP then bgp_path.prepend({bgp.as_number});"
    yield from (f"  if net = {block} then accept;" for block in blocks)
    yield from (f"  if net ~ {block} then reject;" for block in blocks)
    yield from (f"  if net ~ {pool.cidr} then accept;" for pool in announced.pools if pool.cidr.version == version)
    yield "  reject;"
    yield "}"


def _session(session: Session, bgp: Bgp) -> Iterator[str]:
    source = f" {session.source}" if session.source else ""
    port = f" port {bgp.port}" if bgp.port != BGP_PORT else ""
    if session.reachable_by:
        size = 32 if session.version == 4 else 128
        yield f"protocol static reach_{session.name} {{ ipv{session.version};"
        yield f"  route {session.address}/{size} via {session.reachable_by};"
        yield "}"
    yield f"protocol bgp {session.name} {{"
    yield f"  local{source}{port} as {session.local_as};"
    peer_port = f" port {session.port}" if session.port != BGP_PORT else ""
    yield f"  neighbor {session.address}{peer_port} as {session.as_number};"
    yield "  multihop;" if not session.ttl_security else f"  multihop {session.ttl_security}; ttl security on;"
    yield "  connect delay time 2; connect retry time 5; error wait time 5, 30;"
    yield "  graceful restart;"
    for wanted, text in (
        (session.restart_seconds, f"graceful restart time {session.restart_seconds};"),
        (session.passive, "passive on;"),
        (session.password, f'password "{session.password}";'),
        (session.client_of, f"rr client; rr cluster id {session.client_of};"),
        (session.allow_local, f"allow local as {session.allow_local};"),
        (session.keepalive_seconds, f"keepalive time {session.keepalive_seconds};"),
    ):
        if wanted:
            yield f"  {text}"
    yield from _channel(session)
    yield "}"


def _channel(session: Session) -> Iterator[str]:
    version, internal = session.version, str(session.internal).lower()
    calls = {
        way: "".join(f" {function(name, way, version)}({internal});" for name in session.filters)
        for way in ("import", "export")
    }
    yield f"  ipv{version} {{"
    yield f"    import filter {{{calls['import']} accept; }};"
    yield f"    export filter {{{calls['export']} announce{version}({internal}); reject; }};"
    yield f"    gateway recursive; add paths on;{f' next hop {session.next_hop};' if session.next_hop else ''}"
    yield "  };"


def function(name: str, way: str, version: int) -> str:
    """The name of a BGPFilter's function; BIRD takes any name in single quotes."""
    return f"'bgp_{name}_{way}V{version}'"


def _filter(name: str, spec: BGPFilterSpec) -> Iterator[str]:
    """A function for each way and family. Raises Invalid at a rule that BIRD has no words for."""
    for way, version, rules in (
        ("import", 4, spec.import_v4),
        ("export", 4, spec.export_v4),
        ("import", 6, spec.import_v6),
        ("export", 6, spec.export_v6),
    ):
        yield f"function {function(name, way, version)}(bool same_as)"
        yield "{"
        yield from (_rule(rule, version) for rule in rules)
        yield "}"


def _rule(rule: FilterRule, version: int) -> str:
    conditions = list(_conditions(rule, version))
    if rule.priority is not None:
        raise Invalid("priority is not supported")
    done = "".join(map(_operation, rule.operations)) + ("accept;" if rule.action == "Accept" else "reject;")
    return f"  if {' && '.join(conditions)} then {{ {done} }}" if conditions else f"  {done}"


def _conditions(rule: FilterRule, version: int) -> Iterator[str]:
    if rule.cidr:
        exact = rule.match_operator in ("Equal", "NotEqual")
        length = rule.prefix_length
        nets = rule.cidr
        if length is not None and not exact:
            low = length.min if length.min is not None else ipaddress.ip_network(rule.cidr).prefixlen
            high = length.max if length.max is not None else (32 if version == 4 else 128)
            nets = f"[ {rule.cidr}{{{low},{high}}} ]"
        sign = {"Equal": "=", "NotEqual": "!=", "In": "~", "NotIn": "!~"}[rule.match_operator or "In"]
        yield f"(net {sign} {nets})"
    if rule.source:
        yield "(source = RTS_BGP)"
    if rule.interface:
        yield f'(defined(ifname) && ifname ~ "{rule.interface}")'
    if rule.peer_type:
        yield "same_as" if rule.peer_type == "iBGP" else "!same_as"
    if rule.communities:
        yield f"({_community(rule.communities.values[0])})"
    if rule.as_path_prefix:
        yield f"(bgp_path ~ [= {' '.join(map(str, rule.as_path_prefix))} * =])"


def _operation(operation: dict[str, object]) -> str:
    ((kind, value),) = operation.items()
    if kind == "addCommunity" and isinstance(value, dict):
        return _add(str(value.get("value", "")))
    if kind == "prependASPath" and isinstance(value, dict):
        prefix = value.get("prefix")
        if isinstance(prefix, list) and all(isinstance(n, int) for n in prefix):
            return "".join(f"bgp_path.prepend({n}); " for n in reversed(prefix))
    raise Invalid(f"operation {kind} is not supported as it is written")


def _community(text: str) -> str:
    parts = _parts(text)
    return f"({', '.join(parts)}) ~ bgp_{'large_' if len(parts) == 3 else ''}community"


def _add(text: str) -> str:
    parts = _parts(text)
    return f"bgp_{'large_' if len(parts) == 3 else ''}community.add(({', '.join(parts)})); "


def _parts(text: str) -> list[str]:
    parts = text.split(":")
    most = 0xFFFF if len(parts) == 2 else 0xFFFFFFFF
    if len(parts) not in (2, 3) or any(whole(part, most) is None for part in parts):
        raise Invalid(f"community {text!r} is neither A:B nor A:B:C")
    return parts
