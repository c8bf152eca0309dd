"""What this host's node says about itself, as `node status` shows it. There is no BGP daemon to ask yet."""

from __future__ import annotations

from tortie.base.errors import Unavailable
from tortie.cli.calicoctl import unix_http
from tortie.cli.calicoctl.session import Failed

SOCKET = "/run/tortie/node.sock"


def running() -> bool:
    try:
        return unix_http.get(SOCKET, "/liveness")[0] == 204
    except Unavailable:
        return False


def status() -> str:
    """Raises Failed when the node does not answer."""
    if not running():
        raise Failed("Calico process is not running.")
    parts = [f"{family} BGP status\nNo {family} peers found.\n\n" for family in ("IPv4", "IPv6")]
    return "Calico process is running.\n\n" + "".join(parts)
