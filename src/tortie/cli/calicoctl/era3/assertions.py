"""Assertions beside resources (`apiVersion: tortie/v1, kind: Assertion`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tortie.base.errors import Invalid
from tortie.model.resource import Resource
from tortie.store.client import Client


def broken(_client: Client, _resources: Sequence[Resource[Any]], _assertions: Sequence[dict[str, Any]]) -> list[str]:
    """Raises Invalid: a file that asks for a check which cannot be made yet must not be applied without it."""
    raise Invalid("assertions (apiVersion tortie/v1) cannot be checked by this version: nothing was changed")
