"""Where everything lies: below the cluster's entry door, or on a Mesos master itself (`core.mesos_master_url`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

from tortie.cli.dcos.errors import DcosError


def join(base: str, path: str) -> str:
    return f"{base.rstrip('/')}/{path.lstrip('/')}"


def query(url: str, parameters: Mapping[str, str | int] | None) -> str:
    return query_of(url, [(name, str(value)) for name, value in (parameters or {}).items()])


def query_of(url: str, parameters: Sequence[tuple[str, str]]) -> str:
    """A name may come several times."""
    return f"{url}?{urlencode(parameters)}" if parameters else url


def master(dcos_url: str, direct: str | None, path: str) -> str:
    """A path of the leading master such as `state`."""
    return join(direct, f"master/{path}") if direct else join(dcos_url, f"mesos/master/{path}")


def master_files(dcos_url: str, direct: str | None, path: str) -> str:
    return join(direct or join(dcos_url, "mesos"), f"files/{path}")


def agent(dcos_url: str, direct: str | None, agent_id: str, pid: str, path: str) -> str:
    """A path of an agent; `pid`: `slave(1)@ADDRESS:PORT`."""
    if direct:
        _, host, port = parse_pid(pid)
        return join(f"http://{host}:{port}", path)
    return join(dcos_url, f"slave/{quote(agent_id, safe='')}/{path}")


def parse_pid(pid: str) -> tuple[str, str, str]:
    """Name, host and port. Raises DcosError."""
    name, at, where = pid.partition("@")
    host, colon, port = where.rpartition(":")
    if not (at and colon):
        raise DcosError(f"Invalid pid of an agent: {pid!r}")
    return name, host, port


def marathon(dcos_url: str | None, own: str | None) -> str:
    """Raises DcosError when neither is known."""
    if own:
        return own
    return join(need(dcos_url), "service/marathon")


def need(dcos_url: str | None, name: str = "core.dcos_url") -> str:
    if not dcos_url:
        raise DcosError(f'Missing required config parameter: "{name}".  Please run `dcos config set {name} <value>`.')
    return dcos_url


def same_server(one: str, other: str) -> bool:
    """Whether a secret for one may be shown to the other."""
    return server(one) == server(other)


def server(url: str) -> tuple[str, str]:
    scheme, _, rest = url.partition("://")
    place = rest.partition("/")[0].partition("?")[0].rpartition("@")[2].lower()
    scheme = scheme.lower()
    default = ":443" if scheme == "https" else ":80"
    return scheme, place.removesuffix(default)
