"""`dcos marathon group`."""

from __future__ import annotations

from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.grammar import Line
from tortie.cli.dcos.marathon_apps import relative
from tortie.cli.dcos.marathon_client import Marathon, force, full_id, path_of
from tortie.cli.dcos.resources import changes, named, read
from tortie.cli.dcos.session import Session, say, show
from tortie.cli.dcos.state import members


def _path(line: Line) -> str:
    return f"v2/groups{path_of(line.need('<group-id>'))}"


def add(session: Session, line: Line) -> int:
    resource = read(session, line.word("<group-resource>"), "dcos marathon group add < group_resource.json")
    name = full_id(named(resource, "group"))
    marathon = Marathon(session)
    if marathon.is_there(f"v2/groups{path_of(name)}"):
        raise DcosError(f"Group '{name}' already exists")
    say(f"Created deployment {marathon.deployed('POST', 'v2/groups', resource)}")
    return 0


def list_(session: Session, line: Line) -> int:
    groups = members(Marathon(session).get("v2/groups"), "groups")
    if line.has("--json"):
        show(groups)
        return 0
    from tortie.cli.dcos.marathon_tables import group_table

    say(group_table(groups))
    return 0


def show_(session: Session, line: Line) -> int:
    marathon, wanted = Marathon(session), line.value("--group-version")
    path = _path(line)
    if wanted is not None:

        def versions() -> list[str]:
            return list(marathon.ask("GET", f"{path}/versions"))

        path += f"/versions/{relative(wanted, versions, 'Group ' + repr(line.need('<group-id>')))}"
    show(marathon.get(path))
    return 0


def update(session: Session, line: Line) -> int:
    marathon = Marathon(session)
    marathon.get(_path(line))
    body = changes(line.words("<properties>"), "dcos marathon group update your-group-id < group_update.json")
    say(f"Created deployment {marathon.deployed('PUT', _path(line), body, **force(line.has('--force')))}")
    return 0


def scale(session: Session, line: Line) -> int:
    text = line.need("<scale-factor>")
    try:
        factor = float(text)
    except ValueError as error:
        raise DcosError(f"Error parsing string as float: {text!r}") from error
    body = {"scaleBy": factor}
    said = Marathon(session).deployed("PUT", _path(line), body, **force(line.has("--force")))
    say(f"Created deployment {said}")
    return 0


def remove(session: Session, line: Line) -> int:
    Marathon(session).call("DELETE", _path(line), **force(line.has("--force")))
    return 0
