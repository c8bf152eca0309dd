"""The three files of a container that say who and where it is. Values only."""

from __future__ import annotations

from collections.abc import Sequence

from tortie.base.errors import Invalid
from tortie.mesos.agent.cni.results import Result

LONGEST = 64


def hostname(asked: str, container_id: str) -> str:
    """Invalid when it can be no host's name."""
    name = asked or container_id
    if len(name.encode()) > LONGEST or any(c.isspace() or not c.isprintable() for c in name):
        raise Invalid(f"Failed to set hostname: '{name}' is not a host's name")
    return name


def hosts(name: str, results: Sequence[Result]) -> str:
    """The container's own name leads to its first address."""
    first = [address for result in results for address in result.addresses][:1]
    return "".join(f"{line}\n" for line in ["127.0.0.1 localhost", *(f"{address} {name}" for address in first)])


def resolv_conf(results: Sequence[Result], of_host: str) -> str:
    """What the networks say together; the host's when none of them names a server."""
    told = [result.dns for result in results if result.dns.nameservers]
    if not told:
        return of_host
    domain = next((dns.domain for dns in told if dns.domain), "")
    search = dict.fromkeys(word for dns in told for word in dns.search)
    options = dict.fromkeys(word for dns in told for word in dns.options)
    servers = dict.fromkeys(word for dns in told for word in dns.nameservers)
    lines = [
        *([f"domain {domain}"] if domain else []),
        *([f"search {' '.join(search)}"] if search else []),
        *([f"options {' '.join(options)}"] if options else []),
        *(f"nameserver {server}" for server in servers),
    ]
    return "".join(f"{line}\n" for line in lines)
