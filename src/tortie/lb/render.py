"""The services as HAProxy 2.4+ configuration, in marathon-lb's names and order. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from tortie.lb.service import Server, Service, plain_id


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
    hard_stop: str = "5m"

    def reserved(self) -> frozenset[int]:
        ports = {self.stats_port, self.appid_port}
        if self.bind_http:
            ports |= {self.http_port} | ({self.https_port} if self.ssl_certs else set())
        return frozenset(ports)


@dataclass(frozen=True, slots=True)
class Rendered:
    """`mark` names everything that needs a reload; `servers` may change at run time, by backend and name.

    `sticky` are the backends with cookies.
    """

    text: str
    mark: str
    servers: Mapping[tuple[str, str], str]
    sticky: frozenset[str] = frozenset()


MARK = "tortie-"
_MAX_RELOADS = 20
"""A worker that is still there after so many reloads is ended; reloads are paced so that it does not come to that."""
_ANY = Server("", "192.0.2.1", 1, id=1)


def render(services: Collection[Service], settings: Settings) -> Rendered:
    """The whole file. The mark stands in the worker's description, so a running worker tells what it has loaded."""
    fixed = [replace(s, servers=()) if s.dynamic else s for s in services]
    # Options of a server cannot change at run time, but for its address: those of a made-up one are part of the mark.
    options = [f"{_server(s, _ANY)} {s.health_port_index}" for s in services if s.dynamic]
    mark = MARK + hashlib.sha256("\n".join([*_lines(fixed, settings, ""), *options]).encode()).hexdigest()[:24]
    servers = {(s.name, server.name): _server(s, server) for s in services if s.dynamic for server in s.servers}
    sticky = frozenset(s.name for s in services if s.sticky)
    return Rendered("\n".join(_lines(services, settings, mark)) + "\n", mark, servers, sticky)


def _lines(services: Collection[Service], settings: Settings, mark: str) -> Iterator[str]:
    yield from _head(settings, mark)
    for service in services:
        if service.auth:
            yield from ("", f"userlist user_{service.name}", f"  user {service.auth[1]} password {service.auth[2]}")
    by_weight = sorted(services, key=lambda s: -s.weight)
    if settings.bind_http:
        yield from _http_front(by_weight, settings)
    yield from _appid_front(services, settings)
    if settings.bind_http and settings.ssl_certs:
        yield from _https_front(by_weight, settings)
    for service in services:
        yield from _front(service)
    for service in services:
        yield from _back(service)


def _head(settings: Settings, mark: str) -> Iterator[str]:
    work = settings.work_dir
    yield from f"""\
# Written by `tortie lb`; changes made here are lost.
global
  description {mark}
  maxconn {settings.maxconn}
  spread-checks 5
  hard-stop-after {settings.hard_stop}
  mworker-max-reloads {_MAX_RELOADS}
  stats socket {work}/haproxy.sock mode 600 level admin expose-fd listeners
  stats timeout 2m
  server-state-file {work}/server.state

defaults
  load-server-state-from-file global
  mode http
  retries 3
  backlog 10000
  maxconn {min(10000, settings.maxconn)}
  timeout connect 3s
  timeout client 30s
  timeout server 30s
  timeout tunnel 3600s
  timeout http-keep-alive 1s
  timeout http-request 15s
  timeout queue 30s
  timeout tarpit 60s
  option dontlognull
  option http-server-close
  option idle-close-on-response
  option redispatch 1

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

backend tortie_lb_control
  mode http
  server control unix@{work}/control.sock""".splitlines()


def _condition_name(service: Service) -> str:
    first = re.sub(r"[^a-zA-Z0-9-]", "_", service.vhosts[0])
    return f"{first}_{plain_id(service.app_id)}"


def _routes(service: Service, *, secure: bool) -> Iterator[str]:
    """ACLs and the choice of a backend for one service with virtual hosts."""
    host, condition = f"host_{_condition_name(service)}", ""
    for vhost in service.vhosts:
        yield f"  acl {host} hdr(host),field(1,:) -i {vhost}"
    condition = host
    if service.path:
        yield f"  acl path_{service.name} path_beg {service.path}"
        condition = f"{host} path_{service.name}"
    if service.redirect_to_https and not secure:
        yield f"  redirect scheme https code 301 if !{{ ssl_fc }} {condition}"
    yield f"  use_backend {service.name} if {condition}"


def _http_front(services: Collection[Service], settings: Settings) -> Iterator[str]:
    yield from ("", "frontend marathon_http_in", f"  bind *:{settings.http_port}", "  mode http")
    for service in services:
        if service.vhosts:
            yield from _routes(service, secure=False)


def _appid_front(services: Collection[Service], settings: Settings) -> Iterator[str]:
    yield from ("", "frontend marathon_http_appid_in", f"  bind *:{settings.appid_port}", "  mode http")
    seen = set()
    for service in services:
        if service.mode == "http" and service.app_id not in seen:
            seen.add(service.app_id)
            name = f"app__{plain_id(service.app_id)}"
            yield f"  acl {name} hdr(x-marathon-app-id) -i {service.app_id}"
            yield f"  use_backend {service.name} if {name}"


def _https_front(services: Collection[Service], settings: Settings) -> Iterator[str]:
    certs = " ".join(f"crt {cert}" for cert in settings.ssl_certs)
    yield from ("", "frontend marathon_https_in", f"  bind *:{settings.https_port} ssl {certs}", "  mode http")
    for service in services:
        if service.vhosts:
            yield from _routes(service, secure=True)


def _front(service: Service) -> Iterator[str]:
    ssl = f" ssl crt {service.ssl_cert}" if service.ssl_cert else ""
    options = f" {service.bind_options}" if service.bind_options else ""
    yield from ("", f"frontend {service.name}", f"  bind {service.bind_address}:{service.port}{ssl}{options}")
    yield f"  mode {service.mode}"
    if service.mode == "tcp" and service.allowed:
        yield f"  tcp-request connection reject if !{{ src {' '.join(service.allowed)} }}"
    yield f"  use_backend {service.name}"


def _back(service: Service) -> Iterator[str]:
    yield from ("", f"backend {service.name}", f"  balance {service.balance}", f"  mode {service.mode}")
    if service.mode == "http":
        yield from _http_back(service)
    if service.hashed:
        yield "  hash-type consistent"
    if service.sticky:
        # Only cookies that are made of the server's address are possible for servers added at run time.
        yield "  dynamic-cookie-key tortie"
        yield "  cookie mesosphere_server_id insert indirect nocache dynamic"
    for server in service.servers:
        yield f"  server {server.name} {_server(service, server)}"


def _http_back(service: Service) -> Iterator[str]:
    # A request that got no byte of an answer is sent again to another server where that is safe: GET and HEAD.
    yield "  retry-on conn-failure empty-response"
    yield "  http-request disable-l7-retry unless METH_GET"
    if service.allowed:
        yield f"  http-request deny deny_status 403 if !{{ src {' '.join(service.allowed)} }}"
    if service.auth:
        # Asked for here and not at the virtual host: the service port and the app id lead here as well.
        yield f"  http-request auth realm {service.auth[0]} unless {{ http_auth(user_{service.name}) }}"
    yield "  option forwardfor"
    yield "  http-request set-header X-Forwarded-Port %[dst_port]"
    yield "  http-request add-header X-Forwarded-Proto https if { ssl_fc }"
    if service.hsts:
        yield '  http-response set-header Strict-Transport-Security "max-age=15768000" if { ssl_fc }'
    if service.redirect:
        yield f"  http-request redirect code 301 location {service.redirect} if {{ path / }}"
    if service.proxypass:
        prefix = re.escape(service.proxypass.strip("/"))
        yield f"  http-request replace-path ^/{prefix}/?(.*) /\\1"
    if service.revproxy:
        location = service.revproxy.rstrip("/")
        yield f"  http-response replace-header Location ^(https?://[^/]+)?(/.*) {location}\\2"
    health = service.health
    if health and health.protocol.upper() in ("HTTP", "MESOS_HTTP"):
        yield f"  option httpchk GET {health.path or '/'}"
        yield f"  timeout check {max(1, int(health.timeout_seconds))}s"


def _server(service: Service, server: Server) -> str:
    """Address and options of a server, the same words in the file and at run time."""
    address = f"[{server.address}]" if ":" in server.address else server.address
    options = f"{address}:{server.port} id {server.id}"
    if service.health:
        fall = max(1, service.health.max_consecutive_failures + 1)
        options += f" check inter {max(1, int(service.health.interval_seconds))}s fall {fall} port {server.check_port}"
    return options
