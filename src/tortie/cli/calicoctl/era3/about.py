"""`calicoctl version`, `datastore`, `cluster` and `node` in the 3 grammar."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec

from tortie.base.errors import Conflict, Invalid, NotFound, TortieError
from tortie.cli.calicoctl import node_options
from tortie.cli.calicoctl.session import ClientError, Failed, Session
from tortie.cli.options import BadUsage, Options
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION

Command = Callable[[Options, Session], str]
ATTEMPTS = 5


def command(word: str, second: str) -> tuple[Command, Mapping[str, str], Mapping[str, str]]:
    found = _COMMANDS.get((word, second))
    if found is None:
        raise BadUsage(f"unknown command {word} {second}".rstrip())
    if (word, second) == ("node", "run"):
        return found, {name: name for name in node_options.FLAGS}, {name: name for name in node_options.VALUES}
    return found, {}, {"--log-dir": "--log-dir"} if second == "diags" else {}


def version(options: Options, session: Session) -> str:
    """The cluster's part is left out with --client, and when there is no store to ask."""
    lines = [f"Client Version:    {own_version()}", "Git commit:        unknown"]
    if options.has("--client"):
        return "\n".join(lines) + "\n"
    try:
        with session.client() as client:
            found = client.find(CLUSTER_INFORMATION, "default")
    except (ClientError, TortieError) as error:
        raise Failed("\n".join(lines), f"Unable to retrieve Cluster Version or Type: {error}") from error
    if found is None:
        raise Failed("\n".join(lines), "Unable to retrieve Cluster Version or Type: the datastore is not initialised")
    lines.append(f"Cluster Version:   {found.spec.calico_version or 'unknown'}")
    lines.append(f"Cluster Type:      {found.spec.cluster_type or 'unknown'}")
    return "\n".join(lines) + "\n"


def own_version() -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return f"tortie {installed('tortie')}"
    except PackageNotFoundError:
        return "tortie"


def _lock(ready: bool) -> Command:
    def change(_options: Options, session: Session) -> str:
        with session.client() as client:
            for _ in range(ATTEMPTS):
                found = client.find(CLUSTER_INFORMATION, "default")
                if found is None:
                    raise Invalid("the datastore is not initialised: there is no ClusterInformation default")
                try:
                    client.update(replace(found, spec=msgspec.structs.replace(found.spec, datastore_ready=ready)))
                except (Conflict, NotFound):
                    continue
                return "Datastore unlocked.\n" if ready else "Datastore locked.\n"
        raise Failed(err=f"ClusterInformation default was changed by others {ATTEMPTS} times in a row")

    return change


def _rename_policies(_options: Options, session: Session) -> str:
    with session.client() as client:
        renamed = client.rename_policies("plain")
    return f"Successfully migrated {renamed} policies.\n"


def _refused(why: str) -> Command:
    def refuse(_options: Options, _session: Session) -> str:
        raise Invalid(why)

    return refuse


def _node_status(_options: Options, _session: Session) -> str:
    from tortie.cli.calicoctl.node_status import status

    return status()


def _checksystem(_options: Options, _session: Session) -> str:
    from tortie.cli.calicoctl.checksystem import report

    return report()


def _diags(options: Options, session: Session) -> str:
    from tortie.cli.calicoctl.diags import LOG_DIR, collect

    return collect(session, options.value("--log-dir", LOG_DIR))


def _node_run(options: Options, session: Session) -> str:
    from tortie.cli.calicoctl.node_run import run

    return run(options, session)


_MIGRATE = "`datastore migrate {0}` is not supported here; `tortie store {0}` does it for stores of every kind"
_COMMANDS: dict[tuple[str, str], Command] = {
    ("datastore", "lock"): _lock(ready=False),
    ("datastore", "unlock"): _lock(ready=True),
    ("datastore", "migrate-policy-names"): _rename_policies,
    ("datastore", "export"): _refused(_MIGRATE.format("export")),
    ("datastore", "import"): _refused(_MIGRATE.format("import")),
    ("datastore", "migrate-ipam"): _refused(
        "`datastore migrate-ipam` is not supported here: it is for Kubernetes stores"
    ),
    ("cluster", "diags"): _diags,
    ("node", "status"): _node_status,
    ("node", "checksystem"): _checksystem,
    ("node", "diags"): _diags,
    ("node", "run"): _node_run,
}
