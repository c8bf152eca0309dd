"""Log-in tokens, passwords, and how often one may guess."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.base.errors import Invalid
from tortie.door.guard import static_token
from tortie.door.tokens import (
    DUMMY,
    FORGOTTEN,
    FREE,
    LONGEST_WAIT,
    Failures,
    Throttle,
    matches,
    password_line,
    token,
    user_of,
    users_of,
)

SECRET, SALT, NOW = b"s" * 32, b"0123456789abcdef", 1_800_000_000.0
GOOD = token("ana", SECRET, now=NOW, seconds=3600)


def test_a_token_is_good_until_it_ends() -> None:
    assert user_of(GOOD, SECRET, now=NOW) == "ana"
    assert user_of(GOOD, SECRET, now=NOW + 3599) == "ana"
    assert user_of(GOOD, SECRET, now=NOW + 3600) is None


def test_a_token_of_another_secret_is_nobodys() -> None:
    assert user_of(GOOD, b"t" * 32, now=NOW) is None


def test_people_can_look_into_a_token() -> None:
    payload = GOOD.split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["uid"] == "ana"


@given(st.integers(0, len(GOOD) - 1), st.characters(min_codepoint=33, max_codepoint=126))
def test_a_token_with_another_character_is_nobodys(at: int, char: str) -> None:
    altered = GOOD[:at] + char + GOOD[at + 1 :]
    assert user_of(altered, SECRET, now=NOW) == ("ana" if altered == GOOD else None)


@given(st.text(max_size=200))
def test_other_texts_are_nobodys(text: str) -> None:
    assert user_of(text, SECRET, now=NOW) is None


def test_an_unsigned_token_is_nobodys() -> None:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    body = part({"uid": "ana", "exp": NOW + 60})
    for end in ("", part("")):
        assert user_of(f"{part({'alg': 'none'})}.{body}.{end}", SECRET, now=NOW) is None


def test_a_password_is_kept_as_what_cannot_be_read_back() -> None:
    line = password_line("ana", "tr1cky:$ pass", SALT)
    stored = users_of(f"# people\n\n{line}\n")["ana"]
    assert "tr1cky" not in line
    assert matches("tr1cky:$ pass", stored)
    assert not matches("tr1cky:$ pas", stored)


def test_an_unknown_user_takes_as_long_as_a_known_one() -> None:
    assert not matches("", DUMMY)
    assert DUMMY.split("$")[:2] == password_line("a", "b", SALT).partition(":")[2].split("$")[:2]


def test_every_bad_line_of_the_users_file_is_named() -> None:
    line = password_line("ana", "x", SALT)
    with pytest.raises(Invalid) as found:
        users_of(f"{line}\nbob:plain\nana\n{line}\n{line.replace('16384', '999999')}\n")
    assert [problem.partition(":")[0] for problem in found.value.problems] == ["line 2", "line 3", "line 4", "line 5"]


@pytest.mark.parametrize(("uid", "password"), [("", "x"), ("a:b", "x"), ("a b", "x"), ("ana", "")])
def test_users_that_cannot_be(uid: str, password: str) -> None:
    with pytest.raises(Invalid):
        password_line(uid, password, SALT)


@pytest.mark.parametrize("text", ["", "short", "a" * 5000, "with blanks in it, long", "semicolon;semicolon", "ü" * 20])
def test_static_tokens_that_cannot_be(text: str) -> None:
    with pytest.raises(Invalid):
        static_token(text)


def test_guessing_costs_more_and_more_waiting() -> None:
    throttle, who = Throttle(), ("user ana", "client 10.0.0.1")
    for _ in range(FREE):
        assert throttle.wait(who, NOW) <= 0
        throttle = throttle.failed(who, NOW)
    assert throttle.wait(who, NOW) == 1
    assert throttle.wait(who, NOW + 1) == 0
    for _ in range(20):
        throttle = throttle.failed(who, NOW)
    assert throttle.wait(who, NOW) == LONGEST_WAIT
    assert throttle.wait(("user ana", "client 10.0.0.2"), NOW) == LONGEST_WAIT
    assert throttle.wait(("user bob", "client 10.0.0.2"), NOW) == 0
    assert throttle.succeeded(who).wait(who, NOW) == 0


def test_made_up_names_do_not_fill_the_memory() -> None:
    many = {f"user {n}": Failures(1, NOW + n / 1000) for n in range(10_001)}
    throttle = Throttle(many).failed(("user new",), NOW + 11)
    assert len(throttle.known) < 10_000
    assert {"user new", "user 10000"} <= throttle.known.keys()
    assert "user 0" not in throttle.known


def test_old_failures_are_forgotten() -> None:
    assert Throttle({"user a": Failures(9, NOW)}).failed(("user b",), NOW + FORGOTTEN).known.keys() == {"user b"}
