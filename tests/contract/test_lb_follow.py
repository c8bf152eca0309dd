"""Following Marathon: several, log-in, certificates, without events, while it is away; and the forms of an app."""

from __future__ import annotations

import asyncio
import signal
import ssl
from functools import partial
from pathlib import Path

import pytest
from tests.support.balancing import app, backends, bench, end_haproxy, needs_haproxy
from tests.support.fake_marathon import FakeMarathon, host_app
from tests.support.ports import free_port
from tests.support.tls import authority
from tests.support.waiting import PATIENCE, until

pytestmark = needs_haproxy


def test_another_marathon_is_asked_when_one_is_away_and_its_events_are_heard(tmp_path: Path) -> None:
    async def main() -> None:
        one, two = await backends(2)
        other = FakeMarathon()
        await other.start()
        async with bench(tmp_path) as (made, http):
            made.marathon.apps = other.apps = [app(made.service_port, one)]
            made.start("--marathon", other.url, "--max-backoff", "1")
            await made.answers(http, {one.port})
            await made.marathon.subscribed()
            await made.marathon.stop()
            await other.subscribed()
            other.apps = [app(made.service_port, one, two)]
            await other.tell()
            await made.answers(http, {one.port, two.port})
            await made.marathon.start()
        await other.stop()

    asyncio.run(main())


def test_a_marathon_that_wants_a_name_and_a_certificate(tmp_path: Path) -> None:
    async def main() -> None:
        (one,) = await backends(1)
        known = authority(tmp_path / "tls")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(known.cert, known.key)
        async with bench(tmp_path) as (made, http):
            safe = FakeMarathon()
            await safe.start(tls=context)
            safe.user, safe.apps = ("lb", "s:cret"), [app(made.service_port, one)]
            made.marathon.url = safe.url
            made.start("--auth-credentials", "lb:s:cret", "--marathon-ca-cert", str(known.ca))
            await made.answers(http, {one.port})
            await safe.subscribed()
            await safe.stop()

    asyncio.run(main())


@pytest.mark.parametrize("form", ["poll", "run"])
def test_without_events_it_is_asked_again_and_again(tmp_path: Path, form: str) -> None:
    async def main() -> None:
        one, two = await backends(2)
        async with bench(tmp_path) as (made, http):
            made.marathon.apps = [app(made.service_port, one)]
            made.start("--refresh", "0.2", *(() if form == "poll" else ("--no-events",)), form=form)
            await made.answers(http, {one.port})
            made.marathon.apps = [app(made.service_port, two)]
            await made.answers(http, {two.port})
            assert not made.marathon.streams

    asyncio.run(main())


def test_while_marathon_hangs_haproxy_is_looked_after_and_says_why(tmp_path: Path) -> None:
    async def main() -> None:
        (one,) = await backends(1)
        async with bench(tmp_path) as (made, http):
            made.marathon.apps = [app(made.service_port, one)]
            made.start()
            await made.answers(http, {one.port})
            await made.marathon.subscribed()
            made.marathon.held = asyncio.Event()
            await made.marathon.tell()
            end_haproxy(made.work_dir)
            await made.answers(http, {one.port})
            made.marathon.held.set()
            made.marathon.status = 500
            await made.marathon.tell()

            async def told() -> bool:
                return "answered 500" in (await made.state(http))["marathon"].get("failure", "")

            await until(told)
            assert (await made.get(http))[0] == 200

    asyncio.run(main())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_as_an_app_it_takes_haproxy_with_it_however_it_ends(tmp_path: Path, number: signal.Signals) -> None:
    async def main() -> None:
        (one,) = await backends(1)
        async with bench(tmp_path) as (made, http):
            made.marathon.apps = [app(made.service_port, one)]
            program = made.start("-s", "--health-check", form="sse")
            await made.answers(http, {one.port})
            processes = await made.haproxy.processes()
            program.send_signal(number)
            ended = await asyncio.to_thread(program.wait, PATIENCE)
            assert ended == (0 if number == signal.SIGTERM else -number)
            await until(lambda: not any(_lives(pid) for pid in processes), message=lambda: processes)

    asyncio.run(main())


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_open_request_is_answered_before_an_app_ends_and_not_waited_for_for_ever(tmp_path: Path) -> None:
    async def main() -> None:
        (one,) = await backends(1)
        one.wait = asyncio.Event()
        async with bench(tmp_path) as (made, http):
            made.marathon.apps = [app(made.service_port, one)]
            program = made.start("--stop-within", "3600", form="sse")
            await made.answers(http, {one.port})
            slow = asyncio.ensure_future(made.get(http, "/slow"))
            await one.arrived.wait()
            program.terminate()

            async def closed() -> bool:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", made.http_port)
                except OSError:
                    return True
                writer.close()
                return False

            await until(closed)
            assert program.poll() is None
            one.wait.set()
            assert await slow == (200, str(one.port))
            assert await asyncio.to_thread(program.wait, PATIENCE) == 0

    asyncio.run(main())


def test_what_is_left_out_and_what_waits_is_on_a_page_and_in_metrics(tmp_path: Path) -> None:
    async def main() -> None:
        (one,) = await backends(1)
        async with bench(tmp_path) as (made, http):
            bad = host_app("/bad", free_port(), [], HAPROXY_0_BIND_OPTIONS="<no-such-option>")
            made.marathon.apps = [app(made.service_port, one), bad]
            made.start()
            await made.answers(http, {one.port})

            async def get(path: str) -> str:
                async with http.get(f"http://127.0.0.1:{made.stats_port}{path}") as reply:
                    assert reply.status == 200
                    return await reply.text()

            async def told() -> bool:
                return "/bad: left out" in await get("/_mlb")

            # The bad one is found by trial, which may end after the good one answers.
            await until(told)
            page = await get("/_mlb")
            assert "&lt;no-such-option&gt;" in page
            assert "tortie.css" in page

            async def counted() -> bool:
                metrics = await get("/_mlb/metrics")
                return "tortie_lb_left_out 1" in metrics and "tortie_lb_as_wanted 1" in metrics

            await until(counted)
            assert "haproxy_process_" in await get("/metrics")
            await made.marathon.subscribed()
            reads = made.marathon.reads
            await made.marathon.tell("framework_message_event")
            await made.marathon.tell("deployment_success")
            await until(partial(made.has_read, reads))

    asyncio.run(main())
