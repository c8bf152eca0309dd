"""Commands that packages bring, on this machine: `subcommands/PACKAGE` below the configuration's directory."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from tortie.cli.dcos import files
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.session import Session

MOST_BYTES = 256 * 1024 * 1024
PIP_REFUSED = "its command is a Python package of another age, which is not installed: only programs are"


def folder(environ: Mapping[str, str]) -> str:
    """Of the attached cluster, where there is one."""
    one = None if environ.get("DCOS_CONFIG") else files.attached(environ)
    return os.path.join(one.path if one else files.home(environ), "subcommands")


def installed(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """package.json of each package whose command is here; its name alone where that cannot be read."""
    top = folder(environ)
    try:
        names = sorted(os.listdir(top))
    except OSError:
        return {}
    return {name: _about(os.path.join(top, name, "package.json"), name) for name in names if not name.startswith(".")}


def _about(path: str, name: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        found = None
    return found if isinstance(found, dict) else {"name": name}


def binary(package: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The program for this machine; None when the package brings no command at all. Raises DcosError."""
    resource = package.get("resource")
    cli = resource.get("cli") if isinstance(resource, Mapping) else None
    if cli is None:
        if package.get("command"):
            raise DcosError(f"Package [{package.get('name')}]: {PIP_REFUSED}")
        return None
    here, machine = os.uname().sysname.lower(), os.uname().machine.replace("_", "-")
    try:
        found = cli["binaries"][here][machine]
        if found["kind"] in ("executable", "zip") and isinstance(found["url"], str) and _digest(found):
            return dict(found)
    except (KeyError, TypeError):
        pass
    raise DcosError(f"Package [{package.get('name')}] has no command for {here} on {machine}")


def _digest(found: Mapping[str, Any]) -> str:
    return next((str(one["value"]).lower() for one in found["contentHash"] if one["algo"] == "sha256"), "")


def install(session: Session, package: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """The commands that there are now. Whole or not at all: downloaded, compared with its digest, then put in place."""
    import hashlib
    import shutil

    name = str(package["name"])
    data = session.http.call("GET", found["url"], seconds=120.0).body
    if len(data) > MOST_BYTES:
        raise DcosError(f"[{found['url']}] is larger than {MOST_BYTES} bytes")
    digest = hashlib.sha256(data).hexdigest()
    if digest != _digest(found):
        raise DcosError(
            f"The command of package [{name}] is refused: [{found['url']}] has the digest {digest}, "
            f"the package says {_digest(found)}"
        )
    top = folder(session.environ)
    place, beside = os.path.join(top, name), os.path.join(top, f".{name}.{os.getpid()}")
    try:
        os.makedirs(os.path.join(beside, "env", "bin"), mode=0o700)
        _unpack(found["kind"], data, beside, name)
        with open(os.path.join(beside, "package.json"), "w", encoding="utf-8") as file:
            json.dump({key: value for key, value in package.items() if key not in ("marathon", "config")}, file)
        shutil.rmtree(place, ignore_errors=True)
        os.rename(beside, place)
    except OSError as error:
        raise DcosError(f"{error.filename or place}: {error.strerror}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    programs = sorted(os.listdir(os.path.join(place, "env", "bin")))
    return [program.removeprefix("dcos-") for program in programs if program.startswith("dcos-")]


def _unpack(kind: str, data: bytes, folder: str, name: str) -> None:
    if kind == "executable":
        _program(os.path.join(folder, "env", "bin", f"dcos-{name}"), data)
        return
    import io
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                base = os.path.basename(member.filename)
                if base.startswith("dcos-") and not member.is_dir() and member.file_size <= MOST_BYTES:
                    _program(os.path.join(folder, "env", "bin", base), archive.read(member))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise DcosError(f"The command of package [{name}] cannot be unpacked: {error}") from error


def _program(path: str, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755), "wb") as file:
        file.write(data)


def remove(environ: Mapping[str, str], name: str) -> bool:
    """Whether there was one."""
    if name not in installed(environ):
        return False
    import shutil

    try:
        shutil.rmtree(os.path.join(folder(environ), name))
    except OSError as error:
        raise DcosError(f"{error.filename}: {error.strerror}") from error
    return True
