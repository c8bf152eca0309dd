"""`calicoctl node run` of the 1.3 and 3 grammars: this host's node, described and started."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_interface

from tortie.base.errors import Invalid
from tortie.cli import host_address
from tortie.cli.calicoctl import node_start, numbers
from tortie.cli.calicoctl.session import Failed, Session
from tortie.cli.host_address import Own
from tortie.cli.options import Options
from tortie.dataplane.tunnels import parse_six
from tortie.model.kinds.node import NODE, NodeBgp
from tortie.store.client import Client

FOUND = "autodetect"
IFPREFIX = "cali"


def run(options: Options, session: Session) -> str:
    """Prints as it goes on. Raises Invalid with every fault of the values, Failed for an address of another node."""
    _check(options)
    with session.client() as client:
        wish = _wish(options, client)
        store = session.configured().url
        if options.has("--dryrun"):
            return f"Use the following command to start the calico-node:\n\n{node_start.command_line(wish, store)}\n"
        if os.geteuid() != 0:
            raise Failed("This command must be run as root.")
        if taken := node_start.conflict(client, wish):
            raise Failed(f"ERROR: {taken} Calico requires each compute host to have a unique IP.")
        node_start.describe(client, wish)
    if options.has("--init-system"):
        node_start.enable_forwarding()
        node_start.foreground(wish, store)
    node_start.run(wish, store, {**session.environ, **session.login()}, _say)
    return ""


def _say(text: str) -> None:
    print(text, flush=True)


def _check(options: Options) -> None:
    problems = []
    for option, version in (("--ip", 4), ("--ip6", 6)):
        text = options.value(option)
        try:
            parse = ip_interface if version == 4 else parse_six
            sound = not text or text == FOUND or parse(text).version == version
        except (ValueError, Invalid):
            sound = False
        if not sound:
            problems.append(f"Error executing command: invalid IPv{version} address {option}={text}")
    if text := options.value("--as"):
        try:
            numbers.as_number(text)
        except ValueError as error:
            problems.append(f"Error executing command: --as: {error}")
    if options.value("--backend", "bird") != "bird":
        problems.append(f"Error executing command: --backend={options.value('--backend')}: there is bird")
    if options.value("--docker-networking-ifprefix", IFPREFIX) != IFPREFIX:
        problems.append(f"Error executing command: --docker-networking-ifprefix: it is {IFPREFIX} here")
    if problems:
        raise Failed("\n".join(problems))


def _wish(options: Options, client: Client) -> node_start.Wish:
    name = (options.value("--name") or socket.gethostname()).lower()
    found = client.find(NODE, name)
    bgp = (found.spec.bgp if found else None) or NodeBgp()
    address = _address(options, 4, bgp.ipv4_address or "")
    if not address:
        raise Failed("Error executing command: no IPv4 address of this host was found; give one with --ip")
    return node_start.Wish(
        node=name,
        address=address,
        address6=_address(options, 6, bgp.ipv6_address or ""),
        number=numbers.as_number(options.value("--as")) if options.value("--as") else None,
        log_dir=options.value("--log-dir") or "/var/log/calico",
        docker=not options.has("--disable-docker-networking"),
        pools=not options.has("--no-default-ippools"),
    )


def _address(options: Options, version: int, before: str) -> str:
    """With its subnet's length: the one asked for, else the one that the node had, else (IPv4 only) one found."""
    prefix = "--ip" if version == 4 else "--ip6"
    asked, method = options.value(prefix), options.value(f"{prefix}-autodetection-method", "first-found")
    if not asked and version == 6 and not options.has("--ip6-autodetection-method"):
        return before
    own = host_address.own_addresses(version)
    if asked == FOUND or not (asked or before):
        return _found(method, own, version)
    network, known = host_address.with_mask(asked or before, own)
    if not known and asked:
        raise Failed(f"Error executing command: {asked} is no address of this host")
    return network if known else _found(method, own, version)


def _found(method: str, own: list[Own], version: int) -> str:
    try:
        return host_address.found(method, own, version)
    except Invalid as error:
        raise Failed(f"Error executing command: {error}") from error
