"""The input of a container over one long request of the agent's v1 API."""

from __future__ import annotations

import http.client
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from tortie.base.errors import TortieError, Unavailable
from tortie.wire.agent_address import AgentAddress, refusal
from tortie.wire.agent_records import RECORDIO, Codec, data_document, heartbeat_document, window_document
from tortie.wire.recordio import frame

BEAT = 30.0
PIECE = 32768
PIECES = 32
"""At most so many pieces wait to be sent."""


class InputLine:
    """`problem` is why the agent refused it; `refused` is called when it did.

    What is to be said goes through a queue that signal handlers may use; a thread sends it, and a heartbeat when there
    was nothing to say. Another waits for the answer, which comes when the line or the container ends.
    """

    def __init__(
        self, address: AgentAddress, codec: Codec, container_id: Mapping[str, Any], refused: Callable[[], None]
    ) -> None:
        self.problem: TortieError | None = None
        self._address = address
        self._codec = codec
        self._container_id = dict(container_id)
        self._refused = refused
        self._said: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._room = threading.BoundedSemaphore(PIECES)
        self._over = threading.Event()
        self._connection = address.connect(address.timeout)
        threading.Thread(target=self._run, daemon=True).start()

    def write(self, data: bytes) -> None:
        """Waits for room; nothing of it is read any more once the line is over. No bytes: the end of the input."""
        for start in range(0, max(len(data), 1), PIECE):
            while not self._room.acquire(timeout=0.2):
                if self._over.is_set():
                    return
            self._said.put(data_document("STDIN", data[start : start + PIECE]))

    def resize(self, rows: int, columns: int) -> None:
        self._said.put(window_document(rows, columns))

    def close(self) -> None:
        """Frees the container's input without ending it."""
        self._said.put(None)

    def _run(self) -> None:
        try:
            self._begin()
            threading.Thread(target=self._answer, daemon=True).start()
            while not self._over.is_set():
                try:
                    said = self._said.get(timeout=BEAT)
                except queue.Empty:
                    self._send({"type": "PROCESS_IO", "process_io": heartbeat_document(BEAT)})
                    continue
                if said is None:
                    self._connection.send(b"0\r\n\r\n")
                    return
                self._send({"type": "PROCESS_IO", "process_io": said})
                if said["type"] == "DATA":
                    self._room.release()
        except (OSError, http.client.HTTPException, AttributeError):
            # The container has ended, or the agent says why not: the output tells it, or the answer.
            self._over.set()

    def _begin(self) -> None:
        connection = self._connection
        try:
            connection.connect()
        except OSError as error:
            self.problem = Unavailable(f"{self._address.url}: {error}")
            self._refused()
            raise
        connection.auto_open = 0
        connection.putrequest("POST", self._address.path)
        for name, value in {
            **self._address.headers,
            "Content-Type": RECORDIO,
            "Message-Content-Type": self._codec.media_type,
            "Accept": self._codec.media_type,
            "Transfer-Encoding": "chunked",
        }.items():
            connection.putheader(name, value)
        connection.endheaders()
        if connection.sock is not None:
            connection.sock.settimeout(None)
        self._send({"type": "CONTAINER_ID", "container_id": self._container_id})

    def _send(self, said: dict[str, Any]) -> None:
        record = frame(self._codec.call("ATTACH_CONTAINER_INPUT", said))
        self._connection.send(b"%x\r\n%s\r\n" % (len(record), record))

    def _answer(self) -> None:
        try:
            reply = self._connection.getresponse()
            # 500: it has ended already, which the output tells.
            if reply.status not in (200, 500):
                self.problem = refusal(reply)
        except (OSError, http.client.HTTPException, AttributeError, ValueError):
            return
        finally:
            self._over.set()
            self._connection.close()
        if self.problem is not None:
            self._refused()
