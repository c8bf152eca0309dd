"""An agent's way to CNI networks as a process: CONFIG PLUGINS ROOT join|leave CONTAINER [NETWORK...]."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import anyio
import msgspec

from tortie.mesos.agent.cni.directory import Directory
from tortie.mesos.agent.cni.networks import CniNetworks
from tortie.mesos.agent.networks import Wish
from tortie.wire import mesos as wire


async def main(*words: str) -> None:
    config, plugins, root, command, container, *names = words
    networks = CniNetworks(Directory(config, plugins), Path(root))
    if command == "join":
        wish = Wish(container_id=container, network_infos=[wire.NetworkInfo(name=name) for name in names])
        print(json.dumps(msgspec.to_builtins(await networks.join(wish))), flush=True)
    else:
        await networks.leave(container)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
