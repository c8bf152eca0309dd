"""A framework over plain HTTP, for tests: it reads its own event stream and says what it is told to say."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.support.waiting import PATIENCE
from tortie.wire.recordio import Deframer

Json = dict[str, Any]


def request(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    *,
    host: str = "127.0.0.1",
) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers (names in lower case) of one request."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, raw, headers or {})
        reply = connection.getresponse()
        return reply.status, reply.read().decode(), {k.lower(): v for k, v in reply.getheaders()}
    finally:
        connection.close()


def get(port: int, path: str, *, host: str = "127.0.0.1") -> Any:
    status, text, _ = request(port, "GET", path, host=host)
    assert status == 200, (status, text)
    return json.loads(text)


class Framework:
    """One framework. `events` holds everything heard; `acknowledging` answers every update that asks for it."""

    def __init__(self, port: int, *, acknowledging: bool = True, host: str = "127.0.0.1", **info: Any) -> None:
        self.port, self.host = port, host
        self.info: Json = {"user": "root", "name": "test", "failover_timeout": 60.0, "checkpoint": True, **info}
        self.acknowledging = acknowledging
        self.events: list[Json] = []
        self.offers: dict[str, Json] = {}
        self.id: str | None = info.get("id", {}).get("value")
        self.stream = ""
        self.ended = threading.Event()
        self._changed = threading.Condition()
        self._connection: http.client.HTTPConnection | None = None
        self._thread: threading.Thread | None = None

    def subscribe(self) -> Framework:
        if self.id:
            self.info["id"] = {"value": self.id}
        call: Json = {"type": "SUBSCRIBE", "subscribe": {"framework_info": self.info}}
        if self.id:
            call["framework_id"] = {"value": self.id}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        connection.request("POST", "/api/v1/scheduler", json.dumps(call), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        assert reply.status == 200, (reply.status, reply.read())
        assert reply.getheader("Transfer-Encoding") == "chunked"
        self.stream = reply.getheader("Mesos-Stream-Id") or ""
        self._connection = connection
        self.ended = threading.Event()
        self.offers.clear()
        heard = len(self.events)
        self._thread = threading.Thread(target=self._read, args=(reply, self.ended), daemon=True)
        self._thread.start()
        first = self.wait(lambda e: e["type"] in ("SUBSCRIBED", "ERROR"), after=heard)
        if first["type"] == "SUBSCRIBED":
            self.id = first["subscribed"]["framework_id"]["value"]
        return self

    def _read(self, reply: http.client.HTTPResponse, ended: threading.Event) -> None:
        deframer = Deframer()
        try:
            while data := reply.read1(65536):
                for record in deframer.feed(data):
                    self._heard(json.loads(record))
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass
        finally:
            ended.set()
            with self._changed:
                self._changed.notify_all()

    def _heard(self, event: Json) -> None:
        status = event.get("update", {}).get("status", {})
        if self.acknowledging and "uuid" in status:
            self.acknowledge(status)
        with self._changed:
            for offer in event.get("offers", {}).get("offers", []):
                self.offers[offer["id"]["value"]] = offer
            if event["type"] == "RESCIND":
                self.offers.pop(event["rescind"]["offer_id"]["value"], None)
            self.events.append(event)
            self._changed.notify_all()

    def wait(self, wanted: Callable[[Json], bool], *, seconds: float = PATIENCE, after: int = 0) -> Json:
        """The first event that is wanted, among those heard since `after` of them had been."""
        ends = time.monotonic() + seconds
        with self._changed:
            while True:
                found = next((e for e in self.events[after:] if wanted(e)), None)
                if found is not None:
                    return found
                left = ends - time.monotonic()
                heard = [e["type"] for e in self.events[after:]]
                assert left > 0, f"not heard within {seconds:g} s; heard since: {heard}: {self.statuses()}"
                self._changed.wait(left)

    def statuses(self, task_id: str | None = None) -> list[Json]:
        found = [e["update"]["status"] for e in self.events if e["type"] == "UPDATE"]
        return [s for s in found if task_id in (None, s["task_id"]["value"])]

    def status(self, task_id: str, state: str, *, seconds: float = PATIENCE, after: int = 0) -> Json:
        def is_it(event: Json) -> bool:
            status = event.get("update", {}).get("status", {})
            return bool(status) and status["task_id"]["value"] == task_id and status["state"] == state

        found: Json = self.wait(is_it, seconds=seconds, after=after)["update"]["status"]
        return found

    def offer(self, *, seconds: float = PATIENCE) -> Json:
        """The latest offer that stands; it is the caller's to answer."""
        ends = time.monotonic() + seconds
        with self._changed:
            while not self.offers:
                assert self._changed.wait(max(ends - time.monotonic(), 0)), f"no offer within {seconds:g} s"
            return self.offers.popitem()[1]

    def call(self, kind: str, payload: Json | None = None, **headers: str) -> tuple[int, str]:
        body: Json = {"type": kind, "framework_id": {"value": self.id}}
        if payload is not None:
            body[kind.lower()] = payload
        named = {"Content-Type": "application/json", "Mesos-Stream-Id": self.stream}
        named |= {name.replace("_", "-"): text for name, text in headers.items()}
        status, text, _ = request(self.port, "POST", "/api/v1/scheduler", body, named, host=self.host)
        return status, text

    def acknowledge(self, status: Json) -> None:
        payload = {key: status[key] for key in ("agent_id", "task_id", "uuid")}
        assert self.call("ACKNOWLEDGE", payload)[0] == 202

    def accept(self, offer: Json, *tasks: Json, refuse_seconds: float = 0) -> None:
        launch = {"type": "LAUNCH", "launch": {"task_infos": list(tasks)}}
        payload = {"offer_ids": [offer["id"]], "operations": [launch], "filters": {"refuse_seconds": refuse_seconds}}
        assert self.call("ACCEPT", payload) == (202, "")

    def close(self) -> None:
        if self._connection is not None and self._connection.sock is not None:
            self._connection.sock.shutdown(2)
        elif self._connection is not None:
            self._connection.close()


def scalar(name: str, value: float) -> Json:
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}}


def task(offer: Json, task_id: str, **parts: Any) -> Json:
    """0.1 cpu and 32 MB of the offer's agent."""
    return {
        "name": task_id,
        "task_id": {"value": task_id},
        "agent_id": offer["agent_id"],
        "resources": [scalar("cpus", 0.1), scalar("mem", 32)],
        **parts,
    }
