"""The sessions of a BIRD as it tells them: the answer to `show protocols`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

NAME = re.compile(r"(Global|Node|Mesh)_(.+?)(?:_port_(\d+))?")
KINDS = {"Global": "global", "Node": "node specific", "Mesh": "node-to-node mesh"}
CODE = re.compile(r"^\d{4}[ -]")


class SessionState(NamedTuple):
    """One session: whom with, why there is one, whether it is up, since when, and what the daemon says of it."""

    address: str
    kind: str
    state: str
    since: str
    info: str

    @property
    def version(self) -> int:
        return 6 if ":" in self.address else 4


def sessions(lines: Iterable[str]) -> list[SessionState]:
    """Those with peers that have their name from us; everything else in the answer is passed over."""
    found = []
    for line in lines:
        words = CODE.sub("", line, count=1).split(maxsplit=5)
        name = NAME.fullmatch(words[0]) if len(words) >= 5 and words[1] == "BGP" else None
        if name is None:
            continue
        info = " ".join(words[5].split()) if len(words) > 5 else ""
        found.append(SessionState(_address(name[2]), KINDS[name[1]], words[3], words[4], info))
    return found


def _address(text: str) -> str:
    parts = text.split("_")
    return ".".join(parts) if len(parts) == 4 and all(part.isdigit() for part in parts) else ":".join(parts)
