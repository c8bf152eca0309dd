"""The forwarding role: a resolver of one host, without a zone of its own. Light: every host may run one."""

from __future__ import annotations

import logging

from tortie.dns.forward import Forwarder
from tortie.dns.message import Forward, handle
from tortie.dns.server import Server, shuffler

log = logging.getLogger("dns")


async def run_resolver(listen: tuple[str, int], forwarder: Forwarder) -> None:
    """Pass every question on, caching nothing. Serve until cancelled."""

    def answer(query: bytes, _: bool) -> bytes | Forward | None:
        return handle(query, None, dice, tcp=False, recursion=True, mark_cut=True, apex=b"\xff")

    dice = shuffler()
    server = Server(*listen, answer, forwarder)
    server.bind()
    log.info("forwarding on %s:%d", listen[0], server.port)
    await server.run()
