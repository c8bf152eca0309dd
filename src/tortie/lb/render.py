"""The services as HAProxy 2.4+ configuration, in marathon-lb's names and order. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from tortie.lb import backs, change
from tortie.lb.fields import fields_of
from tortie.lb.fronts import (
    Routes,
    appid_front,
    catch_all,
    crt,
    grouped_front,
    http_front,
    https_front,
    map_files,
    mapped,
)
from tortie.lb.hosts import by_weight
from tortie.lb.service import Service
from tortie.lb.templates import Templates

DEFAULT_OPTIONS = ("dontlognull", "http-server-close", "redispatch 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the balancer listens and keeps its files."""

    work_dir: str = "/var/lib/tortie/lb"
    http_port: int = 80
    https_port: int = 443
    appid_port: int = 9091
    stats_port: int = 9090
    bind_http: bool = True
    ssl_certs: tuple[str, ...] = ()
    maxconn: int = 50000
    open_files: int = 0
    """As many as HAProxy may have; 0 is no limit."""
    hard_stop: str = "5m"
    host_maps: bool = True
    group_https: bool = False
    default_options: tuple[str, ...] = DEFAULT_OPTIONS
    templates: Templates = field(default_factory=Templates)

    def reserved(self) -> frozenset[int]:
        ports = {self.stats_port, self.appid_port}
        if self.bind_http:
            ports |= {self.http_port} | ({self.https_port} if self.ssl_certs else set())
        return frozenset(ports)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one service has of its own in the file."""

    service: Service
    fields: dict[str, str]
    users: str
    front: str
    back: backs.Back


@dataclass(frozen=True, slots=True)
class Rendered:
    """`mark` names everything that needs a reload; `servers` may change at run time, by backend and name.

    `files` are those that the text names, by path. A path tells the content: files never change. `sticky` are the
    backends with cookies among them, `fixed` those with other servers. The rest is there to render from again.
    """

    text: str
    mark: str
    servers: Mapping[tuple[str, str], str]
    files: Mapping[str, str]
    sticky: frozenset[str] = frozenset()
    fixed: frozenset[str] = frozenset()
    maps_dir: str = field(default="", compare=False, repr=False)
    settings: Settings | None = field(default=None, compare=False, repr=False)
    pieces: Mapping[str, Piece] = field(default_factory=dict, compare=False, repr=False)


MARK = "tortie-"
_HTTP = f"  mode http\n{backs.LATE_REQUESTS}"
_MAX_RELOADS = 20
"""A worker that is still there after so many reloads is ended; reloads are paced so that it does not come to that."""


def render(services: Collection[Service], settings: Settings, before: Rendered | None = None) -> Rendered:
    """The whole file. The mark stands in the worker's description, so a running worker tells what it has loaded.

    `before`: an earlier result; what services that are still the same had of their own is taken from it.
    """
    ordered = list(services)
    by_map = mapped(ordered, settings.templates) if settings.host_maps else frozenset()
    maps = map_files(ordered, by_map, apps=settings.host_maps) if settings.host_maps else {}
    maps_dir = f"{settings.work_dir}/maps/{_digest(maps)}" if maps else f"{settings.work_dir}/maps"
    same = before is not None and before.settings is settings and before.maps_dir == maps_dir
    pieces = _pieces(ordered, settings.templates, maps_dir, before.pieces if before is not None and same else {})
    routes = Routes(
        [(service, pieces[service.name].fields) for service in by_weight(ordered)],
        by_map, maps, catch_all(by_weight(ordered)), settings.templates,
    )  # fmt: skip
    fronts = [block for block in _shared_fronts(routes, settings, maps_dir) if block]
    users = [piece.users for piece in pieces.values() if piece.users]
    shared = [*users, *fronts, *(piece.front for piece in pieces.values())]
    fixed = "\n".join([*_head(settings, "", len(ordered)), *shared, *(piece.back.fixed for piece in pieces.values())])
    mark = MARK + hashlib.sha256(fixed.encode()).hexdigest()[:24]
    blocks = [*_head(settings, mark, len(ordered)), *shared]
    servers = {}
    for piece in pieces.values():
        blocks += (piece.back.text, *piece.back.servers)
        for name, options in (piece.back.options or {}).items():
            servers[piece.service.name, name] = options
    changing = {name for name, piece in pieces.items() if piece.back.options is not None}
    return Rendered(
        text="\n".join(blocks) + "\n",
        mark=mark,
        servers=servers,
        files={f"{maps_dir}/{name}": text for name, text in maps.items()},
        sticky=frozenset(name for name in changing if pieces[name].service.sticky),
        fixed=frozenset(change.fixed_backends("\n".join([*_head(settings, "", len(ordered)), *fronts]), {}))
        | (pieces.keys() - changing),
        maps_dir=maps_dir,
        settings=settings,
        pieces=pieces,
    )


def _pieces(
    services: list[Service], templates: Templates, maps_dir: str, before: Mapping[str, Piece]
) -> dict[str, Piece]:
    found = {}
    for service in services:
        last = before.get(service.name)
        if last is None or last.service is not service:
            fields = fields_of(service, maps_dir)
            last = Piece(
                service, fields,
                "\n".join(backs.users(service, templates, fields)), "\n".join(backs.front(service, templates, fields)),
                backs.back(service, templates, fields),
            )  # fmt: skip
        found[service.name] = last
    return found


def mark_of(text: str) -> str:
    """The mark of a configuration of ours; empty for any other text."""
    found = re.search(rf"^  description ({MARK}[0-9a-f]+)$", text, re.MULTILINE)
    return found[1] if found else ""


def _digest(files: Mapping[str, str]) -> str:
    return hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:16]


def _shared_fronts(routes: Routes, settings: Settings, maps_dir: str) -> Iterator[str]:
    templates = settings.templates
    if settings.bind_http:
        head = f"\nfrontend marathon_http_in\n  bind *:{settings.http_port}\n{_HTTP}"
        yield from http_front(templates.given.get("HTTP_FRONTEND_HEAD", head), routes, maps_dir)
    head = f"\nfrontend marathon_http_appid_in\n  bind *:{settings.appid_port}\n{_HTTP}"
    by_map = settings.host_maps and "HTTP_FRONTEND_APPID_ACL" not in templates.given
    yield from appid_front(templates.given.get("HTTP_FRONTEND_APPID_HEAD", head), routes, maps_dir, by_map=by_map)
    if settings.bind_http and settings.ssl_certs:
        yield from _secure(routes, settings, maps_dir)


def _secure(routes: Routes, settings: Settings, maps_dir: str) -> Iterator[str]:
    templates = settings.templates
    begin = f"\nfrontend marathon_https_in\n  bind *:{settings.https_port}"
    if settings.group_https:
        greeting = "  tcp-request inspect-delay 5s\n  tcp-request content accept if { req.ssl_hello_type 1 }"
        head = templates.given.get("HTTPS_GROUPED_FRONTEND_HEAD", f"{begin}\n  mode tcp\n{greeting}")
        yield from grouped_front(head, routes, settings.ssl_certs, settings.work_dir)
        return
    head = templates.given.get("HTTPS_FRONTEND_HEAD", f"{begin} ssl {{sslCerts}}\n{_HTTP}")
    yield from https_front(head.format_map({"sslCerts": crt(settings.ssl_certs)}), routes, maps_dir)


def _head(settings: Settings, mark: str, services: int) -> Iterator[str]:
    yield "# Written by `tortie lb`; changes made here are lost."
    given = settings.templates.given.get("HEAD")
    if given is not None:
        limits = (line for line in _limits(settings) if line.split()[0] not in given.split())
        yield from (given, "\nglobal", *limits, _own(settings, mark), _control(settings))
        return
    most = connections(settings, services)
    yield f"""\
global
  maxconn {most}
  spread-checks 5"""
    yield from (*_limits(settings), _own(settings, mark))
    yield f"""\

defaults
  load-server-state-from-file global
  mode http
  retries 3
  backlog 10000
  maxconn {min(10000, most)}
  timeout connect 3s
  timeout client 30s
  timeout server 30s
  timeout tunnel 3600s
  timeout http-keep-alive 1s
  timeout http-request 15s
  timeout queue 30s
  timeout tarpit 60s"""
    yield from (f"  option {option}" for option in settings.default_options)
    yield f"""\

listen stats
  bind 0.0.0.0:{settings.stats_port}
  mode http
  monitor-uri /_haproxy_health_check
  monitor fail if {{ stopping }}
  http-request use-service prometheus-exporter if {{ path /metrics }}
  use_backend tortie_lb_control if {{ path_beg /_haproxy_get /_mlb }}
  stats enable
  stats uri /haproxy?stats
  stats show-desc
{_control(settings)}"""


def connections(settings: Settings, services: int) -> int:
    """How many connections the limit of open files allows: HAProxy refuses to start above it.

    Each has two files. Listeners have theirs, twice while a reload hands them over; a quarter is left for checks: how
    many servers there are must not matter, for they come and go without a reload.
    """
    if not settings.open_files:
        return settings.maxconn
    return max(100, min(settings.maxconn, (settings.open_files * 3 // 4 - 200 - 2 * services) // 2))


def _limits(settings: Settings) -> tuple[str, ...]:
    """How long workers of earlier configurations may stay."""
    return f"  hard-stop-after {settings.hard_stop}", f"  mworker-max-reloads {_MAX_RELOADS}"


def _own(settings: Settings, mark: str) -> str:
    """What the balancer needs to find its HAProxy again and to speak with it, whoever wrote the rest of the head."""
    work = settings.work_dir
    return f"""\
  description {mark}
  stats socket {work}/haproxy.sock mode 600 level admin expose-fd listeners
  stats timeout 2m
  server-state-file {work}/server.state"""


def _control(settings: Settings) -> str:
    return f"\nbackend tortie_lb_control\n  mode http\n  server control unix@{settings.work_dir}/control.sock"
