"""Definitions of apps, groups and pods: from a file, a URL, standard input, or `key=value` words."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.session import Session


def read(session: Session, name: str | None, example: str) -> dict[str, Any]:
    """The object in it. Raises DcosError."""
    if name is None:
        return _object(_typed(example), "standard input")
    if os.path.isfile(name):
        try:
            with open(name, encoding="utf-8") as file:
                return _object(file.read(), name)
        except (OSError, UnicodeDecodeError) as error:
            raise DcosError(f"Error opening file [{name}]: {getattr(error, 'strerror', None) or error}") from error
    missing = f"Can't read from resource: {name}.\nPlease check that it exists."
    if "://" not in name:
        raise DcosError(missing)
    try:
        reply = session.http.ask("GET", name)
    except DcosError as error:
        raise DcosError(missing) from error
    if reply.status != 200:
        raise DcosError(missing)
    return _object(reply.text(), name)


def changes(properties: Sequence[str], example: str) -> dict[str, Any]:
    """What `key=value` words, or standard input, say. Raises DcosError."""
    if not properties:
        return _object(_typed(example), "standard input")
    found: dict[str, Any] = {}
    for one in properties:
        key, equals, text = one.partition("=")
        if not equals:
            raise DcosError(f"'{one}' is not a valid json-item")
        key = unquoted(key)
        if key in found:
            raise DcosError(f"Key '{key}' was specified more than once")
        found[key] = value(text)
    return found


def value(text: str) -> Any:
    """A number, true, false, null, a list, an object; else the text itself."""
    import json

    text = unquoted(text)
    try:
        found = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(found, str) else found


def unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def named(resource: dict[str, Any], kind: str) -> str:
    """The id in a definition. Raises DcosError."""
    found = resource.get("id")
    if not isinstance(found, str) or not found.strip("/"):
        raise DcosError(f"The definition of the {kind} has no id")
    return found


def _typed(example: str) -> str:
    if sys.stdin.isatty():
        raise DcosError(
            f"We currently don't support reading from the TTY. Please specify an application JSON.\nE.g.: {example}"
        )
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise DcosError(f"Error loading JSON: standard input is no text: {error}") from error


def _object(text: str, where: str) -> dict[str, Any]:
    import json

    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DcosError(f"Error loading JSON: {where}: {error}") from error
    if not isinstance(found, dict):
        raise DcosError(f"Error loading JSON: {where}: an object is needed, not {type(found).__name__}")
    return found
