"""`dcos node`: masters and agents."""

from __future__ import annotations

from tortie.cli.dcos import state as of
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.grammar import Command, Line, Verb
from tortie.cli.dcos.session import Session, ids, say, show

LIST = "[--json | --quiet | --field=<field>...]"
COMMAND = Command(
    "node",
    (
        Verb("", LIST, "node:list_", "the same as `dcos node list`."),
        Verb("list", LIST, "node:list_", "Print the nodes."),
        Verb(
            "log",
            "[--follow] [--lines=<N>] [--leader] [--mesos-id=<mesos-id>] [--component=<name>] [--filter=<filter>...]",
            "node:log",
            "Print the end of the log of a master or an agent.",
        ),
        Verb(
            "ssh",
            "(--leader | --master | --mesos-id=<mesos-id> | --slave=<mesos-id> | --private-ip=<ip>) "
            "[--config-file=<path>] [--user=<user>] [--master-proxy | --proxy-ip=<ip>] [--option=<SSHOPT=VAL>...] "
            "[<command>...]",
            "node_ssh:ssh",
            "Open a shell on a node, or run a command there.",
        ),
    ),
    {
        "--json": "Print JSON-formatted data.",
        "--field=<field>": "One more column, such as attributes.rack or RACK:attributes.rack.",
        "-q --quiet": "Print the ids of agents only.",
        "--leader": "The leading master.",
        "--master": "The same as --leader.",
        "--mesos-id=<mesos-id>": "The agent of this id.",
        "--slave=<mesos-id>": "The same as --mesos-id.",
        "--private-ip=<ip>": "The node of this address.",
        "--config-file=<path>": "A configuration file of ssh.",
        "--user=<user>": "The user on the node. [default: core]",
        "--master-proxy": "Go by the master's public address: agents are often reached from there only.",
        "--proxy-ip=<ip>": "Go by this address.",
        "--option=<SSHOPT=VAL>": "An option of ssh; may come several times.",
        "--follow": "Go on while the log grows.",
        "--lines=<N>": "How many lines. [default: 10]",
        "--component=<name>": "The log of one service of the node.",
        "--filter=<filter>": "KEY:VALUE of the journal's entries.",
    },
    {"<command>": "What to run there instead of a shell."},
    (
        "dcos node --field=RACK:attributes.rack",
        "dcos node ssh --master-proxy --mesos-id=7b4c-S1",
        "dcos node ssh --leader uptime",
        "dcos node log --leader --follow",
    ),
)


def list_(session: Session, line: Line) -> int:
    from tortie.cli.dcos.mesos import MASTERS, Mesos
    from tortie.cli.dcos.tables import check_fields, node_table

    mesos = Mesos(session)
    masters = mesos.hosts(MASTERS)
    summary = mesos.summary()
    nodes = of.nodes(masters, mesos.state(), summary)
    if line.has("--json"):
        show(nodes)
        return 0
    if line.has("--quiet"):
        ids(of.members(summary, "slaves"))
        return 0
    fields = line.options.values("--field")
    check_fields(of.members(summary, "slaves"), fields)
    if not nodes:
        raise DcosError("No agents found.")
    say(node_table(nodes, fields))
    return 0


def log(session: Session, line: Line) -> int:
    from tortie.cli.dcos.following import Remote, print_ends
    from tortie.cli.dcos.mesos import Mesos
    from tortie.cli.dcos.task_log import count

    leader, wanted = line.has("--leader"), line.value("--mesos-id")
    lines, component, filters = (
        count(line.value("--lines")),
        line.value("--component"),
        line.options.values("--filter"),
    )
    if not (leader or wanted):
        raise DcosError("You must choose one of --leader or --mesos-id.")
    mesos = Mesos(session)
    if mesos.logging():
        from tortie.cli.dcos.journal import node_logs

        if leader and wanted:
            raise DcosError("You must choose one of --leader or --mesos-id.")
        return node_logs(session, wanted, lines, component, filters, follow=line.has("--follow"))
    if component or filters:
        raise DcosError("--component or --filter is not supported by files API")
    remotes = []
    if wanted:
        agent = of.agent(mesos.state(), wanted)
        remotes.append(Remote(f"slave:{agent.get('id')}:/slave/log", mesos.files_url(agent, "read.json"), "/slave/log"))
    if leader:
        remotes.append(Remote("master:/master/log", mesos.files_url(None, "read.json"), "/master/log"))
    return print_ends(session.http, remotes, lines, follow=line.has("--follow"))
