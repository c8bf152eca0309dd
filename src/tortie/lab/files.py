"""What a host finds in its /etc, on its PATH and in its /root. Texts are decided here; `root.put` writes them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from tortie.lab.daemons import MODULES, PYTHON, ROUTER_CONFIG
from tortie.lab.documents import CNI_CONFIGS, CNI_PLUGINS, Document, MesosDns
from tortie.lab.plan import FABRIC_AS, MASTER, NETWORK, NODE_AS, SWITCH_ADDRESS, Host
from tortie.packages.rollout.inventory import for_mesos, network
from tortie.store.open import CLUSTER, CONFIGURED
from tortie.wire.netmodules import modules

ENTRY = """\
import sys
sys.path[:0] = {path!r}
sys.argv[0] = {name!r}
from {module} import main
sys.exit(main())
"""
PROGRAMS = {
    "tortie": "tortie.cli.main",
    "calicoctl": "tortie.cli.calicoctl.main",
    "dcos": "tortie.cli.dcos.main",
    "star-probe": "tortie.stars.probe",
    "star-collect": "tortie.stars.collect",
}
INIT_PROGRAMS = {"systemctl": "tortie.lab.systemctl", "systemd-run": "tortie.lab.systemd_run"}
"""In /usr/bin, where the machine's own are that could speak to none of the lab's supervisors: every PATH has it."""
INTERNET = ("github.com", "raw.githubusercontent.com")
"""Names that lead to the lab's own artifact server."""
CA_NAME = "tortie-lab-ca"


@dataclass(frozen=True, slots=True)
class File:
    """`text` as a whole file, or, with `append`, behind what is there already; or a link to another path; or, with a
    path that ends with a slash, an empty folder."""

    path: str
    text: str = ""
    mode: int = 0o644
    append: bool = False
    link: str = ""


def of_host(
    host: Host,
    hosts: Sequence[Host],
    *,
    document: Document,
    python: str,
    path: Sequence[str],
    store: str,
    bare: bool = False,
) -> list[File]:
    """Everything but the lab's CA. `python`: the interpreter; `path`: what it needs to find our packages;
    `store`: the address of the lab's store, with `bare` of the cluster's alone: the network has none yet."""
    files = [
        File("/etc/hostname", f"{host.name}\n"),
        File("/etc/hosts", etc_hosts(host, hosts)),
        File("/etc/nsswitch.conf", nsswitch()),
        # Settings of the machine's own engine, proxies and the like have no place in a lab.
        File("/etc/docker/daemon.json", "{}\n"),
        File("/etc/environment"),
        File(CLUSTER if bare else CONFIGURED, f"{store}\n"),
        File("/etc/mtab", link="/proc/self/mounts"),
        *programs(python, path),
    ]
    if host.nameserver:
        files.append(File("/etc/resolv.conf", f"nameserver {host.nameserver}\n"))
    if host.role == "master":
        files.append(File(document.dns.config, mesos_dns(document.dns)))
    if host.role in ("agent", "public"):
        files += networks(document, bare=bare)
    if host.role == "outside":
        files.append(File("/root/.dcos/dcos.toml", dcos(document), 0o600))
    if host.role == "router":
        files.append(File(ROUTER_CONFIG, router_bird(host)))
    return files


def etc_hosts(host: Host, hosts: Sequence[Host]) -> str:
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    lines += [f"{other.address}\t{other.name}" for other in hosts if other.role != "switch" or other is host]
    lines.append(f"{SWITCH_ADDRESS}\t{' '.join(INTERNET)}")
    return "\n".join(lines) + "\n"


def nsswitch() -> str:
    sources = {"passwd": "files", "group": "files", "shadow": "files", "hosts": "files dns", "networks": "files"}
    return "".join(f"{name}:\t{where}\n" for name, where in sources.items())


def mesos_dns(wanted: MesosDns) -> str:
    config = {
        "masters": [f"{MASTER}:5050"],
        "refreshSeconds": 5,
        "ttl": 60,
        "domain": "mesos",
        "port": wanted.port,
        "listener": MASTER,
        "httpPort": 8123,
        "resolvers": [],
        "externalOn": False,
        "IPSources": list(wanted.ip_sources),
    }
    # One line a setting, as the document shows the line that it edits.
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in config.items())
    return f"{{\n{lines}\n}}\n"


def dcos(document: Document) -> str:
    """The laptop's dcos knows the cluster by its entry door, and waits longer than its five seconds: all hosts of a lab
    are one machine."""
    port = "" if document.door_port == 80 else f":{document.door_port}"
    return f'[core]\ndcos_url = "http://{MASTER}{port}"\ntimeout = 60\n'


def networks(document: Document, *, bare: bool = False) -> list[File]:
    """How an agent without Docker comes to its networks; a bare one has the empty folders."""
    found = [File(f"{CNI_CONFIGS}/"), File(f"{CNI_PLUGINS}/")]
    if document.network and not bare:
        found.append(File(f"{CNI_CONFIGS}/{document.network}.cni", cni(document.network)))
    if document.modules:
        found.append(File(MODULES, modules("/calico/calico_mesos")))
    return found


def cni(name: str) -> str:
    """A network's file for Mesos."""
    return network(for_mesos(network=name))


def router_bird(host: Host) -> str:
    """BIRD on the router: any node of the lab may tell it which containers it has."""
    return f"""\
router id {host.address};
protocol device {{ scan time 2; }}
protocol direct {{ ipv4; }}
protocol kernel {{ persist; ipv4 {{ import none; export where source = RTS_BGP; }}; }}
protocol bgp nodes {{
  local as {FABRIC_AS};
  neighbor range {NETWORK} as {NODE_AS};
  dynamic name "node_";
  graceful restart;
  ipv4 {{ import all; export none; }};
}}
"""


def programs(python: str, path: Sequence[str]) -> list[File]:
    """Our commands on the host's PATH, run by the interpreter and the code that made the lab."""
    quoted, found = shlex.quote(python), shlex.quote(":".join(path))
    files = [File(PYTHON, f'#!/bin/sh\nPYTHONPATH={found}${{PYTHONPATH:+:$PYTHONPATH}} exec {quoted} -P "$@"\n', 0o755)]
    placed = [("/usr/local/bin", PROGRAMS), ("/usr/bin", INIT_PROGRAMS)]
    for folder, name, module in ((folder, *named) for folder, of in placed for named in of.items()):
        entry = f"/usr/local/lib/tortie/{name}.py"
        files.append(File(entry, ENTRY.format(path=list(path), name=name, module=module)))
        files.append(File(f"{folder}/{name}", f'#!/bin/sh\nexec {quoted} -P {entry} "$@"\n', 0o755))
    return files


def authority(certificate: str, hashed: str) -> list[File]:
    """The lab's CA where Debian's programs look for authorities; `hashed`: OpenSSL's name for it."""
    return [
        File(f"/usr/local/share/ca-certificates/{CA_NAME}.crt", certificate),
        File(f"/etc/ssl/certs/{CA_NAME}.pem", certificate),
        File(f"/etc/ssl/certs/{hashed}.0", link=f"{CA_NAME}.pem"),
        File("/etc/ssl/certs/ca-certificates.crt", certificate, append=True),
    ]
