"""`tortie flows`: who talked to whom, allowed or denied, and who said so."""

from __future__ import annotations

import http.client
import json
import queue
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import click

from tortie.base.errors import Unavailable
from tortie.cli.calicoctl import unix_http
from tortie.cli.nodes import ask, sockets
from tortie.cli.questions import say, show
from tortie.cli.screen import Command, json_option

TOGETHER_SECONDS = 2.0
"""Both sides of a conversation tell of it within this time."""


@click.command(
    cls=Command,
    examples=[
        ("tortie flows", "the last hour, the newest last"),
        ("tortie flows --denied", "what was refused, and by whom"),
        ("tortie flows --follow", "as they come, until Ctrl-C"),
    ],
)
@click.option("--follow", is_flag=True, help="Go on with what comes from now on.")
@click.option("--denied", is_flag=True, help="Refused ones only.")
@click.option("--name", metavar="LAB", help="The hosts of this lab.")
@json_option
def flows(*, follow: bool, denied: bool, name: str | None, as_json: bool) -> None:
    """Show who talked to whom, allowed or denied, and by which policy and rule, as this host saw it, or all hosts of a
    lab.

    What is refused again and again is counted in part: a host tells of 20 packets a second of each rule.
    """
    where = sockets(name, "flows")
    filters = {"filters": json.dumps({"actions": ["Deny"]} if denied else {})}
    found: list[dict[str, Any]] = []
    for host, path in where.items():
        answer = ask(path, f"/flows?{urlencode(filters)}")
        found += [flow | {"host": answer["node"]} for flow in answer["items"]]
        if answer["reason"]:
            say(f"{host or 'this host'}: {answer['reason']}")
    if not as_json:
        _show(found, head=True)
    elif follow:
        _lines(found)
    else:
        click.echo(json.dumps({"items": found}))
    if follow:
        _follow(where, filters | {"watch": "true"}, as_json=as_json, head=not found)
    elif not found and not as_json:
        say("no flows yet" if not denied else "nothing was refused")


def _show(found: Iterable[Mapping[str, Any]], *, head: bool) -> None:
    from tortie.node.flows.words import table

    show(list(table(found, _clock, head=head)))
    sys.stdout.flush()


def _clock(seconds: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def _lines(found: Iterable[Mapping[str, Any]]) -> None:
    for flow in found:
        click.echo(json.dumps(flow))
    sys.stdout.flush()


def _follow(where: Mapping[str, str], asked: Mapping[str, str], *, as_json: bool, head: bool) -> None:
    """Until the person ends it. Unavailable when the last node has gone."""
    news: queue.Queue[dict[str, Any] | None] = queue.Queue()
    for host, path in where.items():
        threading.Thread(target=_listen, args=(host, path, asked, news), daemon=True).start()
    listening = len(where)
    try:
        while listening:
            batch = list(_together(news))
            listening -= sum(flow is None for flow in batch)
            found = [flow for flow in batch if flow is not None]
            if as_json:
                _lines(found)
            elif found:
                _show(found, head=head)
                head = False
    except KeyboardInterrupt:
        return
    raise Unavailable("no node tells of flows any more")


def _together(news: queue.Queue[dict[str, Any] | None]) -> Iterator[dict[str, Any] | None]:
    """The next one, and those that come soon behind it."""
    yield news.get()
    until = time.monotonic() + TOGETHER_SECONDS
    while (left := until - time.monotonic()) > 0:
        try:
            yield news.get(timeout=left)
        except queue.Empty:
            return


def _listen(host: str, path: str, asked: Mapping[str, str], news: queue.Queue[dict[str, Any] | None]) -> None:
    try:
        for data in unix_http.events(path, f"/flows?{urlencode(asked)}"):
            news.put(json.loads(data) | {"host": host})
    except (Unavailable, ValueError, http.client.HTTPException) as error:
        say(f"{host or 'this host'}: {error}")
    finally:
        news.put(None)
