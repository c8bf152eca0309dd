"""Heads of requests and answers on their way through."""

from __future__ import annotations

import pytest

from tortie.door.headers import (
    Client,
    cookie_token,
    host_of,
    is_websocket,
    relocated,
    request_framing,
    request_head,
    response_framing,
    response_head,
    token_of,
)
from tortie.door.refusal import Refusal

ME = Client("10.0.0.9", b"door.test:8081", "http", "/mesos")


def sent(*fields: tuple[bytes, bytes], client: Client = ME) -> dict[bytes, bytes]:
    head = request_head("GET", "/x?y", list(fields), client, framing="none")
    first, *lines = head.split(b"\r\n")
    assert first == b"GET /x?y HTTP/1.1"
    assert lines[-2:] == [b"", b""]
    pairs = [line.partition(b": ")[::2] for line in lines[:-2]]
    assert len({name.lower() for name, _ in pairs}) == len(pairs), "a name twice"
    return dict(pairs)


def test_the_server_learns_who_asks_and_by_which_name() -> None:
    found = sent((b"Host", b"forged"), (b"X-Forwarded-For", b"10.9.9.9"), (b"X-Real-IP", b"1.1.1.1"))
    assert found[b"Host"] == b"door.test:8081"
    assert found[b"X-Real-IP"] == b"10.0.0.9"
    assert found[b"X-Forwarded-For"] == b"10.9.9.9, 10.0.0.9"
    assert found[b"X-Forwarded-Proto"] == b"http"
    assert found[b"X-Forwarded-Prefix"] == b"/mesos"


@pytest.mark.parametrize(
    "name", [b"Connection", b"Keep-Alive", b"TE", b"Trailer", b"Transfer-Encoding", b"Upgrade", b"Proxy-Connection"]
)
def test_what_is_said_of_the_connection_stays_on_it(name: bytes) -> None:
    assert name not in sent((name, b"x"))


def test_a_client_cannot_have_the_doors_own_words_dropped() -> None:
    found = sent(
        (b"Connection", b"close, X-Secret, Host, Content-Length, X-Forwarded-For"),
        (b"X-Secret", b"1"), (b"Content-Length", b"0"),
    )  # fmt: skip
    assert b"X-Secret" not in found
    assert {b"Host", b"X-Forwarded-For", b"Content-Length"} <= found.keys()


def test_a_name_with_an_underscore_could_be_read_as_another_and_is_dropped() -> None:
    assert b"X_Forwarded_For" not in sent((b"X_Forwarded_For", b"1.1.1.1"))


def test_tokens_of_the_door_are_not_for_servers() -> None:
    assert b"Authorization" not in sent((b"Authorization", b"token=abc"))
    assert sent((b"Authorization", b"Basic abc"))[b"Authorization"] == b"Basic abc"
    assert sent((b"Authorization", b"Bearer abc"))[b"Authorization"] == b"Bearer abc"
    guarded = Client("10.0.0.9", b"door.test", guarded=True)
    assert b"Authorization" not in sent((b"Authorization", b"Bearer abc"), client=guarded)
    assert b"Cookie" not in sent((b"Cookie", b"dcos-acs-auth-cookie=abc; dcos-acs-info-cookie=d"))
    assert sent((b"Cookie", b"a=b;dcos-acs-auth-cookie=abc; c=d"))[b"Cookie"] == b"a=b; c=d"


def test_a_way_that_leads_back_to_the_door_ends() -> None:
    once = sent()[b"Via"]
    with pytest.raises(Refusal) as refused:
        sent((b"via", once))
    assert refused.value.status == 508
    assert sent((b"Via", b"1.0 other"))[b"Via"] == b"1.0 other, 1.1 tortie-door"


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")],
        [(b"Content-Length", b"1"), (b"Content-Length", b"1")],
        [(b"Content-Length", b"1, 1")], [(b"Content-Length", b"+1")], [(b"Content-Length", b"")],
        [(b"Transfer-Encoding", b"gzip, chunked")], [(b"Transfer-Encoding", b"identity")],
        [(b"Transfer-Encoding", b"chunked"), (b"transfer-encoding", b"chunked")],
    ],
)  # fmt: skip
def test_a_body_that_two_readers_could_end_differently_is_refused(fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Refusal):
        request_framing(fields, "1.1")


def test_a_chunked_body_is_not_of_http_1_0() -> None:
    fields = [(b"Transfer-Encoding", b"Chunked")]
    assert request_framing(fields, "1.1") == "chunked"
    with pytest.raises(Refusal):
        request_framing(fields, "1.0")


def test_how_answers_end() -> None:
    length, chunked = [(b"Content-Length", b"5")], [(b"Transfer-Encoding", b"chunked")]
    assert response_framing(length, 200, "GET") == "length"
    assert response_framing(length, 200, "HEAD") == response_framing(length, 304, "GET") == "none"
    assert response_framing(chunked, 200, "GET") == "chunked"
    assert response_framing([], 200, "GET") == "close"
    assert response_framing([], 204, "GET") == "none"


@pytest.mark.parametrize("hosts", [[], [b"a", b"b"], [b"a b"], [b"a/b"], [b"a@b"], [b"a,b:x"]])
def test_a_request_has_one_host(hosts: list[bytes]) -> None:
    with pytest.raises(Refusal):
        host_of([(b"Host", host) for host in hosts], "1.1")


@pytest.mark.parametrize("host", [b"a", b"a.b:80", b"[::1]:80", b"10.0.0.1", b""])
def test_hosts_that_pass(host: bytes) -> None:
    assert host_of([(b"hOsT", host)], "1.1") == host


def test_answers_say_of_the_connection_what_is_so_on_this_side() -> None:
    fields = [(b"Connection", b"close, X-Hop"), (b"X-Hop", b"1"), (b"Content-Length", b"3"), (b"Set-Cookie", b"a=b")]
    head = response_head(200, b"OK", [*fields, (b"Set-Cookie", b"c=d")])
    assert head == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n"
    chunked = response_head(200, b"OK", fields, chunked=True, close=True)
    assert b"Content-Length" not in chunked
    assert chunked.endswith(b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize(
    ("location", "prefix", "wanted"),
    [
        ("/login", "/service/a", "/service/a/login"),
        ("/service/a/login", "/service/a", "/service/a/login"),
        ("/service/ab", "/service/a", "/service/a/service/ab"),
        ("http://10.0.0.1:5050/x?y", "/mesos", "/mesos/x?y"),
        ("//10.0.0.1:5050/x", "/mesos", "/mesos/x"),
        ("http://10.0.0.1:5050", "/mesos", "/mesos/"),
        ("http://door.test:8081/x", "/mesos", "/mesos/x"),
        ("https://elsewhere.test/x", "/mesos", "https://elsewhere.test/x"),
        ("ui/", "/mesos", "ui/"),
        ("", "/mesos", ""),
        ("/x", "", "/x"),
        ("http://[bad/x", "/mesos", "http://[bad/x"),
    ],
)
def test_redirects_lead_where_they_mean_from_outside(location: str, prefix: str, wanted: str) -> None:
    authorities = {b"10.0.0.1:5050", b"door.test:8081"}
    assert relocated(location.encode(), authorities=authorities, prefix=prefix) == wanted.encode()


def test_tokens_in_headers_and_cookies() -> None:
    assert token_of(b"token=abc") == token_of(b'token="abc"') == token_of(b"Bearer abc") == "abc"
    assert token_of(b"Basic abc") is None
    assert cookie_token([(b"Cookie", b"x=y; dcos-acs-auth-cookie=abc")]) == "abc"
    assert cookie_token([(b"Cookie", b"x=dcos-acs-auth-cookie")]) is None


def test_only_a_websocket_is_upgraded() -> None:
    assert is_websocket([(b"Upgrade", b"WebSocket"), (b"Connection", b"keep-alive, Upgrade")])
    assert not is_websocket([(b"Upgrade", b"h2c"), (b"Connection", b"Upgrade")])
    assert not is_websocket([(b"Upgrade", b"websocket, h2c"), (b"Connection", b"Upgrade")])
    assert not is_websocket([(b"Upgrade", b"websocket")])
