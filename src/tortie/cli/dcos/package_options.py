"""The file that `--options` names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.session import tell


def read(path: str | None) -> dict[str, Any]:
    """Nothing without a file. Raises DcosError for one that cannot be read, or is no JSON object."""
    if path is None:
        return {}
    import json

    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, UnicodeDecodeError) as error:
        raise DcosError(f"Error opening file [{path}]: {getattr(error, 'strerror', None) or error}") from error
    except (ValueError, RecursionError) as error:
        raise DcosError(f"Error loading JSON: [{path}]: {error}") from error
    if not isinstance(found, dict):
        raise DcosError(f"Error loading JSON: [{path}]: options are an object")
    return found


def warn(config: Any, options: Mapping[str, Any]) -> None:
    """A line for each option without an effect: the schema does not forbid it."""
    if options and isinstance(config, Mapping):
        from tortie.packages.options import idle

        for line in idle(config, options):
            tell(f"Warning: {line}")
