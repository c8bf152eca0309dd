"""Calls to an etcd cluster: connections that are kept, members that are tried in turn, a token that is renewed."""

from __future__ import annotations

import http.client
import os
import select
import socket
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tortie.base.errors import Invalid, Unavailable
from tortie.store.etcd import wire
from tortie.store.etcd.address import Address, Endpoint

M = TypeVar("M")

CONNECT_SECONDS = 3.0
CALL_SECONDS = 10.0
KEPT = 8
"""Idle connections; more than that are closed after their call."""
# A peer that vanished without a word (its host lost power) is noticed after about 20 s.
KEEPALIVE = ((socket.TCP_KEEPIDLE, 8), (socket.TCP_KEEPINTVL, 4), (socket.TCP_KEEPCNT, 3))


class Channel:
    """May be used from any thread. No call waits longer than a connection to each member and one answer take."""

    def __init__(self, address: Address, environ: Mapping[str, str] = os.environ) -> None:
        """Reads certificates and credentials. Invalid when a file cannot be used."""
        self.address = address
        self.closed = False
        self._context = _context(address) if address.tls else None
        self._login = _login(address, environ)
        self._lock = threading.Lock()
        self._first = 0
        self._idle: list[tuple[int, http.client.HTTPConnection]] = []
        self._token = ""

    def call(self, path: str, message: Mapping[str, Any], kind: type[M], *, again: bool = False) -> M:
        """One request and its answer. `again`: it changes nothing, so another member may be asked after any failure.

        A write whose answer got lost is Unavailable, and says that it may have happened.
        """
        body = msgspec.json.encode(message)
        renewed = False
        token = self.token()
        while True:
            status, reply = self._ask(path, body, token, again)
            if status == 200:
                return self._decoded(reply, kind)
            said = wire.failure_of(status, reply)
            if self._login and not renewed and said.message in wire.STALE_TOKEN:
                renewed, token = True, self.token(instead_of=token)
                continue
            raise wire.refusal(self.address.url, said.code, said.message or said.error)

    def token(self, instead_of: str | None = None) -> str:
        """The token that calls carry, empty without credentials; `instead_of` one that is no longer good."""
        if not self._login:
            return ""
        with self._lock:
            token = self._token
        if token and token != instead_of:
            return token
        name, password = self._login
        body = msgspec.json.encode({"name": name, "password": password})
        status, reply = self._ask("/v3/auth/authenticate", body, "", again=True)
        said = wire.failure_of(status, reply) if status != 200 else None
        if said and said.message == "etcdserver: authentication is not enabled":
            return ""  # as etcd's own clients do: credentials that nobody asks for do no harm
        if said:
            raise wire.refusal(self.address.url, said.code, said.message or said.error)
        token = self._decoded(reply, wire.AuthReply).token
        with self._lock:
            self._token = token
        return token

    def check(self) -> None:
        """Raises Unavailable when no member takes connections, Invalid when the credentials are wrong."""
        self.token()
        endpoint, connection = self._borrow([])
        self._give_back(endpoint, connection)

    def open_stream(self, path: str, message: Mapping[str, Any], token: str) -> socket.socket:
        """A connection of its own on which a request has been sent; what comes back is for the caller to read."""
        endpoint, connection = self._borrow([], fresh=True)
        body = msgspec.json.encode(message)
        at = self.address.endpoints[endpoint]
        # Without this a member that has lost its cluster would keep a watch that tells nothing.
        head = _head(at, path, body, token, "Grpc-Metadata-hasleader: true\r\n")
        sock: socket.socket = connection.sock
        try:
            sock.sendall(head + body)
        except OSError as error:
            connection.close()
            self.blame(endpoint)
            raise Unavailable(f"store {self.address.url}: {at}: {_reason(error)}") from error
        sock.setblocking(False)
        return sock

    def blame(self, endpoint: int | None = None) -> None:
        """The member in use failed: the next connections begin with the one after it."""
        with self._lock:
            if endpoint is None or endpoint == self._first:
                self._first = (self._first + 1) % len(self.address.endpoints)

    def close(self) -> None:
        with self._lock:
            self.closed = True
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _ask(self, path: str, body: bytes, token: str, again: bool) -> tuple[int, bytes]:
        failures: list[str] = []
        while True:
            endpoint, connection = self._borrow(failures)
            try:
                status, reply = _exchange(connection, _head(self.address.endpoints[endpoint], path, body, token) + body)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self.blame(endpoint)
                at = self.address.endpoints[endpoint]
                if not again:
                    raise Unavailable(
                        f"store {self.address.url}: {at}: {_reason(error)}; whether it was written is not known"
                    ) from error
                failures.append(f"{at}: {_reason(error)}")
                continue
            self._give_back(endpoint, connection)
            if status != 200:
                said = wire.failure_of(status, reply)
                elsewhere = said.message in wire.NOT_PROPOSED or (again and said.code == wire.UNAVAILABLE)
                if elsewhere and len(failures) + 1 < len(self.address.endpoints):
                    self.blame(endpoint)
                    failures.append(f"{self.address.endpoints[endpoint]}: {said.message}")
                    continue
            return status, reply

    def _borrow(self, failures: list[str], *, fresh: bool = False) -> tuple[int, http.client.HTTPConnection]:
        """A connection to some member. Each failure counts as one member's try, those of the caller as well."""
        with self._lock:
            if self.closed:
                raise Unavailable(f"store {self.address.url}: closed")
            idle = self._idle.pop() if self._idle and not fresh else None
        if idle and not _spoiled(idle[1].sock):
            return idle
        if idle:
            idle[1].close()
        while len(failures) < len(self.address.endpoints):
            with self._lock:
                endpoint = self._first
            at = self.address.endpoints[endpoint]
            try:
                return endpoint, self._connect(at)
            except OSError as error:
                failures.append(f"{at}: {_reason(error)}")
                self.blame(endpoint)
        raise Unavailable(f"store {self.address.url}: {'; '.join(failures)}")

    def _connect(self, at: Endpoint) -> http.client.HTTPConnection:
        connection = (
            http.client.HTTPSConnection(at.host, at.port, timeout=CONNECT_SECONDS, context=self._context)
            if self._context
            else http.client.HTTPConnection(at.host, at.port, timeout=CONNECT_SECONDS)
        )
        connection.connect()
        connection.sock.settimeout(CALL_SECONDS)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE:
            connection.sock.setsockopt(socket.IPPROTO_TCP, option, value)
        return connection

    def _give_back(self, endpoint: int, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if connection.sock is not None and not self.closed and len(self._idle) < KEPT:
                self._idle.append((endpoint, connection))
                return
        connection.close()

    def _decoded(self, reply: bytes, kind: type[M]) -> M:
        try:
            return wire.decode(reply, kind)
        except Unavailable as error:
            raise Unavailable(f"store {self.address.url}: {error}") from error


def _head(at: Endpoint, path: str, body: bytes, token: str, more: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: {at}\r\nContent-Length: {len(body)}\r\nContent-Type: application/json\r\n"
    return (head + more + (f"Authorization: {token}\r\n\r\n" if token else "\r\n")).encode()


def _exchange(connection: http.client.HTTPConnection, request: bytes) -> tuple[int, bytes]:
    """One request in one piece (head and body apart would be two packets) and its answer."""
    connection.sock.sendall(request)
    response = http.client.HTTPResponse(connection.sock, method="POST")
    try:
        response.begin()
        reply = response.read()
    finally:
        response.close()
    if response.will_close:
        connection.close()
    return response.status, reply


def _spoiled(sock: socket.socket | None) -> bool:
    """Whether an idle connection was ended by the other side: nothing that is sent on it would be answered."""
    if sock is None:
        return True
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return bool(poller.poll(0))


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _context(address: Address) -> ssl.SSLContext:
    problems = []
    for name in ("ca", "cert", "key"):
        path = getattr(address, name)
        if path and not os.access(path, os.R_OK):
            problems.append(f"store {address.url}: {name}: {path} cannot be read")
    if problems:
        raise Invalid(*problems)
    try:
        context = ssl.create_default_context(cafile=address.ca or None)
        if address.cert:
            # An encrypted key would ask at the terminal: a daemon has none.
            context.load_cert_chain(address.cert, address.key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise Invalid(f"store {address.url}: certificates: {error}") from error
    return context


def _login(address: Address, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """User and password: of the address's file, else of the environment; None when neither names any."""
    if address.login:
        try:
            text = Path(address.login).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"store {address.url}: login: {address.login} cannot be read: {error}") from error
        user, colon, password = text.partition(":")
        if not (user and colon and password) or "\n" in text:
            raise Invalid(f"store {address.url}: login: {address.login} does not hold one line user:password")
        return user, password
    user, password = environ.get("ETCD_USERNAME", ""), environ.get("ETCD_PASSWORD", "")
    if bool(user) != bool(password):
        raise Invalid(f"store {address.url}: ETCD_USERNAME and ETCD_PASSWORD go together: both or none")
    return (user, password) if user else None
