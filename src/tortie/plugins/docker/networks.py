"""Which networks this host's engine must make or remove so that a network declared anywhere exists everywhere.

The table in the store (name to declaration) is what is wanted. Engines give the same network different ids, names are
not unique in their API, and a network that is in use cannot be removed: hence a label on replicas, marks of removal for
originals, and clashes that are reported and left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from tortie.base.errors import Invalid
from tortie.plugins.docker.names import DRIVER, REPLICA_LABEL
from tortie.plugins.docker.ports import LocalNetwork
from tortie.plugins.profile import check_network_name

BOTH = "/tortie/v1/docker/networks"
"""Prefix of the table and of the marks: one watch sees them in step. A removal drops a declaration and sets marks in
one transaction; a host that saw the first without the second would declare its original anew."""
TABLE = f"{BOTH}/"
REMOVED = f"{BOTH}-removed/"


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A network as it was declared.

    `originals`: the networks that people made by this name, engine's id to host; more than one only when two people
    did so at the same time. Replicas are not in it, they carry a label instead.
    """

    name: str
    subnet: str | None = None
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
    ipv6: bool = False
    originals: dict[str, str] = {}


def declaration(network: LocalNetwork, host: str) -> Declared:
    """What a network that was made here says to the other hosts."""
    return Declared(
        name=network.name,
        subnet=network.subnet,
        options=dict(network.options),
        labels=dict(network.labels),
        ipv6=network.ipv6,
        originals={network.id: host},
    )


def replica_labels(declared: Declared) -> dict[str, str]:
    return {**declared.labels, REPLICA_LABEL: "true"}


@dataclass(frozen=True, slots=True)
class Plan:
    """`publish`: made here, and the table does not say so yet. `create`: declared, absent here. `remove`: no longer
    declared. `forget`: marks of removal that this host has obeyed. `clashes`: name to what is in the way. `ours`: id
    to name of the networks whose removal here means removal everywhere."""

    publish: list[Declared] = field(default_factory=list)
    create: list[Declared] = field(default_factory=list)
    remove: list[LocalNetwork] = field(default_factory=list)
    forget: list[str] = field(default_factory=list)
    clashes: dict[str, str] = field(default_factory=dict)
    ours: dict[str, str] = field(default_factory=dict)


def plan(table: Mapping[str, Declared], removed: Mapping[str, str], local: Sequence[LocalNetwork], host: str) -> Plan:
    """What separates this host's engine from the table. `removed`: the marks of removal, id to host."""
    todo = Plan()
    for network in local:
        declared = table.get(network.name)
        if network.driver == DRIVER and (problem := _unfit(network.name)):
            todo.clashes[network.name] = problem
        elif network.driver == DRIVER:
            _place(todo, network, declared, removed, host)
        elif declared:
            todo.clashes[network.name] = f"a network of driver {network.driver} has this name here"
    present = {network.name for network in local}
    todo.create.extend(declared for name, declared in sorted(table.items()) if name not in present)
    ids = {network.id for network in local}
    todo.forget.extend(sorted(id_ for id_, where in removed.items() if where == host and id_ not in ids))
    return todo


def _place(todo: Plan, network: LocalNetwork, declared: Declared | None, removed: Mapping[str, str], host: str) -> None:
    """Put one network of ours where it belongs."""
    replica = REPLICA_LABEL in network.labels
    same = declared is not None and (declared.subnet, declared.ipv6) == (network.subnet, network.ipv6)
    if network.id in removed:
        todo.remove.append(network)
    elif declared is None:
        if replica:
            todo.remove.append(network)
        else:
            todo.publish.append(declaration(network, host))
    elif same:
        todo.ours[network.id] = network.name
        if not replica and network.id not in declared.originals:
            originals = {**declared.originals, network.id: host}
            todo.publish.append(msgspec.structs.replace(declared, originals=originals))
    elif replica:
        todo.remove.append(network)
    else:
        todo.clashes[network.name] = (
            f"it was made here with {_subnet(network.subnet)}, elsewhere with {_subnet(declared.subnet)}"
        )


def _unfit(name: str) -> str:
    try:
        check_network_name(name)
    except Invalid as error:
        return str(error)
    return ""


def _subnet(subnet: str | None) -> str:
    return f"subnet {subnet}" if subnet else "no subnet"
