"""Ed25519 signatures of repositories, by the machine's `openssl`. Blocking; call it from a worker thread."""

from __future__ import annotations

import base64
import binascii
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tortie.base.errors import Conflict, Invalid, Unavailable

SIGNATURE_BYTES = 64
_LIMIT = 30.0


def generate(private: Path, public: Path) -> None:
    """A new pair of keys; the private one for its owner's eyes only. Conflict when one of the files is there."""
    for path in (private, public):
        if path.exists():
            raise Conflict(f"{path} is there already: a key is never overwritten")
    private.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".key-", dir=private.parent) as folder:
        made, shown = Path(folder, "private"), Path(folder, "public")
        _openssl("genpkey", "-algorithm", "ed25519", "-out", str(made))
        made.chmod(0o600)
        _openssl("pkey", "-in", str(made), "-pubout", "-out", str(shown))
        shown.chmod(0o644)
        public.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shown, public)
        os.replace(made, private)


def public_of(private: Path) -> bytes:
    """The public key of a private one, as PEM. Raises Invalid."""
    return _openssl("pkey", "-in", str(private), "-pubout")


def sign(data: bytes, private: Path) -> bytes:
    """The text of a signature file. Raises Invalid when the key cannot be used."""
    with tempfile.TemporaryDirectory(prefix="tortie-sign-") as folder:
        Path(folder, "data").write_bytes(data)
        raw = _openssl("pkeyutl", "-sign", "-rawin", "-inkey", str(private), "-in", str(Path(folder, "data")))
    if len(raw) != SIGNATURE_BYTES:
        raise Invalid(f"{private}: not a key of Ed25519")
    return base64.b64encode(raw) + b"\n"


def verify(data: bytes, signature: bytes, keys: Sequence[Path]) -> Path:
    """The key of which the signature is. Raises Invalid when it is of none."""
    try:
        raw = base64.b64decode(b"".join(signature[:1024].split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid("its signature is not base64") from error
    if len(raw) != SIGNATURE_BYTES:
        raise Invalid(f"its signature has {len(raw)} bytes instead of {SIGNATURE_BYTES}")
    with tempfile.TemporaryDirectory(prefix="tortie-verify-") as folder:
        about, beside = Path(folder, "data"), Path(folder, "signature")
        about.write_bytes(data)
        beside.write_bytes(raw)
        for key in keys:
            ran = _run(
                "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", str(key), "-in", str(about), "-sigfile", str(beside)
            )
            if ran.returncode == 0 and b"Verified Successfully" in ran.stdout:
                return key
    names = ", ".join(key.name for key in keys) or "none"
    raise Invalid(f"its signature is not of any key that is trusted here ({names})")


def check_public(key: Path) -> None:
    """Raises Invalid when the file is no public key of Ed25519."""
    try:
        key.read_bytes()
    except OSError as error:
        raise Invalid(f"{key}: {error.strerror}") from error
    if b"ED25519" not in _openssl("pkey", "-pubin", "-in", str(key), "-noout", "-text").upper():
        raise Invalid(f"{key}: not a public key of Ed25519")


def _openssl(*arguments: str) -> bytes:
    ran = _run(*arguments)
    if ran.returncode:
        words = ran.stderr.decode(errors="replace").strip().splitlines()
        raise Invalid(f"openssl {arguments[0]}: {words[0] if words else f'exit {ran.returncode}'}")
    return ran.stdout


def _run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["openssl", *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT, check=False
        )
    except OSError as error:
        raise Unavailable(f"openssl: {error.strerror}: signatures need it") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"openssl {arguments[0]} does not end") from error
