"""Serving an ASGI application on TCP addresses and unix sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import uvicorn

from tortie.base.errors import Invalid, Unavailable

GRACE_SECONDS = 1
LOOKS = 20
"""How often in a second."""


class _Server(uvicorn.Server):
    """Leaves signals to the program: several servers may run on one event loop."""

    def install_signal_handlers(self) -> None:
        """Signals belong to the program."""

    def capture_signals(self) -> Any:
        from contextlib import nullcontext

        return nullcontext()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Who is still being answered after a while is cut off: to the application that is a caller who has gone. What
        uvicorn does instead, cancelling the application, it reports as the application's failure."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(GRACE_SECONDS * LOOKS):
            if self.server_state.connections:
                await asyncio.sleep(1 / LOOKS)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


def tcp_listener(host: str, port: int) -> socket.socket:
    """A listening socket; Unavailable names the address when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol unnamed, asyncio leaves Nagle's algorithm on: replies on a kept connection then wait 40 ms.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise Unavailable(f"cannot listen on {host}:{port}: {error.strerror}") from error
    sock.listen(1024)
    return sock


def unix_listener(path: Path, mode: int = 0o600) -> socket.socket:
    """A listening unix socket put in place atomically: bound beside, then renamed over a stale one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(os.fspath(beside))
        beside.chmod(mode)
        sock.listen(1024)
        beside.rename(path)
    except OSError as error:
        sock.close()
        raise Unavailable(f"cannot listen on {path}: {error.strerror}") from error
    return sock


@dataclass(frozen=True, slots=True)
class Tls:
    """A PEM file with certificate chain and key."""

    path: Path
    password: str | None = None

    def check(self) -> None:
        """Raises Invalid when it cannot be used, with what would mend it."""
        try:
            head = self.path.read_bytes()[:4096]
        except OSError as error:
            raise Invalid(f"{self.path}: {error.strerror}") from error
        if b"-----BEGIN" not in head:
            kind = "a Java keystore" if head.startswith(b"\xfe\xed\xfe\xed") else "no PEM file"
            raise Invalid(
                f"{self.path} is {kind}; certificate and key are wanted as PEM: keytool -importkeystore "
                "-deststoretype PKCS12, then openssl pkcs12 -nodes"
            )
        try:
            # Without a password to give, an encrypted key must not ask the terminal for one.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.path, password=self.password or "")
        except (ssl.SSLError, OSError, ValueError) as error:
            raise Invalid(f"{self.path}: no certificate with its key: {error}") from error


async def serve(app: Any, sockets: Sequence[socket.socket], tls: Tls | None = None) -> None:
    """Serve until cancelled, by HTTP or (with `tls`) HTTPS; open streams are cut after one second."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=75,
        ssl_certfile=tls.path if tls else None,
        ssl_keyfile_password=(tls.password or "") if tls else None,
    )
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=list(sockets)))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True  # a cancelled uvicorn logs a traceback instead of shutting down
        with anyio.CancelScope(shield=True):  # a task group cancels again and again
            await serving
        raise
    finally:  # uvicorn leaves them open when it is told to end while it starts
        for server_socket in getattr(server, "servers", ()):
            server_socket.close()
        for listener in sockets:
            listener.close()
