"""Ends an uninstallation before its first change, its second one, ... and goes on each time: for a host of its own.

Prints how often it was ended; leaves with what was different in the end otherwise.
"""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from tests.support.killed import killed_before

from tortie.node.before import Before, Files
from tortie.node.bird import Bird
from tortie.node.giveback import FORWARD, FORWARD6
from tortie.node.uninstall import Parts, uninstall

STATE, BIRD, SPOOL = Path("/var/lib/tortie/node"), Path("/var/lib/tortie/bird"), Path("/var/lib/tortie/cni/spool")
SOCKETS = [Path("/run/tortie/node.sock"), Path("/run/docker/plugins/calico.sock")]
PLUGINS = [Path("/opt/cni/bin") / name for name in ("calico", "calico-ipam", "tortie")]
RADIO = "net/ipv6/conf/uplink/accept_ra"
LINKS = """
link add vxlan.calico type vxlan id 4096 dstport 4789 dev uplink
link set vxlan.calico up
route add blackhole 10.65.0.0/26 proto 80
route add 10.65.1.0/26 via 10.0.0.2 proto 80
route add 169.254.1.1/32 dev uplink scope link proto 80
"""
SETTINGS = ("ipv4/ip_forward", "ipv[46]/conf/*/forwarding", "ipv[46]/conf/*/accept_*")
FOLDERS = ("/opt/cni", "/var/lib/tortie", "/run")
CHANGES = {"os.rename", "os.mkdir", "os.symlink", "os.remove", "os.rmdir", "subprocess.Popen", "socket.__new__"}


def run(*words: str, given: str = "") -> str:
    done = subprocess.run(words, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr}")
    return done.stdout


def seen() -> set[str]:
    """This host, as far as anything here changes it."""
    found = {f"{path}: {path.read_text()}" for each in SETTINGS for path in Path("/proc/sys/net").glob(each)}
    for folder in FOLDERS:
        for path in Path(folder).rglob("*"):
            held = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            found.add(f"{path} {path.lstat().st_mode:o} {held!r}")
    links = [line.partition(" state ")[0] for line in run("ip", "-o", "link").splitlines()]
    six = [line for line in run("ip", "-6", "route").splitlines() if "fe80" not in line]
    return {*found, *links, *six, *run("ip", "route").splitlines(), run("nft", "list", "ruleset")}


def make() -> None:
    """What a node has changed on a host."""
    before, files = Before(STATE), Files(STATE)
    before.folders([*SOCKETS, BIRD / "x", SPOOL / "x"])
    assert before.change(RADIO, "1", "2") == {}
    assert before.write({FORWARD: "1", FORWARD6: "1"}) == {}
    files.keep(PLUGINS)
    for path in PLUGINS:
        path.unlink(missing_ok=True)
        path.write_text("ours")
        files.placed(path)
    for path in SOCKETS:
        path.parent.mkdir(parents=True, exist_ok=True)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
    for file in (BIRD / "bird.conf", BIRD / "bird.log", SPOOL / f"{7:020d}-1", SPOOL / f".broken-{8:020d}-1"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    run("nft", "table inet tortie { chain c { }; }")
    run("ip", "-batch", "-", given=LINKS)


def leave() -> None:
    parts = Parts(prefixes=("cali",), bird=Bird(BIRD), state=STATE, sockets=SOCKETS, spool=SPOOL)
    for _ in uninstall(parts, force=False):
        pass


def left() -> bool:
    leave()
    return True


def main() -> None:
    before = seen()
    for count in range(1, 1000):
        make()
        killed = killed_before(count, CHANGES, left)
        leave()
        if (after := seen()) != before:
            raise SystemExit(f"ended at {count}, different: {sorted(before ^ after)}")
        if not killed:
            print(count)
            return
    raise SystemExit("it never ends")


if __name__ == "__main__":
    main()
