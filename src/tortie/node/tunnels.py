"""The tunnels of this host, kept as the brain wants them: interfaces, and the far ends that VXLAN is told of."""

from __future__ import annotations

import logging

from tortie.base.errors import Unavailable
from tortie.dataplane.kernel import tunnel
from tortie.dataplane.routes import Ways
from tortie.dataplane.track import Tracker
from tortie.dataplane.tunnels import KINDS, TUNNELS, Device, Neighbour
from tortie.node.before import Before

log = logging.getLogger("tortie.node")


class Tunnels:
    """`stale`, which anybody may set at any time: the kernel's state is read anew in the next pass. Blocking; cheap
    while nothing changes."""

    def __init__(self, ways: Ways, before: Before) -> None:
        self.stale = True
        self._ways = ways
        self._before = before
        self._have: dict[str, Device] = {}

    def settle(self) -> dict[str, str]:
        """Bring interfaces and far ends in line, before the routes that go by them; what failed, with the reason."""
        stale, self.stale = self.stale, False
        failed, made = self._settle_devices(stale)
        for name, tracker in self._ways.neighbours.items():
            device = TUNNELS[name].device
            if stale or device in made:
                tracker.learn_all(tunnel.neighbours(device))
            failed |= _settle_neighbours(device, tracker)
        if failed:
            self.stale = True
        return failed

    def _settle_devices(self, stale: bool) -> tuple[dict[str, str], set[str]]:
        """(what failed, with the reason; the interfaces that were made anew)."""
        wanted, failed, anew = self._ways.devices, dict[str, str](), set[str]()
        for name, device in wanted.items():
            if not stale and self._have.get(name) == device:
                continue
            try:
                if device.kind == "ipip" and tunnel.idle(name):
                    self._before.take(name)
                if tunnel.ensure(device):
                    anew.add(name)
                    log.info("interface %s address=%s mtu=%d made", name, device.address, device.mtu)
                self._have[name] = device
            except Unavailable as error:
                failed[name] = str(error)
        for name, kind in KINDS.items():
            # The kernel makes a tunl0 for whoever loads its module: an unknown one is somebody else's.
            if name in wanted or not (name in self._have or (stale and kind == "vxlan")):
                continue
            try:
                if tunnel.remove(name, kind):
                    log.info("interface %s removed: no pool uses it", name)
                self._have.pop(name, None)
            except Unavailable as error:
                failed[name] = str(error)
        return failed, anew


def _settle_neighbours(device: str, tracker: Tracker[str, Neighbour]) -> dict[str, str]:
    change = tracker.pending()
    if not change:
        return {}
    failed = tunnel.put(device, change.put) if change.put else {}
    macs = frozenset(far.mac for far in tracker.want.values())
    gone = {address: tracker.have[address] for address in change.drop}
    failed |= tunnel.drop(device, gone, macs) if gone else {}
    for address in {*change.put, *change.drop} - failed.keys():
        tracker.learn(address, change.put.get(address))
    return {f"{device} {address}": reason for address, reason in failed.items()}
