"""A Mesos agent's way with one container, by net-modules, as a process of its own that may be killed anywhere.

COMMAND HOSTNAME ROOT CONTAINER (run|leave) [GROUP...]: `run` joins with a named and an automatic address, isolates a
process that dies with this one, says `isolated`, and leaves when its standard input ends.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
from tests.support.netns import has_come_to

from tortie.mesos.agent.netmodules.modules import Commands
from tortie.mesos.agent.netmodules.networks import NetModulesNetworks
from tortie.mesos.agent.networks import Wish
from tortie.wire import mesos as wire

NAMED = "192.168.77.7"


def sleeper(namespace: str) -> subprocess.Popen[bytes]:
    words = ["setpriv", "--pdeathsig", "KILL", "--", "nsenter", f"--net={namespace}", "sleep", "600"]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    has_come_to(process.pid, namespace)
    return process


async def main(*words: str) -> None:
    command, hostname, root, container, what, *groups = words
    networks = NetModulesNetworks(Commands([command], [command]), hostname, Path(root))
    if what == "run":
        addresses = [wire.IPAddress(ip_address=NAMED), wire.IPAddress(protocol="IPv4")]
        info = wire.NetworkInfo(ip_addresses=addresses, groups=groups)
        joined = await networks.join(Wish(container_id=container, network_infos=[info]))
        process = sleeper(joined.namespace)
        await networks.isolate(container, process.pid)
        print("isolated", flush=True)
        sys.stdin.read()
        process.kill()
        process.wait()
    await networks.leave(container)
    print("left", flush=True)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
