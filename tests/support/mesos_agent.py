"""An agent over plain HTTP, for tests of the master. On its own it only answers pings, unless it is `silent`."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from tests.support.mesos_client import request
from tests.support.waiting import PATIENCE
from tortie.mesos.protocol import PATH
from tortie.mesos.resources import parse, to_wire
from tortie.wire import mesos as wire
from tortie.wire.recordio import Deframer

Json = dict[str, Any]


class BareAgent:
    """`heard` holds the master's messages."""

    def __init__(
        self, port: int, hostname: str = "agent.test", resources: str = "cpus:4;mem:1024", *, silent: bool = False
    ) -> None:
        self.silent = silent
        self.port = port
        info = wire.AgentInfo(hostname=hostname, resources=to_wire(parse(resources)))
        self.info: Json = json.loads(wire.encode(info))
        self.id = ""
        self.stream = ""
        self.heard: list[Json] = []
        self._changed = threading.Condition()
        self._connection: http.client.HTTPConnection | None = None

    def subscribe(self, *tasks: Json) -> BareAgent:
        call = {"type": "SUBSCRIBE", "subscribe": {"agent_info": self.info, "ip": "10.9.9.9", "tasks": list(tasks)}}
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        self._connection.request("POST", PATH, json.dumps(call), {"Content-Type": "application/json"})
        reply = self._connection.getresponse()
        assert reply.status == 200, reply.read()
        self.stream = reply.getheader("Mesos-Stream-Id") or ""
        before = len(self.heard)
        threading.Thread(target=self._read, args=(reply,), daemon=True).start()
        first = self.wait(lambda m: m["type"] in ("REGISTERED", "REREGISTERED"), after=before)
        self.id = first["registered"]["agent_id"]["value"]
        self.info["id"] = {"value": self.id}
        return self

    def _read(self, reply: http.client.HTTPResponse) -> None:
        deframer = Deframer()
        try:
            while data := reply.read1(65536):
                records = [json.loads(record) for record in deframer.feed(data)]
                with self._changed:
                    self.heard += records
                    self._changed.notify_all()
                if not self.silent and any(r["type"] == "PING" for r in records):
                    self.say("PONG")
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            return

    def wait(self, wanted: Callable[[Json], bool], *, seconds: float = PATIENCE, after: int = 0) -> Json:
        ends = time.monotonic() + seconds
        with self._changed:
            while True:
                found = next((m for m in self.heard[after:] if wanted(m)), None)
                if found is not None:
                    return found
                heard = [m["type"] for m in self.heard[after:]]
                assert self._changed.wait(max(ends - time.monotonic(), 0)), f"not heard; heard since: {heard}"

    def say(self, kind: str, **payload: Any) -> int:
        body = {"type": kind, "agent_id": {"value": self.id}, **payload}
        headers = {"Content-Type": "application/json", "Mesos-Stream-Id": self.stream}
        return request(self.port, "POST", PATH, body, headers)[0]

    def update(self, framework_id: str, task_id: str, state: str) -> str:
        """Returns the update's uuid as it stands in the message."""
        name = base64.b64encode(uuid.uuid4().bytes).decode()
        status = {
            "task_id": {"value": task_id},
            "state": state,
            "uuid": name,
            "agent_id": {"value": self.id},
            "timestamp": 1500000000.25,
            "container_status": {
                "container_id": {"value": "c1"},
                "network_infos": [
                    {"name": "client", "ip_addresses": [{"protocol": "IPv4", "ip_address": "192.168.0.5"}]}
                ],
            },
        }
        update = {"framework_id": {"value": framework_id}, "status": status, "latest": state}
        assert self.say("STATUS_UPDATE", update=update) == 202
        return name

    def close(self) -> None:
        if self._connection is not None and self._connection.sock is not None:
            self._connection.sock.shutdown(2)
