"""A cluster's entry door with made-up answers, and the `dcos` command spoken to it, in this process."""

from __future__ import annotations

import contextlib
import io
import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.support.waiting import PATIENCE
from tortie.cli.dcos.main import run

AGENT = "29e81d88-3429-49df-9057-4798b85d99ea-S1"
FRAMEWORK = "29e81d88-0000"


class Asked(NamedTuple):
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Answer(NamedTuple):
    """`document` is sent as JSON; bytes as they are."""

    document: Any = None
    status: int = 200
    headers: Mapping[str, str] = {}

    def bytes(self) -> bytes:
        return self.document if isinstance(self.document, bytes) else json.dumps(self.document).encode()


Answers = dict[str, Any]


@dataclass
class DcosCluster:
    """`answers`: path, or `METHOD path`, -> a document, an Answer, or a function of what was asked; others are 404."""

    url: str = ""
    answers: Answers = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        found = self.answers.get(f"{asked.method} {asked.path}", self.answers.get(asked.path))
        if callable(found):
            found = found(asked)
        if found is None:
            return Answer({"message": f"no {asked.path}"}, 404)
        return found if isinstance(found, Answer) else Answer(found)

    def said(self, method: str) -> Asked:
        """The last request of that method."""
        return next(asked for asked in reversed(self.asked) if asked.method == method)


class Said(NamedTuple):
    code: int
    out: str
    err: str


PATIENT = {"DCOS_TIMEOUT": f"{PATIENCE:.0f}"}
"""Variables of a `dcos` on a busy machine."""
Dcos = Callable[..., Said]
"""A command line -> what came of it. `typed`: standard input; other words: variables."""


@contextlib.contextmanager
def serving(cluster: DcosCluster, tls: ssl.SSLContext | None = None) -> Iterator[DcosCluster]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_any(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = cluster.answer(Asked(self.command, parts.path, parts.query, headers, body))
            content = answer.bytes()
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(content)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_any

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    cluster.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def command(directory: Path, monkeypatch: pytest.MonkeyPatch, url: str = "") -> Dcos:
    """`directory` holds its configuration; `url` is its core.dcos_url."""
    base = {
        "HOME": str(directory),
        "DCOS_DIR": str(directory / "dcos"),
        **PATIENT,
        **({"DCOS_URL": url} if url else {}),
    }

    def dcos(line: str | list[str], typed: str = "", **variables: str) -> Said:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        words = line.split() if isinstance(line, str) else line
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(words, {**base, **variables})
        return Said(code, out.getvalue(), err.getvalue())

    return dcos


def task(name: str, **more: Any) -> dict[str, Any]:
    """A task of /state: in a container of the Mesos containerizer."""
    status = {"state": "TASK_RUNNING", "container_status": {"container_id": {"value": f"container-of-{name}"}}}
    return {
        "id": name,
        "name": name.partition(".")[0],
        "framework_id": FRAMEWORK,
        "slave_id": AGENT,
        "state": "TASK_RUNNING",
        "statuses": [status],
        **more,
    }


def state(*tasks: dict[str, Any], completed: tuple[dict[str, Any], ...] = (), **more: Any) -> dict[str, Any]:
    """A master's document with one agent and one framework."""
    marathon = {
        "id": FRAMEWORK,
        "name": "marathon",
        "hostname": "172.24.197.101",
        "active": True,
        "user": "root",
        "resources": {"cpus": 0.6, "mem": 128, "disk": 0},
        "tasks": list(tasks),
        "completed_tasks": list(completed),
    }
    return {
        "hostname": "172.24.197.101",
        "id": "master-id",
        "pid": "master@172.24.197.101:5050",
        "version": "1.4.0",
        "slaves": [agent()],
        "frameworks": [marathon],
        "completed_frameworks": [],
        **more,
    }


def agent(name: str = AGENT, host: str = "10.0.1.190") -> dict[str, Any]:
    return {"id": name, "hostname": host, "pid": f"slave(1)@{host}:5051", "attributes": {"rack": "r1"}}
