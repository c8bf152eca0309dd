"""A member as a Mesos task: which offer holds it, what of the offer it takes, and the command that it runs."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from tortie.base.errors import Invalid
from tortie.mesos import resources
from tortie.packages.etcd.values import Kept, Member
from tortie.wire import mesos

PORTS = 3
TASK_NAME = "etcd-server"
SERVICE_LABEL = "DNS_SERVICE"
KEPT_REVISIONS = 10_000
SEED_FILE = "seed.db"

Container = Literal["docker", "mesos", "host"]


@dataclass(frozen=True, slots=True)
class Needs:
    """What every member takes. `container`: Docker's engine, Mesos's own, or none: then etcd is the host's."""

    cpus: float
    mem: float
    disk: float
    image: str
    container: Container = "docker"
    framework: str = "etcd"
    verbosity: int = 1


def place(offer: mesos.Offer, needs: Needs, used: Collection[str]) -> tuple[int, ...] | str:
    """The three lowest ports of an offer that can hold a member, or why it cannot. `used`: agents that have one."""
    if offer.agent_id.value in used:
        return "a member is there already"
    try:
        free = resources.from_wire(offer.resources).of_roles("*")
    except Invalid as error:
        return str(error)
    plain = resources.Resources({key: value for key, value in free if not key.extra})
    for name, wanted in (("cpus", needs.cpus), ("mem", needs.mem), ("disk", needs.disk)):
        if plain.scalar(name) < wanted:
            return f"{name}: {plain.scalar(name):g} of {wanted:g}"
    ports: list[int] = []
    for low, high in plain.ranges("ports"):
        ports += range(low, min(high, low + PORTS - len(ports) - 1) + 1)
        if len(ports) == PORTS:
            return tuple(ports)
    return "fewer than three free ports"


def new_member(kept: Kept, offer: mesos.Offer, ports: Sequence[int], token: str, now: float) -> Member:
    """The next member, on the agent of this offer."""
    name = f"etcd-{kept.number}"
    peer, client, http = ports
    return Member(
        name=name,
        task=f"{name}.{token}",
        agent=offer.agent_id.value,
        host=offer.hostname,
        peer=peer,
        client=client,
        http=http,
        since=now,
    )


def task_of(
    member: Member, kept: Kept, needs: Needs, others: Sequence[tuple[str, str]], seed: str = ""
) -> mesos.TaskInfo:
    """`others`: name and peer address of every member that is there already. `seed`: the address of what it begins
    with."""
    line = command_line(member, kept, needs, others, seeded=bool(seed))
    uris = [mesos.URI(value=seed, output_file=SEED_FILE, extract=False)] if seed else []
    docker = mesos.DockerInfo(image=needs.image, network="HOST")
    containers = {
        "docker": mesos.ContainerInfo(type="DOCKER", docker=docker),
        "mesos": mesos.ContainerInfo(
            type="MESOS", mesos={"image": {"type": "DOCKER", "docker": {"name": needs.image}}}
        ),
    }
    return mesos.TaskInfo(
        name=TASK_NAME,
        task_id=mesos.ID(value=member.task),
        agent_id=mesos.ID(value=member.agent),
        resources=_resources(member, needs),
        command=mesos.CommandInfo(value=line, uris=uris),
        container=containers.get(needs.container),
        discovery=_discovery(member, needs),
        labels=mesos.Labels(labels=[mesos.Label(key="etcd-member", value=member.name)]),
    )


def command_line(member: Member, kept: Kept, needs: Needs, others: Sequence[tuple[str, str]], *, seeded: bool) -> str:
    """The shell's line. Data lie in the sandbox: they end with the member, and another one takes its place."""
    data = "$MESOS_SANDBOX/etcd-data"
    cluster = ",".join(f"{name}={url}" for name, url in (*others, (member.name, member.peer_url)))
    token = f"{needs.framework}-{kept.framework_id}-{kept.epoch}"
    arguments = (
        *("--name", member.name, "--logger", "zap", "--log-level", "info" if needs.verbosity > 1 else "warn"),
        *("--listen-client-urls", f"http://0.0.0.0:{member.client}", "--advertise-client-urls", member.client_url),
        *("--listen-peer-urls", f"http://0.0.0.0:{member.peer}", "--initial-advertise-peer-urls", member.peer_url),
        *("--listen-metrics-urls", f"http://0.0.0.0:{member.http}"),
        *("--initial-cluster", cluster, "--initial-cluster-token", token),
        *("--initial-cluster-state", "existing" if others else "new"),
        *("--auto-compaction-mode", "revision", "--auto-compaction-retention", str(KEPT_REVISIONS)),
    )
    run = f'exec etcd --data-dir "{data}" {shlex.join(arguments)}'
    if not seeded:
        return run
    restore = (
        *("--name", member.name, "--initial-cluster", cluster, "--initial-cluster-token", token),
        *("--initial-advertise-peer-urls", member.peer_url),
    )
    source = f'"$MESOS_SANDBOX/{SEED_FILE}" --data-dir "{data}"'
    return f"ETCDCTL_API=3 etcdctl snapshot restore {source} {shlex.join(restore)} && {run}"


def _resources(member: Member, needs: Needs) -> list[mesos.Resource]:
    scalars = (("cpus", needs.cpus), ("mem", needs.mem), ("disk", needs.disk))
    ports = [mesos.Range(begin=port, end=port) for port in sorted((member.peer, member.client, member.http))]
    return [
        *(mesos.Resource(name=n, type="SCALAR", scalar=mesos.Scalar(value=v), role="*") for n, v in scalars if v),
        mesos.Resource(name="ports", type="RANGES", ranges=mesos.Ranges(range=ports), role="*"),
    ]


def _discovery(member: Member, needs: Needs) -> mesos.DiscoveryInfo:
    """`_etcd-server._tcp` leads to the peers and `_etcd-server._client` to the clients, as ever. etcd's own programs
    ask for `_etcd-client._tcp`: a name that only a label can say, as a task has one name."""
    own = mesos.Labels(labels=[mesos.Label(key=SERVICE_LABEL, value="_etcd-client._tcp")])
    ports = [
        mesos.Port(number=member.peer, protocol="tcp"),
        mesos.Port(number=member.client, protocol="client", labels=own),
    ]
    return mesos.DiscoveryInfo(visibility="EXTERNAL", name=TASK_NAME, ports=mesos.Ports(ports=ports))
