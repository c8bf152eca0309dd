"""`dcos package repo`: where packages come from."""

from __future__ import annotations

import json

from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.grammar import Line
from tortie.cli.dcos.package_client import call
from tortie.cli.dcos.session import Session, say, show, tell

NONE = "There are currently no repos configured. Please use `dcos package repo add` to add a repo"


def list_(session: Session, line: Line) -> int:
    found = call(session, "package/repository/list", {})
    if line.has("--json"):
        show(found)
    elif not found["repositories"]:
        raise DcosError(NONE)
    else:
        say("\n".join(f"{one['name']}: {one['uri']}" for one in found["repositories"]))
    return 0


def add(session: Session, line: Line) -> int:
    index = line.value("--index")
    if index is not None and not (index.lstrip("-").isascii() and index.lstrip("-").isdigit() and len(index) < 10):
        raise DcosError(f"Error parsing string as int: --index={index}")
    asked = {"name": line.need("<repo-name>"), "uri": line.need("<repo-url>")}
    call(session, "package/repository/add", asked | ({"index": int(index)} if index is not None else {}))
    return 0


def remove(session: Session, line: Line) -> int:
    """All that can be; each that cannot is named."""
    failed = 0
    for name in line.words("<repo-name>"):
        try:
            call(session, "package/repository/delete", {"name": name})
        except DcosError as error:
            tell(str(error))
            failed = 1
    return failed


def import_(session: Session, line: Line) -> int:
    """Each at its place in the file; those that cannot be added are named and left out."""
    path = line.need("<repos-file>")
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        repositories = [(str(one["name"]), str(one["uri"])) for one in found["repositories"]]
    except OSError as error:
        raise DcosError(f"Error opening file [{path}]: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DcosError(f"Error loading JSON: [{path}] is not as `dcos package repo list --json` prints it") from error
    failed = 0
    for index, (name, uri) in enumerate(repositories):
        try:
            call(session, "package/repository/add", {"name": name, "uri": uri, "index": index - failed})
        except DcosError as error:
            tell(f"Error ({error}) while adding repo '{name}' ({uri}). Skipping.")
            failed += 1
        else:
            say(f"Added repo '{name}' ({uri}) at index {index - failed}")
    return 0
