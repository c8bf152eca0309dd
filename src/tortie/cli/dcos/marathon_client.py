"""Marathon's v2 API behind the cluster's door, as this command needs it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tortie.cli.dcos import urls
from tortie.cli.dcos.errors import DcosError, LoginNeeded, Refused, refusal
from tortie.cli.dcos.marathon_errors import said
from tortie.cli.dcos.reply import Reply
from tortie.cli.dcos.session import Session

HEADER = "marathon-deployment-id"


class Marathon:
    """Refusals are raised as Refused, in Marathon's words."""

    def __init__(self, session: Session) -> None:
        own = session.value("marathon.url")
        self._base = urls.marathon(None if own else session.dcos_url, own)
        self._http = session.http

    def call(self, method: str, path: str, body: Any = None, **parameters: str) -> Reply:
        reply = self._http.ask(method, urls.query(urls.join(self._base, path), parameters), json=body)
        if reply.status < 400:
            return reply
        if reply.status in (401, 403):
            raise refusal(reply)
        raise Refused(reply, said(method, reply))

    def ask(self, method: str, path: str, body: Any = None, **parameters: str) -> Any:
        """The document of the answer."""
        from tortie.cli.dcos.web import document

        return document(self.call(method, path, body, **parameters))

    def get(self, path: str, **parameters: str) -> Any:
        return self.ask("GET", path, **parameters)

    def is_there(self, path: str) -> bool:
        try:
            self.call("GET", path)
        except LoginNeeded:
            raise
        except Refused as error:
            if error.reply.status != 404:
                raise
            return False
        return True

    def app(self, app: str, version: str | None = None) -> dict[str, Any]:
        """As Marathon shows it, now or in a version."""
        if version is not None:
            return self.documented("GET", f"v2/apps{path_of(app)}/versions/{quote(version, safe='')}")
        found = self.documented("GET", f"v2/apps{path_of(app)}").get("app")
        if not isinstance(found, dict):
            raise DcosError(f"The answer of Marathon cannot be read: it has no app [{app}]")
        return found

    def documented(self, method: str, path: str, body: Any = None, **parameters: str) -> dict[str, Any]:
        """An answer that has to be one object."""
        found = self.ask(method, path, body, **parameters)
        if not isinstance(found, dict):
            raise DcosError(f"Error decoding response from [{urls.join(self._base, path)}]: it is no object")
        return found

    def deployed(self, method: str, path: str, body: Any = None, **parameters: str) -> str:
        """The id of the deployment that a change begins."""
        found = self.documented(method, path, body, **parameters)
        started = found.get("deploymentId") or next((d.get("id") for d in found.get("deployments") or ()), None)
        if not started:
            raise DcosError(f'Error: missing "deploymentId" field in the response from Marathon: {found}')
        return str(started)


def path_of(name: str) -> str:
    """Of an app, a group or a pod in a URL: one slash before it, none behind."""
    return "/" + quote(name.strip("/"))


def full_id(name: str) -> str:
    return "/" + name.strip("/")


def force(wanted: bool) -> dict[str, str]:
    return {"force": "true"} if wanted else {}
