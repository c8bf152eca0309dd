"""The files of a work directory: the configuration, earlier ones, and the maps that it names."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


class Files:
    def __init__(self, work_dir: Path) -> None:
        self.config = work_dir / "haproxy.cfg"
        self.trial = work_dir / "haproxy.cfg.trial"
        self._maps = work_dir / "maps"
        self._read: tuple[tuple[int, int, int], str] = ((0, 0, 0), "")

    def text(self) -> str:
        """The configuration that is in place; empty when there is none."""
        try:
            found = self.config.stat()
            sign = (found.st_ino, found.st_mtime_ns, found.st_size)
            if sign != self._read[0]:
                self._read = (sign, self.config.read_text())
        except FileNotFoundError:
            return ""
        return self._read[1]

    def write(self, text: str, *, keep: int = 0) -> None:
        """Put the configuration in place in one step. `keep` earlier ones are left beside it, `.1` the last one."""
        self.trial.write_text(text)
        if keep and self.config.exists():
            for age in range(keep - 1, 0, -1):
                with suppress(FileNotFoundError):
                    self._kept(age).rename(self._kept(age + 1))
            self._kept(1).unlink(missing_ok=True)
            os.link(self.config, self._kept(1))
        self.trial.rename(self.config)

    def _kept(self, age: int) -> Path:
        return self.config.with_name(f"{self.config.name}.{age}")

    def provide(self, files: Mapping[str, str]) -> None:
        """Have the files that a configuration names. Their paths tell their contents: one that is there is right."""
        for name, text in files.items():
            path = Path(name)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                beside = path.with_suffix(".new")
                beside.write_text(text)
                beside.rename(path)

    def map_text(self, name: str) -> str:
        """A map that the configuration in place names; empty when it names none of that name."""
        found = re.search(rf"{re.escape(str(self._maps))}/[0-9a-f]+/{re.escape(name)}", self.text())
        try:
            return Path(found[0]).read_text() if found else ""
        except FileNotFoundError:
            return ""

    def tidy(self) -> None:
        """Remove maps that only earlier configurations named."""
        text = self.text()
        for directory in self._maps.glob("*"):
            if str(directory) not in text:
                shutil.rmtree(directory, ignore_errors=True)
