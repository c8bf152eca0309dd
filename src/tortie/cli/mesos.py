"""`tortie master run` and `tortie agent run`, with the original's flags in either spelling."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import click

from tortie.base import log
from tortie.base.errors import Invalid
from tortie.cli.grouping import Group
from tortie.mesos.flags import seconds, value
from tortie.store.open import cluster_store_url

if TYPE_CHECKING:
    from tortie.mesos.agent.netmodules.modules import Commands
    from tortie.mesos.agent.runtime import UcrSettings

F = TypeVar("F", bound=Callable[..., Any])
LOG_HELP = "Shown under /files as this process's log; standard error, where that is a file, if not given."


def flag(name: str, *, read: Callable[[str], Any] | None = None, **options: Any) -> Callable[[F], F]:
    """`--some-flag`, `--some_flag` and MESOS_SOME_FLAG are one; `file:///path` is read; `read` makes the value."""
    spelled = [f"--{name.replace('_', '-')}"] + ([f"--{name}"] if "_" in name else [])
    options.setdefault("envvar", f"MESOS_{name.upper()}")

    def from_text(context: click.Context, param: click.Parameter, raw: Any) -> Any:
        if not isinstance(raw, str):
            return raw
        try:
            return read(value(raw)) if read else value(raw)
        except Invalid as error:
            raise click.BadParameter(str(error), context, param) from error

    return click.option(*spelled, name, callback=from_text, **options)


def _flags(context: click.Context) -> dict[str, str]:
    """Every option's value as text, for /flags."""
    return {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in context.params.items() if v is not None}


@click.group(cls=Group)
def master() -> None:
    """The Mesos-compatible master."""


@master.command("run")
@flag("ip", required=True, help="Address to listen on and to be known by.")
@flag("port", type=click.IntRange(1, 65535), default=5050, show_default=True)
@click.option("--store", default=cluster_store_url, show_default="this host's cluster's")
@flag("hostname", help="Name that others see; the address if not given.")
@flag("cluster", help="Name of the cluster.")
@flag("allocation_interval", read=seconds, default="1secs", show_default=True)
@flag("agent_ping_timeout", read=seconds, default="15secs", show_default=True)
@flag("max_agent_ping_timeouts", type=click.IntRange(1), default=5, show_default=True)
@flag("agent_reregister_timeout", read=seconds, default="10mins", show_default=True)
@flag("offer_timeout", read=seconds, help="Unanswered offers are rescinded after this time.")
@flag("roles", help="Comma-separated roles that frameworks may have; all if not given.")
@flag("max_completed_frameworks", type=click.IntRange(0), default=50, show_default=True)
@flag("external_log_file", help=LOG_HELP)
@click.option("--debug", is_flag=True)
@click.pass_context
def master_run(context: click.Context, /, debug: bool, **options: Any) -> None:
    """Run the master in the foreground until SIGTERM."""
    from tortie.mesos.master.cluster import Settings
    from tortie.mesos.master.run import Options, run

    log.setup("master", debug=debug)
    roles = frozenset(filter(None, options["roles"].split(","))) if options["roles"] is not None else None
    settings = Settings(
        ping_timeout=options["agent_ping_timeout"],
        max_pings=options["max_agent_ping_timeouts"],
        reregister_timeout=options["agent_reregister_timeout"],
        offer_timeout=options["offer_timeout"],
        roles=roles,
        max_completed_frameworks=options["max_completed_frameworks"],
    )
    wanted = Options(
        ip=options["ip"],
        port=options["port"],
        store=options["store"],
        hostname=options["hostname"] or options["ip"],
        cluster=options["cluster"],
        allocation_interval=options["allocation_interval"],
        settings=settings,
        flags=_flags(context),
    )
    anyio.run(run, wanted)


def default_hostname(ip: str) -> str:
    """The name that the address has, else the address."""
    try:
        return socket.gethostbyaddr(ip)[0]
    except OSError:
        return ip


@click.group(cls=Group)
def agent() -> None:
    """The Mesos-compatible agent."""


@agent.command("run")
@flag("master", required=True, help="HOST:PORT of the master.")
@flag("ip", required=True, help="Address to listen on and to be known by.")
@flag("port", type=click.IntRange(1, 65535), default=5051, show_default=True)
@flag("hostname", help="Name that frameworks see; found from the address if not given.")
@flag("resources", default="", help="cpus:4;mem:4096;ports:[…]; what is not named is detected.")
@flag("default_role", default="*", show_default=True, help="Role of resources that name none.")
@flag("attributes", default="", help="rack:abc;level:10")
@flag("work_dir", default="/var/lib/mesos", show_default=True)
@flag("fetcher_cache_dir", default="/tmp/mesos/fetch", show_default=True)
@flag("containerizers", default="docker", show_default=True, help="docker, mesos, or both: the first is asked first.")
@flag("image_providers", default="", help="docker, for images of tasks that no engine runs.")
@flag("docker_registry", default="", help="Their images: a directory of REPOSITORY:TAG.tar.")
@flag("docker_store_dir", default="", show_default="below --work-dir", help="Their files; not itself an overlay.")
@flag("cgroups_root", default="mesos", show_default=True, help="Cgroup that their cgroups are made in.")
@flag("cgroups_enable_cfs", type=bool, default=False, show_default=True, help="Their cpus are a ceiling, too.")
@flag("container_pids", type=click.IntRange(0), default=0, show_default=True, help="Processes at most; 0: any number.")
@flag("executor_environment_variables", default="{}", help="JSON: variables for each of them.")
@flag("oci_runtime", default="", show_default="crun or runc, whichever runs here")
@flag("runtime_dir", default="/var/run/mesos", show_default=True, help="What need not outlive the host.")
@flag("network_cni_config_dir", default="", help="Files that describe CNI networks, one each.")
@flag("network_cni_plugins_dir", default="", help="Where CNI plug-ins are, directories separated by colons.")
@flag("network_cni_root_dir_persist", type=bool, default=False, show_default=True, help="Below --work-dir instead.")
@flag("modules", default="", help="A modules.json, as its path, as file:///PATH or as JSON.")
@flag("isolation", default="", help="Isolators, with commas between; a module's name makes it one.")
@flag("hooks", default="", help="Modules that are hooks, with commas between.")
@flag("docker", default="docker", show_default=True, help="The docker command.")
@flag("docker_socket", default="/var/run/docker.sock", show_default=True)
@flag("docker_remove_delay", read=seconds, default="6hrs", show_default=True)
@flag("docker_stop_timeout", read=seconds, default="0ns", show_default=True)
@flag("docker_kill_orphans", type=bool, default=True, show_default=True)
@flag("executor_shutdown_grace_period", read=seconds, default="5secs", show_default=True)
@flag("gc_delay", read=seconds, default="1weeks", show_default=True)
@flag("external_log_file", help=LOG_HELP)
@click.option("--debug", is_flag=True)
@click.pass_context
def agent_run(context: click.Context, /, debug: bool, **options: Any) -> None:
    """Run the agent in the foreground; SIGTERM leaves its containers running."""
    from tortie.mesos.agent.host import with_detected
    from tortie.mesos.agent.run import run
    from tortie.mesos.agent.runtime import Settings
    from tortie.mesos.resources import parse, parse_attributes, to_wire
    from tortie.wire.mesos import AgentInfo

    log.setup("agent", debug=debug)
    work_dir = Path(options["work_dir"])
    _check_agent(options)
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Invalid(f"--work-dir {work_dir}: {error.strerror}") from error
    role = options["default_role"]
    info = AgentInfo(
        hostname=options["hostname"] or default_hostname(options["ip"]),
        port=options["port"],
        resources=to_wire(with_detected(parse(options["resources"], role), work_dir, role)),
        attributes=parse_attributes(options["attributes"]),
    )
    settings = Settings(
        master=options["master"],
        ip=options["ip"],
        work_dir=work_dir,
        fetcher_cache=Path(options["fetcher_cache_dir"]),
        containerizers=options["containerizers"].split(","),
        docker=options["docker"],
        docker_socket=options["docker_socket"].removeprefix("unix://"),
        default_grace=max(options["executor_shutdown_grace_period"], options["docker_stop_timeout"]),
        remove_delay=options["docker_remove_delay"],
        gc_delay=options["gc_delay"],
        cni_config_dir=options["network_cni_config_dir"],
        cni_plugins_dir=options["network_cni_plugins_dir"],
        cni_root=_cni_root(options),
        modules=_modules(options),
        ucr=_ucr(options, work_dir),
        kill_orphans=options["docker_kill_orphans"],
        flags=_flags(context),
    )
    anyio.run(run, info, settings)


def _ucr(options: dict[str, Any], work_dir: Path) -> UcrSettings:
    """Raises Invalid for what cannot be."""
    import json

    from tortie.mesos.agent.runtime import UcrSettings

    try:
        variables = json.loads(options["executor_environment_variables"])
    except ValueError as error:
        raise Invalid(f"--executor_environment_variables: {error}") from error
    if not isinstance(variables, dict) or not all(isinstance(value, str) for value in variables.values()):
        raise Invalid("--executor_environment_variables: an object of strings is expected")
    providers, registry = filter(None, options["image_providers"].split(",")), options["docker_registry"]
    if unknown := set(providers) - {"docker"}:
        raise Invalid(f"--image_providers: {', '.join(unknown)} is not served, only docker is")
    if registry and not Path(registry).is_absolute():
        raise Invalid(f"--docker_registry {registry}: an absolute path of a directory is expected")
    if ".." in options["cgroups_root"].split("/") or not options["cgroups_root"].strip("/"):
        raise Invalid(f"--cgroups_root {options['cgroups_root']}: the path of a cgroup is expected")
    store = Path(options["docker_store_dir"] or work_dir / "store/docker")
    if set(":,\\") & set(str(store)):
        raise Invalid(f"--docker_store_dir {store}: overlayfs takes no path with ':', ',' or '\\'")
    return UcrSettings(
        runtime_dir=Path(options["runtime_dir"]),
        images=(Path(registry),) if registry and options["image_providers"] else (),
        store=store,
        cgroups_root=options["cgroups_root"],
        program=options["oci_runtime"],
        variables=variables,
        hard=options["cgroups_enable_cfs"],
        processes=options["container_pids"],
    )


def _modules(options: dict[str, Any]) -> Commands | None:
    """The commands of net-modules, where they are asked for. Raises Invalid in the original's words."""
    from tortie.mesos.agent.netmodules.modules import commands

    given = options["modules"]
    text = value(f"file://{given}") if given.startswith("/") else given
    return commands(text, options["isolation"], options["hooks"])


def _cni_root(options: dict[str, Any]) -> Path:
    """At the original's place. Where it is kept over a reboot, plug-ins are asked to take back what was before it."""
    base = options["work_dir"] if options["network_cni_root_dir_persist"] else options["runtime_dir"]
    return Path(base) / "isolators/network/cni"


def _check_agent(options: dict[str, Any]) -> None:
    """What can be told to be wrong before anything begins. Raises Invalid."""
    from tortie.mesos.agent.cni.directory import check_flags

    host, colon, port = options["master"].rpartition(":")
    if not colon or not host or not port.isdigit() or "/" in host:
        raise Invalid(f"--master {options['master']}: HOST:PORT is expected")
    try:
        ipaddress.ip_address(options["ip"])
    except ValueError as error:
        raise Invalid(f"--ip {options['ip']}: {error}") from error
    check_flags(options["network_cni_config_dir"], options["network_cni_plugins_dir"])
    names = options["containerizers"].split(",")
    if not set(names) <= {"docker", "mesos"} or len(set(names)) != len(names):
        raise Invalid(f"--containerizers {options['containerizers']}: docker, mesos or both are expected")
