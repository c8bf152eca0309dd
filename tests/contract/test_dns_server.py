"""The name server on loopback, asked by dnspython and dig, fed by a master."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest
from tests.support.fake_mesos_master import FakeMaster, task
from tests.support.names import running
from tests.support.ports import free_port
from tests.support.tls import authority
from tests.support.waiting import PATIENCE, until

from tortie.base.errors import Invalid, Unavailable
from tortie.dns import limits
from tortie.dns.config import Config, parse
from tortie.dns.forward import Forwarder, make_zones
from tortie.dns.resolver import Resolver
from tortie.dns.resolver_run import run_resolver
from tortie.dns.run import run
from tortie.dns.server import Server


def make_config(masters: list[str], **keys: Any) -> Config:
    plain = {
        "masters": masters, "listener": "127.0.0.1", "port": free_port(), "httpListener": "127.0.0.1",
        "httpPort": free_port(), "refreshSeconds": 1,
    }  # fmt: skip
    return parse(json.dumps(plain | keys))


@asynccontextmanager
async def served(**keys: Any) -> AsyncIterator[tuple[FakeMaster, Config]]:
    master = FakeMaster(events=keys.pop("events", True), path=keys.pop("path", "/master/state"))
    master.tasks = [task("frontend.calico-stars", "192.168.0.1", discovery={"name": "frontend.calico-stars"})]
    await master.start()
    config = make_config([master.address], **keys)
    try:
        async with running(run(config)):
            yield master, config
    finally:
        await master.stop()


async def ask(config: Config, name: str, kind: str = "A", *, tcp: bool = False) -> dns.message.Message:
    """Asked until the server is up and has read its first state."""
    query = dns.message.make_query(name, kind)
    send: Any = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                reply: dns.message.Message = await send(query, "127.0.0.1", port=config.port, timeout=5)
            except (OSError, dns.exception.Timeout):
                await asyncio.sleep(0.02)
                continue
            if reply.rcode() != dns.rcode.SERVFAIL:
                return reply
            await asyncio.sleep(0.02)


async def wait_for(config: Config, name: str, wanted: list[str]) -> None:
    async def there() -> bool:
        return [str(d) for rrset in (await ask(config, name)).answer for d in rrset] == wanted

    await until(there)


async def answered(config: Config, name: str) -> bool:
    return bool((await ask(config, name)).answer)


NAME = "frontend-calico-stars.marathon.mesos"


def test_udp_and_tcp_answer_alike() -> None:
    async def main() -> None:
        async with served() as (_, config):
            for tcp in (False, True):
                assert str((await ask(config, NAME, tcp=tcp)).answer[0][0]) == "192.168.0.1"
            empty = await ask(config, NAME, "AAAA")
            assert (empty.rcode(), empty.answer) == (dns.rcode.NOERROR, [])

    asyncio.run(main())


def test_an_event_of_the_master_brings_the_new_address_long_before_the_refresh() -> None:
    async def main() -> None:
        async with served(refreshSeconds=3600) as (master, config):
            await wait_for(config, NAME, ["192.168.0.1"])
            await master.subscribed()
            master.tasks = [task("frontend.calico-stars", "192.168.0.7")]
            await master.tell()
            await wait_for(config, NAME, ["192.168.0.7"])

    asyncio.run(main())


@pytest.mark.parametrize("path", ["/state", "/master/state.json"])
def test_a_master_without_events_or_of_another_age_is_polled(path: str) -> None:
    async def main() -> None:
        async with served(events=False, path=path) as (master, config):
            await wait_for(config, NAME, ["192.168.0.1"])
            master.tasks = []
            await wait_for(config, NAME, [])
            assert (await ask(config, NAME)).rcode() == dns.rcode.NXDOMAIN

    asyncio.run(main())


def test_records_stay_while_the_master_is_away_or_talks_nonsense() -> None:
    async def main() -> None:
        async with served(events=False) as (master, config):
            await wait_for(config, NAME, ["192.168.0.1"])
            master.broken = '{"slaves": 3'
            seen = master.reads
            await until(lambda: master.reads >= seen + 2)
            await wait_for(config, NAME, ["192.168.0.1"])
            await master.stop()
            await wait_for(config, NAME, ["192.168.0.1"])

    asyncio.run(main())


def test_a_master_that_comes_back_is_read_and_heard_again() -> None:
    async def main() -> None:
        async with served(refreshSeconds=3600) as (master, config):
            await wait_for(config, NAME, ["192.168.0.1"])
            await master.subscribed()
            await master.stop()
            again = FakeMaster()
            again.tasks = [task("frontend.calico-stars", "192.168.0.2")]
            await again.start(int(master.address.rpartition(":")[2]))
            await wait_for(config, NAME, ["192.168.0.2"])
            await again.subscribed()
            again.tasks = [task("frontend.calico-stars", "192.168.0.3")]
            await again.tell()
            await wait_for(config, NAME, ["192.168.0.3"])
            await again.stop()

    asyncio.run(main())


def test_a_master_behind_tls_and_a_log_in(tmp_path: Path) -> None:
    made = authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)
    context.load_verify_locations(made.ca)
    context.verify_mode = ssl.CERT_REQUIRED

    async def main() -> None:
        master = FakeMaster()
        master.tasks = [task("frontend.calico-stars", "192.168.0.1")]
        master.login = "Basic cmVhZGVyOnMzY3JldA=="
        await master.start(tls=context)
        config = make_config(
            [master.address], refreshSeconds=3600,
            mesosHTTPSOn=True, CACertFile=str(made.ca), CertFile=str(made.cert), KeyFile=str(made.key),
            mesosAuthentication="basic", mesosCredentials={"principal": "reader", "secret": "s3cret"},
        )  # fmt: skip
        async with running(run(config)):
            await wait_for(config, NAME, ["192.168.0.1"])
            await master.subscribed()
            master.tasks = []
            await master.tell()
            await wait_for(config, NAME, [])
        await master.stop()
        with pytest.raises(Invalid, match=r"cert\.pem"):
            await run(replace(config, login=replace(config.login, key_file="/nowhere/key.pem")))

    asyncio.run(main())


def test_the_leader_that_another_master_names_is_asked() -> None:
    async def main() -> None:
        follower = FakeMaster()
        await follower.start()
        async with served() as (master, config):
            follower.leader = master.address
            second = make_config([follower.address])
            async with running(run(second)):
                await wait_for(second, NAME, ["192.168.0.1"])
            assert config.port != second.port
        await follower.stop()

    asyncio.run(main())


def test_the_stream_of_a_new_leader_is_heard_while_the_old_ones_goes_on() -> None:
    async def main() -> None:
        second = FakeMaster()
        second.tasks = [task("frontend.calico-stars", "192.168.0.2")]
        await second.start()
        async with served(refreshSeconds=3600) as (first, config):
            await wait_for(config, NAME, ["192.168.0.1"])
            await first.subscribed()
            first.leader = second.address

            async def moved() -> bool:
                await first.tell()
                return second.heard

            await until(moved)
            await wait_for(config, NAME, ["192.168.0.2"])
            second.tasks = [task("frontend.calico-stars", "192.168.0.3")]
            await second.tell()
            await wait_for(config, NAME, ["192.168.0.3"])
        await second.stop()

    asyncio.run(main())


def test_names_outside_the_domain_are_refused_or_forwarded() -> None:
    async def main() -> None:
        async with served() as (_, config):
            assert (await ask(config, "example.org")).rcode() == dns.rcode.REFUSED
            first = [f"127.0.0.1:{config.port}"]
            for tcp in (False, True):
                other = make_config(["127.0.0.1:1"], domain="other", resolvers=first)
                async with running(run(other)):
                    assert str((await ask(other, NAME, tcp=tcp)).answer[0][0]) == "192.168.0.1"

    asyncio.run(main())


def test_a_resolver_that_does_not_answer_is_a_server_failure() -> None:
    async def main() -> None:
        port = free_port()
        async with running(
            run_resolver(Resolver((("127.0.0.1", port),)), Forwarder(make_zones({"mesos": ["127.0.0.1:1"]})))
        ):
            await asyncio.sleep(0)  # its sockets are there once it has run up to its first wait
            for name, wanted in (("a.mesos", dns.rcode.SERVFAIL), ("example.org", dns.rcode.REFUSED)):
                query = dns.message.make_query(name, "A")
                reply = await dns.asyncquery.udp(query, "127.0.0.1", port=port, timeout=PATIENCE)
                assert reply.rcode() == wanted, name

    asyncio.run(main())


def test_one_network_gets_large_replies_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_PER_SECOND", 0)

    async def main() -> None:
        async with served(events=False) as (master, config):
            master.tasks = [task("many", f"10.0.0.{i}", id=f"many.{i}") for i in range(60)]
            await until(lambda: answered(config, "many.marathon.mesos"))
            large = dns.message.make_query("many.marathon.mesos", "A", use_edns=0, payload=1232)
            reply = await dns.asyncquery.udp(large, "127.0.0.1", port=config.port, timeout=PATIENCE)
            assert reply.flags & dns.flags.TC
            assert reply.answer == []
            assert len(list((await ask(config, "many.marathon.mesos", tcp=True)).answer[0])) == 60
            # What fits into 512 bytes is nobody's weapon.
            assert len((await ask(config, "leader.mesos")).answer[0]) == 1

    asyncio.run(main())


def test_a_hundred_questions_at_once_all_come_back() -> None:
    async def main() -> None:
        async with served() as (_, config):
            await wait_for(config, NAME, ["192.168.0.1"])
            replies = await asyncio.gather(*(ask(config, NAME) for _ in range(100)))
            assert {str(reply.answer[0][0]) for reply in replies} == {"192.168.0.1"}

    asyncio.run(main())


def test_a_taken_address_is_named() -> None:
    async def main() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            with pytest.raises(Unavailable, match=rf"127\.0\.0\.1:{port} \(udp\)"):
                Server("127.0.0.1", port, lambda _q, _t: None, Forwarder()).bind()

    asyncio.run(main())


def test_dig_reads_the_answers() -> None:
    dig = shutil.which("dig")
    if dig is None:
        pytest.skip("dig is not installed")

    async def main() -> None:
        async with served() as (_, config):
            await wait_for(config, NAME, ["192.168.0.1"])
            for name in (NAME, "frontend.calico-stars.marathon.mesos"):
                arguments = (dig, "+short", "@127.0.0.1", "-p", str(config.port), name)
                process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
                out, _ = await process.communicate()
                assert out == b"192.168.0.1\n"

    asyncio.run(main())


def test_the_http_api_speaks_the_originals_shapes() -> None:
    async def main() -> None:
        async with served() as (master, config), aiohttp.ClientSession() as http:
            await wait_for(config, NAME, ["192.168.0.1"])
            base = f"http://127.0.0.1:{config.http_port}/v1"

            async def get(path: str) -> tuple[int, Any]:
                async with http.get(f"{base}/{path}") as reply:
                    text = await reply.text()
                    return reply.status, json.loads(text) if reply.content_type == "application/json" else text

            assert await get(f"hosts/{NAME}.") == (200, [{"host": f"{NAME}.", "ip": "192.168.0.1"}])
            assert await get("hosts/nobody.mesos") == (200, [{"host": "", "ip": ""}])
            assert (await get(f"hosts/{NAME}/ports"))[0] == 501
            (first, *_) = (await get("services/_frontend-calico-stars._tcp.marathon.slave.mesos"))[1]
            assert first["port"] in ("31000", "31001")
            assert first["ip"] == "172.24.197.102"
            axfr = (await get("axfr"))[1]
            assert axfr["Records"]["As"][f"{NAME}."] == ["192.168.0.1"]
            assert axfr["Domain"] == "mesos"
            (framework,) = (await get("enumerate"))[1]["frameworks"]
            assert framework["tasks"][0]["id"] == master.tasks[0]["id"]
            assert (await get("version"))[1]["Service"] == "Mesos-DNS"
            assert (await get("config"))[1]["Masters"] == [master.address]

    asyncio.run(main())
