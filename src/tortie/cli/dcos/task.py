"""`dcos task`: what runs on the cluster."""

from __future__ import annotations

from tortie.cli.dcos import state as of
from tortie.cli.dcos.errors import DcosError, Refused
from tortie.cli.dcos.grammar import Command, Line, Verb
from tortie.cli.dcos.session import Session, ids, say, show

LIST = "[--all | --completed] [--json | --quiet] [<task>]"
COMMAND = Command(
    "task",
    (
        Verb("", LIST, "task:list_", "the same as `dcos task list`."),
        Verb("list", LIST, "task:list_", "Print the tasks."),
        Verb("attach", "[--no-stdin] <task>", "task_exec:attach", "Attach to the first process of a task."),
        Verb(
            "exec",
            "[--interactive] [--tty] [--user=<user>] <task> <cmd> [<args>...]",
            "task_exec:exec_",
            "Run a command inside the container of a task.",
            verbatim=True,
        ),
        Verb(
            "log",
            "[--all | --completed] [--follow] [--lines=<N>] [<task>] [<file>]",
            "task_log:log",
            "Print the end of a file of a task, by default of its stdout.",
        ),
        Verb("ls", "[--all | --completed] [--long] [<task>] [<path>]", "task:ls", "List the files of a task."),
    ),
    {
        "--all": "Completed tasks as well.",
        "--completed": "Completed tasks only.",
        "--follow": "Go on while the file grows.",
        "-i --interactive": "Give the command this terminal's input.",
        "-t --tty": "Give the command a terminal.",
        "--user=<user>": "The user that the command runs as.",
        "--no-stdin": "Watch only.",
        "--json": "Print JSON-formatted data.",
        "-q --quiet": "Print the ids only.",
        "--lines=<N>": "How many lines. [default: 10]",
        "--long": "Their modes, owners, sizes and times too.",
    },
    {
        "<task>": "A task's id, a part of it, or a pattern.",
        "<cmd>": "The command; what stands behind it are its own words.",
        "<file>": "A file of the task. [default: stdout]",
        "<path>": "A directory of the task. [default: .]",
    },
    (
        "dcos task",
        "dcos task log --follow --lines=100 web stderr",
        "dcos task exec web ping -c 3 db.marathon.mesos",
        "dcos task exec -it web sh",
    ),
)


def list_(session: Session, line: Line) -> int:
    from tortie.cli.dcos.mesos import Mesos
    from tortie.cli.dcos.tables import task_table

    state = Mesos(session).state()
    found = of.tasks(state, line.word("<task>"), completed=line.has("--completed"), all_=line.has("--all"))
    if line.has("--json"):
        show(sorted(found, key=lambda task: str(task.get("name"))))
    elif line.has("--quiet"):
        ids(found)
    else:
        say(task_table(found, state))
    return 0


def ls(session: Session, line: Line) -> int:
    from tortie.cli.dcos.mesos import Mesos
    from tortie.cli.dcos.tables import file_table, name

    mesos = Mesos(session)
    state, wanted, path = mesos.state(), line.word("<task>"), (line.word("<path>") or ".").lstrip("/")
    tasks = of.meant(state, wanted, completed=line.has("--completed"), all_=line.has("--all"))
    if not tasks:
        raise DcosError(f'Cannot find a task with ID containing "{wanted}"' if wanted else "No tasks found")
    for task in tasks:
        agent = of.agent(state, str(task.get("slave_id")))
        executor = of.executor(mesos.agent_state(agent), str(task.get("id")))
        if executor is None:
            raise DcosError(f"The agent does not know the files of task [{task.get('id')}] any more")
        directory = of.sandbox(executor, str(task.get("id")))
        try:
            files = mesos.browse(agent, directory if path == "." else f"{directory}/{path}")
        except Refused as error:
            if error.reply.status != 404:
                raise
            raise DcosError(f"Cannot access [{path}]: No such file or directory") from error
        if len(tasks) > 1:
            say(f"===> {task.get('id')} <===")
        say(file_table(files) if line.has("--long") else "  ".join(name(one) for one in files))
    return 0
