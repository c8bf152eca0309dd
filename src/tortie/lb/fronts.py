"""The front ends that many services share: virtual hosts on HTTP and HTTPS, and apps by their id. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tortie.lb.fields import cleaned, host_match
from tortie.lb.service import Service
from tortie.lb.templates import Templates

_ROUTES = frozenset(
    f"{kind}_FRONTEND_{name}"
    for kind in ("HTTP", "HTTPS")
    for name in ("ACL", "ACL_WITH_AUTH", "ACL_ONLY", "ROUTING_ONLY", "ROUTING_ONLY_WITH_AUTH")
)
WILDCARDS = "wildcard2backend.map"
_WILDCARDS_OF = (
    "  use_backend %[{host},lower,map_end({maps_dir}/" + WILDCARDS + ")]"
    " if {{ {host},lower,map_end({maps_dir}/" + WILDCARDS + ") -m found }}"
)  # fmt: skip
_BY_HEADER, _BY_GREETING = "req.hdr(host),field(1,:)", "ssl_fc_sni"


@dataclass(frozen=True, slots=True)
class Routes:
    """`services` as HAProxy is to ask them, with their fields; `by_map`: those that a look-up finds."""

    services: Sequence[tuple[Service, dict[str, str]]]
    by_map: frozenset[str]
    maps: Mapping[str, str]
    default: str
    templates: Templates


def mapped(services: Sequence[Service], templates: Templates) -> frozenset[str]:
    """Names of services whose hosts can be looked up: no paths, no words of their own about it."""
    if _ROUTES & templates.given.keys():
        return frozenset()
    return frozenset(s.name for s in services if s.vhosts and not s.path and not _ROUTES & s.templates.keys())


def map_files(services: Sequence[Service], by_map: frozenset[str], *, apps: bool) -> dict[str, str]:
    """Names and contents of the files that host and app names are looked up in; longer wildcards come first."""
    hosts = [(vhost, s.name) for s in services if s.name in by_map for vhost in s.vhosts if vhost != "*"]
    exact = sorted(item for item in hosts if not item[0].startswith("*"))
    wild = sorted(((v[1:], name) for v, name in hosts if v.startswith("*")), key=lambda item: (-len(item[0]), item))
    by_id = [(s.app_id.lower(), s.name) for s in first_http(services)] if apps else []
    files = {"domain2backend.map": exact, "app2backend.map": by_id} | ({WILDCARDS: wild} if wild else {})
    return {name: "".join(f"{key} {backend}\n" for key, backend in rows) for name, rows in files.items()}


def catch_all(services: Sequence[Service]) -> str:
    """The backend of the host `*`, for every name that nobody else has; empty when there is none."""
    return next((s.name for s in services if "*" in s.vhosts and not s.path), "")


def first_http(services: Sequence[Service]) -> Iterator[Service]:
    """The first port in HTTP of each app."""
    seen = set()
    for service in sorted(services, key=lambda s: (s.app_id, s.port)):
        if service.mode == "http" and service.app_id not in seen:
            seen.add(service.app_id)
            yield service


def http_front(head: str, routes: Routes, maps_dir: str) -> Iterator[str]:
    yield head
    # HAProxy redirects before it chooses a backend, wherever the lines stand.
    for service, fields in sorted(routes.services, key=lambda item: not item[0].redirect_to_https):
        if service.vhosts:
            yield from _http_routes(service, fields, routes)
    yield from _look_ups("MAP_HTTP_FRONTEND_ACL", routes, maps_dir, _BY_HEADER)


def _hosts(service: Service) -> list[str]:
    """The catch-all of a service without path is no condition: it is the default."""
    return [vhost for vhost in service.vhosts if service.path or vhost != "*"]


def _http_routes(service: Service, fields: dict[str, str], routes: Routes) -> Iterator[str]:
    templates, own, hosts = routes.templates, service.templates, _hosts(service)
    if not hosts or (service.name in routes.by_map and not service.redirect_to_https):
        return

    def filled(name: str) -> str:
        return templates.filled(name, own, fields)

    path, auth = "_WITH_PATH" if service.path else "", bool(service.auth)
    if len(hosts) == 1 and not service.redirect_to_https:
        kind = ("_WITH_AUTH_AND_PATH" if path else "_WITH_AUTH") if auth else path
        yield filled(f"HTTP_FRONTEND_ACL{kind}")
        return
    for vhost in hosts:
        one = fields | {"hostname": vhost, "hostMatch": host_match(vhost)}
        yield templates.filled("HTTP_FRONTEND_ACL_ONLY", own, one)
    if path:
        yield filled(f"HTTP_FRONTEND_ACL_ONLY_WITH_PATH{'_AND_AUTH' if auth else ''}")
    if service.redirect_to_https:
        yield filled(f"BACKEND_REDIRECT_HTTP_TO_HTTPS{path}")
    else:
        kind = ("_WITH_PATH_AND_AUTH" if path else "_WITH_AUTH") if auth else path
        yield filled(f"HTTP_FRONTEND_ROUTING_ONLY{kind}")


def _look_ups(name: str, routes: Routes, maps_dir: str, *hosts: str) -> Iterator[str]:
    if routes.by_map:
        yield routes.templates.filled(name, {}, {"haproxy_dir": maps_dir})
        if WILDCARDS in routes.maps:
            for host in hosts:
                yield _WILDCARDS_OF.format(host=host, maps_dir=maps_dir)
    if routes.default:
        yield f"  default_backend {routes.default}"


def appid_front(head: str, routes: Routes, maps_dir: str, *, by_map: bool) -> Iterator[str]:
    yield head
    if by_map:
        yield routes.templates.filled("MAP_HTTP_FRONTEND_APPID_ACL", {}, {"haproxy_dir": maps_dir})
    fields = {service.name: values for service, values in routes.services}
    for service in first_http([service for service, _ in routes.services]):
        if not by_map or "HTTP_FRONTEND_APPID_ACL" in service.templates:
            yield routes.templates.filled("HTTP_FRONTEND_APPID_ACL", service.templates, fields[service.name])


def https_front(head: str, routes: Routes, maps_dir: str) -> Iterator[str]:
    yield head
    for service, fields in routes.services:
        if service.vhosts and service.name not in routes.by_map:
            if service.path:
                yield routes.templates.filled("HTTPS_FRONTEND_ACL_ONLY_WITH_PATH", service.templates, fields)
            for vhost in _hosts(service):
                yield _https_route(service, fields, vhost, routes.templates)
    yield from _look_ups("MAP_HTTPS_FRONTEND_ACL", routes, maps_dir, _BY_HEADER, _BY_GREETING)


def _https_route(service: Service, fields: dict[str, str], vhost: str, templates: Templates) -> str:
    path = bool(service.path)
    kind = ("_WITH_AUTH_AND_PATH" if path else "_WITH_AUTH") if service.auth else ("_WITH_PATH" if path else "")
    one = fields | {"hostname": vhost, "hostMatch": host_match(vhost)}
    return templates.filled(f"HTTPS_FRONTEND_ACL{kind}", service.templates, one)


def grouped_front(head: str, routes: Routes, certs: Sequence[str], work_dir: str) -> Iterator[str]:
    """HTTPS with a front end for each virtual host, so that each has its own certificates and options."""
    groups: dict[str, list[tuple[Service, dict[str, str]]]] = {}
    for service, fields in routes.services:
        for vhost in service.vhosts:
            groups.setdefault(vhost, []).append((service, fields))
    order = sorted(groups, key=lambda v: (v == "*", v.startswith("*"), -len(v) if v.startswith("*") else 0, v))
    yield head
    for vhost in order:
        values = {"backend": _inner_name(vhost, work_dir), "host": vhost, "hostMatch": host_match(vhost)}
        yield routes.templates.filled("HTTPS_GROUPED_VHOST_FRONTEND_ACL", {}, values)
    for vhost in order:
        yield from _group(vhost, groups[vhost], routes.templates, certs, work_dir)


def _group(
    vhost: str,
    members: Sequence[tuple[Service, dict[str, str]]],
    templates: Templates,
    certs: Sequence[str],
    work_dir: str,
) -> Iterator[str]:
    name = _inner_name(vhost, work_dir)
    own = list(dict.fromkeys(s.ssl_cert for s, _ in members if s.ssl_cert)) or list(certs)
    options = dict.fromkeys(s.bind_options for s, _ in members if s.bind_options)
    yield templates.filled("HTTPS_GROUPED_VHOST_BACKEND_HEAD", {}, {"name": name})
    values = {"name": name, "sslCerts": crt(own), "bindOpts": "".join(f" {text}" for text in options)}
    yield templates.filled("HTTPS_GROUPED_VHOST_FRONTEND_HEAD", {}, values)
    for service, fields in members:
        if service.path:
            yield templates.filled("HTTPS_FRONTEND_ACL_ONLY_WITH_PATH", service.templates, fields)
        if vhost == "*" and not service.path:
            yield f"  default_backend {service.name}"
        else:
            yield _https_route(service, fields, vhost, templates)


def _inner_name(vhost: str, work_dir: str) -> str:
    """Also the name of a socket, which every balancer on this machine could take."""
    tag = hashlib.sha256(f"{work_dir}\n{vhost}".encode()).hexdigest()[:8]
    return f"https_{cleaned(vhost)[:60]}_{tag}"


def crt(certs: Sequence[str]) -> str:
    return " ".join(f"crt {cert}" for cert in certs)
