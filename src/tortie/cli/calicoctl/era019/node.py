"""`calicoctl node …`: this host's node: started, stopped, described, taken out of the network."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tortie.base.errors import NotFound
from tortie.cli.calicoctl import numbers, write
from tortie.cli.calicoctl.era019 import bgp, environment, usage
from tortie.cli.calicoctl.era019.host import hostname, need_root
from tortie.cli.calicoctl.era019.line import Failure, Line, UsageError, read
from tortie.cli.calicoctl.table import table
from tortie.model.kinds.bgp_configuration import BGP_CONFIGURATION
from tortie.model.kinds.bgp_peer import BGP_PEER
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Kind, Resource
from tortie.store.client import Client

Job = Callable[[Client], str]
Endpoint = Resource[WorkloadEndpointSpec]
FLAGS = ("--force", "--remove-endpoints", "--no-pull", "--libnetwork", "--ipv4", "--ipv6")
VALUES = (
    *("--ip", "--ip6", "--node-image", "--runtime", "--as", "--log-dir", "--detach", "--libnetwork-image"),
    "--hostname",
)
START = frozenset(("--no-pull", "--libnetwork", *VALUES)) - {"--hostname"}


def command(arguments: Sequence[str], environ: Mapping[str, str]) -> Job:
    """Raises UsageError, and Failure for values that can never be right."""
    line = read(arguments, usage.NODE, flags=FLAGS, values=VALUES)
    given, own = {*line.flags, *line.values}, hostname(environ)
    match line.words:
        case () if given <= START and ("--libnetwork" in given or "--libnetwork-image" not in given):
            return _start(line, environ)
        case ("stop",) if given <= {"--force"}:
            return lambda client: _stop(client, own, force="--force" in given)
        case ("remove",) if given <= {"--hostname", "--remove-endpoints"}:
            name = line.values.get("--hostname", own).lower()
            return lambda client: _remove(client, name, own, endpoints="--remove-endpoints" in given)
        case ("show",) if not given:
            return _show
        case ("bgp", "peer", *words) if given <= {"--ipv4", "--ipv6"}:
            return bgp.peer_command(words, line.flags, own, usage.NODE)
    raise UsageError(usage.NODE)


# start


def _start(line: Line, environ: Mapping[str, str]) -> Job:
    values = line.values
    _check(values, libnetwork="--libnetwork" in line.flags)

    def start(client: Client) -> str:
        from tortie.cli.calicoctl import node_start

        need_root()
        address, address6 = _addresses(values)
        wish = node_start.Wish(
            node=hostname(environ),
            address=address,
            address6=address6,
            number=numbers.as_number(values["--as"]) if values.get("--as") else None,
            log_dir=values.get("--log-dir") or "/var/log/calico",
            docker="--libnetwork" in line.flags,
            pools=environ.get("NO_DEFAULT_POOLS", "").lower() not in ("1", "true", "yes"),
        )
        if taken := node_start.conflict(client, wish):
            raise Failure(_wrapped(f"ERROR: {taken} Calico requires each compute host to have a unique IP."))
        session = environment.session(environ)
        store = session.configured().url
        node_start.describe(client, wish)
        if values.get("--runtime") == "none":
            return ""
        if values.get("--detach") == "false":
            node_start.enable_forwarding()
            node_start.foreground(wish, store)
        node_start.run(wish, store, {**environ, **session.login()}, _say)
        return ""

    return start


def _say(text: str) -> None:
    print(text, flush=True)


def _check(values: Mapping[str, str], *, libnetwork: bool) -> None:
    """Every fault at once."""
    from ipaddress import IPv4Address

    from tortie.base.errors import Invalid
    from tortie.dataplane.tunnels import parse_six

    problems = []
    for option, version, parse in (("--ip", "IPv4", IPv4Address), ("--ip6", "IPv6", parse_six)):
        try:
            if values.get(option):
                parse(values[option])
        except (ValueError, Invalid):
            problems.append(f"Invalid {version} address specified with {option} argument.")
    try:
        bgp.checked(number=values.get("--as", ""))
    except Failure as failure:
        problems.append(failure.text)
    if values.get("--detach", "true") not in ("true", "false"):
        problems.append("Valid values for --detach are 'true' and 'false'")
    if libnetwork and values.get("--detach", "true") != "true":
        problems.append("The only valid value for --detach is 'true' when using libnetwork")
    if values.get("--runtime", "docker") not in ("docker", "rkt", "none"):
        problems.append("Runtime must be 'docker', 'rkt' or 'none'.")
    if problems:
        raise Failure("\n".join(problems))


def _addresses(values: Mapping[str, str]) -> tuple[str, str]:
    """(IPv4, IPv6 or an empty text), with the length of their subnets: as asked for, or as found."""
    from tortie.cli import host_address

    own = host_address.own_addresses()
    address, address6 = values.get("--ip", ""), values.get("--ip6", "")
    if not address:
        found = host_address.found("first-found", own)
        if not found:
            raise Failure(
                "Couldn't autodetect a management IP address. Please provide an IP by rerunning the command with the "
                "--ip=<IP_ADDRESS> flag."
            )
        _say(f"No IP provided. Using detected IP: {found.partition('/')[0]}")
        address = found
    network, known = host_address.with_mask(address, own)
    if not known:
        if values.get("--runtime") != "none":
            raise Failure(f"The provided IPv4 address {address} is not assigned to this host.")
        _say("WARNING: Could not confirm that the provided IPv4 address is assigned to this host.")
    if not address6:
        return network, ""
    network6, known = host_address.with_mask(address6, host_address.own_addresses(6))
    if not known:
        _say("WARNING: Could not confirm that the provided IPv6 address is assigned to this host.")
    return network, network6


# stop, remove


def _stop(client: Client, own: str, *, force: bool) -> str:
    from tortie.cli.calicoctl import node_start

    need_root()
    if _endpoints(client, own):
        if not force:
            raise Failure(
                _wrapped(
                    "Current host has active endpoints so can't be stopped.  Force with --force",
                    "While the node is stopped its endpoints keep their network and policy as they are; nothing new is "
                    "set up and nothing old cleaned away.",
                )
            )
        _say(_wrapped("Stopping node while host has active endpoints.  'calicoctl node' starts it again."))
    node_start.stop()
    return "Node stopped"


def _remove(client: Client, name: str, own: str, *, endpoints: bool) -> str:
    """The node, its settings and peers; with `endpoints` these as well."""
    if name == own:
        from tortie.cli.calicoctl import node_start

        if node_start.pid() is not None:
            raise Failure(
                _wrapped(
                    "The node cannot be removed while it is running.  Please run 'calicoctl node stop' to stop the "
                    "node before removing it."
                )
            )
    there = _endpoints(client, name)
    if there and not endpoints:
        raise Failure(
            _wrapped(
                "The node has active Calico endpoints so can't be deleted. Force with --remove-endpoints",
                "Removing it all the same leaves those workloads without a network.",
            )
        )
    for endpoint in there:
        _remove_endpoint(client, endpoint, here=name == own)
    peers = [peer.name for version in (4, 6) for peer in bgp.peers(client, name, version)]
    gone: list[tuple[Kind[Any], str]] = [(BGP_PEER, peer) for peer in peers]
    gone += [(BGP_CONFIGURATION, f"node.{name}"), (FELIX_CONFIGURATION, f"node.{name}")]
    for kind, named in gone:
        try:
            client.delete(kind, named)
        except NotFound:
            continue
    if (node := client.find(NODE, name)) is not None:
        write.delete(client, node)
    return "Node configuration removed"


def _remove_endpoint(client: Client, endpoint: Endpoint, *, here: bool) -> None:
    """With its addresses, and its interface when it is on this host."""
    from tortie.cli.calicoctl.era019.attach import release

    if here and endpoint.spec.interface_name:
        from tortie.dataplane.kernel import veth

        veth.delete(endpoint.spec.interface_name)
    client.delete(WORKLOAD_ENDPOINT, endpoint.name, endpoint.metadata.namespace)
    release(client, endpoint.spec.ip_networks)


def _endpoints(client: Client, node: str) -> list[Endpoint]:
    return [item for item in client.list(WORKLOAD_ENDPOINT).items if item.spec.node == node]


# show


def _show(client: Client) -> str:
    default = bgp.default_as(client)
    rows = [_row(client, item, default) for item in sorted(client.list(NODE).items, key=lambda item: item.name)]
    return table(["Hostname", "Bird IPv4", "Bird IPv6", "AS Num", "BGP Peers v4", "BGP Peers v6"], rows)


def _row(client: Client, item: Resource[NodeSpec], default: str) -> list[str]:
    own = item.spec.bgp
    addresses = [(text or "").partition("/")[0] for text in ((own.ipv4_address, own.ipv6_address) if own else ("", ""))]
    number = numbers.plain(own.as_number) if own else ""
    peers = [
        "\n".join(
            f"{peer.spec.peer_ip} as {numbers.plain(peer.spec.as_number)}"
            for peer in bgp.peers(client, item.name, version)
        )
        for version in (4, 6)
    ]
    return [item.name, *addresses, number or f"{default} (inherited)", *peers]


def _wrapped(*paragraphs: str) -> str:
    return "\n\n".join(textwrap.fill(text, 80) for text in paragraphs) + "\n"
