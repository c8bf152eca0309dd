"""Whom this node speaks BGP with and about what, from nodes, peers, filters and settings. Pure.

The mesh joins all nodes that are no route reflectors; a BGPPeer adds sessions to routers or to other nodes. Where a
BGPPeer names the address of a node of the mesh, its session is the one. What cannot be configured as it is written is
left out and told, never done by halves: a session without its filter would say too much.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tortie.base.errors import Invalid
from tortie.base.numbers import whole
from tortie.model.kinds.bgp_configuration import BGPConfigurationSpec
from tortie.model.kinds.bgp_filter import BGPFilterSpec
from tortie.model.kinds.bgp_peer import BGPPassword, BGPPeerSpec
from tortie.model.selector import parse

DEFAULT_AS = 64512
BGP_PORT = 179
ONE_LINK = ipaddress.IPv6Network("fe80::/10")
DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
SECRET = re.compile(r'[^"\x00-\x1f\x7f]{1,255}')
Secrets = Mapping[tuple[str, str], str]
"""Passwords by the name and key of the secret that holds them."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """A node as BGP sees it: its addresses with masks, AS number (None: the cluster's), reflector's cluster, labels."""

    address: str = ""
    address6: str = ""
    as_number: int | str | None = None
    cluster: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def ip(self, version: int) -> str:
        return (self.address6 if version == 6 else self.address).partition("/")[0]


@dataclass(frozen=True, slots=True, order=True)
class Session:
    """One peer of this node."""

    name: str
    address: str
    as_number: int
    port: int = BGP_PORT
    local_as: int = DEFAULT_AS
    source: str = ""
    passive: bool = False
    password: str = ""
    client_of: str = ""
    """The cluster in which we reflect routes to this peer."""
    next_hop: Literal["", "self", "keep"] = ""
    ttl_security: int = 0
    allow_local: int = 0
    restart_seconds: int = 0
    keepalive_seconds: int = 0
    reachable_by: str = ""
    filters: tuple[str, ...] = ()

    @property
    def internal(self) -> bool:
        return self.as_number == self.local_as

    @property
    def version(self) -> int:
        return ipaddress.ip_address(self.address).version


@dataclass(frozen=True, slots=True)
class Bgp:
    """Everything that the configuration of this node's BGP daemon is made of, but for blocks and pools."""

    node: str
    router_id: str
    addresses: tuple[str, ...]
    as_number: int
    port: int
    sessions: tuple[Session, ...]
    filters: Mapping[str, BGPFilterSpec]
    config: BGPConfigurationSpec
    problems: tuple[str, ...] = ()


class Speakers:
    """What is learned, by name; `plan` makes a node's sessions of it. `version` counts the changes."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.version = 0
        self._nodes: dict[str, Speaker] = {}
        self._peers: dict[str, BGPPeerSpec] = {}
        self._filters: dict[str, BGPFilterSpec] = {}
        self._configs: dict[str, BGPConfigurationSpec] = {}

    def set_node(self, name: str, speaker: Speaker | None) -> None:
        self._set(self._nodes, name, speaker)

    def set_peer(self, name: str, spec: BGPPeerSpec | None) -> None:
        self._set(self._peers, name, spec)

    def set_filter(self, name: str, spec: BGPFilterSpec | None) -> None:
        self._set(self._filters, name, spec)

    def set_config(self, name: str, spec: BGPConfigurationSpec | None) -> None:
        self._set(self._configs, name, spec)

    def _set(self, table: dict[str, Any], name: str, value: Any) -> None:
        if table.get(name) != value:
            self.version += 1
            if value is None:
                del table[name]
            else:
                table[name] = value

    def secrets(self) -> set[tuple[str, str]]:
        """The secrets that somebody refers to."""
        passwords = [peer.password for peer in self._peers.values()]
        passwords += [config.node_mesh_password for config in self._configs.values()]
        return {(ref.name, ref.key) for p in passwords if p and (ref := p.secret_key_ref)}

    def plan(self, secrets: Secrets) -> Bgp | None:
        """This node's part; None while its Node has no address."""
        own = self._nodes.get(self.node)
        if own is None or not own.ip(4):
            return None
        default = self._configs.get("default", BGPConfigurationSpec())
        planner = _Planner(self.node, own, self._nodes, default, secrets)
        planner.filters = self._filters
        for name in sorted(self._peers):
            planner.add_peer(name, self._peers[name])
        if default.node_to_node_mesh_enabled is not False and not own.cluster:
            planner.add_mesh()
        used = {name for session in planner.sessions.values() for name in session.filters}
        return Bgp(
            node=self.node,
            router_id=own.ip(4),
            addresses=tuple(filter(None, (own.ip(4), own.ip(6)))),
            as_number=planner.as_number,
            port=default.listen_port or BGP_PORT,
            sessions=tuple(sorted(planner.sessions.values())),
            filters={name: self._filters[name] for name in sorted(used)},
            config=default,
            problems=tuple(dict.fromkeys(planner.problems)),
        )


class _Planner:
    """The sessions of one node, by the peer's address and port."""

    def __init__(
        self, node: str, own: Speaker, nodes: Mapping[str, Speaker], config: BGPConfigurationSpec, secrets: Secrets
    ) -> None:
        self.sessions: dict[tuple[str, int], Session] = {}
        self.problems: list[str] = []
        self.filters: Mapping[str, BGPFilterSpec] = {}
        self._node, self._own, self._nodes, self._config, self._secrets = node, own, nodes, config, secrets
        self._default_as = self._number("BGPConfiguration default", config.as_number) or DEFAULT_AS
        self.as_number = self._as_of(own)

    def _as_of(self, speaker: Speaker) -> int:
        return self._number(f"node {speaker.address}", speaker.as_number) or self._default_as

    def _number(self, whose: str, value: int | str | None) -> int:
        """0 as well for what is none: the cluster's is taken, and it is said."""
        try:
            return number(value)
        except Invalid as error:
            self.problems.append(f"{whose}: {error}")
            return 0

    def add_mesh(self) -> None:
        """A session with every node that is no reflector, and with which no BGPPeer makes one."""
        config, taken = self._config, {address for address, _ in self.sessions}
        try:
            password = self._password(config.node_mesh_password)
            restart = seconds(config.node_mesh_max_restart_time)
        except Invalid as error:
            self.problems.append(f"node-to-node mesh: {error}")
            return
        for name, speaker in self._others():
            for version in (4, 6):
                address, source = speaker.ip(version), self._own.ip(version)
                if not address or not source or speaker.cluster or address in taken:
                    continue
                if address == source:
                    self.problems.append(f"node {name} has this node's address {address}")
                    continue
                session = Session(
                    name=protocol("Mesh", address),
                    address=address,
                    as_number=self._as_of(speaker),
                    port=config.listen_port or BGP_PORT,
                    local_as=self.as_number,
                    source=source,
                    # Exactly one of the two calls: both calling would be one session too many.
                    passive=address > source,
                    password=password,
                    restart_seconds=restart,
                )
                self.sessions[address, session.port] = session

    def add_peer(self, name: str, spec: BGPPeerSpec) -> None:
        try:
            for session in self._sessions_of(spec):
                self.sessions.setdefault((session.address, session.port), session)
        except (Invalid, ValueError) as error:
            self.problems.append(f"BGPPeer {name}: {error}")

    def _sessions_of(self, spec: BGPPeerSpec) -> Iterator[Session]:
        mine = self._is_about(spec)
        if spec.local_workload_selector:
            if mine:
                raise Invalid("sessions with workloads (localWorkloadSelector) are not supported")
        elif spec.peer_ip:
            if mine:
                yield self._with_router(spec)
        else:
            chosen = parse(spec.peer_selector)
            if mine:
                yield from self._with_nodes(spec, {n for n, s in self._nodes.items() if chosen.matches(s.labels)})
            if spec.reverse_peering != "Manual" and chosen.matches(self._own.labels):
                yield from self._with_nodes(spec, {n for n, s in self._nodes.items() if _about(spec, n, s)})

    def _is_about(self, spec: BGPPeerSpec) -> bool:
        return _about(spec, self._node, self._own)

    def _with_router(self, spec: BGPPeerSpec) -> Session:
        address, port = address_and_port(spec.peer_ip)
        if ipaddress.ip_address(address) in ONE_LINK:
            raise Invalid(f"{address} is an address of one link only: it does not say which")
        source = self._own.ip(ipaddress.ip_address(address).version)
        if not source:
            raise Invalid(f"this node has no address of the family of {address}")
        if address == source:
            raise Invalid(f"{address} is this node's own address")
        known = next((s for _, s in self._others() if address in (s.ip(4), s.ip(6))), None)
        theirs = number(spec.as_number) or (self._as_of(known) if known else 0)
        if not theirs:
            raise Invalid("asNumber is missing")
        kind = "Node" if spec.node or spec.node_selector else "Global"
        return self._session(spec, protocol(kind, address, port), address, port, theirs, known)

    def _with_nodes(self, spec: BGPPeerSpec, names: set[str]) -> Iterator[Session]:
        for name, speaker in self._others():
            for version in (4, 6):
                address = speaker.ip(version)
                if name in names and address and self._own.ip(version) not in ("", address):
                    title = protocol("Node" if spec.node or spec.node_selector else "Global", address)
                    port = self._config.listen_port or BGP_PORT
                    yield self._session(spec, title, address, port, self._as_of(speaker), speaker)

    def _session(
        self, spec: BGPPeerSpec, title: str, address: str, port: int, theirs: int, known: Speaker | None
    ) -> Session:
        if unknown := [name for name in spec.filters if name not in self.filters]:
            raise Invalid(f"no BGPFilter {', '.join(unknown)}")
        version = ipaddress.ip_address(address).version
        if spec.reachable_by and ipaddress.ip_address(spec.reachable_by).version != version:
            raise Invalid(f"reachableBy {spec.reachable_by}: not of the family of {address}")
        local = number(spec.local_as_number) or self.as_number
        own, cluster = self._own, known.cluster if known else ""
        hop: Literal["", "self", "keep"] = {"Self": "self", "Keep": "keep"}.get(spec.next_hop_mode or "", "")  # type: ignore[assignment]
        return Session(
            name=title,
            address=address,
            as_number=theirs,
            port=port,
            local_as=local,
            source=own.ip(version) if spec.source_address != "None" else "",
            # Of two nodes that name each other one calls, as in the mesh.
            passive=known is not None and spec.peer_selector != "" and address > own.ip(version),
            password=self._password(spec.password),
            client_of=own.cluster if own.cluster and theirs == local and cluster != own.cluster else "",
            next_hop="keep" if spec.keep_original_next_hop else hop,
            ttl_security=spec.ttl_security or 0,
            allow_local=spec.num_allowed_local_as_numbers or 0,
            restart_seconds=seconds(spec.max_restart_time),
            keepalive_seconds=seconds(spec.keepalive_time),
            reachable_by=spec.reachable_by,
            filters=spec.filters,
        )

    def _others(self) -> list[tuple[str, Speaker]]:
        return [(name, self._nodes[name]) for name in sorted(self._nodes) if name != self._node]

    def _password(self, password: BGPPassword | None) -> str:
        ref = password.secret_key_ref if password else None
        if ref is None:
            return ""
        value = self._secrets.get((ref.name, ref.key))
        if value is None:
            raise Invalid(f"no secret {ref.name}, key {ref.key}: its password is unknown")
        if not SECRET.fullmatch(value):
            raise Invalid(f"secret {ref.name}, key {ref.key}: a password is 1 to 255 characters without quotes")
        return value


def _about(spec: BGPPeerSpec, name: str, speaker: Speaker) -> bool:
    """Whether a BGPPeer is about this node."""
    if spec.node:
        return spec.node.lower() == name
    return not spec.node_selector or parse(spec.node_selector).matches(speaker.labels)


def number(value: int | str | None) -> int:
    """An AS number as one integer, also from `1.10`; 0 for none. Invalid for what is no such number."""
    if value is None or value == "":
        return 0
    high, dot, low = str(value).partition(".")
    parts = [whole(high, 0xFFFF), whole(low, 0xFFFF)] if dot else [0, whole(high, 0xFFFFFFFF)]
    if parts[0] is None or parts[1] is None:
        raise Invalid(f"{str(value)[:40]!r} is no AS number")
    return (parts[0] << 16) + parts[1]


def seconds(text: str | None) -> int:
    """Of a duration such as 1m30s; 0 for none."""
    found = DURATION.fullmatch(text or "")
    if found is None:
        raise Invalid(f"{text!r} is no duration such as 90s or 2m")
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + rest


def address_and_port(text: str) -> tuple[str, int]:
    """From `A`, `A:PORT`, `[A6]:PORT`; ValueError when it is none."""
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    else:
        address, port = text, ""
    return str(ipaddress.ip_address(address)), int(port or BGP_PORT)


def protocol(kind: str, address: str, port: int = BGP_PORT) -> str:
    """A session's name in the daemon; those who show its status read the address back from it."""
    name = f"{kind}_{address.replace('.', '_').replace(':', '_')}"
    return name if port == BGP_PORT else f"{name}_port_{port}"
