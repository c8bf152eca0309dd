"""The tunnels of this host, kept as the brain wants them: interfaces, and the far ends that VXLAN is told of."""

from __future__ import annotations

import logging

from tortie.base.errors import Unavailable
from tortie.dataplane.kernel import tunnel
from tortie.dataplane.routes import IPIP, VXLAN, Device, Ways

KINDS = {VXLAN: "vxlan", IPIP: "ipip"}

log = logging.getLogger("tortie.node")


class Tunnels:
    """`stale`, which anybody may set at any time: the kernel's state is read anew in the next pass. Blocking; cheap
    while nothing changes."""

    def __init__(self, ways: Ways) -> None:
        self.stale = True
        self._ways = ways
        self._have: dict[str, Device] = {}

    def settle(self) -> dict[str, str]:
        """Bring interfaces and far ends in line, before the routes that go by them; what failed, with the reason."""
        stale, self.stale = self.stale, False
        failed, made = self._settle_devices(stale)
        if stale or made:
            self._ways.neighbours.learn_all(tunnel.neighbours(VXLAN))
        failed |= self._settle_neighbours()
        if failed:
            self.stale = True
        return failed

    def _settle_devices(self, stale: bool) -> tuple[dict[str, str], bool]:
        """(what failed, with the reason; whether an interface was made anew)."""
        wanted, failed, anew = self._ways.devices, dict[str, str](), False
        for name, device in wanted.items():
            if not stale and self._have.get(name) == device:
                continue
            try:
                if tunnel.ensure(device):
                    anew = True
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

    def _settle_neighbours(self) -> dict[str, str]:
        tracker = self._ways.neighbours
        change = tracker.pending()
        if not change:
            return {}
        failed = tunnel.put(VXLAN, change.put) if change.put else {}
        macs = frozenset(far.mac for far in tracker.want.values())
        gone = {address: tracker.have[address] for address in change.drop}
        failed |= tunnel.drop(VXLAN, gone, macs) if gone else {}
        for address in {*change.put, *change.drop} - failed.keys():
            tracker.learn(address, change.put.get(address))
        return {f"{VXLAN} {address}": reason for address, reason in failed.items()}
