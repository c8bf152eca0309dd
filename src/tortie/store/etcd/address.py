"""The address of an etcd cluster: what a URL says."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl

from tortie.base.errors import Invalid
from tortie.base.numbers import whole

PORT = 2379
FORM = "etcd://HOST[:PORT][,HOST[:PORT]...][?ca=FILE&cert=FILE&key=FILE&login=FILE]"
SCHEMES = {"etcd": False, "http": False, "etcds": True, "https": True}
FILES = ("ca", "cert", "key", "login")


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """`url` as it was given, to name the store by; it holds no secret. `login` is a file with `user:password`."""

    url: str
    endpoints: tuple[Endpoint, ...]
    tls: bool = False
    ca: str = ""
    cert: str = ""
    key: str = ""
    login: str = ""


def parse(url: str) -> Address:
    """Read `etcd://…` (or `etcds`, `http`, `https`). Invalid names all that is wrong; a password is never repeated."""
    # By hand: the standard library takes no list of hosts with an IPv6 address among them.
    scheme, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    members, _, path = place.partition("/")
    if "@" in place:
        shown = f"{scheme}://{place.rpartition('@')[2]}"
        raise Invalid(
            f"store {shown}: user and password do not belong in the address: "
            "put them in ETCD_USERNAME and ETCD_PASSWORD, or in a file named by ?login=FILE"
        )
    if scheme not in SCHEMES:
        raise Invalid(f"store {url}: expected {FORM}")
    problems = []
    endpoints: list[Endpoint] = []
    for text in members.split(","):
        found = _endpoint(text)
        if isinstance(found, str):
            problems.append(f"store {url}: {found}; expected {FORM}")
        else:
            endpoints.append(found)
    if path or "#" in url:
        problems.append(f"store {url}: a path has no meaning here; expected {FORM}")
    files, wrong = _files(query)
    problems += [f"store {url}: {text}" for text in wrong]
    if problems:
        raise Invalid(*problems)
    tls = SCHEMES[scheme] or any(files[name] for name in ("ca", "cert", "key"))
    return Address(url, tuple(endpoints), tls, **files)


def _files(query: str) -> tuple[dict[str, str], list[str]]:
    files, problems = dict.fromkeys(FILES, ""), []
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in FILES:
            problems.append(f"unknown setting {name!r}; known: {', '.join(FILES)}")
        elif not value or files[name]:
            problems.append(f"{name}: expected one file")
        else:
            files[name] = value
    if bool(files["cert"]) != bool(files["key"]):
        problems.append("cert and key go together: both or none")
    return files, problems


def _endpoint(text: str) -> Endpoint | str:
    """One HOST[:PORT], or what is wrong with it."""
    host, port = text, ""
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        if not closed or (port and not port.startswith(":")):
            return f"{text!r} is no HOST:PORT"
        port = port[1:]
    elif ":" in text:
        host, _, port = text.rpartition(":")
    if not host or (":" in host and not text.startswith("[")) or any(c.isspace() for c in host):
        return f"{text!r} is no HOST:PORT"
    if not port:
        return Endpoint(host, PORT)
    number = whole(port, 65535)
    return Endpoint(host, number) if number else f"{text!r}: {port!r} is no port"
