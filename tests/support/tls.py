"""A certificate authority for one test, and a certificate for 127.0.0.1, by openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Authority:
    ca: Path
    cert: Path
    key: Path


def authority(directory: Path, subject: str = "/CN=test") -> Authority:
    """`subject`: of the certificate. etcd's JSON gateway takes no common name while passwords are on."""
    directory.mkdir(parents=True, exist_ok=True)
    made = Authority(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    ca_key, request, extension = directory / "ca.key", directory / "request.pem", directory / "extension"
    extension.write_text("subjectAltName=IP:127.0.0.1\n")
    _openssl("req", "-x509", *new_key, "-subj", "/CN=test-ca", "-keyout", ca_key, "-out", made.ca)
    _openssl("req", "-new", *new_key, "-subj", subject, "-keyout", made.key, "-out", request)
    signed = ("-CA", made.ca, "-CAkey", ca_key, "-CAcreateserial", "-extfile", extension)
    _openssl("x509", "-req", "-in", request, *signed, "-out", made.cert)
    return made


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
