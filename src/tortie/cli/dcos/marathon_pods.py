"""`dcos marathon pod`, of Marathons that know pods."""

from __future__ import annotations

from tortie.cli.dcos.errors import DcosError, Refused
from tortie.cli.dcos.grammar import Line
from tortie.cli.dcos.marathon_client import HEADER, Marathon, force, path_of
from tortie.cli.dcos.reply import Reply
from tortie.cli.dcos.resources import read
from tortie.cli.dcos.session import Session, say, show
from tortie.cli.dcos.state import members

EXAMPLE = "dcos marathon pod add < pod_resource.json"


def _marathon(session: Session) -> Marathon:
    """Raises DcosError where it knows no pods."""
    marathon = Marathon(session)
    try:
        marathon.call("HEAD", "v2/pods")
    except Refused as error:
        if error.reply.status != 404:
            raise
        raise DcosError("This command is not supported by your version of Marathon") from error
    return marathon


def _path(line: Line) -> str:
    return f"v2/pods{path_of(line.need('<pod-id>'))}"


def add(session: Session, line: Line) -> int:
    marathon = _marathon(session)
    resource = read(session, line.word("<pod-resource>"), EXAMPLE)
    say(f"Created deployment {_deployment(marathon.call('POST', 'v2/pods', resource))}")
    return 0


def _deployment(reply: Reply) -> str:
    if HEADER not in reply.headers:
        raise DcosError('Error: missing "Marathon-Deployment-Id" header from Marathon response')
    return reply.headers[HEADER]


def update(session: Session, line: Line) -> int:
    marathon = _marathon(session)
    marathon.get(f"{_path(line)}::status")
    resource = read(session, None, "dcos marathon pod update your-pod-id < pod_resource.json")
    reply = marathon.call("PUT", _path(line), resource, **force(line.has("--force")))
    say(f"Created deployment {_deployment(reply)}")
    return 0


def remove(session: Session, line: Line) -> int:
    _marathon(session).call("DELETE", _path(line), **force(line.has("--force")))
    return 0


def list_(session: Session, line: Line) -> int:
    marathon = _marathon(session)
    pods = members({"pods": marathon.get("v2/pods/::status")}, "pods")
    if line.has("--json"):
        show(pods)
        return 0
    from tortie.cli.dcos.marathon_tables import pod_table

    say(pod_table(pods, members(marathon.get("v2/queue"), "queue")))
    return 0


def show_(session: Session, line: Line) -> int:
    show(_marathon(session).get(f"{_path(line)}::status"))
    return 0


def kill(session: Session, line: Line) -> int:
    wanted = list(line.words("<instance-ids>"))
    if not wanted:
        raise DcosError("Please provide at least one pod instance ID")
    _marathon(session).call("DELETE", f"{_path(line)}::instances", wanted)
    return 0
