"""What each service has of its own in the configuration: users, front end, back end, servers. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from tortie.lb.service import Server, Service
from tortie.lb.templates import WITH_AUTH, Templates

_STATIC_HASHES = frozenset(("source", "uri", "url_param", "hdr", "rdp-cookie", "hash"))
_ANY = Server("", "192.0.2.1", 1, name="any", id=1, check_port=1)
LATE_REQUESTS = "  option idle-close-on-response"
"""A worker that leaves answers what comes on an idle connection, rather than to close in the visitor's face."""


@dataclass(frozen=True, slots=True)
class Back:
    """A back end: its lines, then its servers. `options` by server's name where servers may change at run time.

    `fixed` is everything that only a reload changes, as text to compare.
    """

    text: str
    servers: tuple[str, ...]
    options: dict[str, str] | None
    fixed: str


Fields = dict[str, str]


def users(service: Service, templates: Templates, fields: Fields) -> Iterator[str]:
    if service.auth:
        yield templates.filled("USERLIST_HEAD", service.templates, fields)


def front(service: Service, templates: Templates, fields: Fields) -> Iterator[str]:
    yield templates.filled("FRONTEND_HEAD", service.templates, fields)
    if service.mode == "http":
        yield LATE_REQUESTS
    yield templates.filled("FRONTEND_BACKEND_GLUE", service.templates, fields)


def back(service: Service, templates: Templates, fields: Fields) -> Back:
    text = "\n".join(block for block in _lines(service, templates, fields) if block)
    lines = [_server(service, server, templates, fields) for server in service.servers]
    sample = _server(service, _ANY, templates, fields)
    if not (_one_server(sample) and _changes_at_run_time(service, text, templates)):
        return Back(text, tuple(lines), None, "\n".join([text, *lines]))
    options = {s.name: line.split(None, 2)[2] for s, line in zip(service.servers, lines, strict=True)}
    # Of a server that is there, only address and weight change at run time: the rest is seen on a made-up one.
    checked = service.health and service.health.port, service.health_port_index
    return Back(text, tuple(lines), options, f"{text}\n{sample} {checked}")


def _lines(service: Service, templates: Templates, fields: Fields) -> Iterator[str]:
    own = service.templates

    def filled(name: str) -> str:
        return templates.filled(name, own, fields)

    yield filled("BACKEND_HEAD")
    if service.hashed:
        yield "  hash-type consistent"
    if service.mode == "http":
        # A request that got no byte of an answer is sent again to another server where that is safe: GET and HEAD.
        yield "  retry-on conn-failure empty-response\n  http-request disable-l7-retry unless METH_GET"
    yield from _allowed(service, templates, fields)
    if service.mode == "http":
        if service.auth and not any(templates.replaced(name, own) for name in WITH_AUTH):
            # Asked for here and not at the virtual host: the service port and the app id lead here as well.
            yield f"  http-request auth realm {service.auth[0]} unless {{ http_auth(user_{service.name}) }}"
        if service.hsts:
            yield filled("BACKEND_HSTS_OPTIONS")
        yield filled("BACKEND_HTTP_OPTIONS")
        if service.redirect:
            yield filled("HTTP_BACKEND_REDIR")
        if service.proxypass:
            yield filled("HTTP_BACKEND_PROXYPASS_GLUE")
        if service.revproxy:
            yield filled("HTTP_BACKEND_REVPROXY_GLUE")
    if service.sticky:
        yield filled("BACKEND_STICKY_OPTIONS")
    if service.health:
        yield filled(f"BACKEND_{_check_kind(service)}_HEALTHCHECK_OPTIONS")


def _allowed(service: Service, templates: Templates, fields: Fields) -> Iterator[str]:
    kind = service.mode.upper()
    for network in service.allowed:
        name = f"{kind}_BACKEND_NETWORK_ALLOWED_ACL"
        yield templates.filled(name, service.templates, fields | {"network_allowed": network})
    if service.allowed:
        yield templates.text(f"{kind}_BACKEND_ACL_ALLOW_DENY", {})


def _check_kind(service: Service) -> str:
    http = service.health is not None and service.health.protocol.upper() in ("HTTP", "MESOS_HTTP")
    return "HTTP" if service.mode == "http" and http else "TCP"


def _server(service: Service, server: Server, templates: Templates, fields: Fields) -> str:
    """The line of a server: what follows its name are the same words in the file and at run time."""
    address = f"[{server.address}]" if ":" in server.address else server.address
    check = ""
    if service.health:
        port = str(server.check_port or fields["healthCheckPort"])
        options = f" port {port}" if port else ""
        name = f"BACKEND_SERVER_{_check_kind(service)}_HEALTHCHECK_OPTIONS"
        own = fields | {"healthCheckPort": port, "healthCheckPortOptions": options}
        check = templates.filled(name, service.templates, own).strip()
    values = {
        "serverName": server.name,
        "serverId": str(server.id),
        "host": server.host,
        "host_ipv4": address,
        "port": str(server.port),
        "cookieOptions": _cookie(service, server, templates, bool(check)),
        "healthCheckOptions": f" {check}" if check else "",
        "otherOptions": " disabled" if server.disabled else "",
    }
    return templates.filled("BACKEND_SERVER_OPTIONS", service.templates, fields | values)


def _cookie(service: Service, server: Server, templates: Templates, checked: bool) -> str:
    """As in marathon-lb, servers with cookies are checked: else a visitor sticks to a dead one."""
    if not service.sticky:
        return ""
    check = "" if checked else " check"
    if "dynamic" in templates.text("BACKEND_STICKY_OPTIONS", service.templates).split():
        return check
    return f"{check} cookie {hashlib.sha1(server.name.encode(), usedforsecurity=False).hexdigest()[:10]}"


def _one_server(line: str) -> bool:
    words = line.split()
    return "\n" not in line.strip() and words[:2] == ["server", _ANY.name] and "cookie" not in words


def _changes_at_run_time(service: Service, text: str, templates: Templates) -> bool:
    """Whether HAProxy lets servers come and go. Templates may have changed what the service's labels say."""
    if not service.templates and not templates.given:
        return service.dynamic
    algorithm, consistent, cookie = "roundrobin", False, ""
    for words in map(str.split, text.split("\n")):
        if words[:1] == ["balance"] and len(words) > 1:
            algorithm = words[1].split("(")[0]
        elif words[:1] == ["hash-type"]:
            consistent = "consistent" in words
        elif words[:1] == ["cookie"]:
            cookie = " ".join(words)
    if cookie and not ("dynamic" in cookie.split() and "dynamic-cookie-key" in text):
        return False
    return algorithm != "static-rr" and (algorithm not in _STATIC_HASHES or consistent)
