"""The pieces of the configuration that an operator or an app may replace, under marathon-lb's names. Pure.

A template is text with fields in braces (`{backend}`; a brace itself is doubled). One for the whole file comes from a
file or the environment and is the operator's; one by label (`HAPROXY_0_BACKEND_HEAD`) is the app's, and is held to its
section: it can neither begin another one nor use directives for the file as a whole.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

SERVICE_FIELDS = frozenset(
    (
        "backend", "mode", "balance", "bindAddr", "servicePort", "sslCert", "bindOptions", "appId",
        "cleanedUpAppId", "hostname", "cleanedUpHostname", "hostMatch", "path", "realm", "user", "passwd",
        "proxypath", "proxypathPattern", "rootpath", "redirpath", "haproxy_dir", "healthCheckPortIndex",
        "healthCheckPort", "healthCheckProtocol", "healthCheckPath", "healthCheckTimeoutSeconds",
        "healthCheckIntervalSeconds", "healthCheckIgnoreHttp1xx", "healthCheckGracePeriodSeconds",
        "healthCheckMaxConsecutiveFailures", "healthCheckFalls", "healthCheckPortOptions",
    )
)  # fmt: skip
_SERVER = frozenset(
    ("serverName", "serverId", "host", "host_ipv4", "port", "cookieOptions", "healthCheckOptions", "otherOptions")
)


@dataclass(frozen=True, slots=True)
class Template:
    """`fields` is None where the text is taken as it stands; `section` is the one that it begins."""

    text: str
    fields: frozenset[str] | None = SERVICE_FIELDS
    by_label: bool = True
    section: str = ""


def _routes() -> dict[str, Template]:
    """How a virtual host leads to a backend. Who asks for a password is the backend, so its other ways in ask, too."""
    host, path = (
        "  acl host_{cleanedUpHostname} hdr(host),field(1,:) -i {hostMatch}",
        "  acl path_{backend} path_beg {path}",
    )
    app_id = "  acl app_{cleanedUpAppId} hdr(x-marathon-app-id) -i {appId}"
    by_host = "  use_backend {backend} if host_{cleanedUpHostname}"
    by_both = f"{by_host} path_{{backend}}"
    secure = "  use_backend {backend} if {{ hdr(host),field(1,:) -i {hostMatch} }}"
    redirect = "  redirect scheme https code 301 if !{{ ssl_fc }} host_{cleanedUpHostname}"
    texts = {
        "HTTP_FRONTEND_ACL": f"{host}\n{by_host}",
        "HTTP_FRONTEND_ACL_WITH_AUTH": f"{host}\n{by_host}",
        "HTTP_FRONTEND_ACL_WITH_PATH": f"{host}\n{path}\n{by_both}",
        "HTTP_FRONTEND_ACL_WITH_AUTH_AND_PATH": f"{host}\n{path}\n{by_both}",
        "HTTP_FRONTEND_ACL_ONLY": host,
        "HTTP_FRONTEND_ACL_ONLY_WITH_PATH": path,
        "HTTP_FRONTEND_ACL_ONLY_WITH_PATH_AND_AUTH": path,
        "HTTP_FRONTEND_ROUTING_ONLY": by_host,
        "HTTP_FRONTEND_ROUTING_ONLY_WITH_AUTH": by_host,
        "HTTP_FRONTEND_ROUTING_ONLY_WITH_PATH": by_both,
        "HTTP_FRONTEND_ROUTING_ONLY_WITH_PATH_AND_AUTH": by_both,
        "HTTP_FRONTEND_APPID_ACL": f"{app_id}\n  use_backend {{backend}} if app_{{cleanedUpAppId}}",
        "HTTPS_FRONTEND_ACL": secure,
        "HTTPS_FRONTEND_ACL_WITH_AUTH": secure,
        "HTTPS_FRONTEND_ACL_WITH_PATH": f"{secure} path_{{backend}}",
        "HTTPS_FRONTEND_ACL_WITH_AUTH_AND_PATH": f"{secure} path_{{backend}}",
        "HTTPS_FRONTEND_ACL_ONLY_WITH_PATH": path,
        "BACKEND_REDIRECT_HTTP_TO_HTTPS": redirect,
        "BACKEND_REDIRECT_HTTP_TO_HTTPS_WITH_PATH": f"{redirect} path_{{backend}}",
    }
    return {name: Template(text) for name, text in texts.items()}


def _backends() -> dict[str, Template]:
    proto = "  http-request add-header X-Forwarded-Proto https if {{ ssl_fc }}"
    forwarded = f"  option forwardfor\n  http-request set-header X-Forwarded-Port %[dst_port]\n{proto}"
    hsts = '  http-response set-header Strict-Transport-Security "max-age=15768000" if {{ ssl_fc }}'
    check = "check inter {healthCheckIntervalSeconds}s fall {healthCheckFalls}{healthCheckPortOptions}"
    server = "  server {serverName} {host_ipv4}:{port} id {serverId}{cookieOptions}{healthCheckOptions}{otherOptions}"
    allowed = Template("  acl network_allowed src {network_allowed}", SERVICE_FIELDS | {"network_allowed"})
    # Only cookies that are made of the server's address are possible for servers added at run time.
    sticky = "  dynamic-cookie-key tortie\n  cookie mesosphere_server_id insert indirect nocache dynamic"
    texts = {
        "BACKEND_HSTS_OPTIONS": hsts,
        "BACKEND_HTTP_OPTIONS": forwarded,
        "BACKEND_HTTP_HEALTHCHECK_OPTIONS": (
            "  option httpchk GET {healthCheckPath}\n  timeout check {healthCheckTimeoutSeconds}s"
        ),
        "BACKEND_TCP_HEALTHCHECK_OPTIONS": "",
        "BACKEND_SERVER_HTTP_HEALTHCHECK_OPTIONS": check,
        "BACKEND_SERVER_TCP_HEALTHCHECK_OPTIONS": check,
        "BACKEND_STICKY_OPTIONS": sticky,
        "HTTP_BACKEND_PROXYPASS_GLUE": "  http-request replace-path ^{proxypathPattern}(/|$)(.*) /\\2",
        "HTTP_BACKEND_REVPROXY_GLUE": ("  http-response replace-header Location ^(https?://[^/]+)?(/.*) {rootpath}\\2"),
        "FRONTEND_BACKEND_GLUE": "  use_backend {backend}",
    }
    return {name: Template(text) for name, text in texts.items()} | {
        "USERLIST_HEAD": Template("\nuserlist user_{backend}\n  user {user} password {passwd}", section="userlist"),
        "FRONTEND_HEAD": Template(
            "\nfrontend {backend}\n  bind {bindAddr}:{servicePort}{sslCert}{bindOptions}\n  mode {mode}",
            section="frontend",
        ),
        "BACKEND_HEAD": Template("\nbackend {backend}\n  balance {balance}\n  mode {mode}", section="backend"),
        # A label of this name is the path itself.
        "HTTP_BACKEND_REDIR": Template(
            "  http-request redirect code 301 location {redirpath} if {{ path / }}", by_label=False
        ),
        "BACKEND_SERVER_OPTIONS": Template(server, SERVICE_FIELDS | _SERVER),
        "HTTP_BACKEND_NETWORK_ALLOWED_ACL": allowed,
        "TCP_BACKEND_NETWORK_ALLOWED_ACL": allowed,
    }


def _looked_up(name: str) -> str:
    """By the map of hosts. A name that leads to no backend would end the choice, so it is asked for twice."""
    found = f"{name},map({{haproxy_dir}}/domain2backend.map)"
    return f"  use_backend %[{found}] if {{{{ {found} -m found }}}}"


def _whole() -> dict[str, Template]:
    """The operator's alone. The heads of the file and of the fronts are written by `render` where none is given."""
    maps = frozenset(("haproxy_dir",))
    grouped = "\nfrontend {name}\n  mode http\n  bind abns@{name} accept-proxy ssl {sslCerts}{bindOpts}"
    texts: dict[str, tuple[str, frozenset[str] | None]] = {
        "HEAD": ("", None),
        "HTTP_FRONTEND_HEAD": ("", None),
        "HTTP_FRONTEND_APPID_HEAD": ("", None),
        "HTTPS_FRONTEND_HEAD": ("", frozenset(("sslCerts",))),
        "HTTPS_GROUPED_FRONTEND_HEAD": ("", None),
        "HTTPS_GROUPED_VHOST_FRONTEND_HEAD": (grouped, frozenset(("name", "sslCerts", "bindOpts"))),
        "HTTPS_GROUPED_VHOST_BACKEND_HEAD": (
            "\nbackend {name}\n  mode tcp\n  server loopback-for-tls abns@{name} send-proxy-v2", frozenset(("name",)),
        ),
        "HTTPS_GROUPED_VHOST_FRONTEND_ACL": (
            "  use_backend {backend} if {{ req.ssl_sni -i {hostMatch} }}", frozenset(("backend", "host", "hostMatch")),
        ),
        "HTTP_BACKEND_ACL_ALLOW_DENY": ("  http-request deny deny_status 403 unless network_allowed", None),
        "TCP_BACKEND_ACL_ALLOW_DENY": ("  tcp-request content reject unless network_allowed", None),
        "MAP_HTTP_FRONTEND_ACL": (_looked_up("req.hdr(host),field(1,:),lower"), maps),
        # Where the Host header names nobody, the name in the TLS greeting decides, as it does in marathon-lb.
        "MAP_HTTPS_FRONTEND_ACL": (
            "\n".join(map(_looked_up, ("req.hdr(host),field(1,:),lower", "ssl_fc_sni,lower"))), maps,
        ),
        "MAP_HTTP_FRONTEND_APPID_ACL": (
            "  use_backend %[req.hdr(x-marathon-app-id),lower,map({haproxy_dir}/app2backend.map)]", maps,
        ),
    }  # fmt: skip
    return {name: Template(text, fields, by_label=False) for name, (text, fields) in texts.items()}


TEMPLATES: Mapping[str, Template] = _routes() | _backends() | _whole()
WITH_AUTH = frozenset(name for name in TEMPLATES if "WITH_AUTH" in name or name.endswith("AND_AUTH"))
NOT_USED = frozenset(
    (
        "MAP_HTTP_FRONTEND_ACL_ONLY", "HTTPS_FRONTEND_AUTH_ACL_ONLY", "HTTPS_FRONTEND_AUTH_REQUEST_ONLY",
        "HTTPS_FRONTEND_ROUTING_ONLY_WITH_PATH_AND_AUTH",
    )
)  # fmt: skip
"""Names that marathon-lb knows and never reads, or reads for what another name gives here."""

_SECTIONS = frozenset(
    (
        "global", "defaults", "frontend", "backend", "listen", "userlist", "peers", "resolvers", "mailers",
        "program", "http-errors", "ring", "cache", "fcgi-app", "log-forward", "crt-store", "traces", "acme",
    )
)  # fmt: skip
_GONE = {
    "reqrep": "http-request replace-path or replace-header", "reqirep": "http-request replace-path or replace-header",
    "rsprep": "http-response replace-header", "rspirep": "http-response replace-header",
    "reqdel": "http-request del-header", "reqidel": "http-request del-header",
    "rspdel": "http-response del-header", "rspidel": "http-response del-header",
    "reqdeny": "http-request deny", "reqideny": "http-request deny",
}  # fmt: skip
_ADDED = re.compile(r"^(\s*)(req|rsp)i?add\s+((?:[^\\\s:]|\\.)+):(?:\\?\s)?((?:[^\\\s]|\\.)*)(.*)$")
_LUA = re.compile(r"^(\s*)http-request use-service lua\.(?:get\w+|signalmlb\w+)(.*)$")
_LUA_FILE = re.compile(r"^\s*lua-load\s+/marathon-lb/")
_OWN_PORT = re.compile(r"^\s*bind\s+([0-9A-Za-z.:*-]*|\{bindAddr\}):\{servicePort\}(\s|\{sslCert\}|\{bindOptions\}|$)")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def prepared(name: str, text: str, *, by_label: bool) -> str:
    """The template in today's HAProxy's words. ValueError says what cannot be used and why."""
    return _prepared(name, text, by_label)


@lru_cache(maxsize=4096)
def _prepared(name: str, text: str, by_label: bool) -> str:
    template = TEMPLATES[name]
    text = text.replace("\r\n", "\n").rstrip()
    if _CONTROL.search(text):
        raise ValueError("it holds a control character")
    _check_fields(text, template.fields)
    lines = [modern for line in text.split("\n") if (modern := _modern(line)) is not None]
    if by_label:
        _check_section(lines, template.section)
    if name == "HEAD" and any(line.split()[:1] == ["daemon"] for line in lines):
        raise ValueError("remove `daemon`: the balancer keeps HAProxy's process itself")
    return "\n".join(lines)


def _check_fields(text: str, known: frozenset[str] | None) -> None:
    if known is None:
        return
    for _, field, form, conversion in string.Formatter().parse(text):
        if field is None:
            continue
        if field not in known:
            raise ValueError(
                f"unknown field {{{field}}}; a brace of HAProxy's is doubled, and fields are {sorted(known)}"
            )
        if form or conversion:
            raise ValueError(f"the field {{{field}}} takes no conversion and no format")


def _check_section(lines: list[str], section: str) -> None:
    for number, line in enumerate(filter(str.strip, lines)):
        word = line.split()[0]
        if word in _SECTIONS and not (number == 0 and word == section):
            raise ValueError(f"it begins a section: {line.strip()!r}")
        if word == "bind" and not (section == "frontend" and _OWN_PORT.match(line)):
            raise ValueError(f"a label can listen on {{servicePort}} only: {line.strip()!r}")
        if word.startswith("."):
            raise ValueError(f"a label cannot steer how the file is read: {line.strip()!r}")
        if number == 0 and section and line.split()[1:2] not in (["{backend}"], ["user_{backend}"]):
            raise ValueError(f"it has to begin with `{section} {'user_' if section == 'userlist' else ''}{{backend}}`")


def _modern(line: str) -> str | None:
    """Directives of marathon-lb's days as HAProxy 2.4 and later has them; None for a line to leave out."""
    word = line.split(maxsplit=1)[0] if line.strip() else ""
    if word in _GONE:
        raise ValueError(f"HAProxy has no `{word}` since 2.1: use {_GONE[word]}")
    if word in ("reqadd", "reqiadd", "rspadd", "rspiadd") and (match := _ADDED.match(line)):
        blank, side, header, value, rest = match.groups()
        value = value.replace("%", "%%") or '""'
        return f"{blank}http-{'request' if side == 'req' else 'response'} add-header {header} {value}{rest}"
    if match := _LUA.match(line):
        return f"{match[1]}use_backend tortie_lb_control{match[2]}"
    return None if _LUA_FILE.match(line) else line


class Templates:
    """The operator's templates over ours; an app's own come before both."""

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        """ValueError names the template that cannot be used."""
        self.given: dict[str, str] = {}
        for name, text in (given or {}).items():
            if name not in TEMPLATES:
                raise ValueError(f"HAPROXY_{name}: no template of that name")
            try:
                self.given[name] = prepared(name, text, by_label=False)
            except ValueError as error:
                raise ValueError(f"HAPROXY_{name}: {error}") from error
        self._texts = {name: template.text for name, template in TEMPLATES.items()} | self.given

    def text(self, name: str, own: Mapping[str, str]) -> str:
        return own[name] if name in own else self._texts[name]

    def filled(self, name: str, own: Mapping[str, str], fields: Mapping[str, str]) -> str:
        return (own[name] if name in own else self._texts[name]).format_map(fields)

    def replaced(self, name: str, own: Mapping[str, str]) -> bool:
        return name in own or name in self.given
