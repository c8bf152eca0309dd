"""marathon-lb's labels of one port of an app. Pure; ValueError names the label that cannot be used.

Labels are written by whoever may deploy an app, and end up in a configuration: each value is held to the characters
that its place allows, and none may start a new line, a comment or a quotation there.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from tortie.lb.service import Service
from tortie.wire.marathon_apps import App, HealthCheck

_TRUE = frozenset(("true", "t", "yes", "y"))
_HOST = re.compile(r"^[A-Za-z0-9*_.-]+\Z")
_WORD = re.compile(r"^[^\s\"'\\#$]+\Z")
_ADDRESS = re.compile(r"^[0-9A-Fa-f:.*]+\Z")
_LINE = re.compile(r"^[^\x00-\x1f\x7f#\"'\\]*\Z")
_BALANCE = re.compile(r"^[a-z-]+(\([A-Za-z0-9_-]+\))?( [A-Za-z0-9_-]+)*\Z")


def labelled(app: App, index: int, key: str) -> str | None:
    """The app's label for this port; HAPROXY_AUTH is an older form without index."""
    labels = app.labels or {}
    return labels.get(f"HAPROXY_{index}_{key}")


def groups(app: App, index: int) -> set[str]:
    text = labelled(app, index, "GROUP")
    if text is None:
        text = (app.labels or {}).get("HAPROXY_GROUP", "")
    return {item.strip() for item in text.split(",")} - {""}


def in_group(app: App, index: int, wanted: Collection[str]) -> bool:
    return "*" in wanted or bool(groups(app, index) & set(wanted))


def truth(text: str | None, default: bool = False) -> bool:
    """marathon-lb's booleans: everything but these four words is false."""
    return default if text is None else text.strip().lower() in _TRUE


def _checked(app: App, index: int, key: str, default: str, pattern: re.Pattern[str]) -> str:
    text = labelled(app, index, key)
    if text is None or text == default:
        return default
    if not pattern.match(text):
        raise ValueError(f"label HAPROXY_{index}_{key}: {text!r} is not allowed")
    return text


def _number(app: App, index: int, key: str, low: int, high: int) -> int | None:
    text = labelled(app, index, key)
    if text is None:
        return None
    if not re.fullmatch(r"\s*-?[0-9]{1,9}\s*", text) or not low <= int(text) <= high:
        raise ValueError(f"label HAPROXY_{index}_{key}: {text!r} is not a number between {low} and {high}")
    return int(text)


def make_service(app: App, index: int, port: int) -> Service:
    """The service without its servers."""
    if not re.fullmatch(r"[A-Za-z0-9/._-]+", app.id):
        raise ValueError(f"app id {app.id!r} has characters that cannot stand in a configuration")
    vhosts = tuple(v.strip().lower() for v in (labelled(app, index, "VHOST") or "").split(",") if v.strip())
    for vhost in vhosts:
        if not _HOST.match(vhost):
            raise ValueError(f"label HAPROXY_{index}_VHOST: {vhost!r} is not a host name")
    path = _checked(app, index, "PATH", "", _LINE).strip() if vhosts else ""
    health = _health(app, index)
    default_mode = "http" if vhosts or (health and health.protocol.upper() == "HTTP") else "tcp"
    mode = labelled(app, index, "MODE") or default_mode
    if mode not in ("http", "tcp"):
        raise ValueError(f"label HAPROXY_{index}_MODE: {mode!r} is neither http nor tcp")
    return Service(
        app_id=app.id,
        index=index,
        port=_number(app, index, "PORT", 1, 65535) or port,
        mode="http" if vhosts else mode,
        vhosts=vhosts,
        path=path,
        balance=_checked(app, index, "BALANCE", "roundrobin", _BALANCE),
        bind_address=_checked(app, index, "BIND_ADDR", "*", _ADDRESS),
        bind_options=_checked(app, index, "BIND_OPTIONS", "", _LINE),
        ssl_cert=_checked(app, index, "SSL_CERT", "", _WORD),
        sticky=truth(labelled(app, index, "STICKY")),
        redirect_to_https=truth(labelled(app, index, "REDIRECT_TO_HTTPS")),
        hsts=truth(labelled(app, index, "USE_HSTS")),
        weight=_number(app, index, "BACKEND_WEIGHT", -1000, 1000) or (1 if path else 0),
        auth=_auth(app, index),
        allowed=tuple(_checked(app, index, "BACKEND_NETWORK_ALLOWED_ACL", "", _LINE).split()),
        proxypass=_checked(app, index, "HTTP_BACKEND_PROXYPASS_PATH", "", _WORD),
        revproxy=_checked(app, index, "HTTP_BACKEND_REVPROXY_PATH", "", _WORD),
        redirect=_checked(app, index, "HTTP_BACKEND_REDIR", "", _WORD),
        health=health,
        health_port_index=_number(app, index, "BACKEND_HEALTHCHECK_PORT_INDEX", 0, 1000),
    )


def _auth(app: App, index: int) -> tuple[str, str, str] | None:
    text = labelled(app, index, "AUTH") or (app.labels or {}).get("HAPROXY_AUTH")
    if not text:
        return None
    realm, user, password = ([*text.split(":", 2), "", ""])[:3]
    if not (user and password and all(re.match(r"^[^\s\"'\\#]+$", part) for part in (realm, user, password))):
        raise ValueError(f"label HAPROXY_{index}_AUTH is not realm:user:encrypted-password")
    return realm, user, password


def _health(app: App, index: int) -> HealthCheck | None:
    for check in app.health_checks or ():
        if check.protocol.upper() != "COMMAND" and (check.port_index or 0) == index:
            if check.path is not None and not _WORD.match(check.path):
                raise ValueError(f"health check path {check.path!r} is not allowed")
            return check
    return None
