"""The configuration of the name server, in the original's JSON. Pure: text in, values or every problem out."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tortie.base.errors import Invalid
from tortie.dns.zone import Apex

_LABEL = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
SOURCES = ("netinfo", "mesos", "docker", "host")


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How the masters are spoken to: TLS with files in PEM, a principal with its secret."""

    tls: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    principal: str = ""
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One field per key of the original that has an effect; `resolvers` None means that none was named."""

    masters: tuple[str, ...] = ()
    domain: str = "mesos"
    listener: str = "0.0.0.0"
    port: int = 53
    http_listener: str = "0.0.0.0"
    http_port: int = 8123
    dns_on: bool = True
    http_on: bool = True
    refresh_seconds: int = 60
    state_timeout_seconds: int = 300
    ttl: int = 60
    srv_weight: int = 1
    resolvers: tuple[str, ...] | None = None
    zone_resolvers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    timeout: int = 5
    external_on: bool = True
    recurse_on: bool = True
    soa_mname: str = "ns1.mesos"
    soa_rname: str = "root.ns1.mesos"
    soa_refresh: int = 60
    soa_retry: int = 600
    soa_expire: int = 86400
    soa_minttl: int = 60
    strict_labels: bool = False
    set_truncate_bit: bool = True
    enumeration_on: bool = True
    ip_sources: tuple[str, ...] = ("netinfo", "mesos", "host")
    login: Login = Login()
    file: str = ""

    @property
    def apex(self) -> Apex:
        """The constants of the zone."""
        return Apex(
            domain=self.domain, ttl=self.ttl, mname=self.soa_mname, rname=self.soa_rname, refresh=self.soa_refresh,
            retry=self.soa_retry, expire=self.soa_expire, minttl=self.soa_minttl, srv_weight=self.srv_weight,
        )  # fmt: skip

    def public(self, serial: int) -> dict[str, Any]:
        """What `/v1/config` shows: the original's CamelCase keys, never a credential."""
        return {
            "RefreshSeconds": self.refresh_seconds, "Port": self.port, "Timeout": self.timeout,
            "StateTimeoutSeconds": self.state_timeout_seconds, "TTL": self.ttl,
            "SRVRecordDefaultWeight": self.srv_weight, "SOASerial": serial, "SOARefresh": self.soa_refresh,
            "SOARetry": self.soa_retry, "SOAExpire": self.soa_expire,
            "SOAMinttl": self.soa_minttl, "SOAMname": f"{self.soa_mname}.", "SOARname": f"{self.soa_rname}.",
            "HTTPPort": self.http_port, "HTTPListener": self.http_listener, "Listener": self.listener,
            "DNSOn": self.dns_on, "HTTPOn": self.http_on, "ExternalOn": self.external_on, "RecurseOn": self.recurse_on,
            "EnforceRFC952": self.strict_labels, "SetTruncateBit": self.set_truncate_bit,
            "EnumerationOn": self.enumeration_on, "Masters": list(self.masters), "Zk": "", "Domain": self.domain,
            "Resolvers": list(self.resolvers or ()), "IPSources": list(self.ip_sources), "File": self.file,
            "ZoneResolvers": {zone: list(hosts) for zone, hosts in self.zone_resolvers.items()},
            "MesosHTTPSOn": self.login.tls, "CACertFile": self.login.ca_file, "CertFile": self.login.cert_file,
            "KeyFile": self.login.key_file, "MesosAuthentication": "basic" if self.login.principal else "",
        }  # fmt: skip


class _Reader:
    """Reads keys without regard to case and collects every problem."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = {key.lower(): value for key, value in data.items()}
        self.problems: list[str] = []

    def _typed(self, key: str, default: Any, kind: type, words: str) -> Any:
        value = self.data.get(key.lower())
        if value is None:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            shown = "what is there" if key == "secret" else repr(value)
            self.problems.append(f"{key}: {shown} is not {words}")
            return default
        return value

    def text(self, key: str, default: str) -> str:
        return str(self._typed(key, default, str, "a text"))

    def flag(self, key: str, default: bool) -> bool:
        return bool(self._typed(key, default, bool, "true or false"))

    def number(self, key: str, default: int, low: int = 1, high: int = 2**31 - 1) -> int:
        value = int(self._typed(key, default, int, "a whole number"))
        if not low <= value <= high:
            self.problems.append(f"{key}: {value} is not between {low} and {high}")
            return default
        return value

    def texts(self, key: str) -> tuple[str, ...] | None:
        value = self._typed(key, None, list, "a list")
        if value is None:
            return None
        if not all(isinstance(item, str) for item in value):
            self.problems.append(f"{key}: every item must be a text")
            return None
        if len(set(value)) != len(value):
            self.problems.append(f"{key}: an item is there twice")
        return tuple(value)

    def each(self, key: str, items: tuple[str, ...], check: Callable[[str], str]) -> tuple[str, ...]:
        """`check` answers with the item in its full form or raises ValueError."""
        good = []
        for item in items:
            try:
                good.append(check(item))
            except ValueError as error:
                self.problems.append(f"{key}: {error}")
        if len(set(good)) != len(good) and len(set(items)) == len(items):
            self.problems.append(f"{key}: an item is there twice")
        return tuple(good)


def split_address(text: str, default_port: int | None) -> tuple[str, int]:
    """`host:port`, `[v6]:port`, or a bare host where a default port is given; ValueError says what is wrong."""
    host, colon, port = text.rpartition(":")
    if text.endswith("]") or (":" in host and not host.endswith("]")):
        host, colon, port = text, "", ""
    elif not colon:
        host = text
    host = host.removeprefix("[").removesuffix("]")
    if not host or (not colon and default_port is None):
        raise ValueError(f"{text!r} is not HOST:PORT")
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} has no port between 1 and 65535")
    return host, int(port) if colon else int(default_port or 0)


def host_port(text: str) -> str:
    host, port = split_address(text, None)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def resolver_address(text: str) -> str:
    """A resolver in full, `IP:port`; the default port is 53. ValueError when it is none."""
    host, port = split_address(text, 53)
    address = ipaddress.ip_address(host)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _source(text: str) -> str:
    if text not in SOURCES:
        raise ValueError(f"{text!r} is none of {', '.join(SOURCES)}")
    return text


def zone_name(name: str) -> str:
    plain = name.strip(".").lower()
    if not plain or len(plain) > 200 or not all(_LABEL.match(part) for part in plain.split(".")):
        raise ValueError(f"{name!r} is not a domain of letters, digits and dashes")
    return plain


def parse(text: str | bytes, file: str = "") -> Config:
    """Invalid names the file and every problem in it. Unknown keys have no effect, as in the original."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise Invalid(f"{file or 'configuration'}: not JSON: {error}") from error
    if not isinstance(data, dict):
        raise Invalid(f"{file or 'configuration'}: not a JSON object")
    read = _Reader(data)
    config = replace(_network(read), **_names(read), login=_login(read), file=file)
    read.problems += _across(read, config)
    if read.problems:
        raise Invalid(*(f"{file or 'configuration'}: {problem}" for problem in read.problems))
    return config


def _network(read: _Reader) -> Config:
    resolvers = read.texts("resolvers")
    return Config(
        masters=read.each("masters", read.texts("masters") or (), host_port),
        listener=(*read.each("listener", (read.text("listener", "0.0.0.0"),), _address), "0.0.0.0")[0],
        port=read.number("port", 53, 1, 65535),
        http_listener=(*read.each("httpListener", (read.text("httpListener", "0.0.0.0"),), _address), "0.0.0.0")[0],
        http_port=read.number("httpPort", 8123, 1, 65535),
        dns_on=read.flag("dnsOn", True),
        http_on=read.flag("httpOn", True),
        refresh_seconds=read.number("refreshSeconds", 60),
        state_timeout_seconds=read.number("stateTimeoutSeconds", 300),
        resolvers=None if resolvers is None else read.each("resolvers", resolvers, resolver_address),
        timeout=read.number("timeout", 5, 1, 300),
        external_on=read.flag("externalOn", True),
        recurse_on=read.flag("recurseOn", True),
        set_truncate_bit=read.flag("setTruncateBit", True),
        enumeration_on=read.flag("enumerationOn", True),
    )


def _names(read: _Reader) -> dict[str, Any]:
    domain = (*read.each("domain", (read.text("domain", "mesos"),), zone_name), "mesos")[0]
    sources = read.texts("IPSources")
    if sources == ():
        read.problems.append("IPSources: name at least one source")
    mname = (*read.each("SOAMname", (read.text("SOAMname", f"ns1.{domain}"),), zone_name), f"ns1.{domain}")[0]
    rname_text = read.text("SOARname", f"root.ns1.{domain}").replace("@", ".")
    return {
        "domain": domain,
        "ttl": read.number("ttl", 60),
        "srv_weight": read.number("srvRecordDefaultWeight", 1, 0, 65535),
        "soa_mname": mname,
        "soa_rname": (*read.each("SOARname", (rname_text,), zone_name), f"root.ns1.{domain}")[0],
        "soa_refresh": read.number("SOARefresh", 60),
        "soa_retry": read.number("SOARetry", 600),
        "soa_expire": read.number("SOAExpire", 86400),
        "soa_minttl": read.number("SOAMinttl", 60),
        "strict_labels": read.flag("enforceRFC952", False),
        "ip_sources": ("netinfo", "mesos", "host") if sources is None else read.each("IPSources", sources, _source),
        "zone_resolvers": _zone_resolvers(read, domain),
    }


def _zone_resolvers(read: _Reader, domain: str) -> dict[str, tuple[str, ...]]:
    zones: dict[str, tuple[str, ...]] = {}
    for name, hosts in dict(read._typed("zoneResolvers", {}, dict, "an object")).items():
        key = f"zoneResolvers.{name}"
        if not isinstance(hosts, list) or not hosts or not all(isinstance(h, str) for h in hosts):
            read.problems.append(f"{key}: not a list of resolvers with at least one item")
            continue
        for zone in read.each(key, (name,), zone_name):
            if zone == domain or zone.endswith(f".{domain}"):
                read.problems.append(f"{key}: this server answers for {domain} itself")
            if any(zone == z or zone.endswith(f".{z}") or z.endswith(f".{zone}") for z in zones):
                read.problems.append(f"{key}: one zone hides another")
            zones[zone] = read.each(key, tuple(hosts), resolver_address)
    return zones


def _across(read: _Reader, config: Config) -> Iterator[str]:
    """Problems of several keys together, and keys of the original that this server cannot honour."""
    if not config.masters and not any("masters:" in problem for problem in read.problems):
        zk = " (zk alone is not supported)" if read.data.get("zk") else ""
        yield f"masters: name at least one Mesos master as HOST:PORT{zk}"
    if not config.dns_on and not config.http_on:
        yield "dnsOn and httpOn are both false: nothing to do"
    if bool(config.login.cert_file) != bool(config.login.key_file):
        yield "CertFile and KeyFile: one does not go without the other"
    if not config.login.tls and (config.login.cert_file or config.login.ca_file):
        yield "CACertFile, CertFile: they go with mesosHTTPSOn"


def _login(read: _Reader) -> Login:
    way = read.text("mesosAuthentication", "")
    given = dict(read._typed("mesosCredentials", {}, dict, "an object"))
    credentials = _Reader(given)
    principal, secret = credentials.text("principal", ""), credentials.text("secret", "")
    read.problems += [f"mesosCredentials.{problem}" for problem in credentials.problems]
    if way == "iam" or read.text("IAMConfigFile", ""):
        read.problems.append("mesosAuthentication: logging in by IAM is not supported")
    elif way not in ("", "basic"):
        read.problems.append(f"mesosAuthentication: {way!r} is neither basic nor empty")
    elif way == "basic" and not (principal and secret):
        read.problems.append("mesosAuthentication: basic needs mesosCredentials with principal and secret")
    return Login(
        tls=read.flag("mesosHTTPSOn", False),
        ca_file=read.text("CACertFile", ""),
        cert_file=read.text("CertFile", ""),
        key_file=read.text("KeyFile", ""),
        principal=principal if way == "basic" else "",
        secret=secret if way == "basic" else "",
    )
