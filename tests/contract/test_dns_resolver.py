"""The resolver of a host on loopback: its own zones, names of others, and others that do not behave."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import pytest
from tests.support.fake_mesos_master import FakeMaster, task
from tests.support.fake_upstream import answer, upstream
from tests.support.names import data, running
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, until

from tortie.dns import forward, server
from tortie.dns.config import Config
from tortie.dns.resolver_options import settings
from tortie.dns.resolver_run import run_resolver
from tortie.dns.run import run as run_mesos_dns

DISCOVERY = {"name": "web", "ports": {"ports": [{"number": 80, "name": "http", "protocol": "tcp"}]}}
WEB = "web.marathon.containerip.dcos.thisdcos.directory"


@asynccontextmanager
async def resolver(**options: Any) -> AsyncIterator[int]:
    """Up and answering; gives its port."""
    port = free_port()
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    async with running(run_resolver(*settings(f"127.0.0.1:{port}", **plain))):

        async def up() -> bool:
            try:
                return bool(data(await ask(port, "ready.spartan", timeout=5)))
            except (OSError, dns.exception.Timeout):
                return False

        await until(up)
        yield port


@asynccontextmanager
async def master(*tasks: dict[str, Any]) -> AsyncIterator[FakeMaster]:
    found = FakeMaster()
    found.tasks = list(tasks)
    await found.start()
    try:
        yield found
    finally:
        await found.stop()


async def ask(
    port: int, name: str, kind: str = "A", *, tcp: bool = False, timeout: float = PATIENCE, **options: Any
) -> dns.message.Message:
    send: Any = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    query = dns.message.make_query(name, kind, **options)
    reply: dns.message.Message = await send(query, "127.0.0.1", port=port, timeout=timeout)
    return reply


async def wait_for(port: int, name: str, wanted: list[str]) -> None:
    async def there() -> bool:
        return data(await ask(port, name)) == wanted

    await until(there)


def status(address: str) -> dict[str, Any]:
    return {
        "task_id": {"value": "web.1"}, "state": "TASK_RUNNING", "timestamp": 9.0,
        "container_status": {"network_infos": [{"ip_addresses": [{"ip_address": address}]}]},
    }  # fmt: skip


def test_dcos_names_are_answered_from_the_masters_state_and_its_events_alone() -> None:
    async def main() -> None:
        async with (
            master(task("web", "192.168.0.1", discovery=DISCOVERY)) as found,
            resolver(master=[found.address]) as port,
        ):
            await wait_for(port, WEB, ["192.168.0.1"])
            for tcp in (False, True):
                assert data(await ask(port, WEB.replace("containerip", "agentip"), tcp=tcp)) == ["172.24.197.102"]
            await found.subscribed()
            seen = found.reads
            await until(lambda: found.reads > seen or found.reads >= 2)  # the reading that follows the subscription
            found.broken = "{"  # from here on only events tell, also after a reading in vain
            seen = found.reads
            await found.tell()
            await until(lambda: found.reads > seen)
            first = found.subscriptions
            await found.tell("TASK_UPDATED", framework_id={"value": "f-0"}, status=status("192.168.0.9"))
            await wait_for(port, WEB, ["192.168.0.9"])
            killed = status("192.168.0.9") | {"state": "TASK_KILLED"}
            await found.tell("TASK_UPDATED", framework_id={"value": "f-0"}, status=killed, state="TASK_KILLED")
            await wait_for(port, WEB, [])
            assert (await ask(port, WEB)).rcode() == dns.rcode.NXDOMAIN
            assert found.subscriptions == first

    asyncio.run(main())


def test_names_below_mesos_are_mesos_dnss_also_under_the_clusters_own_domain() -> None:
    async def main() -> None:
        port = free_port()
        async with master(task("web", "192.168.0.1", discovery=DISCOVERY)) as found:
            config = Config(masters=(found.address,), listener="127.0.0.1", port=port, http_on=False)
            async with (
                running(run_mesos_dns(config)),
                resolver(master=[found.address], forward=[f"mesos=127.0.0.1:{port}"]) as own,
            ):
                await wait_for(own, "web.marathon.mesos", ["192.168.0.1"])
                for tcp in (False, True):
                    assert data(await ask(own, "web.marathon.MESOS.thisdcos.directory", tcp=tcp)) == ["192.168.0.1"]
                    reply = await ask(own, "_web._tcp.marathon.mesos.thisdcos.global", "SRV", tcp=tcp)
                    (service,) = reply.answer[0]
                    assert str(service.target).lower().endswith(".marathon.mesos.thisdcos.global.")
                    assert reply.additional[0].name == service.target
                denied = await ask(own, "nobody.marathon.mesos.thisdcos.directory")
                assert denied.rcode() == dns.rcode.NXDOMAIN
                assert str(denied.authority[0].name) == "mesos.thisdcos.directory."

    asyncio.run(main())


def test_before_the_first_state_and_while_no_master_is_there() -> None:
    async def main() -> None:
        async with (
            upstream(lambda query, _: [answer(query, "203.0.113.1")]) as other,
            resolver(master=["127.0.0.1:1"], upstream=[other.address]) as port,
        ):
            assert (await ask(port, WEB)).rcode() == dns.rcode.SERVFAIL
            assert data(await ask(port, "example.org")) == ["203.0.113.1"]
            # The cluster's own domain is nobody else's business.
            assert (await ask(port, "else.thisdcos.directory")).rcode() == dns.rcode.REFUSED
            assert [b"thisdcos" in query.lower() for query in other.asked] == [False]

    asyncio.run(main())


def test_without_an_upstream_other_names_are_refused() -> None:
    async def main() -> None:
        async with resolver() as port:
            for name in ("example.org", "web.marathon.mesos", "."):
                assert (await ask(port, name)).rcode() == dns.rcode.REFUSED

    asyncio.run(main())


def test_the_longest_zone_decides() -> None:
    async def main() -> None:
        async with (
            upstream(lambda q, _: [answer(q, "10.0.0.1")]) as wide,
            upstream(lambda q, _: [answer(q, "10.0.0.2")]) as narrow,
            resolver(forward=[f"corp.example={wide.address}", f"lab.corp.example={narrow.address}"]) as port,
        ):
            for name, wanted in (("a.corp.example", "1"), ("corp.example", "1"), ("b.lab.corp.example", "2")):
                assert data(await ask(port, name)) == [f"10.0.0.{wanted}"], name
            assert (await ask(port, "xcorp.example")).rcode() == dns.rcode.REFUSED

    asyncio.run(main())


def test_a_dead_slow_or_unwilling_server_does_not_keep_the_next_from_answering() -> None:
    async def main() -> None:
        async with (
            upstream(lambda *_: []) as silent,
            upstream(lambda q, _: [answer(q, rcode=dns.rcode.SERVFAIL)]) as failing,
            upstream(lambda q, _: [answer(q, "203.0.113.7")]) as good,
        ):
            others = ["127.0.0.1:1", silent.address, failing.address, good.address]
            async with resolver(upstream=others) as port:
                for tcp in (False, True):
                    assert data(await ask(port, "example.org", tcp=tcp)) == ["203.0.113.7"]
            async with resolver(upstream=[failing.address, "127.0.0.1:1"]) as port:
                assert (await ask(port, "example.org")).rcode() == dns.rcode.SERVFAIL

    asyncio.run(main())


def test_a_server_that_lies_about_the_question_is_not_believed() -> None:
    def say(query: bytes, _: bool) -> list[bytes]:
        true = answer(query, "203.0.113.1")
        forged = answer(query, "203.0.113.66")
        other = answer(
            dns.message.make_query("evil.example", "A", id=int.from_bytes(query[:2], "big")).to_wire(), "6.6.6.6"
        )
        return [bytes((forged[0] ^ 1,)) + forged[1:], other, forged[:2] + b"\0" + forged[3:], b"", b"\0" * 5, true]

    async def main() -> None:
        async with upstream(say) as other, resolver(upstream=[other.address]) as port:
            for _ in range(20):
                assert data(await ask(port, "example.org")) == ["203.0.113.1"]
            # Each question went out under an id and with a spelling of its own.
            assert len({query[:2] for query in other.asked}) > 10
            assert len({query[12:25] for query in other.asked}) > 10

    asyncio.run(main())


def test_a_reply_in_another_case_counts_only_over_tcp() -> None:
    def say(query: bytes, tcp: bool) -> list[bytes]:
        reply = answer(query, "203.0.113.1" if tcp else "203.0.113.66")
        size = query[12:].index(b"\0") + 1
        return [reply[:12] + query[12 : 12 + size].upper().replace(b"EXAMPLE", b"eXaMpLe") + reply[12 + size :]]

    async def main() -> None:
        async with upstream(say) as other, resolver(upstream=[other.address]) as port:
            assert data(await ask(port, "www.subdomain.of.example.org")) == ["203.0.113.1"]
            assert other.asked_by_tcp

    asyncio.run(main())


def test_replies_are_passed_on_as_they_are_also_a_loop_of_aliases() -> None:
    def say(query: bytes, _: bool) -> list[bytes]:
        return [answer(query, "a.example. CNAME b.example.", "b.example. CNAME a.example.")]

    async def main() -> None:
        async with upstream(say) as other, resolver(upstream=[other.address]) as port:
            reply = await ask(port, "a.example", use_edns=0)
            assert data(reply) == ["b.example.", "a.example."]
            assert reply.flags & dns.flags.RA == 0  # the other server's own word
            assert len(other.asked) == 1

    asyncio.run(main())


def test_more_than_the_asker_takes_is_cut_and_whole_over_tcp() -> None:
    many = [f"203.0.113.{i}" for i in range(200)]

    async def main() -> None:
        async with upstream(lambda q, _: [answer(q, *many)]) as other, resolver(upstream=[other.address]) as port:
            kinds: list[dict[str, Any]] = [{}, {"use_edns": 0, "payload": 4096}]
            for options in kinds:
                reply = await ask(port, "many.example", **options)
                assert reply.flags & dns.flags.TC
                assert reply.answer == []
            assert len(data(await ask(port, "many.example", tcp=True))) == 200

    asyncio.run(main())


def test_two_resolvers_that_ask_each_other_end_in_a_failure_and_stay_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "_MAX_OF_ONE", 20)

    async def main() -> None:
        first, second = free_port(), free_port()
        one = settings(f"127.0.0.1:{first}", upstream=(f"127.0.0.1:{second}",))
        two = settings(f"127.0.0.1:{second}", upstream=(f"127.0.0.1:{first}",))
        async with running(run_resolver(*one)), running(run_resolver(*two)):
            await wait_for(first, "ready.spartan", ["127.0.0.1"])
            await wait_for(second, "ready.spartan", ["127.0.0.1"])
            assert (await ask(first, "example.org")).rcode() == dns.rcode.SERVFAIL
            assert data(await ask(first, "localhost")) == ["127.0.0.1"]

    asyncio.run(main())


def test_one_asker_does_not_take_all_the_places() -> None:
    async def main() -> None:
        async with upstream(lambda *_: []) as silent, resolver(upstream=[silent.address]) as port:
            replies = [asyncio.create_task(ask(port, f"a{i}.example")) for i in range(forward._MAX_OF_ONE + 1)]
            done, _ = await asyncio.wait(replies, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
            assert next(iter(done)).result().rcode() == dns.rcode.SERVFAIL
            assert data(await ask(port, "localhost")) == ["127.0.0.1"]
            for task_ in replies:
                task_.cancel()
            await asyncio.gather(*replies, return_exceptions=True)

    asyncio.run(main())


async def served_by_tcp(port: int) -> None:
    """Soon: with a short patience of the server's, a busy machine may need more than one try."""

    async def answered() -> bool:
        try:
            return data(await ask(port, "localhost", tcp=True, timeout=5)) == ["127.0.0.1"]
        except (EOFError, OSError, dns.exception.Timeout):
            return False

    await until(answered)


def framed(name: str, ident: int) -> bytes:
    query = dns.message.make_query(name, "A", id=ident).to_wire()
    return struct.pack("!H", len(query)) + query


async def one_reply(reader: asyncio.StreamReader) -> dns.message.Message:
    async with asyncio.timeout(PATIENCE):
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        return dns.message.from_wire(await reader.readexactly(size))


def test_questions_on_one_connection_do_not_wait_for_each_other_and_an_asker_may_close_its_side() -> None:
    asked = asyncio.Event()
    go = asyncio.Event()

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        query = await reader.readexactly(size)
        asked.set()
        await go.wait()
        reply = answer(query, "203.0.113.1")
        writer.write(struct.pack("!H", len(reply)) + reply)
        writer.close()

    async def main() -> None:
        slow = await asyncio.start_server(slowly, "127.0.0.1", 0)
        async with slow, resolver(upstream=[f"127.0.0.1:{slow.sockets[0].getsockname()[1]}"]) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(framed("slow.example", 1) + framed("localhost", 2) + framed("ready.spartan", 3))
            writer.write_eof()
            assert [(await one_reply(reader)).id for _ in range(2)] == [2, 3]
            async with asyncio.timeout(PATIENCE):
                await asked.wait()
            go.set()
            last = await one_reply(reader)
            assert (last.id, data(last)) == (1, ["203.0.113.1"])
            assert await reader.read() == b""
            writer.close()

    asyncio.run(main())


def test_a_silent_or_endless_connection_is_closed_and_others_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_TCP_IDLE", 0.3)

    async def main() -> None:
        async with resolver() as port:
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            held[1][1].write(b"\0")  # half a length
            held[2][1].write(framed("localhost", 5)[:-2])  # not all of a question
            await served_by_tcp(port)
            async with asyncio.timeout(PATIENCE):
                assert [await reader.read() for reader, _ in held] == [b"", b"", b""]
            for _, writer in held:
                writer.close()

    asyncio.run(main())


async def write_for_ever(writer: asyncio.StreamWriter, sent: bytes) -> None:
    while True:
        writer.write(sent)
        await writer.drain()


def test_an_asker_that_takes_no_answers_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_TCP_IDLE", 0.5)

    async def main() -> None:
        async with resolver() as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            with pytest.raises(ConnectionError):  # nothing is read: the buffers fill, then the server gives up
                await asyncio.wait_for(write_for_ever(writer, framed("localhost", 5) * 500), PATIENCE)
            await served_by_tcp(port)
            writer.transport.abort()

    asyncio.run(main())


def test_one_asker_has_a_bounded_number_of_connections() -> None:
    async def main() -> None:
        async with resolver() as port:
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(server._MAX_TCP_OF_ONE)]
            for reader, writer in held:
                writer.write(framed("localhost", 1))
                assert (await one_reply(reader)).id == 1
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            async with asyncio.timeout(PATIENCE):
                assert await reader.read() == b""
            writer.close()
            held.pop()[1].close()

            await served_by_tcp(port)
            for _, writer in held:
                writer.close()

    asyncio.run(main())


def test_the_http_api() -> None:
    def say(query: bytes, _: bool) -> list[bytes]:
        service = b"\0\x21\0\1" in query
        return [answer(query, "example.org. SRV 0 1 80 localhost." if service else "1.2.3.4")]

    async def main() -> None:
        page = free_port()
        async with (
            master(task("web", "192.168.0.1", discovery=DISCOVERY)) as found,
            upstream(say) as other,
            resolver(master=[found.address], upstream=[other.address], http=f"127.0.0.1:{page}") as port,
            aiohttp.ClientSession() as http,
        ):
            await wait_for(port, WEB, ["192.168.0.1"])

            async def get(path: str) -> tuple[int, Any]:
                async with http.get(f"http://127.0.0.1:{page}/v1/{path}") as reply:
                    return reply.status, await reply.json() if reply.content_type == "application/json" else None

            assert await get(f"hosts/{WEB}") == (200, [{"host": f"{WEB}.", "ip": "192.168.0.1"}])
            assert await get("hosts/example.org") == (200, [{"host": "example.org.", "ip": "1.2.3.4"}])
            assert await get("hosts/a..b") == (200, [{"host": "", "ip": ""}])
            (service, *_) = (await get("services/example.org"))[1]
            assert service == {"service": "example.org", "host": "localhost.", "ip": "127.0.0.1", "port": "80"}
            listed = (await get("records"))[1]
            assert {"name": f"{WEB}.", "type": "A", "ttl": 5, "value": "192.168.0.1"} in listed
            assert (await get("version"))[1]["Service"] == "tortie-resolver"
            assert (await get("config"))[1]["Masters"] == [found.address]
            assert (await get("nothing"))[0] == 404

    asyncio.run(main())
