"""`dcos service`: the frameworks of the cluster."""

from __future__ import annotations

from tortie.cli.dcos import state as of
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.grammar import Command, Line, Verb
from tortie.cli.dcos.session import Session, ids, say, show

LIST = "[--completed] [--inactive] [--json | --quiet]"
FRAMEWORK_LABEL = "DCOS_PACKAGE_FRAMEWORK_NAME"
COMMAND = Command(
    "service",
    (
        Verb("", LIST, "service:list_", "the same as `dcos service list`."),
        Verb("list", LIST, "service:list_", "Print the services."),
        Verb(
            "log",
            "[--follow] [--lines=<N>] <service> [<file>]",
            "service:log",
            "Print the end of a file of a service's scheduler, by default of its stdout.",
        ),
        Verb("shutdown", "[--yes] <service-id>", "service:shutdown", "End a service and all its tasks."),
    ),
    {
        "--completed": "Completed services too: those that were shut down, or gone for longer than they may be.",
        "--inactive": "Inactive services too: those that are gone, but may come back.",
        "--follow": "Go on while the file grows.",
        "--json": "Print JSON-formatted data.",
        "-q --quiet": "Print the ids only.",
        "--lines=<N>": "How many lines. [default: 10]",
        "--yes": "Accepted, and without effect: nothing is asked.",
    },
    {
        "<service>": "The name of a service.",
        "<service-id>": "The id of a service.",
        "<file>": "A file of its task. [default: stdout]",
    },
    ("dcos service --inactive", "dcos service log --follow kafka"),
)


def list_(session: Session, line: Line) -> int:
    from tortie.cli.dcos.mesos import Mesos
    from tortie.cli.dcos.tables import service_table

    state = Mesos(session).state()
    found = list(of.frameworks(state, inactive=line.has("--inactive"), completed=line.has("--completed")))
    if line.has("--json"):
        show(found)
    elif line.has("--quiet"):
        ids(found)
    else:
        say(service_table(found))
    return 0


def shutdown(session: Session, line: Line) -> int:
    from tortie.cli.dcos.mesos import Mesos

    Mesos(session).teardown(line.need("<service-id>"))
    return 0


def log(session: Session, line: Line) -> int:
    """The scheduler of a service is an app of Marathon that says so by a label."""
    from tortie.cli.dcos.marathon_client import Marathon
    from tortie.cli.dcos.task_log import count, print_log

    name, lines = line.need("<service>"), count(line.value("--lines"))
    marathon = Marathon(session)
    apps = [
        app
        for app in of.members(marathon.get("v2/apps"), "apps")
        if of.part(app, "labels").get(FRAMEWORK_LABEL) == name
    ]
    if not apps:
        raise DcosError(f"No marathon apps found for service [{name}]")
    if len(apps) > 1:
        names = ", ".join(f"[{app.get('id')}]" for app in apps)
        raise DcosError(f"Multiple marathon apps found for service name [{name}]: {names}")
    tasks = of.members(marathon.app(str(apps[0]["id"])), "tasks")
    if len(tasks) != 1:
        raise DcosError(
            f"We expected marathon app [{apps[0]['id']}] to be running 1 task, but we instead found {len(tasks)} tasks"
        )
    file = line.word("<file>") or "stdout"
    return print_log(session, str(tasks[0].get("id")), file, lines=lines, follow=line.has("--follow"))
