"""`dcos marathon app`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.grammar import Line
from tortie.cli.dcos.marathon_client import Marathon, force, full_id, path_of
from tortie.cli.dcos.resources import changes, named, read
from tortie.cli.dcos.session import Session, ids, say, show, tell
from tortie.cli.dcos.state import members


def add(session: Session, line: Line) -> int:
    resource = read(session, line.word("<app-resource>"), "dcos marathon app add < app_resource.json")
    name = full_id(named(resource, "app"))
    marathon = Marathon(session)
    if marathon.is_there(f"v2/apps{path_of(name)}"):
        raise DcosError(f"Application '{name}' already exists")
    say(f"Created deployment {marathon.deployed('POST', 'v2/apps', resource)}")
    return 0


def list_(session: Session, line: Line) -> int:
    marathon = Marathon(session)
    apps = members(marathon.get("v2/apps"), "apps")
    if line.has("--json"):
        show(apps)
        return 0
    if line.has("--quiet"):
        ids(apps)
        return 0
    from tortie.cli.dcos.marathon_tables import app_table

    deployments = members({"deployments": marathon.get("v2/deployments")}, "deployments")
    say(app_table(apps, deployments, members(marathon.get("v2/queue"), "queue")))
    return 0


def remove(session: Session, line: Line) -> int:
    Marathon(session).call("DELETE", f"v2/apps{path_of(line.need('<app-id>'))}", **force(line.has("--force")))
    return 0


def show_(session: Session, line: Line) -> int:
    marathon, name, wanted = Marathon(session), line.need("<app-id>"), line.value("--app-version")
    version = None
    if wanted is not None:
        version = relative(wanted, lambda: _versions(marathon, name), f"Application '{name}'")
    show(marathon.app(name, version))
    return 0


def start(session: Session, line: Line) -> int:
    marathon, name, text = Marathon(session), line.need("<app-id>"), line.word("<instances>") or "1"
    now = marathon.app(name).get("instances", 0)
    if now > 0:
        tell(f"Application '{name}' already started: {now} instances.")
        return 1
    count = whole(text)
    if count <= 0:
        tell(f"The number of instances must be positive: {count}.")
        return 1
    return _put(marathon, line, name, {"id": full_id(name), "instances": count})


def stop(session: Session, line: Line) -> int:
    marathon, name = Marathon(session), line.need("<app-id>")
    now = marathon.app(name).get("instances", 0)
    if now <= 0:
        tell(f"Application '{name}' already stopped: {now} instances.")
        return 1
    return _put(marathon, line, name, {"instances": 0})


def update(session: Session, line: Line) -> int:
    marathon, name = Marathon(session), line.need("<app-id>")
    marathon.app(name)
    body = changes(line.words("<properties>"), "dcos marathon app update your-app-id < app_update.json")
    return _put(marathon, line, name, body)


def _put(marathon: Marathon, line: Line, name: str, body: dict[str, object]) -> int:
    said = marathon.deployed("PUT", f"v2/apps{path_of(name)}", body, **force(line.has("--force")))
    say(f"Created deployment {said}")
    return 0


def restart(session: Session, line: Line) -> int:
    marathon, name = Marathon(session), line.need("<app-id>")
    if marathon.app(name).get("instances", 0) <= 0:
        tell(f"Unable to perform rolling restart of application '{full_id(name)}' because it has no running tasks")
        return 1
    said = marathon.deployed("POST", f"v2/apps{path_of(name)}/restart", **force(line.has("--force")))
    say(f"Created deployment {said}")
    return 0


def kill(session: Session, line: Line) -> int:
    """Nothing to kill is a failure."""
    wanted = {"host": line.value("--host") or "", "scale": "true" if line.has("--scale") else ""}
    parameters = {name: text for name, text in wanted.items() if text}
    said = Marathon(session).documented("DELETE", f"v2/apps{path_of(line.need('<app-id>'))}/tasks", **parameters)
    if line.has("--scale"):
        say(f"Started deployment: {said}")
        return 0
    killed = members(said, "tasks")
    say(f"Killed tasks: {killed}")
    return 0 if killed else 1


def versions(session: Session, line: Line) -> int:
    text = line.value("--max-count")
    count = None if text is None else whole(text)
    if count is not None and count <= 0:
        raise DcosError(f"Maximum count must be a positive number: {count}")
    show(_versions(Marathon(session), line.need("<app-id>"))[:count])
    return 0


def _versions(marathon: Marathon, name: str) -> list[str]:
    return list(marathon.documented("GET", f"v2/apps{path_of(name)}/versions").get("versions") or ())


def relative(wanted: str, versions: Callable[[], Sequence[str]], what: str) -> str:
    """-1 is the version before the last; what is no number is a version. Raises DcosError."""
    try:
        back = -int(wanted)
    except ValueError:
        return wanted
    if back <= 0:
        raise DcosError(f"Relative versions must be negative: {wanted}")
    known = versions()
    if len(known) <= back:
        raise DcosError(f"{what} only has {len(known)} version(s).")
    return str(known[back])


def whole(text: str) -> int:
    """Raises DcosError."""
    try:
        return int(text)
    except ValueError as error:
        raise DcosError(f"Error parsing string as int: {text!r}") from error
