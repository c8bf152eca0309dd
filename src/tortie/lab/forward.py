"""Carries connections on to another place: `python -m tortie.lab.forward NAME=HOST:PORT…`.

On the switch NAME is a page: its listening socket was opened outside, on the machine's 127.0.0.1, and inherited; the
numbers are in LAB_SOCKETS. On any other host NAME is an ADDRESS:PORT of its own. A host's name is looked up for each
connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Sequence

CHUNK = 65536
CONNECT_SECONDS = 10.0


async def main_async(targets: dict[str, str], sockets: dict[str, int]) -> None:
    servers = []
    for name, target in targets.items():
        host, _, port = target.rpartition(":")

        async def carry(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str = host, port: str = port
        ) -> None:
            await _carry(reader, writer, host, int(port))

        # A copy: closing it at the end must not end the listening of the next forwarder.
        sock = socket.socket(fileno=os.dup(sockets[name])) if name in sockets else _listen(name)
        servers.append(await asyncio.start_server(carry, sock=sock))
    print(
        f"carrying {', '.join(f'{name} to {target}' for name, target in targets.items())}", file=sys.stderr, flush=True
    )
    await asyncio.gather(*(server.serve_forever() for server in servers))


def _listen(place: str) -> socket.socket:
    address, _, port = place.rpartition(":")
    return socket.create_server((address, int(port)), backlog=128)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
    try:
        there_reader, there_writer = await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT_SECONDS)
    except (OSError, TimeoutError) as error:
        print(f"{host}:{port}: {error or 'no answer'}", file=sys.stderr, flush=True)
        await _close(writer)
        return
    await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
    await _close(writer)
    await _close(there_writer)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the end of one direction, which is passed on; a cut connection cuts the other as well."""
    try:
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):  # cut by the other side: closed all the same
        await writer.wait_closed()


def main(argv: Sequence[str]) -> int:
    targets = dict(word.split("=", 1) for word in argv)
    sockets: dict[str, int] = json.loads(os.environ.get("LAB_SOCKETS", "{}"))
    missing = sorted(name for name in targets.keys() - sockets.keys() if not name.rpartition(":")[2].isdigit())
    if missing:
        print(f"lab forward: no listening socket for {', '.join(missing)}", file=sys.stderr)
        return 1
    try:
        asyncio.run(main_async(targets, sockets))
    except OSError as error:
        print(f"lab forward: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
