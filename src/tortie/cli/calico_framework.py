"""`tortie packages install-framework`: what the package calico's app runs."""

from __future__ import annotations

from typing import Any, get_args

import click

from tortie.cli import first_network
from tortie.cli.framework_options import cluster, option, page_port, place, process
from tortie.dataplane.routes import Backend

_LIMIT = click.FloatRange(0.01)


@click.command("install-framework")
@cluster
@click.option(
    "--port", default="$PORT0", show_default=True, help="Of the pages; $PORT0 is the one that Marathon gives."
)
@option("--status-dns", "CALICO_STATUS_DNS", default=None, help="The name in the page's link. [default: --hostname]")
@option(
    "--find-etcd",
    "CALICO_ENABLE_RUN_ETCD_PROXY",
    type=bool,
    default=True,
    help="The members of the etcd package are the network's store; without it, --etcd-endpoints are.",
)
@option("--etcd-srv", "ETCD_SRV", default="etcd.mesos", help="Its first label names the etcd package's framework.")
@option("--etcd-endpoints", "ETCD_ENDPOINTS", default="http://localhost:2379", help="Several with commas.")
@option("--docker", "CALICO_ALLOW_DOCKER_UPDATE", type=bool, default=True, help="Nodes serve Docker's plug-ins.")
@option("--install-cni", "CALICO_ENABLE_INSTALL_CNI", type=bool, default=True, help="Plug-ins, and an agent restart.")
@option("--cni-plugins-dir", "MESOS_CNI_PLUGINS_DIR", default="/opt/mesosphere/active/cni/")
@option("--cni-config-dir", "MESOS_CNI_CONFIG_DIR", default="/opt/mesosphere/etc/dcos/network/cni/")
@option("--run-node", "CALICO_ENABLE_RUN_NODE", type=bool, default=True, help="Without it nodes are somebody else's.")
@option(
    "--max-concurrent-restarts",
    "CALICO_MAX_CONCURRENT_RESTARTS",
    type=click.IntRange(1),
    default=1,
    help="How many agents may be out together, from the first step until the gate; the first agent goes alone.",
)
@option("--cpu-limit", "CALICO_CPU_LIMIT_INSTALL_CNI", type=_LIMIT, default=0.2, help="CPUs of a task.")
@option("--mem-limit", "CALICO_MEM_LIMIT_INSTALL_CNI", type=click.FloatRange(256), default=512.0, help="MB of a task.")
@option("--agent-unit", "CALICO_AGENT_UNIT", default="dcos-mesos-slave.service")
@option("--public-agent-unit", "CALICO_PUBLIC_AGENT_UNIT", default="dcos-mesos-slave-public.service")
@option("--python", "CALICO_PYTHON", default="/usr/bin/python3", help="The agents' interpreter.")
@option(
    "--container",
    "CALICO_CONTAINER",
    type=click.Choice(["docker", "mesos"]),
    default="docker",
    help="How a task gets to the agent's root; mesos: it is there already.",
)
@option("--image", "CALICO_IMAGE", default="tortie/tortie:0.1.0", help="With docker: any that has a shell and chroot.")
@first_network.options
@option(
    "--networking-backend",
    "CALICO_NETWORKING_BACKEND",
    type=click.Choice(get_args(Backend)),
    default="direct",
    help="Who brings the routes of pools without tunnels to the hosts.",
)
@option(
    "--probe",
    "CALICO_PROBE",
    type=bool,
    default=True,
    help="Whether a gate asks the kernels of other hosts; false where the network filters ICMP.",
)
@option("--settle", "CALICO_SETTLE", type=click.FloatRange(0), default=5.0, help="Seconds that a node must be ready.")
@option("--patience", "CALICO_PATIENCE", type=click.FloatRange(1), default=120.0, help="Seconds until a gate fails.")
@process
def install_framework(**given: Any) -> None:
    """Run the calico package's framework, in the foreground: it rolls this product out, agent by agent."""
    from tortie.base.log import setup
    from tortie.cli.stopping import run_until_stopped
    from tortie.packages.calico.run import run

    settings = _settings(given)
    setup("calico-framework", debug=given["debug"])
    run_until_stopped(run(settings))


def _settings(given: dict[str, Any]) -> Any:
    from tortie.cli.product import product
    from tortie.packages.calico.run import Settings
    from tortie.packages.calico.tasks import Needs
    from tortie.packages.rollout.artefact import build

    python, port = given["python"], page_port(given["port"], "--port")
    needs = Needs(
        cpus=given["cpu_limit"],
        mem=given["mem_limit"],
        container=given["container"],
        image=given["image"],
        python=python,
    )
    page = f"http://{given['status_dns']}:{port}/" if given["status_dns"] else None
    return Settings(
        **place(given, port, page),
        wanted=_wanted(given),
        build=lambda: build(python),
        product=lambda artefact, inventory: product(artefact, inventory, python),
        needs=needs,
    )


def _wanted(given: dict[str, Any]) -> Any:
    from tortie.packages.calico.values import Wanted, store_of
    from tortie.packages.rollout.inventory import for_mesos

    endpoints = tuple(part.strip() for part in given["etcd_endpoints"].split(",") if part.strip())
    etcd = given["etcd_srv"].partition(".")[0] if given["find_etcd"] else ""
    if given["find_etcd"] and not etcd:
        raise click.BadParameter("a domain such as etcd.mesos", param_hint="--etcd-srv")
    if not etcd:
        store_of(endpoints)
    plugins, network = (given[name].rstrip("/") for name in ("cni_plugins_dir", "cni_config_dir"))
    for folder, hint in ((plugins, "--cni-plugins-dir"), (network, "--cni-config-dir")):
        if not folder.startswith("/"):
            raise click.BadParameter(f"{folder!r}: a full path", param_hint=hint)
    return Wanted(
        etcd=etcd,
        cluster=given["store"],
        endpoints=endpoints,
        cni=for_mesos(plugins, network) if given["install_cni"] else None,
        units=(given["agent_unit"], given["public_agent_unit"]),
        node=_node(given),
        first=first_network.first(given),
        settle=given["settle"],
        patience=given["patience"],
        at_once=given["max_concurrent_restarts"],
        probe=given["probe"],
        run_node=given["run_node"],
    )


def _node(given: dict[str, Any]) -> dict[str, str]:
    """The node's own settings, where they are not its defaults."""
    from tortie.cli.node_options import variable

    backend = given["networking_backend"]
    found = {} if backend == "direct" else {"CALICO_NETWORKING_BACKEND": backend}
    return found if given["docker"] else {**found, variable("docker"): "false"}
