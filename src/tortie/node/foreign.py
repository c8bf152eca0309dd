"""What others do to packets of workloads: looked at now and then, and mended where `foreignAccept` asks for it.

Nothing of others is touched unless asked; what was written on request is taken back when it is asked for no longer.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tortie.base.errors import Unavailable
from tortie.dataplane import foreign
from tortie.dataplane.foreign import Chains, Family, ForeignDrop
from tortie.dataplane.kernel.foreign import read_foreign
from tortie.dataplane.kernel.netlink import NETLINK_NETFILTER, open_socket

SECONDS = 60.0
FIREWALLD = Path("/etc/firewalld")
INTERFACE = re.compile(r'<interface name="([^"]+)"')
LEGACY: dict[Family, tuple[str, Path]] = {
    "ip": ("iptables-legacy", Path("/proc/net/ip_tables_names")),
    "ip6": ("ip6tables-legacy", Path("/proc/net/ip6_tables_names")),
}

log = logging.getLogger("tortie.node")


def look() -> Chains:
    """The chains of others that packets of workloads meet, of both kinds of iptables. Blocks."""
    with open_socket(NETLINK_NETFILTER) as sock:
        return read_foreign(sock) | foreign.by_key(_legacy())


def _legacy() -> list[foreign.ForeignChain]:
    found = []
    for family, (program, names) in LEGACY.items():
        # To ask the program would load the module.
        if "filter" in _words(names) and shutil.which(program):
            found += foreign.parse_iptables(_run([program, "-w", "-S"]), family, "iptables-legacy")
    return found


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


class ForeignTables:
    """Blocking calls, for a thread."""

    def __init__(self) -> None:
        self.drops: list[ForeignDrop] = []
        self.reason = ""

    def settle(self, uplink: str, prefixes: Sequence[str], *, accept: bool) -> None:
        """Look, mend what is asked for, and say in `drops` what is left; `reason`: what could not be done."""
        try:
            chains = look()
            if _change(chains, prefixes, accept=accept):
                chains = look()
            drops = foreign.find_drops(chains, uplink, prefixes)
            reason = ""
        except (Unavailable, OSError) as error:
            drops, reason = self.drops, str(error)
        if [str(drop) for drop in drops] != [str(drop) for drop in self.drops]:
            for drop in drops:
                log.warning("%s; to mend it: %s", drop, " && ".join(drop.mend))
            if not drops:
                log.info("no table of others drops packets of workloads any more")
        if reason and reason != self.reason:
            log.error("tables of others: %s", reason)
        self.drops, self.reason = drops, reason


def pending() -> list[str]:
    """The commands that take back everything that was ever written."""
    return [" ".join(command) for command in _commands(look(), (), accept=False)]


def remove() -> list[str]:
    """Take back everything that was ever written; the commands that did it."""
    return _change(look(), (), accept=False)


def _commands(chains: Chains, prefixes: Sequence[str], *, accept: bool) -> list[list[str]]:
    commands = foreign.docker_changes(chains, prefixes, wanted=accept)
    if any(chain.table == "firewalld" for chain in chains.values()):
        commands += _firewalld(prefixes, accept=accept)
    return commands


def _change(chains: Chains, prefixes: Sequence[str], *, accept: bool) -> list[str]:
    commands = _commands(chains, prefixes, accept=accept)
    for command in commands:
        _run(_program(command))
        log.info("foreignAccept: %s", " ".join(command))
    if not accept:
        for leftover in (f"zones/{foreign.ZONE}.xml.old", f"policies/{foreign.POLICY}.xml.old"):
            # firewalld keeps what was deleted.
            (FIREWALLD / leftover).unlink(missing_ok=True)
    return [" ".join(command) for command in commands]


def _firewalld(prefixes: Sequence[str], *, accept: bool) -> list[list[str]]:
    """Told from the file that firewalld keeps of our zone: its own command takes long to start."""
    try:
        zone = (FIREWALLD / "zones" / f"{foreign.ZONE}.xml").read_text()
    except OSError:
        zone = ""
    if not accept:
        return foreign.firewalld_undo() if zone else []
    if not zone:
        return foreign.firewalld_accept(prefixes)
    if {*INTERFACE.findall(zone)} == {f"{prefix}+" for prefix in prefixes}:
        return []
    return [*foreign.firewalld_undo(), *foreign.firewalld_accept(prefixes)]


def _program(command: Sequence[str]) -> list[str]:
    """The iptables that writes nftables, whichever `iptables` itself is; it waits for others that write."""
    name, *words = command
    if name in ("iptables", "ip6tables"):
        name = f"{name}-nft" if shutil.which(f"{name}-nft") else name
    return [name, *([] if name == "firewall-cmd" else ["-w"]), *words]


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        raise Unavailable(f"{' '.join(command)}: {(done.stderr or done.stdout).strip() or done.returncode}")
    return done.stdout
