"""An agent's way to CNI networks as a process: CONFIG PLUGINS ROOT, then `leave ID`, or `join ID INFOS`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import anyio
import msgspec

from tortie.base.errors import TortieError
from tortie.mesos.agent.cni.directory import Directory
from tortie.mesos.agent.cni.networks import CniNetworks
from tortie.mesos.agent.networks import Wish
from tortie.wire import mesos as wire


async def main(*words: str) -> None:
    config, plugins, root, command, container, *rest = words
    networks = CniNetworks(Directory(config, plugins), Path(root))
    if command == "join":
        infos = [wire.convert(info, wire.NetworkInfo) for info in json.loads(rest[0])]
        joined = await networks.join(Wish(container_id=container, network_infos=infos))
        print(json.dumps(msgspec.to_builtins(joined)), flush=True)
    else:
        await networks.leave(container)


if __name__ == "__main__":
    try:
        anyio.run(main, *sys.argv[1:])
    except TortieError as error:
        sys.exit(str(error))
