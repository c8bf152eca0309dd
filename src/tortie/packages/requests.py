"""The bodies of Cosmos' requests. Pure."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid
from tortie.base.sources import json_value
from tortie.packages import failures

T = TypeVar("T")


class Body(msgspec.Struct, rename="camel"):
    """Fields in camel case; others than named here are no error, as in the original."""


class Search(Body):
    query: str | None = None


class Describe(Body):
    package_name: str
    package_version: str | None = None


class ListVersions(Body):
    package_name: str
    include_package_versions: bool


class Render(Body):
    package_name: str
    package_version: str | None = None
    options: dict[str, Any] | None = None
    app_id: str | None = None


class Install(Render):
    manager_id: str | None = None


class Uninstall(Body):
    """`force` is ours: also when others need the package."""

    package_name: str
    app_id: str | None = None
    all: bool | None = None
    force: bool = False


class ListInstalled(Body):
    package_name: str | None = None
    app_id: str | None = None


class RepositoryAdd(Body):
    """`index` may be digits in a string: the original's client writes it so."""

    name: str
    uri: str
    index: int | str | None = None

    def place(self) -> int | None:
        """Raises CosmosError when the index is no number."""
        if not isinstance(self.index, str):
            return self.index
        digits = self.index.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
            raise failures.bad_json("decode", f"{self.index!r} is no whole number", ".index")
        return int(self.index)


class RepositoryDelete(Body):
    name: str | None = None
    uri: str | None = None


class Nothing(Body):
    pass


class ServiceDescribe(Body):
    app_id: str


class ServiceUpdate(Body):
    """`force` as Marathon's: also while another deployment is under way."""

    app_id: str
    package_name: str | None = None
    package_version: str | None = None
    options: dict[str, Any] | None = None
    replace: bool = False
    force: bool = False


def decode(data: bytes, kind: type[T]) -> T:
    """Raises CosmosError in its words for bodies that are no JSON, or other JSON than is wanted."""
    try:
        value = json_value(data)
    except (Invalid, UnicodeDecodeError) as error:
        raise failures.bad_json("parse", str(error)) from error
    try:
        return msgspec.convert(value, type=ready(kind))
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$")
        path = where.rstrip("`")
        if missing := re.search(r"missing required field `(\w+)`", reason):
            path += f".{missing.group(1)}"
        raise failures.bad_json("decode", reason, path or ".") from error
