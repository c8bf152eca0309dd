"""LiveMigration: a virtual machine on its way to another host. Written by others; kept as it is."""

from __future__ import annotations

from tortie.model.codec import Value
from tortie.model.resource import Kind


class LiveMigrationSpec(Value, frozen=True, kw_only=True):
    """No field of it means anything to this program."""


LIVE_MIGRATION = Kind(name="LiveMigration", plural="livemigrations", spec=LiveMigrationSpec, namespaced=True)
