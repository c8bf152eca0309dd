"""The tables of Mesos's things: tasks, nodes, services, files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.state import Document, address, hostnames, users
from tortie.cli.dcos.table import Column, drawn, field, table


def task_table(tasks: Sequence[Document], state: Document) -> str:
    hosts, by_framework = hostnames(state), users(state)
    return drawn(
        (
            Column("NAME", lambda t: t["name"], left=True),
            Column("HOST", lambda t: hosts[t["slave_id"]], left=True),
            Column("USER", lambda t: by_framework[t["framework_id"]]),
            Column("STATE", lambda t: t["state"].split("_")[-1][0]),
            Column("ID", lambda t: t["id"], left=True),
            Column("MESOS ID", lambda t: t["slave_id"], left=True),
        ),
        tasks,
    )


def node_table(nodes: Sequence[Document], fields: Sequence[str] = ()) -> str:
    """`fields`: more columns, each a path into an agent, or `HEADING:path`."""
    columns = [
        Column("HOSTNAME", lambda n: n["host"] if "host" in n else n["hostname"]),
        Column("IP", lambda n: n.get("ip") or address(n)),
        Column("ID", lambda n: n["id"]),
        Column("TYPE", lambda n: n["type"], left=True),
    ]
    for one in fields:
        heading, colon, path = one.partition(":")
        if not any(one.upper() == column.heading for column in columns):
            columns.append(Column(heading.upper(), _at(path if colon else heading)))
    return drawn(columns, nodes)


def _at(path: str) -> Any:
    return lambda document: field(document, path)


def check_fields(agents: Sequence[Document], fields: Sequence[str]) -> None:
    """Raises DcosError for a field that agents have not."""
    for one in fields:
        path = one.rpartition(":")[2]
        try:
            for agent in agents[:1]:
                field(agent, path)
        except (KeyError, TypeError) as error:
            raise DcosError(f'Field "{path}" is invalid.') from error


def service_table(services: Sequence[Document]) -> str:
    return drawn(
        (
            Column("NAME", lambda s: s["name"], left=True),
            Column("HOST", lambda s: s["hostname"]),
            Column("ACTIVE", lambda s: s["active"]),
            Column("TASKS", lambda s: len(s["tasks"])),
            Column("CPU", lambda s: s["resources"]["cpus"]),
            Column("MEM", lambda s: s["resources"]["mem"]),
            Column("DISK", lambda s: s["resources"]["disk"]),
            Column("ID", lambda s: s["id"], left=True),
        ),
        services,
    )


def file_table(files: Sequence[Mapping[str, Any]]) -> str:
    """As `ls -l` would, by name."""
    rows = [
        (
            *(str(one.get(key, "N/A")) for key in ("mode", "nlink", "uid", "gid", "size")),
            datetime.fromtimestamp(int(one.get("mtime", 0))).strftime("%b %d %H:%M"),
            name(one),
        )
        for one in sorted(files, key=name)
    ]
    return table(("",) * 7, rows, right=True, header=False)


def name(file: Mapping[str, Any]) -> str:
    return str(file["path"]).rstrip("/").rpartition("/")[2]
