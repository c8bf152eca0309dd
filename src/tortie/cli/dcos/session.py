"""What a command works with: the variables, the configuration, and requests once they are needed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tortie.cli.dcos import files, settings
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.settings import Settings

if TYPE_CHECKING:
    from tortie.cli.dcos.web import Http


LONGEST = 1e6


class Session:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ

    @cached_property
    def settings(self) -> Settings:
        """What the configuration file holds."""
        return files.read(files.path(self.environ))

    def value(self, name: str) -> str | None:
        """Of a property, as text; a variable wins over the file."""
        found, _ = settings.effective(self.settings, self.environ, name)
        if found is None:
            return None
        return str(found).lower() if isinstance(found, bool) else str(found)

    def flag(self, name: str) -> bool:
        return (self.value(name) or "").lower() == "true"

    @property
    def dcos_url(self) -> str:
        """Raises DcosError where none is configured."""
        from tortie.cli.dcos import urls

        return urls.need(self.value(settings.URL))

    @property
    def direct(self) -> str | None:
        """A Mesos master that is spoken to without the cluster's door."""
        return self.value("core.mesos_master_url")

    def url(self, path: str) -> str:
        """Below the cluster's door."""
        from tortie.cli.dcos import urls

        return urls.join(self.dcos_url, path)

    @cached_property
    def http(self) -> Http:
        return self.http_of(self.value(settings.URL) or "", self.value(settings.TOKEN))

    def http_of(self, url: str, token: str | None, verify: str | None = None) -> Http:
        """Requests that show a token to `url`, and to Cosmos where that has an address of its own."""
        from tortie.cli.dcos.web import SECONDS, Http

        own = self.value("package.cosmos_url")
        verify = verify or self.value("core.ssl_verify") or "true"
        return Http(token, tuple(one for one in (url, own) if one), verify, self.patience(SECONDS))

    def patience(self, seconds: float) -> float:
        """How long an answer may take: what core.timeout says, else so many seconds."""
        text = self.value("core.timeout") or "0"
        try:
            found = float(text)
        except ValueError:
            found = -1.0
        if not 0 <= found <= LONGEST:
            raise DcosError(f"core.timeout is a number of seconds, not {text!r}")
        return found or seconds

    def save(self, changed: Settings) -> None:
        files.write(files.path(self.environ), changed)
        self.__dict__.pop("settings", None)
        self.__dict__.pop("http", None)


def say(text: str) -> None:
    """What was asked for, to standard output."""
    print(text)


def ids(documents: Iterable[Mapping[str, Any]]) -> None:
    """For the words of another command."""
    for name in sorted(str(document.get("id")) for document in documents):
        print(name)


def tell(text: str) -> None:
    """Everything else, to standard error."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)


def show(value: Any) -> None:
    """A document, its keys in alphabetical order."""
    import json

    print(json.dumps(value, sort_keys=True, indent=2))
