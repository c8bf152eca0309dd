"""Cosmos as `dcos` speaks to it: media types, and its errors in words that say what to type."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tortie.cli.dcos.errors import DcosError, Refused, refusal
from tortie.cli.dcos.reply import Reply
from tortie.cli.dcos.session import Session

ERROR = "application/vnd.dcos.package.error+json;charset=utf-8;version=v1"
SECONDS = 120.0
"""An installation waits for repositories, Marathon and the master."""
UNSUPPORTED = (
    "This version of the DC/OS CLI is not supported for your cluster. There is no package service at [{}]: its address "
    "is core.dcos_url, or package.cosmos_url"
)


class CosmosRefused(Refused):
    """`kind` and `data` are the error's own."""

    def __init__(self, reply: Reply, error: Mapping[str, Any]) -> None:
        self.kind = str(error.get("type", ""))
        self.data = error.get("data") if isinstance(error.get("data"), dict) else {}
        super().__init__(reply, said(self.kind, str(error.get("message", "")), self.data or {}))


def media_type(path: str, what: str, version: int = 1) -> str:
    """Of an operation by its path, such as `package/repository/add`."""
    family, _, name = path.removeprefix("cosmos/").partition("/")
    return f"application/vnd.dcos.{family}.{name.replace('/', '.')}-{what}+json;charset=utf-8;version=v{version}"


def call(
    session: Session, path: str, body: Mapping[str, Any], versions: Sequence[int] = (1,), *, seconds: float = SECONDS
) -> Any:
    """The answer of an operation. `versions` of the answer that we can read, the best first. Raises DcosError."""
    base = session.value("package.cosmos_url") or session.dcos_url
    url = f"{base.rstrip('/')}/{path}"
    known = [media_type(path, "response", version) for version in versions]
    liked = [f"{one};q={1 - n / 10:g}" if n else one for n, one in enumerate(known)]
    headers = {"Content-Type": media_type(path, "request"), "Accept": ", ".join(liked)}
    reply = session.http.ask("POST", url, json=body, headers=headers, seconds=max(seconds, session.http.seconds))
    given = reply.headers.get("content-type", "")
    if reply.status >= 400:
        raise _failure(reply, given, base)
    if not any(one in given for one in known):
        raise DcosError(f"Server returned incorrect response type, expected {known[0]} but got {given}")
    return _document(reply)


def _failure(reply: Reply, given: str, base: str) -> DcosError:
    if ERROR in given:
        error = _document(reply)
        if isinstance(error, dict):
            return CosmosRefused(reply, error)
    if reply.status == 404:
        return DcosError(UNSUPPORTED.format(base))
    return refusal(reply)


def _document(reply: Reply) -> Any:
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise DcosError(f"Error decoding response from [{reply.url}]: {error}") from error


def said(kind: str, message: str, data: Mapping[str, Any]) -> str:
    """The error for a person."""
    if kind == "AmbiguousAppId":
        return (
            f"{message}.\nPlease use --app-id to specify the ID of the app to uninstall, or use --all to uninstall all "
            "apps."
        )
    if kind == "MultipleFrameworkIds":
        return f"{message}. Manually shut them down using 'dcos service shutdown'"
    if kind == "JsonSchemaMismatch":
        return _mismatch(data.get("errors"))
    if kind == "MarathonBadResponse":
        return "\n".join([message, *_details(data.get("errors"))])
    if kind in ("PackageInUse", "UninstallRefused"):
        return f"{message} (--force)"
    if kind == "RepositoryUriConnection" and data.get("cause"):
        return f"{message}\n{data['cause']}"
    return message or kind


def _details(errors: Any) -> list[str]:
    """What Marathon found wrong, each with its place."""
    lines: list[str] = []
    for one in errors if isinstance(errors, list) else []:
        if isinstance(one, dict) and isinstance(one.get("errors"), list):
            lines += [f"{one.get('path', '')}: {text}".lstrip(": ") for text in one["errors"]]
        else:
            lines.append(str(one))
    return lines


_FIELDS = (
    ("unwanted", "Unexpected properties: {}"),
    ("found", "Found: {}"),
    ("minimum", "Required minimum: {}"),
    ("maximum", "Allowed maximum: {}"),
    ("expected", "Expected: {}"),
    ("enum", "Expected: {}"),
    ("string", "Found: {}"),
    ("regex", "Expected pattern: {}"),
    ("missing", "Required parameter missing: {}"),
)


def _mismatch(errors: Any) -> str:
    lines = ["Error: Options JSON failed validation"]
    for one in errors if isinstance(errors, list) else []:
        if not isinstance(one, dict):
            continue
        known = [text.format(_plain(name, one[name])) for name, text in _FIELDS if name in one]
        lines += known or [str(one.get("message", "")), *_alternatives(one.get("reports"))]
        if path := _path(one):
            lines.append(f"Path: {path}")
    lines += [
        "",
        "Please create a JSON file with the appropriate options, and pass the /path/to/file as an --options argument.",
    ]
    return "\n".join(lines)


def _alternatives(reports: Any) -> list[str]:
    """What would do, where any of several would."""
    lists = reports.values() if isinstance(reports, dict) else ()
    found = [one for some in lists if isinstance(some, list) for one in some if isinstance(one, dict)]
    return [f"Either {_path(one)}: {one.get('message', '')}" for one in found]


def _path(error: Mapping[str, Any]) -> str:
    instance = error.get("instance")
    pointer = str(instance.get("pointer", "")) if isinstance(instance, dict) else ""
    return ".".join(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def _plain(name: str, value: Any) -> str:
    if name == "unwanted":
        return str(value)  # the original printed the list as it was
    return ",".join(str(one) for one in value) if isinstance(value, list) else str(value)
