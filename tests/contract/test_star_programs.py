"""star-probe and star-collect as programs of the distribution's Python, against real sockets."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE
from tests.support.waiting import wait_until as until

SOURCE = Path(__file__).parents[2] / "src"
PYTHON = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
LAUNCH = "import sys; sys.path.insert(0, {source!r}); from tortie.stars.{name} import main; main()"
MEMORY_KB = 20 * 1024


def argv(name: str, *flags: str) -> list[str]:
    """As the launcher in the image starts it: isolated, without site packages."""
    return [PYTHON, "-IS", "-c", LAUNCH.format(source=os.fspath(SOURCE), name=name), *flags]


@contextmanager
def program(name: str, *flags: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A running program and the port that it took."""
    command = argv(name, "--http-address=127.0.0.1", "--http-port=0", *flags)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if match := re.search(r"Starting HTTP server on \[.*:(\d+)\]", line):
                break
        else:
            raise AssertionError("".join(seen))
        drain = threading.Thread(target=lambda: [None for _ in process.stdout or ()], daemon=True)
        drain.start()
        yield int(match[1]), process
    finally:
        process.terminate()
        process.wait(PATIENCE)


@contextmanager
def raw_server(act: Callable[[socket.socket], None]) -> Iterator[int]:
    """A listener that treats each connection as `act` says, on a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            act(connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def http_answer(body: bytes, head: bytes = b"200 OK") -> Callable[[socket.socket], None]:
    reply = b"HTTP/1.1 " + head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    return lambda connection: connection.sendall(reply)


def hang(connection: socket.socket) -> None:
    """Never answer; ends when the other side gives up."""
    connection.recv(1)


def trickle(connection: socket.socket) -> None:
    """A body that never ends, a byte at a time."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    gone = False
    while not gone:
        connection.settimeout(0.2)
        try:
            connection.sendall(b" ")
            gone = connection.recv(1) == b""
        except TimeoutError:
            continue
        except OSError:
            return


def call(port: int, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
            return reply.status, reply.read(), reply.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers["Content-Type"]


def get(port: int, path: str) -> Any:
    status, body, kind = call(port, path)
    assert (status, kind) == (200, "application/json"), path
    return json.loads(body)


def memory_kb(pid: int) -> int:
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1])


@contextmanager
def resources_file(tmp_path: Path, urls: dict[str, str]) -> Iterator[str]:
    path = tmp_path / "resources.json"
    path.write_text(json.dumps([{"id": id, "url": url} for id, url in urls.items()]))
    yield f"--resources-file={path}"


def reachable(port: int) -> dict[str, bool]:
    return {row["url"]: row["reachable"] for row in get(port, "/status")["status"]["targets"]}


def test_any_response_head_is_reachable_and_nothing_else_is() -> None:
    with ExitStack() as stack:
        teapot = stack.enter_context(raw_server(http_answer(b"", b"500 Broken")))
        silent = stack.enter_context(raw_server(hang))
        rude = stack.enter_context(raw_server(lambda connection: connection.sendall(b"SSH-2.0-x\r\n\r\n")))
        closing = stack.enter_context(raw_server(lambda connection: None))
        closed = stack.enter_context(socket.socket())  # has its port and does not listen
        closed.bind(("127.0.0.1", 0))
        refused = closed.getsockname()[1]
        ports = {"teapot": teapot, "silent": silent, "rude": rude, "closing": closing, "refused": refused}
        urls = {name: f"http://127.0.0.1:{number}/status" for name, number in ports.items()}
        urls["dns"] = "http://no-such-name.invalid:9000/status"
        port, process = stack.enter_context(
            program("probe", f"--urls={','.join(urls.values())}", "--http-probe-seconds=1")
        )
        wanted = {
            "teapot": None,
            "silent": "timeout",
            "rude": "protocol",
            "closing": "reset",
            "refused": "refused",
            "dns": "dns",
        }

        def errors() -> dict[str, str | None]:
            rows = {row["url"]: row for row in get(port, "/v1/status")["targets"]}
            return {name: rows[url]["error"] if rows[url]["probed"] else "not yet" for name, url in urls.items()}

        # A busy machine may not answer within the probe's second; the next round tells.
        until(lambda: errors() == wanted, message=lambda: f"every target was probed: {errors()}")
        until(lambda: {name for name, url in urls.items() if reachable(port)[url]} == {"teapot"}, message="one bright")
        assert memory_kb(process.pid) < MEMORY_KB


def test_the_status_is_the_originals_and_all_else_is_404() -> None:
    with program("probe", "--urls=http://127.0.0.1:1/status,http://127.0.0.1:1/status") as (port, _):
        status, body, kind = call(port, "/status")
        assert (status, kind) == (200, "application/json")
        assert body == b'{"status":{"targets":[{"reachable":false,"url":"http://127.0.0.1:1/status"}]}}'
        for path in ("/", "/status?x", "/status/", "/v2"):
            assert call(port, path)[:2] == (404, b"")
        assert call(port, "/status", "HEAD")[:2] == (404, b"")
        assert call(port, "/status", "POST", b"{}")[0] == 404


def test_the_state_follows_a_target_that_opens_and_closes() -> None:
    number = free_port()
    url = f"http://127.0.0.1:{number}/status"
    with program("probe", f"--urls={url}", "--http-probe-seconds=1") as (port, _):
        assert not reachable(port)[url]
        with program("probe", "--urls=http://127.0.0.1:1/", f"--http-port={number}"):
            until(lambda: reachable(port)[url], message="the target is seen")
        until(lambda: not reachable(port)[url], message="the target's end is seen")
        turns = [change["reachable"] for change in get(port, "/v1/status")["changes"]]
        assert turns[:1] + turns[-1:] == [True, False]
        assert turns == [n % 2 == 0 for n in range(len(turns))], "each is a turn"


@pytest.mark.parametrize(
    ("name", "flags", "code", "words"),
    [
        ("probe", [], 1, "--urls is required"),
        ("probe", ["--urls=frontend:9000"], 1, "no http:// address"),
        ("probe", ["--urls=http://a/", "--nonsense=1"], 1, "unknown argument '--nonsense=1'"),
        ("probe", ["--urls=http://a/", "--http-port"], 1, "--http-port needs a value"),
        ("probe", ["--urls=http://a/", "--http-port=x"], 101, "--http-port"),
        ("probe", ["--urls=http://a/", "--http-probe-seconds=0"], 101, "--http-probe-seconds"),
        ("probe", ["--urls=http://a/", "--http-address=203.0.113.1"], 101, "cannot listen on 203.0.113.1:9000"),
        ("probe", ["--urls=http://a/", "--logfile=/proc/none/log"], 101, "log file"),
        ("probe", ["--help"], 0, "Usage:"),
        ("collect", ["--resources-file=/nonexistent"], 101, "/nonexistent"),
        ("collect", ["--resources-file=/etc/passwd"], 101, "Failed to parse file [/etc/passwd] as resources!"),
        ("collect", ["--http-request-seconds=1.5"], 101, "--http-request-seconds"),
        ("collect", ["extra"], 1, "unknown argument 'extra'"),
        ("collect", ["--help"], 0, "Usage:"),
    ],
)
def test_bad_flags_end_with_a_clear_line(name: str, flags: list[str], code: int, words: str) -> None:
    done = subprocess.run(argv(name, *flags), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == code
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        flags = ["--urls=http://a/", "--http-address=127.0.0.1", f"--http-port={taken.getsockname()[1]}"]
        done = subprocess.run(argv("probe", *flags), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 101
    assert "cannot listen on 127.0.0.1" in done.stderr


STUCK = """
import os, select, sys, threading
sys.path.insert(0, sys.argv[1])
from tortie.stars.run import serve
_reader, writer = os.pipe()
os.dup2(writer, 1)
threading.Thread(target=lambda: print("x" * 1_000_000, flush=True), daemon=True).start()
while select.select([], [writer], [], 0.05)[1]:
    pass
serve("203.0.113.1", 9000, lambda request: None, lambda text: None)
"""


def test_a_thread_that_is_writing_to_the_log_does_not_turn_the_end_into_an_abort() -> None:
    words = [PYTHON, "-IS", "-c", STUCK, os.fspath(SOURCE)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 101
    assert done.stderr.startswith("cannot listen on 203.0.113.1:9000: Cannot assign requested address")


def test_both_end_cleanly_on_sigterm_and_log_to_a_file(tmp_path: Path) -> None:
    log = tmp_path / "deep" / "probe.log"
    command = argv("probe", "--urls=http://127.0.0.1:1/", "--http-port=0", f"--logfile={log}")
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        until(lambda: log.exists() and "is now unreachable" in log.read_text(), message="the log has a line")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.communicate()
    assert re.fullmatch(r"(INFO - \d+ - .+\n)+", log.read_text())


def test_the_collector_shows_what_probes_answer(tmp_path: Path) -> None:
    with ExitStack() as stack:
        body = b'{"status":{"targets":[]}}'
        good = stack.enter_context(raw_server(http_answer(body)))
        odd = stack.enter_context(raw_server(http_answer(b'{"x":1}', b"503 Busy")))
        page = stack.enter_context(raw_server(http_answer(b"<html>")))
        latin = stack.enter_context(raw_server(http_answer(b'"\xe9"')))
        slow = stack.enter_context(raw_server(trickle))
        ports = {"good": good, "odd": odd, "page": page, "latin": latin, "slow": slow}
        urls = {name: f"http://127.0.0.1:{port}/status" for name, port in ports.items()}
        flag = stack.enter_context(resources_file(tmp_path, urls))
        port, process = stack.enter_context(program("collect", flag, "--http-request-seconds=1"))
        wanted = {
            "good": {"json": {"status": {"targets": []}}, "statusCode": 200, "url": urls["good"]},
            "odd": {"json": {"x": 1}, "statusCode": 503, "url": urls["odd"]},
            "page": None,
            "latin": None,
            "slow": None,
        }

        def nodes() -> dict[str, Any]:
            return {node["id"]: node for node in get(port, "/v1/state")["nodes"]}

        # A busy machine may not answer within the collector's time; the next round tells.
        until(lambda: all(node["asked"] for node in nodes().values()), message="every probe was asked")
        until(lambda: get(port, "/responses") == {"responses": wanted}, message=lambda: get(port, "/responses"))
        until(lambda: nodes()["slow"]["error"] == "timeout", message=nodes)
        until(lambda: get(port, "/responses/good") == {"response": {"good": wanted["good"]}}, message="one of them")
        assert get(port, "/responses/slow") == {"response": {"slow": None}}
        assert get(port, "/resources/good") == {"resource": {"id": "good", "url": urls["good"]}}
        assert memory_kb(process.pid) < MEMORY_KB


def test_a_target_that_hangs_does_not_delay_the_others(tmp_path: Path) -> None:
    """The good one is asked again and again while the hanging one's first answer is still awaited."""
    asked = []
    with ExitStack() as stack:
        slow = stack.enter_context(raw_server(hang))

        def count(connection: socket.socket) -> None:
            asked.append(time.monotonic())
            http_answer(b"{}")(connection)

        good = stack.enter_context(raw_server(count))
        urls = {"slow": f"http://127.0.0.1:{slow}/status", "good": f"http://127.0.0.1:{good}/status"}
        flag = stack.enter_context(resources_file(tmp_path, urls))
        port, _ = stack.enter_context(program("collect", flag, "--http-request-seconds=1"))
        until(lambda: len(asked) >= 2, message="the good one is asked twice")
        nodes = {node["id"]: node["asked"] for node in get(port, "/v1/state")["nodes"]}
        assert nodes == {"slow": False, "good": True}


def test_resources_are_posted_as_in_the_original(tmp_path: Path) -> None:
    with program("collect") as (port, _):
        assert get(port, "/resources") == {"resources": []}
        status, body, _ = call(port, "/resources", "POST", b'{"id":"C","url":"http://127.0.0.1:1/status"}')
        assert (status, json.loads(body)) == (200, {"id": "C", "url": "http://127.0.0.1:1/status"})
        assert get(port, "/resources") == {"resources": [{"id": "C", "url": "http://127.0.0.1:1/status"}]}
        for bad in (b"", b"{", b"[]", b'{"id":"C"}', b"\xff"):
            status, text, kind = call(port, "/resources", "POST", bad)
            assert (status, kind) == (400, "text/plain")
            assert text
        assert call(port, "/resources/none")[0] == 404
        assert call(port, "/responses/none")[0] == 404
        assert call(port, "/resources/C", "DELETE")[0] == 404
        assert call(port, "/resources", "POST", b"x" * 70_000)[0] == 413


def test_the_collector_survives_clients_that_are_no_http(tmp_path: Path) -> None:
    with program("collect") as (port, _):
        for data in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b""):
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                client.recv(1000)
        assert get(port, "/responses") == {"responses": {}}


def test_pages_and_their_files_are_served_with_a_policy() -> None:
    with program("collect") as (port, _):
        for path in ("/", "/?example=true"):
            status, body, kind = call(port, path)
            assert (status, kind) == (200, "text/html; charset=utf-8")
        for name in re.findall(rb'(?:href|src)="((?:static|assets)/[^"]+)"', body):
            assert call(port, "/" + name.decode())[0] == 200, name
        for path in ("/assets/../collect.py", "/assets/none.js", "/static/../../../etc/passwd", "/collect"):
            assert call(port, path)[0] == 404
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE) as reply:
            assert reply.headers["Content-Security-Policy"].startswith("default-src 'self'")
            tag = reply.headers["ETag"]
        again = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"If-None-Match": tag})
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(again, timeout=PATIENCE)
        assert caught.value.code == 304
        example = get(port, "/responses/example")["responses"]
        assert sorted(example) == list("ABCDE")
        assert len(get(port, "/v1/state?example=true")["nodes"]) == 5


def test_events_resume_after_the_last_one_seen() -> None:
    with program("collect", "--http-request-seconds=3600") as (port, _):
        call(port, "/resources", "POST", b'{"id":"C","url":"http://127.0.0.1:1/status"}')
        until(lambda: all(node["asked"] for node in get(port, "/v1/state")["nodes"]), message="the probe was asked")
        last, state = next_event(port, "", lambda: None)
        assert [node["id"] for node in state["nodes"]] == ["C"]

        def add() -> None:
            call(port, "/resources", "POST", b'{"id":"F","url":"http://127.0.0.1:1/status"}')

        newer, state = next_event(port, last, add)
        assert [node["id"] for node in state["nodes"]] == ["C", "F"], "what was seen is not sent again"
        assert newer != last
        another_boot, state = next_event(port, f"0-{newer.partition('-')[2]}", lambda: None)
        assert len(state["nodes"]) == 2, "an id of another collector counts for nothing"
        assert another_boot.partition("-")[0] == newer.partition("-")[0]


def next_event(port: int, last: str, then: Callable[[], None]) -> tuple[str, Any]:
    """The first state on a new stream that resumes after `last`; `then` is done once the stream is open."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/events?last-event-id={last}")
    with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
        assert reply.headers["Content-Type"] == "text/event-stream"
        id = ""
        for raw in reply:
            line = raw.decode().rstrip("\n")
            if line.startswith("retry: "):
                then()
            if line.startswith("id: "):
                id = line[4:]
            if line.startswith('data: {"changes'):
                return id, json.loads(line[6:])
    raise AssertionError("the stream ended")
