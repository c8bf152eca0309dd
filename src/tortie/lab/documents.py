"""What each document's lab has of its own: how many hosts, which name server, which balancer, images and pages.

One value a document; how its hosts and daemons are made of it is in `daemons`, what is typed on them in `walks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tortie.base.errors import Invalid
from tortie.base.meant import meant
from tortie.lab.plan import MASTER, MAX_AGENTS, MAX_PUBLIC, MAX_SUBNETS, PREFIX, PUBLIC_FIRST, RESOLVER, Options, Page

FILES = Path(__file__).with_name("files")
"""What documents download or have at hand: policy, apps, programs."""
PUBLIC = f"{PREFIX}{PUBLIC_FIRST}"
"""The first public agent, where a document has one."""


@dataclass(frozen=True, slots=True)
class MesosDns:
    """The name server on the master; with `port` 53 it is what every /etc/resolv.conf names."""

    port: int
    config: str
    ip_sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    name: str
    agents: int
    public_agents: int
    dns: MesosDns
    images: tuple[str, ...]
    """The names under which the lab's registry has images, as `images.NAMES` lists them."""
    pages: tuple[Page, ...]
    service_ports: str = ""
    """MIN-MAX of the balancer that runs on the master; empty where none does."""
    door_port: int = 80
    """Of the entry door on the master."""

    @property
    def nameserver(self) -> str:
        """What /etc/resolv.conf names on every host."""
        return MASTER if self.dns.port == 53 else RESOLVER


def _pages(first: Page, balancer: str, door_port: int = 80) -> tuple[Page, ...]:
    return (
        first,
        Page("door", 8081, f"{MASTER}:{door_port}"),
        Page("marathon", 8080, f"{MASTER}:8080"),
        Page("mesos", 5050, f"{MASTER}:5050", "/state"),
        Page("haproxy", 9090, f"{balancer}:9090", "/haproxy?stats"),
    )


STARS_IMAGES = ("calico/star:v0.5.0", "mesosphere/star:v0.3.0", "djosborne/star:v0.5.0")

STARS = Document(
    name="stars",
    agents=2,
    public_agents=0,
    dns=MesosDns(53, "/etc/mesos-dns/config.json", ("netinfo", "mesos", "host")),
    images=STARS_IMAGES,
    pages=_pages(Page("stars", 23078, f"{MASTER}:23078"), MASTER, 8081),
    service_ports="20001-29999",
    door_port=8081,
)
HELLO = Document(
    name="hello",
    agents=3,
    public_agents=1,
    dns=MesosDns(61053, "/opt/mesosphere/etc/mesos-dns.json", ("netinfo", "host")),
    images=(*STARS_IMAGES, "calico/hello-dcos:v0.1.0", "library/redis:latest", "mesosphere/marathon-lb:v1.2.1"),
    pages=_pages(Page("hello", 10120, f"{PUBLIC}:10120"), PUBLIC),
)
DOCUMENTS = {document.name: document for document in (STARS, HELLO)}
LATER_DOCUMENTS = ("net-modules", "environments")
STORES = ("sqlite", "etcd")
ROUTINGS = ("direct", "vxlan", "bgp")


def check_options(
    document: str,
    *,
    agents: int | None,
    later: Mapping[str, Any],
    store: str,
    routing: str,
    runtime: str,
    subnets: int | None = None,
    public_agents: int | None = None,
) -> Options:
    """The options of a lab; Invalid names every one that this version does not have."""
    problems = [f"{name} is not available yet" for name, value in later.items() if value]
    known = DOCUMENTS.get(document)
    there = " and ".join(DOCUMENTS)
    if document in LATER_DOCUMENTS:
        problems.insert(0, f"document {document} is not available yet; there are {there}")
    elif known is None:
        problems.insert(0, f"no document {document!r}{meant(document, DOCUMENTS) or f'; there are {there}'}")
    if store not in STORES:
        problems.append(f"--store {store}: there are {' and '.join(STORES)}{meant(store, STORES)}")
    if routing not in ROUTINGS:
        problems.append(f"--routing {routing}: there are {', '.join(ROUTINGS)}{meant(routing, ROUTINGS)}")
    if runtime != "docker":
        problems.append(f"--runtime {runtime} is not available yet; docker is")
    if subnets is not None and not 1 <= subnets <= MAX_SUBNETS:
        problems.append(f"--subnets {subnets}: expected 1 to {MAX_SUBNETS}")
    elif subnets is not None and subnets > 1 and routing == "direct":
        problems.append(
            f"--subnets {subnets} with --routing direct: between subnets the router would have to know every container;"
            " --routing vxlan hides them from it, --routing bgp tells it"
        )
    if agents is not None and not 1 <= agents <= MAX_AGENTS:
        problems.append(f"--agents {agents}: expected 1 to {MAX_AGENTS}")
    least = min(known.public_agents, 1) if known else 0
    if public_agents is not None and not least <= public_agents <= MAX_PUBLIC:
        problems.append(f"--public-agents {public_agents}: expected {least} to {MAX_PUBLIC}")
    if problems or known is None:
        raise Invalid(*problems)
    return Options(
        document=document,
        agents=known.agents if agents is None else agents,
        store=store,
        routing=routing,
        runtime=runtime,
        subnets=subnets or 1,
        public_agents=known.public_agents if public_agents is None else public_agents,
    )
