"""The web app of the Hello document as a process, with a real Redis and with servers that are none."""

from __future__ import annotations

import http.client
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, wait_until

REDIS = shutil.which("redis-server")
NAME = socket.gethostname()


def get(port: int, path: str = "/", method: str = "GET", accept: str = "*/*") -> tuple[int, str]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    client.request(method, path, headers={"Accept": accept})
    reply = client.getresponse()
    body = reply.read().decode()
    client.close()
    return reply.status, body


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except OSError:
        return False
    return True


@contextmanager
def running(*words: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port) or process.poll() is not None, message=f"{words[0]} on {port}")
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def hello(redis: int) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = free_port()
    words = (sys.executable, "-m", "tortie.hello.app", "--port", str(port), "--redis", f"127.0.0.1:{redis}")
    with running(*words, port=port) as process:
        yield port, process


@pytest.mark.skipif(REDIS is None, reason="no redis-server on this machine")
def test_views_are_counted_and_go_on_counting_when_redis_comes_back(tmp_path: Path) -> None:
    at = free_port()
    redis = (REDIS or "", "--port", str(at), "--dir", str(tmp_path), "--bind", "127.0.0.1")
    with hello(at) as (port, _):
        with running(*redis, port=at):
            assert [get(port) for _ in range(2)] == [(200, f"{n} views! Reporting from {NAME}\n") for n in (1, 2)]
            assert get(port, "/?again")[1].startswith("3 views!")
            assert get(port, "/favicon.ico") == (404, "Not Found\n")
            assert get(port, "/", "HEAD") == (200, "")
            assert get(port)[1].startswith("4 views!"), "what is no view of the page was counted"
        assert get(port) == (200, "Failed to connect to redis\n")
        with running(*redis, port=at):
            assert get(port)[1].startswith("1 views!")


def test_a_browser_gets_the_line_as_a_page_with_its_files() -> None:
    with hello(1) as (port, _):
        status, text = get(port, accept="text/html,application/xhtml+xml,*/*;q=0.8")
        assert (status, "<h2>Failed to connect to redis</h2>" in text) == (200, True)
        named = re.findall(r'(?:href|src)="([^"]+)"', text)
        assert len(named) == 3
        assert {get(port, path)[0] for path in named} == {200}
        for path in ("/static/", "/static/../app.py", "/static/none.css", "/%2e%2e/etc/passwd"):
            assert get(port, path)[0] == 404


@pytest.mark.parametrize("said", [b"", b"-ERR no\r\n", b":1", b"x" * 2000, b":nine\r\n"])
def test_whatever_is_no_count_is_a_failure_in_words(said: bytes) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
            connection.sendall(said)

    thread = threading.Thread(target=serve)
    thread.start()
    with listener, hello(listener.getsockname()[1]) as (port, _):
        assert get(port) == (200, "Failed to connect to redis\n")
        thread.join()


def test_told_to_end_it_serves_on_and_then_ends() -> None:
    with hello(1) as (port, process):
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert get(port)[0] == 200
        assert process.wait(PATIENCE) == 0
        assert not listens(port)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--redis", "nowhere"], 2, "'nowhere' is not HOST:PORT"),
        (["--redis", "host:99999"], 2, "'host:99999' is not HOST:PORT"),
        (["--port", "x"], 2, "invalid int value: 'x'"),
        (["--port", "99999"], 1, "cannot listen on port 99999"),
    ],
)
def test_what_it_cannot_use_is_told(words: list[str], code: int, said: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tortie.hello.app", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ran.returncode == code
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
