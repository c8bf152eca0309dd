"""What a command of the 1.3 and 3 grammars works with: the variables, the files, and the store once it is needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tortie.base.sources import Sources
from tortie.store.client import Client

if TYPE_CHECKING:
    from tortie.cli.calicoctl.configuration import Configuration


class Failed(Exception):
    """The command ends with exit code 1; `out` and `err` go to standard output and standard error."""

    def __init__(self, out: str = "", err: str = "") -> None:
        self.out = out
        self.err = err
        super().__init__(out or err)


class ClientError(Exception):
    """The store cannot be had: no configuration, a wrong one, or nobody answers."""


class Session(NamedTuple):
    environ: Mapping[str, str]
    sources: Sources
    config_path: str | None = None

    def configured(self) -> Configuration:
        """Which store, and with which login. Raises ClientError; NoNetworkStore where none is configured yet."""
        from tortie.base.errors import NoNetworkStore, TortieError
        from tortie.cli.calicoctl import configuration

        try:
            text = configuration.file_text(self.config_path)
            return configuration.configuration(text, self.config_path, self.environ)
        except NoNetworkStore:
            raise
        except TortieError as error:
            raise ClientError(str(error)) from error

    def login(self) -> Mapping[str, str]:
        """The variables that the store's client reads."""
        return self.configured().login or {}

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Raises ClientError."""
        from tortie.base.errors import TortieError
        from tortie.store.open import open_store

        found = self.configured()
        for name, value in (found.login or {}).items():
            os.environ[name] = value
        try:
            store = open_store(found.url, create=False)
        except TortieError as error:
            raise ClientError(str(error)) from error
        if found.note and sys.stderr.isatty():
            print(found.note, file=sys.stderr)
        try:
            yield Client(store)
        finally:
            store.close()
