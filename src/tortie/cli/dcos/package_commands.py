"""Commands that packages bring, on this machine: `subcommands/PACKAGE` below a cluster's directory, or that of all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from tortie.cli.dcos import files
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.session import Session

MOST_BYTES = 256 * 1024 * 1024
APP_ALONE = "; --app installs the app alone"
PIP_REFUSED = "its command is a Python package of another age, which is not installed: only programs are"


class Programs(NamedTuple):
    """What is to be put in place: programs by their names, and the package that brings them."""

    package: Mapping[str, Any]
    found: Mapping[str, bytes]


def folders(environ: Mapping[str, str]) -> list[str]:
    """Of the attached cluster, where there is one, and last that of all clusters."""
    one = None if environ.get("DCOS_CONFIG") else files.attached(environ)
    return [os.path.join(top, "subcommands") for top in ([one.path] if one else []) + [files.home(environ)]]


def installed(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """package.json of each package whose command is here; its name alone where that cannot be read."""
    return {name: _about(os.path.join(place, "package.json"), name) for name, place in _places(environ).items()}


def _places(environ: Mapping[str, str]) -> dict[str, str]:
    """Where the command of each package is; that of the attached cluster goes before that of all."""
    found: dict[str, str] = {}
    for top in reversed(folders(environ)):
        with contextlib.suppress(OSError):
            found |= {name: os.path.join(top, name) for name in os.listdir(top) if not name.startswith(".")}
    return dict(sorted(found.items()))


def _about(path: str, name: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        found = None
    return found if isinstance(found, dict) else {"name": name}


def fetch(session: Session, package: Mapping[str, Any]) -> Programs | None:
    """The package's programs for this machine, downloaded and compared with their digest; nothing is written yet.
    None when it brings no command at all. Raises DcosError."""
    name = str(package.get("name"))
    if not (name.isascii() and name.replace("-", "").isalnum() and name[0].isalpha()):
        raise DcosError(f"[{name}] is not the name of a package")
    if (found := _binary(name, package)) is None:
        return None
    import hashlib

    data = session.http.call("GET", found["url"], seconds=120.0, most=MOST_BYTES).body
    digest = hashlib.sha256(data).hexdigest()
    if digest != _digest(found):
        raise DcosError(
            f"The command of package [{name}] is refused: [{found['url']}] has the digest {digest}, "
            f"the package says {_digest(found)}"
        )
    return Programs(package, {f"dcos-{name}": data} if found["kind"] == "executable" else unpacked(data, name))


def _binary(name: str, package: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The program for this machine; None when the package brings no command at all. Raises DcosError."""
    resource = package.get("resource")
    cli = resource.get("cli") if isinstance(resource, Mapping) else None
    if cli is None:
        if package.get("command"):
            raise DcosError(f"Package [{name}]: {PIP_REFUSED}{APP_ALONE}")
        return None
    here, machine = os.uname().sysname.lower(), os.uname().machine.replace("_", "-")
    try:
        found = cli["binaries"][here][machine]
        if found["kind"] in ("executable", "zip") and isinstance(found["url"], str) and _digest(found):
            return dict(found)
    except (KeyError, TypeError):
        pass
    raise DcosError(f"Package [{name}] has no command for {here} on {machine}{APP_ALONE}")


def _digest(found: Mapping[str, Any]) -> str:
    return next((str(one["value"]).lower() for one in found["contentHash"] if one["algo"] == "sha256"), "")


def unpacked(data: bytes, name: str) -> dict[str, bytes]:
    """The programs of a zip, wherever in it they lie."""
    import io
    import zipfile
    import zlib

    found: dict[str, bytes] = {}
    left = MOST_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                base = os.path.basename(member.filename)
                if base.startswith("dcos-") and not member.is_dir():
                    left -= member.file_size
                    if base in found or left < 0:
                        raise ValueError(f"{base} is there twice" if base in found else f"more than {MOST_BYTES} bytes")
                    found[base] = archive.read(member)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise DcosError(f"The command of package [{name}] cannot be unpacked: {error}") from error
    if not found:
        raise DcosError(f"The command of package [{name}] cannot be unpacked: there is no program dcos-... in the zip")
    return found


def put(environ: Mapping[str, str], programs: Programs, *, everywhere: bool = False) -> list[str]:
    """The commands that there are now, `everywhere` for all clusters. Whole or not at all."""
    import shutil

    name = str(programs.package["name"])
    top = folders(environ)[-1 if everywhere else 0]
    place, beside = os.path.join(top, name), os.path.join(top, f".{name}.{os.getpid()}")
    try:
        os.makedirs(os.path.join(beside, "env", "bin"), mode=0o700)
        for program, data in programs.found.items():
            _program(os.path.join(beside, "env", "bin", program), data)
        with open(os.path.join(beside, "package.json"), "w", encoding="utf-8") as file:
            about = {key: value for key, value in programs.package.items() if key not in ("marathon", "config")}
            json.dump(about, file)
        shutil.rmtree(place, ignore_errors=True)
        os.rename(beside, place)
    except OSError as error:
        raise DcosError(f"{error.filename or place}: {error.strerror}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return sorted(program.removeprefix("dcos-") for program in programs.found)


def _program(path: str, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755), "wb") as file:
        file.write(data)


def remove(environ: Mapping[str, str], name: str) -> bool:
    """Whether there was one."""
    place = _places(environ).get(name)
    if place is None:
        return False
    import shutil

    try:
        shutil.rmtree(place)
    except OSError as error:
        raise DcosError(f"{error.filename}: {error.strerror}") from error
    return True
