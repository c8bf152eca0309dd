"""How much a server says to one network over UDP: large replies may be asked for in a victim's name. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

LARGE = 512
_PER_SECOND = 200
_NETWORKS = 4096


@dataclass(slots=True)
class LargeReplies:
    """Counts replies of more than `LARGE` bytes for each network (a /24, a /56), in each second anew."""

    _second: int = 0
    _said: dict[str, int] = field(default_factory=dict)

    def allowed(self, asker: str, now: float) -> bool:
        """Whether one more may be said in full. Also when too many networks ask to count them all: none is then."""
        if int(now) != self._second:
            self._second, self._said = int(now), {}
        network = _network(asker)
        said = self._said.get(network, 0)
        if said >= _PER_SECOND or (not said and len(self._said) >= _NETWORKS):
            return False
        self._said[network] = said + 1
        return True


def _network(asker: str) -> str:
    if ":" not in asker:
        return asker.rpartition(".")[0]
    return str(ipaddress.ip_network((asker.partition("%")[0], 56), strict=False))
