"""What the fields of templates stand for, per service. Pure."""

from __future__ import annotations

import re

from tortie.lb.service import Service, plain_id

_ODD = re.compile(r"[^a-zA-Z0-9-]")
_LONGEST = 86400


def cleaned(text: str) -> str:
    return _ODD.sub("_", text)


def host_match(vhost: str) -> str:
    """A virtual host as words of an ACL that compares a name: `*.a.test` is what lies below, `*` any name."""
    if vhost == "*":
        return "-m found"
    return f"-m end {vhost[1:]}" if vhost.startswith("*.") else vhost


def fields_of(service: Service, maps_dir: str) -> dict[str, str]:
    """Every field that a template of a service may name."""
    first = service.vhosts[0] if service.vhosts else ""
    realm, user, password = service.auth or ("", "", "")
    name = f"{cleaned(first)}_{plain_id(service.app_id)}"
    return {
        "backend": service.name,
        "mode": service.mode,
        "balance": service.balance,
        "bindAddr": service.bind_address,
        "servicePort": str(service.port),
        "sslCert": f" ssl crt {service.ssl_cert}" if service.ssl_cert else "",
        "bindOptions": f" {service.bind_options}" if service.bind_options else "",
        "appId": service.app_id,
        "cleanedUpAppId": cleaned(service.app_id),
        "hostname": first,
        # ACLs of one name add up: two ports of an app may differ in their hosts.
        "cleanedUpHostname": f"{name}_{service.index}" if service.index else name,
        "hostMatch": host_match(first),
        "path": service.path,
        "realm": realm,
        "user": user,
        "passwd": password,
        "proxypath": service.proxypass,
        "proxypathPattern": re.escape("/" + service.proxypass.strip("/")).replace("%", "%%"),
        "rootpath": service.revproxy.rstrip("/").replace("%", "%%"),
        "redirpath": service.redirect.replace("%", "%%"),
        "haproxy_dir": maps_dir,
    } | _health(service)


def _health(service: Service) -> dict[str, str]:
    check = service.health
    if check is None:
        return dict.fromkeys(_HEALTH, "")
    port = str(check.port or "")
    values = (
        str(check.port_index or 0), port, check.protocol, check.path or "/", _seconds(check.timeout_seconds),
        _seconds(check.interval_seconds), str(check.ignore_http1xx).lower(), _seconds(check.grace_period_seconds),
        str(check.max_consecutive_failures), str(min(max(check.max_consecutive_failures, 0), 10**6) + 1),
        f" port {port}" if port else "",
    )  # fmt: skip
    return dict(zip(_HEALTH, values, strict=True))


_HEALTH = (
    "healthCheckPortIndex", "healthCheckPort", "healthCheckProtocol", "healthCheckPath", "healthCheckTimeoutSeconds",
    "healthCheckIntervalSeconds", "healthCheckIgnoreHttp1xx", "healthCheckGracePeriodSeconds",
    "healthCheckMaxConsecutiveFailures", "healthCheckFalls", "healthCheckPortOptions",
)  # fmt: skip


def _seconds(value: float) -> str:
    """Whole ones, at least one: HAProxy refuses none and more than 24 days."""
    return str(int(min(max(value, 1), _LONGEST)))
