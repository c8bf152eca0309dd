"""`dcos cluster`: the clusters that this command knows, and which one it speaks to."""

from __future__ import annotations

from typing import Any

from tortie.cli.dcos import files, login, settings, urls
from tortie.cli.dcos.clusters import attach as attach_to
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.grammar import Command, Line, Verb
from tortie.cli.dcos.session import Session, say, show
from tortie.cli.dcos.table import table

COMMAND = Command(
    "cluster",
    (
        Verb("attach", "<name>", "cluster:attach", "Speak to this cluster from now on."),
        Verb("list", "[--attached] [--json]", "cluster:list_", "List the clusters that are set up."),
        Verb("remove", "<name>", "cluster:remove", "Forget a cluster."),
        Verb("rename", "<name> <new_name>", "cluster:rename", "Give a cluster another name."),
        Verb(
            "setup",
            f"<dcos_url> [--insecure | --no-check | --ca-certs=<ca-certs>] {login.PATTERN}",
            "cluster:setup",
            "Learn a cluster, log in to it, and attach it.",
        ),
    ),
    {
        "--attached": "Only the attached cluster.",
        "--json": "Print JSON-formatted data.",
        "--insecure": "Do not check the cluster's certificate.",
        "--no-check": "Believe the authority's certificate that the cluster gives.",
        "--ca-certs=<ca-certs>": "The path to a file with the authorities to believe.",
        **login.OPTIONS,
    },
    {"<dcos_url>": "The cluster's address.", "<name>": "The name or the id of a cluster."},
    ("dcos cluster setup https://master.example", "dcos cluster attach production"),
)
SECONDS = 1.0


def setup(session: Session, line: Line) -> int:
    from tortie.cli.dcos.setup import setup as set_up

    url = str(settings.typed(settings.URL, line.need("<dcos_url>")))
    return set_up(
        session,
        url,
        login.of_line(line, session.environ),
        insecure=line.has("--insecure"),
        check=not line.has("--no-check"),
        authority=line.value("--ca-certs"),
    )


def list_(session: Session, line: Line) -> int:
    now = files.attached(session.environ)
    chosen = [one for one in files.clusters(session.environ) if not line.has("--attached") or one == now]
    if not chosen and not line.has("--json"):
        if line.has("--attached"):
            raise DcosError(files.NONE_ATTACHED)
        raise DcosError("No clusters are currently configured. To configure one, run `dcos cluster setup <dcos_url>`")
    found = [_about(session, one, attached=one == now) for one in chosen]
    if line.has("--json"):
        show(found)
        return 0
    rows = [(f"{c['name']}{'*' * c['attached']}", c["cluster_id"], c["version"], c["url"] or "N/A") for c in found]
    say(table(("NAME", "CLUSTER ID", "VERSION", "URL"), sorted(rows, key=lambda row: str(row[1]))))
    return 0


def _about(session: Session, cluster: files.Cluster, *, attached: bool) -> dict[str, Any]:
    known = cluster.settings()
    url = settings.stored(known, settings.URL)
    version = None
    if url:
        http = session.http_of(url, settings.stored(known, settings.TOKEN), settings.stored(known, "core.ssl_verify"))
        try:
            found = http.get(urls.join(url, "dcos-metadata/dcos-version.json"), seconds=session.patience(SECONDS))
            version = found.get("version") if isinstance(found, dict) else None
        except DcosError:
            version = None  # a cluster that is away is listed all the same
    about = {"cluster_id": cluster.id, "name": cluster.name, "url": url, "version": version or "N/A"}
    return {**about, "attached": attached}


def attach(session: Session, line: Line) -> int:
    attach_to(session.environ, files.cluster(session.environ, line.need("<name>")))
    return 0


def remove(session: Session, line: Line) -> int:
    import shutil

    one = files.cluster(session.environ, line.need("<name>"))
    try:
        shutil.rmtree(one.path)
    except OSError as error:
        raise DcosError(f"Error trying to remove cluster: {error}") from error
    return 0


def rename(session: Session, line: Line) -> int:
    one, name = files.cluster(session.environ, line.need("<name>")), line.need("<new_name>")
    if any(name in (other.name, other.id) for other in files.clusters(session.environ) if other != one):
        raise DcosError(f"A cluster with name [{name}] already exists")
    changed, _ = settings.change(one.settings(), "cluster.name", settings.typed("cluster.name", name))
    files.write(one.file, changed)
    return 0
