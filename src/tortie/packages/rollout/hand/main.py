"""One request on standard input (a line of JSON, then the artefact where one is wanted), one line of JSON in answer."""

from __future__ import annotations

import json
import sys
from typing import Any, BinaryIO

from tortie.packages.rollout.hand.files import Failed, Place
from tortie.packages.rollout.hand.steps import Hand

CUT_OFF = 75
"""The exit code for a request that did not arrive whole."""


def answer(request: dict[str, Any], payload: bytes) -> dict[str, Any]:
    """`{"delta"}` or `{"notes"}`; `{"error"}` when it could not be done."""
    place = Place(request.get("root", "/"), request["plan"])
    systemctl, apart = request.get("systemctl", "systemctl"), request.get("apart", "")
    rolled, force = request.get("rolled", ()), request.get("force", False)
    hand = Hand(place, request["want"], systemctl, apart, rolled, force=force)
    try:
        if request["do"] == "probe":
            return {"delta": hand.delta()}
        if request["do"] == "undo":
            return {"notes": hand.undo(request["step"])}
        return {"notes": hand.apply(request["step"], payload, request.get("compiled"))}
    except Failed as error:
        return {"error": str(error)}
    except OSError as error:
        return {"error": f"{error.filename}: {error.strerror}" if error.filename else str(error)}


def main(given: BinaryIO) -> None:
    line = given.readline()
    request = json.loads(line) if line.endswith(b"\n") else {}
    payload = given.read(request.get("payload", 0))
    if not request or len(payload) < request["payload"]:
        sys.stderr.write("the request was cut off\n")
        sys.exit(CUT_OFF)
    sys.stdout.write(json.dumps(answer(request, payload)) + "\n")
