"""Who may pass: the log-in of the door."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tortie.base.errors import Invalid
from tortie.door import headers, tokens
from tortie.door.headers import Fields
from tortie.door.refusal import Refusal

CHALLENGE = (b"WWW-Authenticate", b"acsjwt")
BY_TOKEN = "token"
"""Whose requests those with the static token are."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """`users` as the users' file gives them; `static` is a token that never ends."""

    users: Mapping[str, str]
    secret: bytes
    static: str = ""
    seconds: float = 5 * 24 * 3600.0


class Guard:
    """`now` is the wall clock: tokens outlive the process."""

    def __init__(self, credentials: Credentials, now: Callable[[], float]) -> None:
        self._credentials = credentials
        self._now = now
        self._throttle = tokens.Throttle()
        self._busy = asyncio.Semaphore(1)
        """Comparing a password takes memory and a processor: one at a time."""

    def user(self, fields: Fields) -> str | None:
        """Who asks, by header or cookie; None for nobody that is known. A header wins over a cookie."""
        given = [found for value in headers.values(fields, b"authorization") if (found := headers.token_of(value))]
        if given:
            return self.user_of(given[0]) if len(given) == 1 else None
        cookie = headers.cookie_token(fields)
        return self.user_of(cookie) if cookie else None

    def user_of(self, token: str) -> str | None:
        static = self._credentials.static
        if static and hmac.compare_digest(static.encode(), token.encode()):
            return BY_TOKEN
        found = tokens.user_of(token, self._credentials.secret, now=self._now())
        return found if found in self._credentials.users else None

    def check(self, method: str, fields: Fields, host: bytes) -> str:
        """Who asks. Raises Refusal 401, and 403 for what another site makes a browser do."""
        user = self.user(fields)
        if user is None:
            raise Refusal(401, "a valid token is needed: `dcos auth login`, or /login", headers=[CHALLENGE])
        by_cookie = not any(headers.token_of(value) for value in headers.values(fields, b"authorization"))
        if by_cookie and (method not in ("GET", "HEAD", "OPTIONS") or headers.is_websocket(fields)):
            for origin in headers.values(fields, b"origin"):
                if origin.partition(b"://")[2] != host:
                    raise Refusal(403, "the request comes from another site")
        return user

    async def log_in(self, uid: str, password: str, client: str) -> str:
        """A token. Raises Refusal 401 for a wrong user or password, 429 after too many."""
        names = (f"user {uid[:64]}", f"client {client}")
        async with self._busy:
            now = self._now()
            if (wait := self._throttle.wait(names, now)) > 0:
                later = (b"Retry-After", b"%d" % max(1, round(wait)))
                raise Refusal(429, "too many wrong passwords; wait", headers=[later])
            stored = self._credentials.users.get(uid, tokens.DUMMY)
            good = await asyncio.to_thread(tokens.matches, password, stored) and uid in self._credentials.users
            if not good:
                self._throttle = self._throttle.failed(names, now)
                raise Refusal(401, "Invalid username or password given", headers=[CHALLENGE])
            self._throttle = self._throttle.succeeded(names)
        return self._new(uid)

    def renewed(self, token: str) -> str:
        """A token for a token, as the `dcos` command of the first years wants it. Raises Refusal."""
        user = self.user_of(token)
        if user is None:
            raise Refusal(401, "the token is not valid", headers=[CHALLENGE])
        return token if user == BY_TOKEN else self._new(user)

    def _new(self, uid: str) -> str:
        secret = self._credentials.secret
        return tokens.token(uid, secret, now=self._now(), seconds=self._credentials.seconds)

    @property
    def seconds(self) -> float:
        return self._credentials.seconds


def static_token(text: str) -> str:
    """Of a file. Invalid for one that could be guessed or could not be sent."""
    found = text.strip()
    if (
        not 16 <= len(found) <= tokens.LONGEST
        or not found.isascii()
        or any(char <= " " or char == ";" for char in found)
    ):
        raise Invalid("the token: 16 to 4096 visible characters without `;` are expected")
    return found
