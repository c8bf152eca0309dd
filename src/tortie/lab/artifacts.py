"""Files that stand for addresses of the internet, over http and https under an authority of the lab."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tortie.base.errors import Invalid, Unavailable
from tortie.lab.fileserver import Reply

HOSTS = ("raw.githubusercontent.com", "github.com")
DAYS = "3650"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority and the server certificate that it signed, as PEM files."""

    ca: Path
    certificate: Path
    key: Path


def authority(folder: Path, hosts: Sequence[str] = HOSTS) -> Authority:
    """The authority in `folder`, made on first use with a certificate for exactly these host names.

    Called again with the same names it gives the same files; with other names a new authority replaces the old.
    """
    made = Authority(folder / "ca.crt", folder / "server.crt", folder / "server.key")
    names = folder / "hosts"
    if names.is_file() and names.read_text().split() == list(hosts):
        return made
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".authority-", dir=folder.parent))
    try:
        make_ca(scratch)
        make_certificate(scratch, hosts)
        (scratch / "hosts").write_text("\n".join(hosts) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return made


def make_ca(folder: Path) -> None:
    """`ca.crt` and `ca.key` in an existing folder."""
    subject = ("-subj", "/CN=Tortie lab authority")
    constraints = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    files = ("-keyout", os.fspath(folder / "ca.key"), "-out", os.fspath(folder / "ca.crt"))
    _openssl("req", "-x509", "-sha256", "-days", DAYS, *_KEY, *subject, *constraints, *files)


def make_certificate(folder: Path, hosts: Sequence[str]) -> None:
    """`server.crt` and `server.key` for `hosts`, signed by the authority that `make_ca` left in the folder."""
    request, extensions = folder / "server.csr", folder / "server.ext"
    key = ("-keyout", os.fspath(folder / "server.key"))
    _openssl("req", "-new", *_KEY, "-subj", f"/CN={hosts[0]}", *key, "-out", os.fspath(request))
    names = ",".join(f"DNS:{host}" for host in hosts)
    extensions.write_text(
        f"subjectAltName={names}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n"
        "authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
    )
    by = ("-CA", os.fspath(folder / "ca.crt"), "-CAkey", os.fspath(folder / "ca.key"), "-CAcreateserial")
    files = ("-in", os.fspath(request), "-extfile", os.fspath(extensions), "-out", os.fspath(folder / "server.crt"))
    _openssl("x509", "-req", "-sha256", "-days", DAYS, *by, *files)


def tls_context(made: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    return context


def mapping(pairs: Mapping[str, Path]) -> dict[tuple[str, str], Path]:
    """From addresses such as https://host/path to (host, path); Invalid names an address or a file that is none."""
    found = {}
    for url, path in pairs.items():
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not parts.path or parts.query:
            raise Invalid(f"artifact {url!r} is no http or https address with a path")
        if not path.is_file():
            raise Invalid(f"artifact {url}: {path} is no file")
        found[parts.hostname.lower(), unquote(parts.path)] = path
    return found


def handler(files: Mapping[tuple[str, str], Path]) -> Callable[[str, str, str], Reply]:
    """For `fileserver`: GET and HEAD of exactly these addresses, over http as over https."""
    return lambda method, host, path: answer(files, method, host, path)


def answer(files: Mapping[tuple[str, str], Path], method: str, host: str, path: str) -> Reply:
    if method not in ("GET", "HEAD"):
        return Reply(405, b"405: only GET and HEAD\n", "text/plain; charset=utf-8", {"Allow": "GET, HEAD"})
    found = files.get((host, unquote(path.partition("?")[0])))
    if found is None:
        return Reply(404, b"404: Not Found\n", "text/plain; charset=utf-8")
    kind = (
        "text/plain; charset=utf-8" if found.suffix in (".json", ".yaml", ".sh", ".txt") else "application/octet-stream"
    )
    return Reply(200, found, kind)


def _openssl(*arguments: str) -> None:
    try:
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"certificate: openssl: {error}") from error
    if done.returncode != 0:
        raise Unavailable(f"certificate: openssl {arguments[0]}: {done.stderr.strip()[-300:]}")
