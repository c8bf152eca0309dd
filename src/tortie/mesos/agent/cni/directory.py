"""The networks that an operator has described: files of one directory, looked at when one is asked for."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tortie.base.errors import Invalid, NotFound
from tortie.mesos.agent.cni.configuration import Network, parse

log = logging.getLogger("agent")
LARGEST = 1 << 20


def check_flags(config_dir: str, plugins_dir: str) -> None:
    """Raises Invalid in the original's words when only half of what is needed is given."""
    if config_dir and not plugins_dir:
        raise Invalid("Missing required '--network_cni_plugins_dir' flag")
    if plugins_dir and not config_dir:
        raise Invalid("Missing required '--network_cni_config_dir' flag")
    if config_dir and not Path(config_dir).is_dir():
        raise Invalid(f"The CNI network configuration directory '{config_dir}' does not exist")


class Directory:
    """`config_dir` empty: no networks. `plugins_dir`: where programs are searched for, separated by colons."""

    def __init__(self, config_dir: str, plugins_dir: str) -> None:
        self.config_dir = config_dir
        self.plugins_dir = plugins_dir
        self._paths: Mapping[str, Path] = {}

    def scan(self) -> None:
        """Every regular file, whatever its name. What is no network of ours is told of and left out."""
        found: dict[str, Path] = {}
        for path in self._files():
            try:
                network = read(path)
                if network.name in found:
                    raise Invalid(f"the CNI network '{network.name}' is configured in {found[network.name]} already")
                for program in network.programs:
                    self.program(program)
            except (Invalid, NotFound) as error:
                log.error("CNI network configuration file %s is left out: %s", path, error)
                continue
            found[network.name] = path
        self._paths = found

    def _files(self) -> Sequence[Path]:
        if not self.config_dir:
            return []
        try:
            return sorted(path for path in Path(self.config_dir).iterdir() if path.is_file())
        except OSError as error:
            log.error("CNI network configuration directory %s: %s", self.config_dir, error.strerror)
            return []

    def network(self, name: str) -> Network:
        """As its file says now; a name that is not known has the directory looked at again. Raises Invalid."""
        known = self._read(name)
        if known is None:
            self.scan()
            known = self._read(name)
        if known is None:
            raise Invalid(f"Unknown CNI network '{name}'")
        return known

    def _read(self, name: str) -> Network | None:
        if name not in self._paths:
            return None
        try:
            found = read(self._paths[name])
        except Invalid:
            return None
        return found if found.name == name else None

    def program(self, name: str) -> str:
        """Its path. Raises NotFound."""
        for place in filter(None, self.plugins_dir.split(":")):
            path = os.path.join(place, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return path
        raise NotFound(f"Unable to find the CNI plugin '{name}' in '{self.plugins_dir}'")


def read(path: Path) -> Network:
    """Raises Invalid for a file that cannot be read, too."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise Invalid(f"it cannot be read: {error.strerror}") from error
    if len(data) > LARGEST:
        raise Invalid("it is too large")
    return parse(data)
