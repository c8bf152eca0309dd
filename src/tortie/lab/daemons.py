"""The hosts and daemons of each document, in one place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from tortie.lab.documents import CNI_CONFIGS, CNI_PLUGINS, DOCUMENTS, Document
from tortie.lab.etcd import etcd_url, on_etcd
from tortie.lab.first import BACKENDS, package_defaults
from tortie.lab.plan import (
    LAPTOP,
    MASTER,
    POOL,
    RESOLVER,
    SWITCH,
    SWITCH_ADDRESS,
    Daemon,
    Host,
    Options,
    Page,
    Plan,
    Ready,
    Role,
    agents_of,
    on_subnet,
    public_agents_of,
    subnet_of,
    without,
)

STORE = "sqlite:///var/lib/tortie/store"
PACKAGES = "127.0.0.1:7070"
"""Where the package service listens: the door alone asks it."""
TORTIE = "/usr/local/bin/tortie"
PYTHON = "/usr/local/lib/tortie/python"
DOCKER_SOCKET = "/run/docker.sock"
NODE_SOCKET = "/run/tortie/node.sock"
ROUTER, ROUTER_CONFIG = "router", "/etc/bird/bird.conf"
SERVICES = "/var/lib/tortie/services"
IMAGES = "/var/cache/tortie/images"
"""Made once on a machine, kept by all its labs."""
ARCHIVES = "/var/lib/tortie/images"
"""The document's images as archives, for the Mesos containerizer of every host; what one imports all have."""
MODULES, SSHD_CONFIG = "/calico/modules.json", "/etc/ssh/sshd_config"
PUBLIC_PORTS, PUBLIC_ROLE = "ports:[1-21,23-5050,5052-32000]", "slave_public"
"""What the cluster keeps for apps that ask for its public agents."""
NETWORK_DAEMONS = frozenset({"node-boot", "node", "plugins"})
"""What a bare lab has not: the packages bring it."""
TITLES = {"haproxy": "HAProxy"}
"""Of pages whose name in capitals is not what people write."""


def dockerd(lab: str, host: str) -> Daemon:
    """The host's own engine, without a bridge and without rules of its own; its containers' cgroups are the lab's."""
    argv = (
        "dockerd",
        "--host=unix:///var/run/docker.sock",
        "--bridge=none",
        "--iptables=false",
        "--live-restore",
        "--exec-opt",
        "native.cgroupdriver=cgroupfs",
        f"--cgroup-parent=/{cgroup(lab)}/{host}",
        f"--registry-mirror=http://{SWITCH_ADDRESS}:5000",
    )
    # Engines from 29 on refuse clients of the API version that everyone else still speaks, unless told.
    env = {"DOCKER_MIN_API_VERSION": "1.24"}
    return Daemon("dockerd", argv, ("node-boot",), Ready("http", DOCKER_SOCKET, "/_ping"), env, grace=15)


def cgroup(lab: str) -> str:
    """The lab's cgroup, by the same path in every hierarchy."""
    return f"tortie-{lab}"


def node(host: str, address: str, routing: str) -> tuple[Daemon, Daemon]:
    """A closed table before anything else runs, then the node agent."""
    boot = Daemon("node-boot", (TORTIE, "node", "boot"), ready=Ready("exit"))
    argv = (
        *(TORTIE, "node", "run", "--hostname", host, "--address", f"{address}/24", "--store", STORE),
        *("--networking-backend", BACKENDS[routing]),
    )
    return boot, Daemon("node", argv, ("node-boot",), Ready("listens", NODE_SOCKET))


def resolver(document: Document) -> Daemon:
    """Every host's own name server: DC/OS's names it knows itself, `.mesos` is Mesos-DNS's, others are refused."""
    listen = (f"{address}:53" for address in (RESOLVER, document.second_resolver) if address)
    argv = (
        *(TORTIE, "dns", "run", "--role", "resolver", *(word for at in listen for word in ("--listen", at))),
        *(
            "--http",
            "127.0.0.1:62080",
            "--master",
            f"{MASTER}:5050",
            "--forward",
            f"mesos={MASTER}:{document.dns.port}",
        ),
    )
    return Daemon("resolver", argv, ready=Ready("listens", f"{RESOLVER}:53"))


def master_daemons(lab: str, options: Options) -> tuple[Daemon, ...]:
    document = DOCUMENTS[options.document]
    marathon = (
        *(TORTIE, "marathon", "run", "--master", f"{MASTER}:5050", "--http-port", "8080", "--store", STORE),
        *("--mesos-role", PUBLIC_ROLE, "--default-accepted-resource-roles", "*"),
    )
    return (
        *node("master", MASTER, options.routing),
        dockerd(lab, "master"),
        resolver(document),
        Daemon(
            "master",
            (TORTIE, "master", "run", "--ip", MASTER, "--port", "5050", "--store", STORE),
            ready=Ready("listens", f"{MASTER}:5050"),
        ),
        Daemon("marathon", marathon, ("master",), Ready("listens", f"{MASTER}:8080")),
        Daemon(
            "dns",
            (TORTIE, "dns", "run", "--config", document.dns.config),
            ("master",),
            Ready("listens", f"{MASTER}:{document.dns.port}"),
        ),
        *([balancer(document.service_ports)] if document.service_ports else []),
        *([sshd(MASTER)] if document.ssh else []),
        *([packages(options)] if document.packages else []),
        door(document),
    )


def packages(options: Options) -> Daemon:
    """The master has no agent: what rollouts bring to it comes this way, too."""
    argv = (
        *(TORTIE, "packages", "run", "--listen", PACKAGES, "--marathon", f"http://{MASTER}:8080"),
        *("--master", f"{MASTER}:5050", "--store", STORE),
        *("--station", "--defaults", json.dumps(package_defaults(options))),
    )
    return Daemon("packages", argv, ("marathon",), Ready("listens", PACKAGES))


def door(document: Document, ports: Mapping[str, int] | None = None) -> Daemon:
    """The entry door. Its front page leads to those of the lab's pages that the door does not serve itself, once they
    answer. `ports`: by page's name, where another one leads there than usual."""
    served = ("door", "marathon", "mesos", *(["haproxy"] if document.service_ports else []))
    shown = [
        (TITLES.get(page.name, page.name.capitalize()), page) for page in document.pages if page.name not in served
    ]
    links = [f"--link={title}=:{(ports or {}).get(page.name, page.port)}{page.path}" for title, page in shown]
    asked = [f"--ask={title}=http://{page.target}{page.path}" for title, page in shown]
    argv = (
        *(TORTIE, "door", "run", "--listen", f"{MASTER}:{document.door_port}", "--public-ip", MASTER),
        *("--master", f"{MASTER}:5050", "--marathon", f"http://{MASTER}:8080", "--mesos-dns", f"http://{MASTER}:8123"),
        *("--net", "http://127.0.0.1:62080"),
        *(("--balancer", f"http://{MASTER}:9090") if document.service_ports else ()),
        *(("--packages", f"http://{PACKAGES}") if document.packages else ()),
        *links,
        *asked,
    )
    return Daemon("door", argv, ("marathon",), Ready("listens", f"{MASTER}:{document.door_port}"))


def with_ports(plan: Plan, ports: Mapping[str, int]) -> Plan:
    """With the ports that `up` found free for the pages."""
    argv = door(DOCUMENTS[plan.options.document], ports).argv

    def of(host: Host) -> Host:
        return replace(host, daemons=tuple(replace(d, argv=argv) if d.name == "door" else d for d in host.daemons))

    return replace(plan, hosts=tuple(map(of, plan.hosts)))


def balancer(service_ports: str) -> Daemon:
    argv = (
        *(TORTIE, "lb", "run", "--marathon", f"http://{MASTER}:8080", "--group", "external"),
        f"--auto-assign-service-ports={service_ports}",
    )
    return Daemon("lb", argv, ("marathon",), Ready("listens", f"{MASTER}:80"))


def agent_daemons(lab: str, name: str, address: str, options: Options) -> tuple[Daemon, ...]:
    public, document = name in public_agents_of(options), DOCUMENTS[options.document]
    containerizers = document.containerizers_for(options.runtime)
    argv = (
        *(TORTIE, "agent", "run", "--master", f"{MASTER}:5050", "--ip", address, "--port", "5051"),
        *("--hostname", address, "--resources", f"cpus:4;mem:4096;{PUBLIC_PORTS if public else document.ports}"),
        *(("--default-role", PUBLIC_ROLE) if public else ()),
        *("--work-dir", "/var/lib/mesos"),
        *(mesos_containerizer(lab, name, containerizers, document) if "mesos" in containerizers else ()),
    )
    plugins = plugin_daemons(containerizers, document)
    first = ("dockerd", "node", *(daemon.name for daemon in plugins))
    agent = Daemon("agent", argv, first, Ready("listens", f"{address}:5051"))
    own = (resolver(document), *([sshd(address)] if document.ssh else []))
    return (*node(name, address, options.routing), dockerd(lab, name), *plugins, agent, *own)


def mesos_containerizer(lab: str, host: str, containerizers: str, document: Document) -> tuple[str, ...]:
    """The agent's options for tasks that no engine runs: images from archives, networks by CNI or by net-modules."""
    common = ("--containerizers", containerizers, "--cgroups-root", f"{cgroup(lab)}/{host}/mesos")
    images = (
        *("--image-providers", "docker", "--docker-registry", ARCHIVES),
        *("--docker-store-dir", "/var/lib/mesos/store/docker"),
    )
    if not document.modules:
        networks = ("--network-cni-config-dir", CNI_CONFIGS, "--network-cni-plugins-dir", CNI_PLUGINS)
        return (*common, *images, *networks)
    module = "com_mesosphere_mesos_Network{}"
    modules = ("--modules", f"file://{MODULES}", "--isolation", module.format("Isolator"))
    return (*common, *images, *modules, "--hooks", module.format("Hook"))


def plugin_daemons(containerizers: str, document: Document) -> tuple[Daemon, ...]:
    """The launchers of the node's plug-ins, put where the agent looks for them."""
    if "mesos" not in containerizers:
        return ()
    what = (
        ("install-netmodules", "--bin-dir", "/calico")
        if document.modules
        else ("install-cni", "--bin-dir", CNI_PLUGINS)
    )
    return (Daemon("plugins", (TORTIE, "node", *what), ("node",), Ready("exit")),)


def sshd(address: str) -> Daemon:
    return Daemon("sshd", ("/usr/sbin/sshd", "-D", "-e", "-f", SSHD_CONFIG), ready=Ready("listens", f"{address}:22"))


def laptop_daemons(document: Document) -> tuple[Daemon, ...]:
    """Its own name server, and its places that lead elsewhere."""
    if not document.led:
        return (resolver(document),)
    led = (f"{at}={to}" for at, to in document.led)
    return resolver(document), Daemon("ports", (PYTHON, "-m", "tortie.lab.forward", *led))


def switch(options: Options, pages: tuple[Page, ...]) -> Host:
    """The bridges' own namespace: the image registry, the artifact server, and the way in from 127.0.0.1."""
    forward = (PYTHON, "-m", "tortie.lab.forward", *(f"{page.name}={page.target}" for page in pages))
    services = (
        *(PYTHON, "-m", "tortie.lab.services", "--address", SWITCH_ADDRESS),
        *("--state", SERVICES, "--images", IMAGES, "--document", options.document),
        *(("--archives", ARCHIVES) if needs_archives(options) else ()),
    )
    daemons = (
        Daemon("services", services, ready=Ready("listens", f"{SWITCH_ADDRESS}:5000")),
        Daemon("forward", forward, listen=tuple(page.name for page in pages)),
    )
    others = tuple(on_subnet(n, 2) for n in range(1, options.subnets))
    return Host(SWITCH, SWITCH_ADDRESS, "switch", daemons, between(options, SWITCH_ADDRESS), others=others)


def needs_archives(options: Options) -> bool:
    return "mesos" in DOCUMENTS[options.document].containerizers_for(options.runtime)


def between(options: Options, address: str) -> tuple[tuple[str, str], ...]:
    """A host's routes to the lab's other subnets, by the router on its own."""
    own = subnet_of(address)
    others = [n for n in range(options.subnets) if n != own]
    return tuple((f"{on_subnet(n, 0)}/24", on_subnet(own, 1)) for n in others)


def router(options: Options) -> Host:
    """.1 of every subnet. It knows the hosts' subnets; containers only if BGP tells it."""
    first, *others = (on_subnet(n, 1) for n in range(options.subnets))
    daemons = (bird(),) if options.routing == "bgp" else ()
    return Host(ROUTER, first, "router", daemons, others=tuple(others))


def bird() -> Daemon:
    argv = ("bird", "-f", "-c", ROUTER_CONFIG, "-s", "/run/bird.ctl")
    return Daemon("bird", argv, ready=Ready("listens", "/run/bird.ctl"))


def plan_of(lab: str, options: Options) -> Plan:
    """The hosts of a document: laptop .10 outside everything, master .101, agents from .102, public ones from .201."""
    document = DOCUMENTS[options.document]
    agents, public = agents_of(options), public_agents_of(options)

    def host(name: str, address: str, role: Role, daemons: tuple[Daemon, ...], *routes: tuple[str, str]) -> Host:
        return Host(name, address, role, daemons, (*between(options, address), *routes), document.nameserver)

    hosts = (
        switch(options, document.pages),
        *([router(options)] if options.subnets > 1 else []),
        # The outside client reaches containers by way of agent-1; answers may come back by another way.
        host("laptop", LAPTOP, "outside", laptop_daemons(document), (POOL, agents["agent-1"])),
        host("master", MASTER, "master", master_daemons(lab, options)),
        *(host(name, at, "agent", agent_daemons(lab, name, at, options)) for name, at in agents.items()),
        *(host(name, at, "public", agent_daemons(lab, name, at, options)) for name, at in public.items()),
    )
    plan = Plan(lab, options, hosts, document.pages)
    if options.bare:
        plan = without(plan, NETWORK_DAEMONS)
    return on_etcd(plan, store=STORE, master=MASTER, python=PYTHON) if options.store == "etcd" else plan


def store_of(options: Options) -> str:
    """The address of the lab's store, as its hosts know it."""
    return etcd_url(MASTER) if options.store == "etcd" else STORE
