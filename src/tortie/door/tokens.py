"""Log-in tokens and passwords, as values. Pure: time, salt and secret come from outside.

A token is a JSON web token signed with HMAC-SHA256, as Admin Router's: clients and people look into them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tortie.base.errors import Invalid

_HEAD = {"alg": "HS256", "typ": "JWT"}
LONGEST = 4096
UID = re.compile(r"[A-Za-z0-9._@+-]{1,64}")
COST, SALT_BYTES = 2**14, 16
DUMMY = "$".join(("scrypt", str(COST), "A" * 22, "A" * 43))
"""What the password of an unknown user is compared with: as slow as that of a known one."""


def token(uid: str, secret: bytes, *, now: float, seconds: float) -> str:
    """For this user, for so long."""
    payload = {"uid": uid, "iat": int(now), "exp": int(now + seconds)}
    parts = [_encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (_HEAD, payload)]
    return ".".join([*parts, _encoded(_signed(".".join(parts), secret))])


def user_of(text: str, secret: bytes, *, now: float) -> str | None:
    """Whose token it is; None when it is nobody's: not ours, altered or expired."""
    parts = text.split(".")
    if len(text) > LONGEST or len(parts) != 3 or not text.isascii():
        return None
    # The signature first, in constant time: nothing of an unsigned text is read.
    if not hmac.compare_digest(_encoded(_signed(".".join(parts[:2]), secret)), parts[2]):
        return None
    try:
        head, payload = (json.loads(_decoded(part)) for part in parts[:2])
    except (ValueError, binascii.Error):
        return None
    if not isinstance(head, dict) or head.get("alg") != "HS256" or not isinstance(payload, dict):
        return None
    uid, ends = payload.get("uid"), payload.get("exp")
    good = isinstance(uid, str) and isinstance(ends, int | float) and not isinstance(ends, bool) and now < ends
    return uid if good else None


def _signed(text: str, secret: bytes) -> bytes:
    return hmac.digest(secret, text.encode(), "sha256")


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def password_line(uid: str, password: str, salt: bytes) -> str:
    """A line of the users' file. Raises Invalid."""
    if not UID.fullmatch(uid):
        raise Invalid(f"user {uid!r}: letters, digits and ._@+- are expected, at most 64")
    if not password:
        raise Invalid(f"user {uid}: the password is empty")
    return f"{uid}:scrypt${COST}${_encoded(salt)}${_encoded(_stretched(password, salt, COST))}"


def _stretched(password: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=8, p=1, maxmem=2**26, dklen=32)


def matches(password: str, stored: str) -> bool:
    """Takes long, by design: not on an event loop."""
    _, cost, salt, wanted = stored.split("$")
    return hmac.compare_digest(_encoded(_stretched(password, _decoded(salt), int(cost))), wanted)


def users_of(text: str) -> dict[str, str]:
    """User to stored password, of lines that `password_line` makes and `#` comments. Invalid names each bad line."""
    users: dict[str, str] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        if not (stripped := line.strip()) or stripped.startswith("#"):
            continue
        uid, _, stored = stripped.partition(":")
        if not UID.fullmatch(uid) or not _is_stored(stored):
            problems.append(f"line {number}: USER:scrypt$... is expected, as `tortie door password USER` prints it")
        elif uid in users:
            problems.append(f"line {number}: {uid} is there already")
        users[uid] = stored
    if problems:
        raise Invalid(*problems)
    return users


def _is_stored(text: str) -> bool:
    found = re.fullmatch(r"scrypt\$(\d{1,6})\$[\w-]{22}\$[\w-]{43}", text)
    cost = int(found[1]) if found else 0
    return 2**10 <= cost <= 2**15 and cost & (cost - 1) == 0


@dataclass(frozen=True, slots=True)
class Failures:
    """Wrong passwords of one user or one client: how many in a row, and when the last one came."""

    count: int = 0
    at: float = 0.0


FREE, LONGEST_WAIT, FORGOTTEN = 5, 60.0, 900.0
"""So many wrong ones cost no waiting; the longest wait; when a failure is forgotten."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """Who has to wait before the next try. A value: `failed` and `succeeded` give the next one."""

    known: Mapping[str, Failures] = field(default_factory=dict)

    def wait(self, names: tuple[str, ...], now: float) -> float:
        """Seconds until any of these may try again."""
        waits = [0.0]
        for name in names:
            found = self.known.get(name, Failures())
            if found.count >= FREE:
                waits.append(found.at + min(LONGEST_WAIT, 2.0 ** (found.count - FREE)) - now)
        return max(waits)

    def failed(self, names: tuple[str, ...], now: float) -> Throttle:
        kept = {name: f for name, f in self.known.items() if now - f.at < FORGOTTEN}
        # Many made-up names must not fill the memory: the oldest go.
        if len(kept) > 10_000:
            kept = dict(sorted(kept.items(), key=lambda item: item[1].at)[5_000:])
        for name in names:
            kept[name] = Failures(kept.get(name, Failures()).count + 1, now)
        return Throttle(kept)

    def succeeded(self, names: tuple[str, ...]) -> Throttle:
        return Throttle({name: f for name, f in self.known.items() if name not in names})
