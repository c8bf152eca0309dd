"""Addresses, heads and bodies as both programs read them."""

from __future__ import annotations

import pytest

from tortie.stars.fetch import Failed, Url, split_url, unchunk
from tortie.stars.http1 import BadRequest, parse_head


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://a:9000/status", Url("a", 9000, "/status", "a:9000")),
        ("http://a", Url("a", 80, "/", "a")),
        ("HTTP://a.b/x?y=1#z", Url("a.b", 80, "/x?y=1", "a.b")),
        ("http://[::1]:9000/", Url("::1", 9000, "/", "[::1]:9000")),
    ],
)
def test_addresses(text: str, url: Url) -> None:
    assert split_url(text) == url


@pytest.mark.parametrize(
    "text", ["", "a:9000", "https://a/", "http://", "http://a:0/", "http://a:x/", "http://a:70000/", "http://u@a/",
             "http://::1/", "http://a/ b", "http://a/\r\nX: y", "http://ä/"]
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"http://|host|port|characters"):
        split_url(text)


def test_a_head_is_read_with_names_in_lower_case() -> None:
    assert parse_head(b"GET /x?y HTTP/1.1\r\nHost: a\r\nAccept:  b ") == ("GET", "/x?y", {"host": "a", "accept": "b"})


@pytest.mark.parametrize("head", [b"", b"GET", b"GET / FTP/1.0", b"GET x HTTP/1.1", b"GET / HTTP/1.1\r\nnonsense"])
def test_what_is_no_head(head: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_head(head)
    assert caught.value.status == 400


def test_a_chunked_body_is_put_together() -> None:
    assert unchunk(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n") == b"abcde"


@pytest.mark.parametrize("body", [b"", b"5\r\nabc", b"x\r\nabc\r\n", b"-1\r\n", b"3\r\nabc\r\n"])
def test_a_chunked_body_that_is_cut_short(body: bytes) -> None:
    with pytest.raises(Failed):
        unchunk(body)
