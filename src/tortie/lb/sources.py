"""What the operator brings from outside: templates and certificates, from files and the environment."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tortie.base.errors import Invalid, Unavailable
from tortie.lb.templates import NOT_USED, TEMPLATES, Templates

_CERTIFICATES = ("HAPROXY_SSL_CERT", *(f"HAPROXY_SSL_CERT{number}" for number in range(101)))
_LONGEST = 1 << 20
_DAYS = "3650"


def template_dirs(given: Path | None, environment: Mapping[str, str]) -> list[Path]:
    """The one asked for, or those where marathon-lb looks; later ones win."""
    if given is not None:
        if not given.is_dir():
            raise Invalid(f"--templates: {given} is not a directory")
        return [given]
    sandbox = environment.get("MESOS_SANDBOX")
    return [path for path in (Path("templates"), *([Path(sandbox, "templates")] if sandbox else [])) if path.is_dir()]


def templates(dirs: Sequence[Path], environment: Mapping[str, str]) -> Templates:
    """Templates of files HAPROXY_NAME and of variables of the same names, which win. Invalid names a bad one."""
    given: dict[str, str] = {}
    for directory in dirs:
        for name in TEMPLATES:
            path = directory / f"HAPROXY_{name}"
            if path.is_file():
                given[name] = _read(path)
    for name in TEMPLATES:
        if environment.get(f"HAPROXY_{name}"):
            given[name] = environment[f"HAPROXY_{name}"].replace("\\n", "\n")
    try:
        return Templates({name: text for name, text in given.items() if name not in NOT_USED})
    except ValueError as error:
        raise Invalid(f"template {error}") from error


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _LONGEST:
            raise Invalid(f"template {path}: longer than {_LONGEST} bytes")
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"template {path}: {error}") from error


def default_options(environment: Mapping[str, str]) -> tuple[str, ...] | None:
    """HAPROXY_GLOBAL_DEFAULT_OPTIONS: a comma list of what follows `option` in the defaults; None without it."""
    text = environment.get("HAPROXY_GLOBAL_DEFAULT_OPTIONS")
    if text is None:
        return None
    found = tuple(sorted({item.strip() for item in text.split(",")} - {""}))
    for item in found:
        if any(ord(char) < 32 or char in "#\"'\\" for char in item):
            raise Invalid(f"HAPROXY_GLOBAL_DEFAULT_OPTIONS: {item!r} is not an option")
    return found


def given_certificates(paths: str, environment: Mapping[str, str], work_dir: Path, *, dry: bool) -> tuple[str, ...]:
    """Certificate files for HTTPS: those of the command line, else those in the environment, which are written down.

    Invalid when one cannot be used. `dry`: nothing is written or tried.
    """
    found = tuple(path.strip() for path in paths.split(",") if path.strip())
    if not found:
        found = tuple(_from_environment(environment, work_dir / "certs", dry=dry))
    for path in found if not dry else ():
        _try(path)
    return found


def _from_environment(environment: Mapping[str, str], directory: Path, *, dry: bool) -> Iterator[str]:
    for name in _CERTIFICATES:
        if environment.get(name):
            path = directory / f"{name.removeprefix('HAPROXY_SSL_').lower()}.pem"
            if not dry:
                _write(path, environment[name].replace("\\n", "\n"))
            yield os.fspath(path)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
    except OSError as error:
        raise Unavailable(f"certificate {path}: {error.strerror}") from error


def _try(path: str) -> None:
    """Invalid unless HAProxy can use it: certificate and key in one file, or a directory of such files."""
    if any(char.isspace() or char in "#\"'\\" for char in path):
        raise Invalid(f"certificate {path!r}: the name cannot stand in a configuration")
    files = sorted(item for item in Path(path).iterdir() if item.is_file()) if Path(path).is_dir() else [Path(path)]
    if not files:
        raise Invalid(f"certificate {path}: an empty directory")
    for file in files:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file)
        except (OSError, ssl.SSLError) as error:
            why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise Invalid(f"certificate {file}: {why}") from error


def self_signed(work_dir: Path, *, dry: bool) -> tuple[str, ...]:
    """A certificate of our own, made once. Unavailable without the program `openssl`."""
    path = work_dir / "certs" / "self-signed.pem"
    if not dry and not path.exists():
        _make(path)
    return (os.fspath(path),)


def _make(path: Path) -> None:
    if shutil.which("openssl") is None:
        raise Unavailable("openssl is not installed")
    key, certificate, config = (path.with_suffix(end) for end in (".key", ".crt", ".cnf"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        config.write_text("[req]\ndistinguished_name = name\n[name]\n")  # images lack the system's
        done = subprocess.run(
            ["openssl", "req", "-config", config, "-x509", "-sha256", "-nodes", "-newkey", "rsa:2048", "-days", _DAYS,
             "-subj", f"/CN={_host_name()}", "-keyout", key, "-out", certificate],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Unavailable(f"openssl: {done.stderr.strip()[-300:]}")
        _write(path.with_suffix(".both"), certificate.read_text() + key.read_text())
        path.with_suffix(".both").rename(path)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"openssl: {error}") from error
    finally:
        for left in (key, certificate, config):
            left.unlink(missing_ok=True)


def _host_name() -> str:
    return "".join(char for char in socket.gethostname() if char.isalnum() or char in ".-")[:60] or "balancer"
