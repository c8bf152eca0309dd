"""What the rules of policies and profiles have counted on this host: GET /counters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tortie.base.errors import Unavailable
from tortie.dataplane.kernel.counters import read_counters
from tortie.dataplane.render.chains import Owner
from tortie.dataplane.render.rules import Listed
from tortie.node.brain import Brain

TRIES = 5
MOST = 200


def route(brain: Brain) -> Route:
    """`/counters?policy=KIND/NAME&profile=NAME`, each as often as wanted."""

    async def counters(request: Request) -> Response:
        asked = request.query_params.multi_items()
        wrong = [name for name, value in asked if name not in ("policy", "profile") or not value]
        if wrong or not 0 < len(asked) <= MOST:
            return JSONResponse({"reasons": [f"policy=ID or profile=NAME is needed, up to {MOST} of them"]}, 400)
        owners: list[Owner] = [("policy" if name == "policy" else "profile", value) for name, value in asked]
        try:
            return JSONResponse({"node": brain.node, "items": await _read(brain, owners)})
        except Unavailable as error:
            return JSONResponse({"reasons": [str(error)]}, 503)

    return Route("/counters", counters)


async def _read(brain: Brain, owners: Sequence[Owner]) -> list[dict[str, Any]]:
    """The table may be written anew meanwhile: then once more."""
    for _ in range(TRIES):
        places = [place for owner in dict.fromkeys(owners) for place in brain.table.rule_places(owner)]
        found = await anyio.to_thread.run_sync(partial(read_counters, [listed.chain for listed, _ in places]))
        # A chain without rules has a line of its own.
        if all(len(found.get(listed.chain, ())) == (len(lines) or 1) for listed, lines in places):
            return [
                item for listed, lines in places for item in added_up(listed, lines, found[listed.chain][: len(lines)])
            ]
    raise Unavailable("the table is being written, ask again")


def added_up(listed: Listed, places: Sequence[int], counted: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    """One item a rule, of all its lines."""
    totals: dict[int, tuple[int, int]] = {}
    for place, (packets, size) in zip(places, counted, strict=True):
        before = totals.get(place, (0, 0))
        totals[place] = (before[0] + packets, before[1] + size)
    return [
        {
            "kind": listed.kind,
            "name": listed.name,
            "direction": listed.direction,
            "hook": listed.hook,
            "rule": place,
            "packets": packets,
            "bytes": size,
        }
        for place, (packets, size) in sorted(totals.items())
    ]
