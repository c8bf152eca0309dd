"""Every label of marathon-lb, with what it makes of the configuration: asked of the text and of the real HAProxy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.fake_marathon import host_app
from tortie.lb.templates import TEMPLATES

HTTP = {"protocol": "HTTP", "path": "/health", "intervalSeconds": 5, "timeoutSeconds": 2, "maxConsecutiveFailures": 2}
TCP = HTTP | {"protocol": "TCP"}


@dataclass(frozen=True)
class Case:
    """An app `/name` on service port `port`; in what is asked for, {b} is its backend, {h} its host, {p} its port."""

    name: str
    labels: dict[str, str]
    has: tuple[str, ...]
    lacks: tuple[str, ...] = ()
    checks: tuple[dict[str, Any], ...] = ()
    port: int = 0
    strict: bool = False
    two_ports: bool = False

    def app(self, port: int) -> dict[str, Any]:
        name = self.name.replace("_", "-").lower()
        labels = {f"HAPROXY_0_{key}": value.replace("HOST", f"{name}.test") for key, value in self.labels.items()}
        made = host_app(f"/{name}", port, [31000, 31001], **labels)
        if self.two_ports:
            made["portDefinitions"].append({"port": port + 1})
            for task in made["tasks"]:
                task["ports"].append(task["ports"][0] + 1000)
        return made | {"healthChecks": list(self.checks)}

    def wanted(self, lines: tuple[str, ...], port: int) -> list[str]:
        name = self.name.replace("_", "-").lower()
        filled = (line.replace("{b}", f"{name}_{port}").replace("{h}", f"{name}.test") for line in lines)
        return [line.replace("{p}", str(port)) for line in filled]


_ROUTE = "  use_backend {b} if host_"
_ALLOWED = ("  acl network_allowed src 10.0.0.0/8", "  acl network_allowed src 192.0.2.1")

LABELS = (
    Case("GROUP", {"GROUP": "external,internal"}, ("backend {b}",)),
    Case("VHOST", {"VHOST": "HOST"}, ("  mode http", "{h} {b}")),
    Case("VHOSTS", {"VHOST": "HOST, WWW.HOST"}, ("{h} {b}", "www.{h} {b}")),
    Case("WILDCARD", {"VHOST": "*.HOST"}, (".{h} {b}",), ("*.{h} {b}",)),
    Case("PATH", {"VHOST": "HOST", "PATH": "-i /a /b"}, ("  acl path_{b} path_beg -i /a /b",)),
    Case("PATHS", {"VHOST": "HOST,www.HOST", "PATH": "/x"}, ("  acl path_{b} path_beg /x",), ("{h} {b}",)),
    Case("PORT", {"PORT": "18999"}, ("  bind *:18999",), port=18999),
    Case("BIND_ADDR", {"BIND_ADDR": "127.0.0.9"}, ("  bind 127.0.0.9:{p}",)),
    Case("BIND_ADDR6", {"BIND_ADDR": "::1"}, ("  bind ::1:{p}",)),
    Case("BIND_OPTIONS", {"BIND_OPTIONS": "maxconn 10 defer-accept"}, ("  bind *:{p} maxconn 10 defer-accept",)),
    Case("SSL_CERT", {"SSL_CERT": "CERT"}, ("  bind *:{p} ssl crt CERT",)),
    Case("MODE", {"MODE": "HTTP"}, ("  mode http", "  option forwardfor")),
    Case("MODE_TCP", {"MODE": "tcp"}, ("  mode tcp",), ("  option forwardfor",)),
    Case("BALANCE", {"BALANCE": "leastconn"}, ("  balance leastconn",), ("  hash-type consistent",)),
    Case("BALANCE_SOURCE", {"BALANCE": "source"}, ("  balance source", "  hash-type consistent")),
    Case("BALANCE_HDR", {"BALANCE": "hdr(X-Who)", "MODE": "http"}, ("  balance hdr(X-Who)", "  hash-type consistent")),
    Case("BALANCE_URL", {"BALANCE": "url_param who", "MODE": "http"}, ("  balance url_param who",)),
    Case("BALANCE_STATIC", {"BALANCE": "static-rr"}, ("  balance static-rr",), ("  hash-type consistent",)),
    Case(
        "STICKY", {"VHOST": "HOST", "STICKY": "true"},
        ("  cookie mesosphere_server_id insert indirect nocache dynamic",
         "  server 127_0_0_1_31000 127.0.0.1:31000 id 18694 check"),
    ),
    Case(
        "REDIRECT_TO_HTTPS", {"VHOST": "HOST", "REDIRECT_TO_HTTPS": "yes"},
        ("  redirect scheme https code 301 if !{ ssl_fc } host_redirect-to-https_test_redirect-to-https",),
    ),
    Case(
        "REDIRECT_PATH", {"VHOST": "HOST", "REDIRECT_TO_HTTPS": "T", "PATH": "/x"},
        ("  redirect scheme https code 301 if !{ ssl_fc } host_redirect-path_test_redirect-path path_{b}",),
    ),
    Case("REDIRECT_NO", {"VHOST": "HOST", "REDIRECT_TO_HTTPS": "1"}, (), ("  acl host_redirect-no_test",)),
    Case(
        "USE_HSTS", {"VHOST": "HOST", "USE_HSTS": "Y"},
        ('  http-response set-header Strict-Transport-Security "max-age=15768000" if { ssl_fc }',),
    ),
    Case("BACKEND_WEIGHT", {"VHOST": "HOST", "BACKEND_WEIGHT": "7", "PATH": "/w"}, ("  acl path_{b} path_beg /w",)),
    Case(
        "AUTH", {"VHOST": "HOST", "AUTH": "realm:user:$5$salt$hash"},
        ("userlist user_{b}", "  user user password $5$salt$hash",
         "  http-request auth realm realm unless { http_auth(user_{b}) }"),
    ),
    Case("AUTH_PATH", {"VHOST": "HOST", "AUTH": "r:u:p", "PATH": "/x"},
         ("userlist user_{b}", f"{_ROUTE}auth-path_test_auth-path path_{{b}}")),
    Case("ENABLED", {"ENABLED": "true"}, ("backend {b}",), strict=True),
    Case("BACKEND_NETWORK_ALLOWED_ACL", {"MODE": "http", "BACKEND_NETWORK_ALLOWED_ACL": "10.0.0.0/8 192.0.2.1"},
         (*_ALLOWED, "  http-request deny deny_status 403 unless network_allowed")),
    Case("NETWORK_TCP", {"BACKEND_NETWORK_ALLOWED_ACL": "10.0.0.0/8 192.0.2.1"},
         (*_ALLOWED, "  tcp-request content reject unless network_allowed")),
    Case("HTTP_CHECK", {},
         ("  mode http", "  option httpchk GET /health", "  timeout check 2s",
          "  server 127_0_0_1_31000 127.0.0.1:31000 id 18694 check inter 5s fall 3 port 31000"), checks=(HTTP,)),
    Case("TCP_CHECK", {},
         ("  mode tcp", "  server 127_0_0_1_31000 127.0.0.1:31000 id 18694 check inter 5s fall 3 port 31000"),
         ("  option httpchk",), checks=(TCP,)),
    Case("COMMAND_CHECK", {}, ("  server 127_0_0_1_31000 127.0.0.1:31000 id 18694",), (" check",),
         checks=({"protocol": "COMMAND", "command": {"value": "true"}},)),
    Case("CHECK_PORT", {}, (" check inter 5s fall 3 port 8080",), checks=(HTTP | {"port": 8080},)),
    Case("BACKEND_HEALTHCHECK_PORT_INDEX", {"BACKEND_HEALTHCHECK_PORT_INDEX": "1"},
         ("  option httpchk GET /health", " check inter 5s fall 3 port 32000"),
         checks=(HTTP | {"portIndex": 1},), two_ports=True),
    Case("HTTP_BACKEND_PROXYPASS_PATH", {"VHOST": "HOST", "HTTP_BACKEND_PROXYPASS_PATH": "/my/app.x"},
         ("  http-request replace-path ^/my/app\\.x(/|$)(.*) /\\2",)),
    Case("HTTP_BACKEND_REVPROXY_PATH", {"VHOST": "HOST", "HTTP_BACKEND_REVPROXY_PATH": "/my/%20app/"},
         ("  http-response replace-header Location ^(https?://[^/]+)?(/.*) /my/%%20app\\2",)),
    Case("HTTP_BACKEND_REDIR", {"VHOST": "HOST", "HTTP_BACKEND_REDIR": "/my/content"},
         ("  http-request redirect code 301 location /my/content if { path / }",)),
)  # fmt: skip

_MARKED = {
    "BACKEND_SERVER_OPTIONS": TEMPLATES["BACKEND_SERVER_OPTIONS"].text + " maxconn 7",
    "BACKEND_SERVER_HTTP_HEALTHCHECK_OPTIONS": "check inter 7s rise 7",
    "BACKEND_SERVER_TCP_HEALTHCHECK_OPTIONS": "check inter 7s rise 7",
    "USERLIST_HEAD": TEMPLATES["USERLIST_HEAD"].text + "\n  group marked",
}
_MARKS = {"BACKEND_SERVER_OPTIONS": " maxconn 7", "USERLIST_HEAD": "  group marked"}
_ALSO = {
    "STICKY": {"STICKY": "true"}, "HSTS": {"USE_HSTS": "true"},
    "NETWORK": {"BACKEND_NETWORK_ALLOWED_ACL": "10.0.0.0/8"},
    "PROXYPASS": {"HTTP_BACKEND_PROXYPASS_PATH": "/x"}, "REVPROXY": {"HTTP_BACKEND_REVPROXY_PATH": "/x"},
    "HTTP_TO_HTTPS": {"REDIRECT_TO_HTTPS": "true"},
    "PATH": {"PATH": "/x"}, "AUTH": {"AUTH": "r:u:p"}, "USERLIST": {"AUTH": "r:u:p"},
}  # fmt: skip


def template_cases() -> Iterator[Case]:
    """Each template that a label may replace, by its default with a mark, where it is used."""
    for name, template in TEMPLATES.items():
        if not template.by_label:
            continue
        tcp = name.startswith("TCP_") or "TCP_HEALTH" in name
        several = name.startswith("HTTP_") and ("_ONLY" in name)
        labels = {"MODE": "tcp"} if tcp else {"VHOST": "HOST,www.HOST" if several else "HOST"}
        for word, more in _ALSO.items():
            if word in name and not (word == "PATH" and "PROXYPASS" in name):
                labels |= more
        mark = _MARKS.get(name, " inter 7s rise 7" if "SERVER" in name else f"  acl marked-{name.lower()} always_true")
        labels[name] = _MARKED.get(name, f"{template.text}\n{mark}")
        checks = (TCP,) if tcp else (HTTP,)
        yield Case(f"T_{name}", labels, (mark,), checks=checks)


TEMPLATE_LABELS = tuple(template_cases())
