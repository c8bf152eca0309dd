"""The variables of the era that named a store: checked as ever. Which store it is, is the same in every grammar."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tortie.cli.calicoctl.era019.line import Failure

if TYPE_CHECKING:
    from tortie.cli.calicoctl.session import Session

_AUTHORITY = re.compile(r"[^\s/:]+:\d{1,5}|\[[0-9A-Fa-f:.]+\]:\d{1,5}")
_ENDPOINT = re.compile(r"(https?)://([^\s/:]+:\d{1,5}|\[[0-9A-Fa-f:.]+\]:\d{1,5})/?")


def session(environ: Mapping[str, str]) -> Session:
    """Raises Failure when a variable has a form that could name no etcd."""
    from tortie.base.sources import Sources
    from tortie.cli.calicoctl.session import Session

    check(environ)
    return Session(environ, Sources())


def check(environ: Mapping[str, str]) -> None:
    """Raises Failure when a variable has a form that could name no etcd."""
    scheme = environ.get("ETCD_SCHEME") or "http"
    endpoints, authority = environ.get("ETCD_ENDPOINTS"), environ.get("ETCD_AUTHORITY")
    if scheme not in ("http", "https"):
        raise Failure(f"Invalid ETCD_SCHEME. It must be http or https. Value provided is '{scheme}'")
    if endpoints:
        matches = [_ENDPOINT.fullmatch(part.strip()) for part in endpoints.split(",")]
        schemes = {match[1] for match in matches if match}
        if None in matches or len(schemes) != 1:
            raise Failure(
                "Invalid ETCD_ENDPOINTS. It must be a comma-separated list of SCHEME://HOST:PORT, all of one scheme. "
                f"Value provided is '{endpoints}'"
            )
        scheme = schemes.pop()
    elif authority and _AUTHORITY.fullmatch(authority) is None:
        raise Failure(f"Invalid ETCD_AUTHORITY. It must take the form HOST:PORT. Value provided is '{authority}'")
    key, cert = environ.get("ETCD_KEY_FILE"), environ.get("ETCD_CERT_FILE")
    if bool(key) != bool(cert):
        raise Failure("Invalid ETCD_KEY_FILE or ETCD_CERT_FILE. Either both must be given or none.")
    if scheme == "https":
        _check_readable("ETCD_CA_CERT_FILE", environ.get("ETCD_CA_CERT_FILE"))
        for name, path in (("ETCD_KEY_FILE", key), ("ETCD_CERT_FILE", cert)):
            if path:
                _check_readable(name, path)


def _check_readable(name: str, path: str | None) -> None:
    if not path or not os.access(path, os.R_OK):
        raise Failure(f"Invalid {name}. With https it must name a readable file. Value provided is '{path or ''}'")
