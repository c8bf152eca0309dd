"""etcd's addresses, messages and streams, without an etcd."""

from __future__ import annotations

import json
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.base.errors import Invalid, NotFound, TortieError, Unavailable
from tortie.store.etcd import wire
from tortie.store.etcd.address import Endpoint, parse
from tortie.store.etcd.stream import Stream
from tortie.store.port import Compacted, Compare, Drop, Put


def test_an_address_names_members_and_files() -> None:
    found = parse("etcd://a,b:1,[::1],[fd00::2]:3?ca=/ca&cert=/c&key=/k&login=/l")
    assert found.endpoints == (Endpoint("a", 2379), Endpoint("b", 1), Endpoint("::1", 2379), Endpoint("fd00::2", 3))
    assert [str(endpoint) for endpoint in found.endpoints[2:]] == ["[::1]:2379", "[fd00::2]:3"]
    assert (found.tls, found.ca, found.cert, found.key, found.login) == (True, "/ca", "/c", "/k", "/l")
    schemes = ("etcd", "http", "etcds", "https")
    assert [parse(f"{scheme}://a").tls for scheme in schemes] == [False, False, True, True]


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("etcd://", "'' is no HOST:PORT"),
        ("etcd://a,,b", "'' is no HOST:PORT"),
        ("etcd://:2379", "':2379' is no HOST:PORT"),
        ("etcd://a:b", "'b' is no port"),
        ("etcd://a:0", "'0' is no port"),
        ("etcd://a:65536", "'65536' is no port"),
        ("etcd://a:²", "'²' is no port"),
        ("etcd://::1", "'::1' is no HOST:PORT"),
        ("etcd://[::1]x", "is no HOST:PORT"),
        ("etcd://a/path", "a path has no meaning here"),
        ("etcd://a#x", "a path has no meaning here"),
        ("etcd://a?password=x", "unknown setting 'password'"),
        ("etcd://a?ca=", "ca: expected one file"),
        ("etcd://a?ca=/1&ca=/2", "ca: expected one file"),
        ("etcd://a?cert=/c", "cert and key go together"),
    ],
)
def test_what_is_wrong_with_an_address(url: str, wrong: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(url)
    assert wrong in str(caught.value)


def test_all_problems_of_an_address_at_once_and_never_a_password() -> None:
    with pytest.raises(Invalid) as caught:
        parse("etcd://a:x,b:y/p?z=1&key=/k")
    assert len(caught.value.problems) == 5
    with pytest.raises(Invalid, match="ETCD_PASSWORD") as told:
        parse("etcd://felix:secret@a:2379")
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("code", "message", "family", "said"),
    [
        (5, "etcdserver: requested lease not found", NotFound, "requested lease not found"),
        (11, "etcdserver: mvcc: required revision has been compacted", Compacted, "compacted"),
        (11, "etcdserver: mvcc: required revision is a future revision", Invalid, "future"),
        (3, "etcdserver: authentication failed, invalid user ID or password", Invalid, "authentication failed"),
        (3, "etcdserver: user name is empty", Invalid, "wants a user and a password"),
        (7, "etcdserver: permission denied", Invalid, "permission denied"),
        (8, "etcdserver: mvcc: database space exceeded", Unavailable, "the store is full"),
        (8, "grpc: received message larger than max (3 vs. 2)", Invalid, "request is too large"),
        (14, "etcdserver: no leader", Unavailable, "no leader"),
        (14, "etcdserver: request timed out", Unavailable, "request timed out"),
        (12, "HTTP 404", Unavailable, "its JSON gateway is off"),
        (99, "something new", Unavailable, "something new"),
    ],
)
def test_refusals_in_the_terms_of_the_port(code: int, message: str, family: type[TortieError], said: str) -> None:
    error = wire.refusal("etcd://a", code, message)
    assert type(error) is family
    assert str(error).startswith("store etcd://a: ")
    assert said in str(error)


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"error":', b'{"header":{"revision":"x"}}', b"<html>"])
def test_an_answer_that_is_none(body: bytes) -> None:
    with pytest.raises(Unavailable, match="not the answer of an etcd v3"):
        wire.decode(body, wire.TxnReply)
    assert wire.failure_of(503, body).code == (wire.UNAVAILABLE if not body.startswith(b'{"header') else 2)


@given(st.text(max_size=4), st.text(max_size=3))
def test_a_prefix_covers_what_begins_with_it_and_nothing_else(prefix: str, other: str) -> None:
    asked = wire.prefix_range(prefix)
    begin, end = b64decode(asked["key"]), b64decode(asked["range_end"])

    def covers(key: bytes) -> bool:
        return begin <= key and (end == b"\0" or key < end)

    inside = (prefix + other).encode("utf-8", "surrogateescape") if _encodes(prefix + other) else None
    if inside:
        assert covers(inside)
    if other and _encodes(other):
        assert covers(other.encode()) == other.encode().startswith(prefix.encode("utf-8", "surrogatepass"))


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def test_the_first_compare_that_failed_is_named() -> None:
    compares = [Compare("/a", 3), Compare("/b", 0), Compare("/c", 5)]
    message = wire.transaction([Put("/a", b"\0", 7), Drop("/b")], compares)
    assert message["success"] == [
        {"request_put": {"key": "L2E=", "value": "AA==", "lease": "7"}},
        {"request_delete_range": {"key": "L2I="}},
    ]

    def reply(*revisions: int) -> wire.TxnReply:
        found = [{"response_range": {"kvs": [{"key": "", "mod_revision": str(r)}] if r else []}} for r in revisions]
        return wire.decode(json.dumps({"header": {"revision": "9"}, "responses": found}).encode(), wire.TxnReply)

    assert wire.first_failed(reply(3, 4, 1), compares).key == "/b"
    assert wire.first_failed(reply(0, 0, 5), compares).key == "/a"
    assert wire.first_failed(reply(3, 0, 0), compares).key == "/c"


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@given(st.lists(st.integers(1, 40), max_size=30), st.lists(st.integers(1, 25), max_size=12))
def test_messages_are_the_same_however_the_bytes_arrive(cuts: list[int], sizes: list[int]) -> None:
    wanted = [b'{"n":%d,"x":"%s"}' % (number, b"y" * number) for number in range(8)]
    body = b"\n".join(wanted) + b"\n"
    raw = HEAD
    for size in [*sizes, len(body)]:
        part, body = body[:size], body[size:]
        raw += b"%x\r\n%s\r\n" % (len(part), part) if part else b""
    raw += b"0\r\n\r\n"
    stream, seen = Stream(), []
    for cut in [*cuts, len(raw)]:
        seen += stream.feed(raw[:cut])
        raw = raw[cut:]
    assert seen == wanted
    assert stream.ended
    assert stream.status == 200


def test_a_refusal_with_a_length_instead_of_chunks() -> None:
    stream = Stream()
    assert stream.feed(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{") == []
    assert not stream.ended
    assert stream.feed(b"}") == [b"{}"]
    assert (stream.status, stream.ended) == (401, True)


@pytest.mark.parametrize("raw", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 x\r\n\r\n", b"x" * 70000, HEAD + b"zz\r\n"])
def test_what_is_no_reply_is_told(raw: bytes) -> None:
    with pytest.raises(Unavailable):
        Stream().feed(raw)


@given(st.binary(max_size=200))
def test_garbage_never_does_more_than_that(data: bytes) -> None:
    for start in (b"", HEAD):
        try:
            Stream().feed(start + data)
        except Unavailable:
            continue
