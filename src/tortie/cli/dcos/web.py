"""Requests, one at a time and without more than they need."""

from __future__ import annotations

import json as encoding
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from tortie.cli.dcos import urls
from tortie.cli.dcos.errors import DcosError, Unreachable, refusal
from tortie.cli.dcos.reply import Reply

if TYPE_CHECKING:
    import http.client
    import ssl

SECONDS = 5.0
MOST_REDIRECTS = 5
AGENT = "dcos-cli/0.5.3"


class Http(NamedTuple):
    """`token` goes to the servers of `trusted` only. `verify`: true, false, or the file of an authority."""

    token: str | None = None
    trusted: tuple[str, ...] = ()
    verify: str = "true"
    seconds: float = SECONDS

    def get(self, url: str, **more: Any) -> Any:
        """The document at a URL."""
        return document(self.call("GET", url, **more))

    def call(self, method: str, url: str, **more: Any) -> Reply:
        """As `ask`; a status of 400 or more is raised."""
        reply = self.ask(method, url, **more)
        if reply.status >= 400:
            raise refusal(reply)
        return reply

    def ask(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
        most: int | None = None,
    ) -> Reply:
        """The answer, whatever its status; redirects are followed. `json` becomes the body. More than `most` bytes are
        refused."""
        sent = {**(headers or {})}
        if json is not None:
            body = encoding.dumps(json).encode()
            sent.setdefault("Content-Type", "application/json")
        for _ in range(MOST_REDIRECTS):
            connection, answer = self.opened(method, url, body, sent, seconds or self.seconds)
            try:
                content = _complete(url, answer, most)
            finally:
                connection.close()
            there = answer.getheader("Location")
            if answer.status not in (301, 302, 303, 307, 308) or not there:
                lower = {name.lower(): value for name, value in answer.getheaders()}
                return Reply(url, answer.status, answer.reason, lower, content)
            if answer.status in (301, 302, 303) and method not in ("GET", "HEAD"):
                method, body = "GET", None
            url = urljoin(url, there)
        raise DcosError(f"HTTP Exception: too many redirects, the last to [{url}]")

    def lines(self, url: str, headers: Mapping[str, str], seconds: float) -> Iterator[str]:
        """The lines of an answer as they come; nothing heard for so many seconds is an error."""
        connection, answer = self.opened("GET", url, None, headers, seconds)
        try:
            if answer.status >= 300:
                raise refusal(Reply(url, answer.status, answer.reason, {}, _complete(url, answer)))
            for line in answer:
                yield line.decode(errors="replace").rstrip("\r\n")
        except OSError as error:
            raise _failure(url, error) from error
        finally:
            connection.close()

    def opened(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], seconds: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """One request up to the head of its answer; the caller closes the connection."""
        parts = _parts(url)
        library = client(tls=parts.scheme == "https")
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            connection = library.HTTPSConnection(parts.netloc.rpartition("@")[2], timeout=seconds, context=self.tls())
        else:
            connection = library.HTTPConnection(parts.netloc.rpartition("@")[2], timeout=seconds)
        sent = {"Accept": "application/json", "User-Agent": AGENT, **self.login(url), **headers}
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request(method, target, body, sent)
            return connection, connection.getresponse()
        except (OSError, library.HTTPException, UnicodeError, ValueError) as error:
            connection.close()
            raise _failure(url, error) from error

    def login(self, url: str) -> dict[str, str]:
        """The headers that show who asks."""
        if not self.token or not any(urls.same_server(url, other) for other in self.trusted):
            return {}
        return {"Authorization": self.token if self.token.startswith("Basic ") else f"token={self.token}"}

    def tls(self) -> ssl.SSLContext:
        import ssl

        context = ssl.create_default_context()
        if self.verify.lower() == "false":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.verify.lower() != "true":
            try:
                context = ssl.create_default_context(cafile=self.verify)
            except OSError as error:
                raise DcosError(f"core.ssl_verify: no certificates in [{self.verify}]: {error}") from error
        return context


def document(reply: Reply) -> Any:
    """The JSON of an answer. Raises DcosError."""
    try:
        return encoding.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise DcosError(f"Error decoding response from [{reply.url}]: HTTP {reply.status}: {reply.reason}") from error


def client(*, tls: bool) -> Any:
    """http.client, without TLS where it is not spoken: that would be a third of the time of a short command."""
    if not tls and "http.client" not in sys.modules and "ssl" not in sys.modules:
        sys.modules["ssl"] = None  # type: ignore[assignment]
        try:
            import http.client
        finally:
            del sys.modules["ssl"]
    elif tls and "http.client" in sys.modules and not hasattr(sys.modules["http.client"], "HTTPSConnection"):
        del sys.modules["http.client"]
    import http.client

    return http.client


def _parts(url: str) -> Any:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError as error:
        raise DcosError(f"HTTP Exception: Invalid URL [{url}]: {error}") from error
    raise DcosError(f"HTTP Exception: Invalid URL [{url}]")


def _complete(url: str, answer: http.client.HTTPResponse, most: int | None = None) -> bytes:
    try:
        if most is None:
            return answer.read()
        data = answer.read(most + 1)
        if len(data) > most:
            raise DcosError(f"[{url}] is larger than {most} bytes")
        if answer.length:
            raise sys.modules["http.client"].IncompleteRead(data, answer.length)
        return data
    except (OSError, sys.modules["http.client"].HTTPException) as error:
        raise _failure(url, error) from error


def _failure(url: str, error: Exception) -> DcosError:
    if isinstance(error, TimeoutError):
        return Unreachable(f"Request to URL [{url}] timed out.")
    if type(error).__module__ == "ssl":
        return DcosError(
            "An SSL error occurred. To configure your SSL settings, please run: `dcos config set core.ssl_verify "
            f"<value>`\n<value>: true, false, or the path of a file with the authority's certificate\n{error}"
        )
    if isinstance(error, OSError):
        return Unreachable(f"URL [{url}] is unreachable: {error.strerror or error or type(error).__name__}")
    return DcosError(f"HTTP Exception: {error or type(error).__name__} [{url}]")
