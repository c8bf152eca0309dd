"""What the balancer serves, as values: a service is one port of one app, with its servers. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tortie.wire.marathon_apps import HealthCheck

_ODD = re.compile(r"[^A-Za-z0-9-]")
_HASHES = frozenset(("source", "uri", "url_param", "hdr", "rdp-cookie", "hash"))
_DYNAMIC_BALANCE = frozenset(("roundrobin", "leastconn", "random", "first")) | _HASHES


@dataclass(frozen=True, slots=True, order=True)
class Server:
    """`name` is marathon-lb's; `id` is stable, unique in its backend. Another `task` may come to live at an address."""

    host: str
    address: str
    port: int
    name: str = ""
    id: int = 0
    check_port: int = 0
    task: str = field(default="", compare=False)
    disabled: bool = field(default=False, compare=False)
    """In maintenance: a blue-green deployment waits for its connections to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    app_id: str
    index: int
    port: int
    mode: str = "tcp"
    vhosts: tuple[str, ...] = ()
    path: str = ""
    balance: str = "roundrobin"
    bind_address: str = "*"
    bind_options: str = ""
    ssl_cert: str = ""
    sticky: bool = False
    redirect_to_https: bool = False
    hsts: bool = False
    weight: int = 0
    auth: tuple[str, str, str] | None = None
    allowed: tuple[str, ...] = ()
    proxypass: str = ""
    revproxy: str = ""
    redirect: str = ""
    health: HealthCheck | None = None
    health_port_index: int | None = None
    servers: tuple[Server, ...] = ()
    leaving: tuple[Server, ...] = ()
    """Servers whose tasks are being killed: they finish what they have, and serve on while there is nobody else."""
    templates: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The app's own templates, by marathon-lb's name without HAPROXY_n_."""
    name: str = field(init=False, repr=False)
    """Of front end and back end."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{plain_id(self.app_id)}_{self.port}")

    @property
    def dynamic(self) -> bool:
        """Whether servers may come and go at run time: not with a static algorithm."""
        return self._algorithm in _DYNAMIC_BALANCE

    @property
    def hashed(self) -> bool:
        """Whether a hash chooses the server. It is a consistent one: others are static, and move most clients."""
        return self._algorithm in _HASHES

    @property
    def _algorithm(self) -> str:
        return self.balance.split("(")[0].split(" ")[0]


def plain_id(app_id: str) -> str:
    return app_id.removeprefix("/").replace("/", "_")


def server_name(host: str, address: str, port: int) -> str:
    parts = (address, str(port)) if host == address else (host, address, str(port))
    return _ODD.sub("_", "_".join(parts))


def server_id(name: str, taken: Collection[int] = ()) -> int:
    """Between 1 and 32766, from the name; a clash within the backend is hashed on."""
    text = name
    while True:
        digest = hashlib.sha256(text.encode()).hexdigest()
        number = int(digest, 16) % 32767
        if number and number not in taken:
            return number
        text = f"{name} {digest}"
