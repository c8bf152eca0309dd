"""What this host's node says about itself, as `node status` shows it. There is no BGP daemon to ask yet."""

from __future__ import annotations

import http.client
import socket

from tortie.cli.calicoctl.session import Failed

SOCKET = "/run/tortie/node.sock"
SECONDS = 5.0


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(SOCKET)


def running() -> bool:
    connection = _Connection("node")
    try:
        connection.request("GET", "/liveness")
        return connection.getresponse().status == 204
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def status() -> str:
    """Raises Failed when the node does not answer."""
    if not running():
        raise Failed("Calico process is not running.")
    parts = [f"{family} BGP status\nNo {family} peers found.\n\n" for family in ("IPv4", "IPv6")]
    return "Calico process is running.\n\n" + "".join(parts)
