"""The lab's own certificate authority, and the certificate of the servers that stand for the internet's."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tortie.base.errors import Unavailable

SERVER_NAMES = ("github.com", "raw.githubusercontent.com")


@dataclass(frozen=True, slots=True)
class Authority:
    """`certificate` as PEM; `hashed`: the name under which OpenSSL looks for it in a directory."""

    certificate: str
    hashed: str


def make(directory: Path) -> Authority:
    """Make ca.pem with its key, and server.pem with its key, in `directory`; what is there already stays."""
    directory.mkdir(parents=True, exist_ok=True)
    ca, ca_key = directory / "ca.pem", directory / "ca.key"
    if not (directory / "server.pem").exists():
        ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        _openssl(
            *("req", "-x509", *ec, "-days", "3650", "-subj", "/CN=Tortie lab CA/O=Tortie lab"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", str(ca_key), "-out", str(ca)),
        )
        names = ",".join(f"DNS:{name}" for name in SERVER_NAMES)
        request, extensions = directory / "server.csr", directory / "server.ext"
        extensions.write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n")
        key = str(directory / "server.key")
        _openssl("req", "-new", *ec, "-subj", f"/CN={SERVER_NAMES[0]}", "-keyout", key, "-out", str(request))
        _openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(ca), "-CAkey", str(ca_key), "-CAcreateserial"),
            *("-days", "3650", "-extfile", str(extensions), "-out", str(directory / "server.pem")),
        )
    return Authority(ca.read_text(), _openssl("x509", "-in", str(ca), "-noout", "-hash").strip())


def _openssl(*words: str) -> str:
    ran = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise Unavailable(f"openssl {words[0]}: {ran.stderr.strip()}")
    return ran.stdout
