"""What is said to Redis, and what of its answers counts."""

from __future__ import annotations

import pytest

from tortie.hello.look import markup, wants_markup
from tortie.hello.views import NoAnswer, command, integer


def test_a_command_is_an_array_of_strings_counted_in_bytes() -> None:
    assert command("INCR", "hits") == b"*2\r\n$4\r\nINCR\r\n$4\r\nhits\r\n"
    assert command("GET", "é") == b"*2\r\n$3\r\nGET\r\n$2\r\n\xc3\xa9\r\n"


def test_an_integer_reply_is_its_value() -> None:
    assert integer(b":1\r\n") == 1
    assert integer(b":9007199254740993\r\n") == 9007199254740993


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b":\r\n",
        b":12",
        b":1x\r\n",
        b"+OK\r\n",
        b"-ERR value is not an integer or out of range\r\n",
        b"-DENIED Redis is running in protected mode\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\xff\xfe\r\n",
    ],
)
def test_anything_else_is_no_count(line: bytes) -> None:
    with pytest.raises(NoAnswer):
        integer(line)


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain, application/json", False),
        ("text/html", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("application/xml, TEXT/HTML ;q=0.5", True),
        ("text/html-ish", False),
    ],
)
def test_who_shows_pages_gets_one(accept: str, page: bool) -> None:
    assert wants_markup(accept) is page


def test_a_name_with_markup_in_it_stays_text() -> None:
    assert "<h2>1 views! Reporting from &lt;b&gt;</h2>" in markup("1 views! Reporting from <b>")
