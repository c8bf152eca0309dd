"""Which store the 1.3 and 3 grammars work on: the host's own, a configuration file, the environment.

In this order: TORTIE_STORE; the host's own configuration; the configuration file when it names endpoints; the
embedded store when this host has it and it is not the cluster's alone; the variables of the environment; what the
cluster's store says; else the embedded store's place, which then is said to be absent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from tortie.base.errors import Invalid
from tortie.store.open import CLUSTER, CONFIGURED, DEFAULT, network_of, store_url

PATH = "/etc/calico/calicoctl.cfg"
TLS = (
    ("etcdCACertFile", "ETCD_CA_CERT_FILE", "ca"),
    ("etcdCertFile", "ETCD_CERT_FILE", "cert"),
    ("etcdKeyFile", "ETCD_KEY_FILE", "key"),
)
LOGIN = (("etcdUsername", "ETCD_USERNAME"), ("etcdPassword", "ETCD_PASSWORD"))
FIELDS = frozenset(
    [
        "datastoreType",
        "etcdScheme",
        "etcdAuthority",
        "etcdEndpoints",
        "etcdDiscoverySrv",
        "etcdUsername",
        "etcdPassword",
        "etcdKeyFile",
        "etcdCertFile",
        "etcdCACertFile",
        "etcdKey",
        "etcdCert",
        "etcdCACert",
        "kubeconfig",
        "k8sAPIEndpoint",
        "k8sKeyFile",
        "k8sCertFile",
        "k8sCAFile",
        "k8sAPIToken",
        "k8sInsecureSkipTLSVerify",
        "k8sClientQPS",
        "k8sDisableNodePoll",
        "kubeconfigInline",
        "k8sCurrentContext",
    ]
)


class Configuration(NamedTuple):
    """`login`: variables that the store's client reads; a password never stands in an address."""

    url: str
    note: str | None = None
    login: Mapping[str, str] | None = None


def file_text(path: str | None) -> str | None:
    """The text of the configuration file; None when the default one is absent. Raises Invalid for one named."""
    try:
        with open(path or PATH, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError as error:
        if path is None:
            return None
        raise Invalid(f"Error reading config file: {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"Error reading config file: {path or PATH}: {error}") from error


def configuration(text: str | None, path: str | None, environ: Mapping[str, str]) -> Configuration:
    """Raises Invalid with every fault of the file or the variables, NoNetworkStore where nothing names a store and the
    embedded one is the cluster's."""
    spec = _spec(text, path or PATH) if text is not None else {}
    values = spec or _environment(environ)
    endpoints = _endpoints(values)
    if environ.get("TORTIE_STORE") or os.path.exists(CONFIGURED):
        chosen = store_url(environ)
        return Configuration(chosen, _note(endpoints, chosen))
    _check_type(values, endpoints)
    apart = os.path.exists(CLUSTER)
    if apart and not endpoints:
        return Configuration(network_of(CLUSTER))
    embedded = os.path.isdir(DEFAULT.removeprefix("sqlite://")) and not apart
    if not endpoints or (embedded and not spec):
        return Configuration(DEFAULT, _note(endpoints, DEFAULT))
    login = {name: values[field] for field, name in LOGIN if field in values}
    return Configuration(_url(endpoints, values), None, login)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables as the fields of a file; each name counts with the prefix CALICO_ as well."""
    names = {
        "datastoreType": "DATASTORE_TYPE",
        "etcdScheme": "ETCD_SCHEME",
        "etcdAuthority": "ETCD_AUTHORITY",
        "etcdEndpoints": "ETCD_ENDPOINTS",
        "etcdDiscoverySrv": "ETCD_DISCOVERY_SRV",
        **{field: name for field, name, _ in TLS},
        **dict(LOGIN),
    }
    found = {field: environ.get(name) or environ.get(f"CALICO_{name}") for field, name in names.items()}
    return {field: value for field, value in found.items() if value}


def _spec(text: str, path: str) -> dict[str, str]:
    from tortie.base.sources import documents

    found = documents(path, text, several=False)
    raw: Any = found[0] if found else {}
    problems = []
    if not isinstance(raw, dict) or raw.get("kind") not in ("calicoApiConfig", "CalicoAPIConfig"):
        raise Invalid(f"Error reading config file: {path}: expected kind CalicoAPIConfig or calicoApiConfig")
    wanted = "v1" if raw["kind"] == "calicoApiConfig" else "projectcalico.org/v3"
    if raw.get("apiVersion") != wanted:
        problems.append(f"apiVersion of a {raw['kind']} is {wanted}, not {raw.get('apiVersion')}")
    spec = raw.get("spec") or {}
    if not isinstance(spec, dict):
        raise Invalid(f"Error reading config file: {path}: spec is no object")
    problems += [f"unknown field spec.{name}" for name in spec if name not in FIELDS]
    problems += [f"spec.{name} is no text" for name, value in spec.items() if isinstance(value, dict | list)]
    if problems:
        raise Invalid(*(f"Error reading config file: {path}: {problem}" for problem in problems))
    return {name: str(value) for name, value in spec.items() if value not in (None, "")}


def _endpoints(values: Mapping[str, str]) -> list[str]:
    if given := values.get("etcdEndpoints"):
        return [part.strip().rstrip("/") for part in given.split(",") if part.strip()]
    authority = values.get("etcdAuthority")
    return [f"{values.get('etcdScheme', 'http')}://{authority}"] if authority else []


def _check_type(values: Mapping[str, str], endpoints: list[str]) -> None:
    kind = values.get("datastoreType", "etcdv3")
    problems = []
    if kind == "kubernetes":
        problems.append("datastoreType kubernetes is not supported here: the store is etcd or the embedded one")
    elif kind not in ("etcdv2", "etcdv3"):
        problems.append(f"datastoreType {kind}: unknown; known: etcdv3")
    if "etcdDiscoverySrv" in values:
        problems.append("etcdDiscoverySrv is not supported; name the members in etcdEndpoints")
    if "etcdPassword" in values and "etcdUsername" not in values:
        problems.append("etcdPassword without etcdUsername")
    if ("etcdKeyFile" in values) != ("etcdCertFile" in values):
        problems.append("etcdKeyFile and etcdCertFile must be given together")
    for field in ("etcdKey", "etcdCert", "etcdCACert"):
        if field in values:
            problems.append(f"{field} inline is not supported; name a file in {field}File")
    schemes = {endpoint.partition("://")[0] for endpoint in endpoints}
    if len(schemes) > 1 or not schemes <= {"http", "https"}:
        problems.append(
            f"etcdEndpoints {','.join(endpoints)}: expected http://HOST:PORT or https://HOST:PORT, all of one scheme"
        )
    if problems:
        raise Invalid(*problems)


def _url(endpoints: list[str], values: Mapping[str, str]) -> str:
    from urllib.parse import quote

    scheme = "etcds" if endpoints[0].startswith("https://") else "etcd"
    hosts = ",".join(endpoint.partition("://")[2] for endpoint in endpoints)
    query = "&".join(f"{name}={quote(values[field], safe='/')}" for field, _, name in TLS if field in values)
    return f"{scheme}://{hosts}" + (f"?{query}" if query else "")


def _note(endpoints: list[str], chosen: str) -> str | None:
    if not endpoints or any(endpoint.partition("://")[2] in chosen for endpoint in endpoints):
        return None
    return f"{','.join(endpoints)} has no effect here: this host's network store is {chosen}"
