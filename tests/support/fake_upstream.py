"""Another name server as far as a forwarder sees it: it says what the test lets it say."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import dns.message
import dns.rcode
import dns.rrset

Say = Callable[[bytes, bool], Iterable[bytes]]


def answer(query: bytes, *records: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> bytes:
    """A sound reply: A records of the name asked for, or whole records as `NAME TYPE DATA`."""
    message = dns.message.make_response(dns.message.from_wire(query))
    message.set_rcode(rcode)
    for text in records:
        owner, kind, data = text.split(" ", 2) if " " in text else (message.question[0].name, "A", text)
        message.answer.append(dns.rrset.from_text(owner, 60, "IN", kind, data))
    return message.to_wire(max_size=65535)


@dataclass
class Upstream(asyncio.DatagramProtocol):
    """`say` gets a query and whether it came over TCP, and gives the packets to send back."""

    say: Say
    address: str = ""
    asked: list[bytes] = field(default_factory=list)
    asked_by_tcp: list[bytes] = field(default_factory=list)

    def connection_made(self, transport: Any) -> None:
        self._udp: asyncio.DatagramTransport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append(data)
        for packet in self.say(data, False):
            self._udp.sendto(packet, addr)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack("!H", await reader.readexactly(2))
                query = await reader.readexactly(size)
                self.asked_by_tcp.append(query)
                for packet in self.say(query, True):
                    writer.write(struct.pack("!H", len(packet)) + packet)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def upstream(say: Say) -> AsyncIterator[Upstream]:
    """On one port of both transports."""
    loop = asyncio.get_running_loop()
    found = Upstream(say)
    while True:
        tcp = socket.create_server(("127.0.0.1", 0))
        port = tcp.getsockname()[1]
        try:
            transport, _ = await loop.create_datagram_endpoint(lambda: found, local_addr=("127.0.0.1", port))
            break
        except OSError:  # another program's UDP port
            tcp.close()
    server = await asyncio.start_server(found.connected, sock=tcp)
    found.address = f"127.0.0.1:{port}"
    try:
        yield found
    finally:
        transport.close()
        server.close()
