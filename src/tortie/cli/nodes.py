"""Where the nodes answer that a person means: this host's, or those of a lab."""

from __future__ import annotations

import json
import os
from typing import Any

from tortie.base.errors import Invalid, NotFound, Unavailable
from tortie.cli.calicoctl import unix_http
from tortie.cli.screen import need_root

SOCKET = "/run/tortie/node.sock"


def sockets(lab: str | None, what: str) -> dict[str, str]:
    """Sockets by host; this host's own has the name of nobody. A lab is meant when it is named, or when this host has
    no node and there is the user's lab. Unavailable when nobody is there to be asked."""
    if lab is None and os.path.exists(SOCKET):
        return {"": SOCKET}
    from tortie.lab.api import Lab
    from tortie.lab.plan import DEFAULT_NAME

    try:
        found = Lab.find(lab or DEFAULT_NAME)
    except NotFound as error:
        if lab is not None:
            raise
        raise Unavailable(f"no node runs on this host ({SOCKET}), and there is no lab") from error
    need_root(what)
    there = {host.name: str(host.path(SOCKET)) for host in found.hosts.values() if host.alive}
    there = {name: path for name, path in there.items() if os.path.exists(path)}
    if not there:
        raise no_node(found.name)
    return there


def no_node(lab: str) -> Unavailable:
    """What is said where a lab's hosts are asked, and none can answer."""
    return Unavailable(
        f"no host of lab {lab} has a node yet\n"
        "the packages bring it: `dcos package install etcd`, then `dcos package install calico`, on laptop"
    )


def ask(path: str, target: str, seconds: float = 30.0) -> dict[str, Any]:
    """The node's answer. Invalid with what it says is wrong with the question."""
    status, body = unix_http.get(path, target, seconds)
    try:
        answer: dict[str, Any] = json.loads(body)
    except ValueError as error:
        raise Unavailable(f"{path}: status {status}, no JSON") from error
    if status == 400:
        raise Invalid(*answer["reasons"])
    if status != 200:
        raise Unavailable(f"{path}: status {status}: {', '.join(answer.get('reasons', ()))}")
    return answer
