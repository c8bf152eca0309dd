"""Which encodings a request and its reply have, by the headers of the v1 APIs. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tortie.wire.agent_records import JSON, PROTOBUF, RECORDIO

WHOLE = (JSON, PROTOBUF)
ALL = (JSON, PROTOBUF, RECORDIO)
"""In the order in which they are preferred."""


class MediaProblem(Exception):
    """A request whose headers are answered with this status and text."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        self.text = text
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Media:
    """`body` and `reply` are JSON, PROTOBUF or RECORDIO; `records` and `reply_records` how the messages of the latter
    are written."""

    body: str
    records: str | None
    reply: str
    reply_records: str

    @property
    def message(self) -> str:
        """How a message of the request is written, alone or in a stream."""
        return self.records or self.body

    @property
    def reply_message(self) -> str:
        return self.reply_records if self.reply == RECORDIO else self.reply


def media(headers: Mapping[str, str]) -> Media:
    """`headers` by lower-case names. Raises MediaProblem in the original's words."""
    body, records = _body(headers)
    reply = _accepted(headers.get("accept"), ALL)
    if reply is None:
        raise MediaProblem(
            406, "Expecting 'Accept' to allow application/json or application/x-protobuf or application/recordio"
        )
    wanted = headers.get("message-accept")
    if wanted is not None and reply != RECORDIO:
        raise MediaProblem(406, "Expecting 'Message-Accept' to be not set for non-streaming responses")
    inner = _accepted(wanted, WHOLE)
    if inner is None:
        raise MediaProblem(406, "Expecting 'Message-Accept' to allow application/json or application/x-protobuf")
    return Media(body, records, reply, inner)


def _body(headers: Mapping[str, str]) -> tuple[str, str | None]:
    given = headers.get("content-type")
    if given is None:
        raise MediaProblem(400, "Expecting 'Content-Type' to be present")
    body = _bare(given)
    if body not in ALL:
        raise MediaProblem(
            415, "Expecting 'Content-Type' of application/json or application/x-protobuf or application/recordio"
        )
    records = headers.get("message-content-type")
    if body != RECORDIO:
        if records is not None:
            raise MediaProblem(415, "Expecting 'Message-Content-Type' to be not set for non-streaming requests")
        return body, None
    if records is None:
        raise MediaProblem(400, "Expecting 'Message-Content-Type' to be set for streaming requests")
    if _bare(records) not in WHOLE:
        raise MediaProblem(415, "Expecting 'Message-Content-Type' of application/json or application/x-protobuf")
    return body, _bare(records)


def _bare(given: str) -> str:
    return given.partition(";")[0].strip().lower()


def _accepted(given: str | None, offered: Sequence[str]) -> str | None:
    """The first of `offered` that the header allows; without one, or with an empty one, anything is allowed."""
    if given is None or not given.strip():
        return offered[0]
    weights: dict[str, float] = {}
    for part in given.split(","):
        name, _, rest = part.partition(";")
        weights[name.strip().lower()] = _weight(rest)
    for name in offered:
        for pattern in (name, name.partition("/")[0] + "/*", "*/*"):
            if pattern in weights:
                if weights[pattern] > 0:
                    return name
                break
    return None


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 1.0
    return 1.0
