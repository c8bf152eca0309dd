"""What this host's node and its BGP sessions are doing, as `node status` shows it."""

from __future__ import annotations

import json
from pathlib import Path

from tortie.base.errors import Unavailable
from tortie.cli.calicoctl import unix_http
from tortie.cli.calicoctl.session import Failed
from tortie.cli.calicoctl.table import boxed, table

SOCKET = "/run/tortie/node.sock"
HEADINGS = ("Peer address", "Peer type", "State", "Since", "Info")


def running() -> bool:
    try:
        return unix_http.get(SOCKET, "/liveness")[0] == 204
    except Unavailable:
        return False


def status(*, era019: bool = False) -> str:
    """Raises Failed when the node does not answer, or BGP is wanted and its daemon does not."""
    if not running():
        raise Failed("Calico process is not running.")
    return f"Calico process is running.\n\n{bgp_status(era019=era019)}"


def bgp_status(*, era019: bool) -> str:
    """The sessions of both families, a table each."""
    from tortie.dataplane.bgp_status import sessions
    from tortie.node.bird_socket import SOCKET as BIRD
    from tortie.node.bird_socket import ask

    told = json.loads(unix_http.get(SOCKET, "/status")[1]).get("bgp", {})
    found = []
    if told.get("backend") == "bird":
        try:
            found = sessions(ask(Path(told.get("socket", BIRD)), "show protocols"))
        except Unavailable:
            problems = "".join(f"\n{problem}" for problem in told.get("problems", ()))
            raise Failed(f"The BGP backend process (BIRD) is not running.{problems}") from None
    parts = []
    for version in (4, 6):
        rows = [state for state in found if state.version == version]
        if not rows:
            shown = f"No IPv{version} peers found."
        elif era019:
            shown = table(HEADINGS, rows)
        else:
            shown = boxed(tuple(map(str.upper, HEADINGS)), rows).rstrip("\n")
        parts.append(f"IPv{version} BGP status\n{shown}\n\n")
    return "".join(parts)
