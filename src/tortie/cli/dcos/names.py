"""The names that completion offers, asked of the cluster while somebody types; nothing when it does not answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tortie.cli.dcos import files, settings
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.session import Session

SECONDS = 1.0


def of_kind(session: Session, kind: str) -> Sequence[str]:
    """`kind`: an argument as patterns write it, such as `<app-id>`."""
    find = _FINDERS.get(kind)
    if find is None:
        return ()
    try:
        session.http = session.http._replace(seconds=session.patience(SECONDS))
        return find(session)
    except DcosError:
        return ()


def _tasks(session: Session) -> Sequence[str]:
    from tortie.cli.dcos.mesos import Mesos
    from tortie.cli.dcos.state import tasks

    return [str(task.get("id")) for task in tasks(Mesos(session).state())]


def _agents(session: Session) -> Sequence[str]:
    from tortie.cli.dcos.mesos import Mesos
    from tortie.cli.dcos.state import members

    return [str(agent.get("id")) for agent in members(Mesos(session).summary(), "slaves")]


def _services(session: Session) -> Sequence[str]:
    from tortie.cli.dcos.mesos import Mesos
    from tortie.cli.dcos.state import frameworks

    return [str(one.get("id")) for one in frameworks(Mesos(session).state(), inactive=True)]


def _marathon(path: str, key: str) -> Callable[[Session], Sequence[str]]:
    def find(session: Session) -> Sequence[str]:
        from tortie.cli.dcos.marathon_client import Marathon
        from tortie.cli.dcos.state import members

        found = Marathon(session).get(path)
        return [str(one.get("id")) for one in (members(found, key) if key else members({"all": found}, "all"))]

    return find


def _clusters(session: Session) -> Sequence[str]:
    return [name for one in files.clusters(session.environ) for name in (one.id, one.name)]


def _packages(path: str, key: str, name: str) -> Callable[[Session], Sequence[str]]:
    def find(session: Session) -> Sequence[str]:
        from tortie.cli.dcos.package_client import call
        from tortie.cli.dcos.state import members

        return [str(one.get(name)) for one in members(call(session, path, {}, seconds=session.patience(SECONDS)), key)]

    return find


_FINDERS: Mapping[str, Callable[[Session], Sequence[str]]] = {
    "<task>": _tasks,
    "<mesos-id>": _agents,
    "<service-id>": _services,
    "<app-id>": _marathon("v2/apps", "apps"),
    "<group-id>": _marathon("v2/groups", "groups"),
    "<deployment-id>": _marathon("v2/deployments", ""),
    "<task-id>": _marathon("v2/tasks", "tasks"),
    "<task-ids>": _marathon("v2/tasks", "tasks"),
    "<package-name>": _packages("package/search", "packages", "name"),
    "<repo-name>": _packages("package/repository/list", "repositories", "name"),
    "<name>": lambda session: [*settings.KEYS, *_clusters(session)],
}
