"""The Mesos master and its agents, behind the cluster's door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tortie.cli.dcos import urls
from tortie.cli.dcos.errors import DcosError, Refused
from tortie.cli.dcos.session import Session

Document = Mapping[str, Any]
LEADER = "leader.mesos."
MASTERS = "master.mesos."


class Mesos:
    def __init__(self, session: Session) -> None:
        self.session = session
        self.http = session.http
        self.direct = session.direct
        self.base = "" if self.direct else session.dcos_url
        self._agents: dict[str, dict[str, Any]] = {}

    def state(self) -> dict[str, Any]:
        return self._document(urls.master(self.base, self.direct, "state.json"))

    def summary(self) -> dict[str, Any]:
        return self._document(urls.master(self.base, self.direct, "state-summary"))

    def agent_url(self, agent: Document, path: str) -> str:
        return urls.agent(self.base, self.direct, str(agent.get("id", "")), str(agent.get("pid", "")), path)

    def agent_state(self, agent: Document) -> dict[str, Any]:
        """Asked once, however many of its tasks are looked for."""
        url = self.agent_url(agent, "state.json")
        if url not in self._agents:
            self._agents[url] = self._document(url)
        return self._agents[url]

    def files_url(self, agent: Document | None, path: str) -> str:
        """Of an agent, or of the leading master."""
        if agent is None:
            return urls.master_files(self.base, self.direct, path)
        return self.agent_url(agent, f"files/{path}")

    def browse(self, agent: Document, directory: str) -> list[dict[str, Any]]:
        found = self.http.get(urls.query(self.files_url(agent, "browse.json"), {"path": directory}))
        if not isinstance(found, list) or not all(isinstance(one, dict) and "path" in one for one in found):
            raise DcosError(f"Error decoding response from [{self.files_url(agent, 'browse.json')}]: no list of files")
        return found

    def teardown(self, framework_id: str) -> None:
        from urllib.parse import urlencode

        body = urlencode({"frameworkId": framework_id}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            self.http.call("POST", urls.master(self.base, self.direct, "teardown"), body=body, headers=headers)
        except Refused as error:
            if error.reply.status != 404:
                raise
            # The name that it had up to Mesos 0.22.
            self.http.call("POST", urls.master(self.base, self.direct, "shutdown"), body=body, headers=headers)

    def hosts(self, name: str) -> list[dict[str, Any]]:
        """What the cluster's DNS answers for a name: `host` and `ip` each."""
        url = self.session.url(f"mesos_dns/v1/hosts/{name}")
        found = self.http.get(url)
        if not isinstance(found, list) or not all(isinstance(one, dict) and "ip" in one for one in found):
            raise DcosError(f"Error decoding response from [{url}]: no list of hosts")
        return found

    def metadata(self) -> dict[str, Any]:
        return self._document(self.session.url("metadata"))

    def logging(self) -> bool:
        """Whether logs come from the hosts' journals."""
        if self.direct and not self.session.value("core.dcos_url"):
            return False
        reply = self.http.ask("GET", self.session.url("capabilities"))
        if reply.status != 200:
            return False
        from tortie.cli.dcos.web import document

        found = document(reply)
        return isinstance(found, dict) and {"name": "LOGGING"} in found.get("capabilities", [])

    def _document(self, url: str) -> dict[str, Any]:
        found = self.http.get(url)
        if not isinstance(found, dict):
            raise DcosError(f"Error decoding response from [{url}]: it is no document")
        return found
