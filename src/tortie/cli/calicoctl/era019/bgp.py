"""`calicoctl bgp …` and `calicoctl node bgp …`: peers, the mesh between nodes, the AS number of nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address

import msgspec

from tortie.base.errors import Conflict, NotFound
from tortie.cli.calicoctl import numbers, settings
from tortie.cli.calicoctl.era019 import usage
from tortie.cli.calicoctl.era019.line import Failure, UsageError, read
from tortie.cli.calicoctl.table import table
from tortie.model.kinds.bgp_configuration import BGP_CONFIGURATION
from tortie.model.kinds.bgp_peer import BGP_PEER, BGPPeerSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.v1.names import address_name
from tortie.store.client import Client

Job = Callable[[Client], str]
Peer = Resource[BGPPeerSpec]
ATTEMPTS = 50
SWITCH = {"on": True, "off": False}


def command(arguments: Sequence[str]) -> Job:
    """Everything of `bgp`. Raises UsageError, and Failure for values that can never be right."""
    line = read(arguments, usage.BGP, flags=("--ipv4", "--ipv6"))
    match line.words:
        case ("peer", *words):
            return peer_command(words, line.flags, "", usage.BGP)
        case ("node-mesh",) if not line.flags:
            return lambda client: "on" if _mesh(client) else "off"
        case ("node-mesh", "on" | "off" as word) if not line.flags:
            return lambda client: _set(client, "nodeToNodeMeshEnabled", SWITCH[word])
        case ("default-node-as",) if not line.flags:
            return default_as
        case ("default-node-as", text) if not line.flags:
            checked(number=text)
            return lambda client: _set(client, "asNumber", numbers.as_number(text))
    raise UsageError(usage.BGP)


def peer_command(words: Sequence[str], flags: frozenset[str], node: str, text: str) -> Job:
    """What stands behind `peer`: of this node, or of all with an empty name. `text`: the usage of the command."""
    match words:
        case ["add", peer, "as", number] if not flags:
            checked(peer, number)
            return lambda client: _add(client, node, peer, numbers.as_number(number))
        case ["remove", peer] if not flags:
            checked(peer)
            return lambda client: _remove(client, node, peer)
        case ["show"] if len(flags) <= 1:
            families = [version for version in (4, 6) if not flags or f"--ipv{version}" in flags]
            return lambda client: "\n".join(_show(client, node, version) for version in families)
    raise UsageError(text)


def checked(peer: str = "", number: str = "") -> None:
    """Raises Failure with every fault of the values."""
    problems = []
    if peer:
        try:
            ip_address(peer)
        except ValueError:
            problems.append("Invalid IP address specified.")
    if number:
        try:
            numbers.as_number(number)
        except ValueError:
            problems.append("Invalid AS Number specified.")
    if problems:
        raise Failure("\n".join(problems))


def default_as(client: Client) -> str:
    """The AS number of nodes without one of their own."""
    return numbers.plain(settings.stored(client, BGP_CONFIGURATION, "default", "asNumber")) or str(numbers.DEFAULT)


def _mesh(client: Client) -> bool:
    return settings.stored(client, BGP_CONFIGURATION, "default", "nodeToNodeMeshEnabled") is not False


def _set(client: Client, field: str, value: bool | int) -> str:
    settings.store(client, BGP_CONFIGURATION, "default", field, value)
    return ""


def peers(client: Client, node: str, version: int) -> list[Peer]:
    """The peers that this grammar can say, of one node or of all nodes, in the order of their addresses."""
    found = [(ip_address(address), peer) for peer, address in _plain(client) if peer.spec.node == node]
    return [peer for address, peer in sorted(found, key=lambda pair: int(pair[0])) if address.version == version]


def _plain(client: Client) -> Iterator[tuple[Peer, str]]:
    for peer in client.list(BGP_PEER).items:
        spec = peer.spec
        if spec.node_selector or spec.peer_selector or spec.local_workload_selector:
            continue
        try:
            ip_address(spec.peer_ip)
        except ValueError:  # with a port, which this grammar has no word for
            continue
        yield peer, spec.peer_ip


def _of(client: Client, node: str, text: str) -> Peer | None:
    wanted = ip_address(text)
    return next((peer for peer in peers(client, node, wanted.version) if ip_address(peer.spec.peer_ip) == wanted), None)


def _add(client: Client, node: str, text: str, number: int) -> str:
    """The same peer again gets the new AS number."""
    for _ in range(ATTEMPTS):
        found = _of(client, node, text)
        try:
            if found is None:
                name = f"{node}.{address_name(text)}" if node else address_name(text)
                spec = BGPPeerSpec(node=node, peer_ip=str(ip_address(text)), as_number=number)
                client.create(Resource(kind=BGP_PEER, metadata=Metadata(name=name), spec=spec))
            elif found.spec.as_number != number:
                client.update(replace(found, spec=msgspec.structs.replace(found.spec, as_number=number)))
        except (Conflict, NotFound):
            continue
        return ""
    raise Conflict(f"BGP peer {text} was changed by others {ATTEMPTS} times in a row")


def _remove(client: Client, node: str, text: str) -> str:
    found = _of(client, node, text)
    if found is None:
        what = "a configured peer for this node" if node else "a globally configured peer"
        raise Failure(f"{ip_address(text)} is not {what}.")
    client.delete(BGP_PEER, found.name)
    return f"BGP peer removed from {'node' if node else 'global'} configuration"


def _show(client: Client, node: str, version: int) -> str:
    found = peers(client, node, version)
    if not found:
        words = (
            f"No IPv{version} BGP Peers defined for this node."
            if node
            else f"No global IPv{version} BGP Peers defined."
        )
        return words + "\n"
    heading = f"{'Node specific' if node else 'Global'} IPv{version} BGP Peer"
    rows = [[peer.spec.peer_ip, numbers.plain(peer.spec.as_number)] for peer in found]
    return table([heading, "AS Num"], rows, left=True)
