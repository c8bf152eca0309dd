"""marathon-lb's labels of one port of an app. Pure; ValueError names the label that cannot be used.

Labels are written by whoever may deploy an app, and end up in a configuration: each value is held to the characters
that its place allows, and none may start a new line, a comment or a quotation there.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from tortie.lb.service import Service
from tortie.lb.templates import NOT_USED, TEMPLATES, prepared
from tortie.wire.marathon_apps import App, HealthCheck

_TRUE = frozenset(("true", "t", "yes", "y"))
_HOST = re.compile(r"^(\*|(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?)\Z")
_WORD = re.compile(r"^(?:(?![\"'\\#$])[!-~])+\Z")
_SECRET = re.compile(r"^(?:(?![\"'\\#])[!-~])+\Z")
_APP_ID = re.compile(r"^/[A-Za-z0-9/._-]+\Z")
_PLACE = re.compile(r"^[A-Za-z0-9/._~:%+@!&=?,;-]+\Z")
_ADDRESS = re.compile(r"^[0-9A-Fa-f:.*]+\Z")
_LINE = re.compile(r"^(?:(?![\"'\\#])[ -~])*\Z")
_PATHS = re.compile(r"^(-i +)?/(?:(?![\"'\\#$])[!-~])*( +/(?:(?![\"'\\#$])[!-~])*)*\Z")
_BALANCE = re.compile(r"^[a-z_-]+(\([A-Za-z0-9_-]+\))?( [A-Za-z0-9_-]+)*\Z")
_INDEXED = re.compile(r"^HAPROXY_(\d+)_([A-Z_]+)\Z")
_MAX_VHOSTS = 1000

PORT_LABELS = frozenset(
    (
        "AUTH", "BACKEND_HEALTHCHECK_PORT_INDEX", "BACKEND_NETWORK_ALLOWED_ACL", "BACKEND_WEIGHT", "BALANCE",
        "BIND_ADDR", "BIND_OPTIONS", "ENABLED", "GROUP", "HTTP_BACKEND_PROXYPASS_PATH", "HTTP_BACKEND_REDIR",
        "HTTP_BACKEND_REVPROXY_PATH", "MODE", "PATH", "PORT", "REDIRECT_TO_HTTPS", "SSL_CERT", "STICKY",
        "USE_HSTS", "VHOST",
    )
)  # fmt: skip


def labelled(app: App, index: int, key: str) -> str | None:
    """The app's label for this port."""
    return (app.labels or {}).get(f"HAPROXY_{index}_{key}")


def groups(app: App, index: int) -> set[str]:
    text = labelled(app, index, "GROUP")
    if text is None:
        text = (app.labels or {}).get("HAPROXY_GROUP", "")
    return {item.strip() for item in text.split(",")} - {""}


@dataclass(frozen=True, slots=True)
class _Own:
    """The labels of one port, without HAPROXY_n_."""

    index: int
    texts: dict[str, str]

    def get(self, key: str) -> str | None:
        return self.texts.get(key)

    def checked(self, key: str, default: str, pattern: re.Pattern[str]) -> str:
        text = self.texts.get(key, default)
        if text != default and not pattern.match(text):
            raise ValueError(f"label HAPROXY_{self.index}_{key}: {text!r} is not allowed")
        return text

    def number(self, key: str, low: int, high: int) -> int | None:
        text = self.texts.get(key)
        if text is None:
            return None
        if not re.fullmatch(r"\s*-?[0-9]{1,9}\s*", text, re.ASCII) or not low <= int(text) <= high:
            raise ValueError(f"label HAPROXY_{self.index}_{key}: {text!r} is not a number between {low} and {high}")
        return int(text)


def _own(app: App, index: int) -> _Own:
    prefix = f"HAPROXY_{index}_"
    begin = len(prefix)
    return _Own(index, {key[begin:]: text for key, text in (app.labels or {}).items() if key.startswith(prefix)})


def ports_by_label(app: App) -> Iterator[int]:
    """What HAPROXY_n_PORT asks for."""
    for key, text in (app.labels or {}).items():
        if key.endswith("_PORT") and _INDEXED.match(key) and text.isascii() and text.isdecimal():
            yield int(text[:9])


def in_group(app: App, index: int, wanted: Collection[str]) -> bool:
    return "*" in wanted or bool(groups(app, index) & set(wanted))


def truth(text: str | None, default: bool = False) -> bool:
    """marathon-lb's booleans: everything but these four words is false."""
    return default if text is None else text.strip().lower() in _TRUE


def without_effect(app: App, ports: int) -> Iterator[str]:
    """A line for each label that no port of the app will ever use."""
    for key in sorted(app.labels or {}):
        match = _INDEXED.match(key)
        if not match:
            continue
        index, name = int(match[1]), match[2]
        if name not in PORT_LABELS and (name in NOT_USED or (name in TEMPLATES and not TEMPLATES[name].by_label)):
            yield f"label {key} has no effect: {'nothing reads it' if name in NOT_USED else 'not by label'}"
        elif name not in PORT_LABELS and name not in TEMPLATES:
            yield f"label {key} has no effect: there is none of that name"
        elif index >= ports:
            yield f"label {key} has no effect: the app has {ports} service ports"


def make_service(app: App, index: int, port: int, *, own_templates: bool = True) -> Service:
    """The service without its servers. `own_templates`: whether templates by label are allowed."""
    if not _APP_ID.match(app.id):
        raise ValueError(f"app id {app.id!r} has characters that cannot stand in a configuration")
    own = _own(app, index)
    vhosts = _vhosts(own)
    path = own.checked("PATH", "", _PATHS).strip() if vhosts else ""
    check_index = own.number("BACKEND_HEALTHCHECK_PORT_INDEX", 0, 1000)
    health = _health(app, index)
    if health is None and check_index is not None:
        health = _health(app, check_index)
    weight = own.number("BACKEND_WEIGHT", -1000, 1000) or 0
    return Service(
        app_id=app.id,
        index=index,
        port=own.number("PORT", 1, 65535) or port,
        mode=_mode(own, bool(vhosts), health),
        vhosts=vhosts,
        path=path,
        balance=own.checked("BALANCE", "roundrobin", _BALANCE),
        bind_address=own.checked("BIND_ADDR", "*", _ADDRESS),
        bind_options=own.checked("BIND_OPTIONS", "", _LINE),
        ssl_cert=own.checked("SSL_CERT", "", _WORD),
        sticky=truth(own.get("STICKY")),
        redirect_to_https=truth(own.get("REDIRECT_TO_HTTPS")),
        hsts=truth(own.get("USE_HSTS")),
        weight=weight or (1 if path else 0),
        auth=_auth(app, own),
        allowed=_networks(own),
        proxypass=own.checked("HTTP_BACKEND_PROXYPASS_PATH", "", _PLACE),
        revproxy=own.checked("HTTP_BACKEND_REVPROXY_PATH", "", _PLACE),
        redirect=own.checked("HTTP_BACKEND_REDIR", "", _PLACE),
        health=health,
        health_port_index=check_index,
        templates=_templates(own, own_templates),
    )


def _vhosts(own: _Own) -> tuple[str, ...]:
    """Names without port and final dot, in lower case, each once. `*.a.test` is every name below, `*` every name."""
    text = own.get("VHOST") or ""
    found = dict.fromkeys(v.strip().lower() for v in text.split(",") if v.strip())
    for vhost in found:
        if len(vhost) > 253 or not _HOST.match(vhost):
            raise ValueError(f"label HAPROXY_{own.index}_VHOST: {vhost[:260]!r} is not a host name")
    if len(found) > _MAX_VHOSTS:
        raise ValueError(f"label HAPROXY_{own.index}_VHOST: more than {_MAX_VHOSTS} host names")
    return tuple(dict.fromkeys(vhost.rstrip(".") for vhost in found))


def _mode(own: _Own, virtual: bool, health: HealthCheck | None) -> str:
    http_check = health is not None and health.protocol.upper() in ("HTTP", "MESOS_HTTP")
    mode = (own.get("MODE") or ("http" if virtual or http_check else "tcp")).strip().lower()
    if mode not in ("http", "tcp"):
        raise ValueError(f"label HAPROXY_{own.index}_MODE: {mode!r} is neither http nor tcp")
    return "http" if virtual else mode


def _networks(own: _Own) -> tuple[str, ...]:
    text = own.get("BACKEND_NETWORK_ALLOWED_ACL") or ""
    for word in text.split():
        try:
            ipaddress.ip_network(word, strict=False)
        except ValueError as error:
            raise ValueError(f"label HAPROXY_{own.index}_BACKEND_NETWORK_ALLOWED_ACL: {error}") from error
    return tuple(text.split())


def _templates(own: _Own, allowed: bool) -> dict[str, str]:
    found = {}
    for name, text in own.texts.items():
        if name not in TEMPLATES or not TEMPLATES[name].by_label:
            continue
        if not allowed:
            raise ValueError(f"label HAPROXY_{own.index}_{name}: this balancer takes no templates by label")
        try:
            found[name] = prepared(name, text, by_label=True)
        except ValueError as error:
            raise ValueError(f"label HAPROXY_{own.index}_{name}: {error}") from error
    return found


def _auth(app: App, own: _Own) -> tuple[str, str, str] | None:
    text = own.get("AUTH") or (app.labels or {}).get("HAPROXY_AUTH")  # an older form
    if not text:
        return None
    realm, user, password = ([*text.split(":", 2), "", ""])[:3]
    if not (user and password and all(_SECRET.match(part) for part in (realm, user, password))):
        raise ValueError(f"label HAPROXY_{own.index}_AUTH is not realm:user:encrypted-password")
    return realm, user, password


def _health(app: App, index: int) -> HealthCheck | None:
    for check in app.health_checks or ():
        if check.protocol.upper() != "COMMAND" and (check.port_index or 0) == index:
            if check.path is not None and not _WORD.match(check.path):
                raise ValueError(f"health check path {check.path!r} is not allowed")
            if not 0 <= (check.port or 0) < 65536:
                raise ValueError(f"health check port {check.port} is none")
            return check
    return None
