"""What each document's lab has of its own: how many hosts, which name server, which balancer, images and pages.

One value a document; how its hosts and daemons are made of it is in `daemons`, what is typed on them in `walks`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tortie.base.errors import Invalid
from tortie.base.meant import meant
from tortie.lab.plan import (
    LAPTOP,
    MASTER,
    MAX_AGENTS,
    MAX_PUBLIC,
    MAX_SUBNETS,
    PREFIX,
    PUBLIC_FIRST,
    RESOLVER,
    SUBNET,
    Options,
    Page,
    Role,
)

FILES = Path(__file__).with_name("files")
"""What documents download or have at hand: policy, apps, programs."""
PUBLIC = f"{PREFIX}{PUBLIC_FIRST}"
"""The first public agent, where a document has one."""
PRIVATE_PORTS = "ports:[1025-2180,2182-3887,3889-5049,5052-8079,8082-8180,8182-32000]"
CNI_CONFIGS = "/opt/mesosphere/etc/dcos/network/cni"
CNI_PLUGINS = "/opt/mesosphere/active/cni"


@dataclass(frozen=True, slots=True)
class MesosDns:
    """The name server on the master; with `port` 53 it is what every /etc/resolv.conf names."""

    port: int
    config: str
    ip_sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """Files of `FILES` (a pattern) that lie on hosts of these roles, in this folder; `filled`: placeholders in them and
    what the lab has for these."""

    pattern: str
    roles: tuple[Role, ...] = ("outside", "agent", "public")
    at: str = "/root"
    filled: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """`files`: what people find who type it. `containerizers`: of its agents, in their order of trial; `ports`: what
    these offer. `network`: the one that the lab itself puts into the agents' folder of CNI networks; `modules`: whether
    they have net-modules. `second_resolver`: another address of every host's own name server, kept out of IPAM.
    `led`: places on the laptop, as HOST:PORT, and where each leads. `ssh`: whether the laptop's key
    opens master and agents. `packages`: whether the master has the package service. `exactly`: whether no other number
    of agents will do."""

    name: str
    agents: int
    public_agents: int
    dns: MesosDns
    images: tuple[str, ...]
    """The names under which the lab's registry has images, as `images.NAMES` lists them."""
    pages: tuple[Page, ...]
    files: tuple[Placed, ...]
    service_ports: str = ""
    """MIN-MAX of the balancer that runs on the master; empty where none does."""
    door_port: int = 80
    """Of the entry door on the master."""
    containerizers: str = "docker"
    ports: str = PRIVATE_PORTS
    network: str = ""
    modules: bool = False
    second_resolver: str = ""
    led: tuple[tuple[str, str], ...] = ()
    ssh: bool = False
    packages: bool = False
    exactly: bool = False

    @property
    def nameserver(self) -> str:
        """What /etc/resolv.conf names on every host."""
        return self.second_resolver or (MASTER if self.dns.port == 53 else RESOLVER)

    def containerizers_for(self, runtime: str) -> str:
        """What its agents run containers with: with `--runtime ucr` all of them by the Mesos containerizer."""
        return self.containerizers if runtime == "docker" else "mesos"


def _pages(*first: Page, balancer: str = "", door_port: int = 80) -> tuple[Page, ...]:
    return (
        *first,
        Page("door", 8081, f"{MASTER}:{door_port}"),
        Page("marathon", 8080, f"{MASTER}:8080"),
        Page("mesos", 5050, f"{MASTER}:5050", "/state"),
        *([Page("haproxy", 9090, f"{balancer}:9090", "/haproxy?stats")] if balancer else []),
    )


PRODUCT = "tortie/tortie:0.1.0"
"""What the packages etcd and calico run."""
STARS_IMAGES = ("calico/star:v0.5.0", "mesosphere/star:v0.3.0", "djosborne/star:v0.5.0")
DCOS_NAMES = "/opt/mesosphere/etc/mesos-dns.json"
CORRECTED = "/usr/local/share/tortie/corrected"
"""The policy files of environments as they are meant."""
LAN = (("<your-lan-CIDR>", SUBNET),)
OLDER_FILES = (Placed("*.json"), Placed("hello/*"), Placed("environments/*.yaml"))
"""Labs of the documents that type no loop over all files have them all."""

STARS = Document(
    name="stars",
    agents=2,
    public_agents=0,
    dns=MesosDns(53, "/etc/mesos-dns/config.json", ("netinfo", "mesos", "host")),
    images=STARS_IMAGES,
    pages=_pages(Page("stars", 23078, f"{MASTER}:23078"), balancer=MASTER, door_port=8081),
    files=OLDER_FILES,
    service_ports="20001-29999",
    door_port=8081,
)
HELLO = Document(
    name="hello",
    agents=3,
    public_agents=1,
    dns=MesosDns(61053, DCOS_NAMES, ("netinfo", "host")),
    images=(
        *STARS_IMAGES,
        "calico/hello-dcos:v0.1.0",
        "library/redis:latest",
        "mesosphere/marathon-lb:v1.2.1",
        PRODUCT,
    ),
    pages=_pages(Page("hello", 10120, f"{PUBLIC}:10120"), balancer=PUBLIC),
    files=OLDER_FILES,
    packages=True,
)
COLLECTORS = {"star-before": 9001, "star": 9002, "star-iso": 9003}
"""Ports of the laptop that lead to the pages of net-modules' groups, wherever these run."""
NET_MODULES = Document(
    name="net-modules",
    agents=2,
    public_agents=0,
    dns=MesosDns(53, "/etc/mesos-dns/config.json", ("netinfo", "mesos", "host")),
    images=(),
    pages=_pages(*(Page(group, port, f"{LAPTOP}:{port}") for group, port in COLLECTORS.items())),
    files=(
        *(Placed(f"net-modules/demo/{kind}", at="/root/net-modules/demo") for kind in ("*.sh", "*.json")),
        Placed("net-modules/star/*", ("agent",), "/star"),
    ),
    containerizers="mesos",
    ports="ports(*):[9000-31100]",
    modules=True,
    second_resolver="192.168.255.254",
    led=(
        *((f"127.0.0.1:{port}", f"{MASTER}:{port}") for port in (8080, 5050)),
        *((f"{LAPTOP}:{port}", f"collect.{group}.marathon.mesos:9001") for group, port in COLLECTORS.items()),
    ),
    exactly=True,
)
ENVIRONMENTS = Document(
    name="environments",
    agents=3,
    public_agents=0,
    dns=MesosDns(61053, DCOS_NAMES, ("host", "netinfo")),
    images=("library/nginx:alpine", "donch/net-tools:latest", "oscarfonts/h2:latest", PRODUCT),
    pages=_pages(),
    files=(
        Placed("environments/*.json", ("outside",)),
        Placed("environments/*.yaml", ("agent", "public"), filled=LAN),
        Placed("environments/corrected/*", ("agent", "public"), CORRECTED, LAN),
    ),
    containerizers="docker,mesos",
    network="calico",
    ssh=True,
    packages=True,
)
DOCUMENTS = {document.name: document for document in (STARS, HELLO, NET_MODULES, ENVIRONMENTS)}
STORES = ("sqlite", "etcd")
ROUTINGS = ("direct", "vxlan", "bgp")
RUNTIMES = ("docker", "ucr")
MEMBERS = 3
"""Of the etcd package."""


def check_options(
    document: str,
    *,
    agents: int | None,
    store: str,
    routing: str,
    runtime: str,
    subnets: int | None = None,
    public_agents: int | None = None,
    bare: bool = False,
) -> Options:
    """The options of a lab; Invalid names every one that makes no sense."""
    problems: list[str] = []
    known = DOCUMENTS.get(document)
    if known is None:
        there = ", ".join(DOCUMENTS)
        problems.insert(0, f"no document {document!r}{meant(document, DOCUMENTS) or f'; there are {there}'}")
    if store not in STORES:
        problems.append(f"--store {store}: there are {' and '.join(STORES)}{meant(store, STORES)}")
    if routing not in ROUTINGS:
        problems.append(f"--routing {routing}: there are {', '.join(ROUTINGS)}{meant(routing, ROUTINGS)}")
    if runtime not in RUNTIMES:
        problems.append(f"--runtime {runtime}: there are {' and '.join(RUNTIMES)}{meant(runtime, RUNTIMES)}")
    if subnets is not None and not 1 <= subnets <= MAX_SUBNETS:
        problems.append(f"--subnets {subnets}: expected 1 to {MAX_SUBNETS}")
    elif subnets is not None and subnets > 1 and routing == "direct":
        problems.append(
            f"--subnets {subnets} with --routing direct: between subnets the router would have to know every container;"
            " --routing vxlan hides them from it, --routing bgp tells it"
        )
    if known and known.exactly and (agents not in (None, known.agents) or public_agents):
        problems.append(f"document {document} has exactly {known.agents} agents, and no public one")
    elif agents is not None and not 1 <= agents <= MAX_AGENTS:
        problems.append(f"--agents {agents}: expected 1 to {MAX_AGENTS}")
    if bare and known and not known.packages:
        able = " and ".join(name for name, other in DOCUMENTS.items() if other.packages)
        problems.append(f"--bare with {document}: it installs no packages, so its network would never come; {able} do")
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
        bare=bare,
    )


def from_first_line(options: Options) -> tuple[Options, str]:
    """What a replay begins with: the packages of the document bring its network. Where they cannot, a lab that has it
    already, and why."""
    document = DOCUMENTS[options.document]
    if options.bare or not document.packages:
        return options, ""
    if options.agents < MEMBERS:
        why = f"--agents {options.agents}: the etcd package has {MEMBERS} members, each on its own"
        return options, f"its network is there already, the packages etcd and calico are not installed ({why})"
    return replace(options, bare=True), ""
