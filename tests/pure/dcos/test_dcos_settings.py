"""The configuration of `dcos`: its text, its properties, what is said about changes."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.cli.dcos import settings
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.settings import Settings

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.one_of(TEXTS, st.booleans(), st.integers(0, 2**31))
SETTINGS = st.dictionaries(TEXTS, st.dictionaries(TEXTS, VALUES, min_size=1), max_size=4)


@given(SETTINGS)
def test_what_is_written_is_read_again(found: Settings) -> None:
    text = settings.dump(found)
    assert tomllib.loads(text) == found
    assert settings.parse(text, "here") == found


LINES = st.sampled_from(
    ["[core]", "[cluster]", "[core.sub]", "", " ", 'a = "b"', "a = 1", "a = 01", "a = -1", "a = 1.5", "a = true", "a"]
    + ["b = 'x'", '"q" = 1', 'c = "a\\tb"', 'd = "x" # y', "# only", 'e = ["a"]', "f = { g = 1 }", '  h  =  "i"  ']
    + ["j = TRUE", 'k = "é"', 'l = ""', "m = 1_000", 'n = """', "[]", "= 1", 'o = "a"b"', "[a b]", "é = 1"]
)


@given(st.lists(LINES, max_size=6))
def test_the_short_reader_agrees_with_the_long_one(found: list[str]) -> None:
    text = "\n".join(found)
    try:
        wanted: Any = tomllib.loads(text)
        if not all(isinstance(value, dict) for value in wanted.values()):
            wanted = None
    except tomllib.TOMLDecodeError:
        wanted = None
    if wanted is None:
        with pytest.raises(DcosError, match=r"Error parsing config file at \[here\]"):
            settings.parse(text, "here")
    else:
        assert settings.parse(text, "here") == wanted


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("core.dcos_url", ("DCOS_URL", "DCOS_DCOS_URL")),
        ("core.dcos_acs_token", ("DCOS_ACS_TOKEN", "DCOS_DCOS_ACS_TOKEN")),
        ("core.ssl_verify", ("DCOS_SSL_VERIFY",)),
        ("marathon.url", ("DCOS_MARATHON_URL",)),
        ("package.cosmos_url", ("DCOS_PACKAGE_COSMOS_URL",)),
    ],
)
def test_the_variable_of_a_property(name: str, variables: tuple[str, ...]) -> None:
    assert settings.variables(name) == variables
    assert settings.effective({}, {variables[-1]: "x"}, name) == ("x", variables[-1])
    assert settings.effective({}, {variables[-1]: ""}, name) == (None, "")


def test_what_is_said_about_a_change() -> None:
    first, said = settings.change({}, "core.timeout", 5)
    assert (first, said) == ({"core": {"timeout": 5}}, "[core.timeout]: set to '5'")
    assert settings.change(first, "core.timeout", 5)[1] == "[core.timeout]: already set to '5'"
    assert settings.change(first, "core.timeout", 6)[1] == "[core.timeout]: changed from '5' to '6'"
    assert first == {"core": {"timeout": 5}}
    assert settings.without(first, "core.timeout") == ({"core": {}}, "Removed [core.timeout]")


def test_a_token_is_never_shown_and_goes_with_its_cluster() -> None:
    held: Settings = {"core": {"dcos_url": "http://a", "dcos_acs_token": "secret"}}
    assert settings.change(held, settings.TOKEN, "other")[1] == "[core.dcos_acs_token]: changed"
    assert settings.change(held, settings.TOKEN, "secret")[1] == "[core.dcos_acs_token]: already set to that value"
    assert settings.change({}, settings.TOKEN, "secret")[1] == "[core.dcos_acs_token]: set"
    moved, said = settings.change(held, settings.URL, "http://b")
    assert moved == {"core": {"dcos_url": "http://b"}}
    assert said.splitlines() == [
        "[core.dcos_url]: changed from 'http://a' to 'http://b'",
        "[core.dcos_acs_token]: removed",
    ]
    assert held["core"]["dcos_acs_token"] == "secret"
    assert settings.without(held, settings.URL)[0] == {"core": {}}
    assert settings.shown(settings.TOKEN, "secret", "secret", "", named=True) == "core.dcos_acs_token ********"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("core.timeout", "5", 5),
        ("core.reporting", "False", False),
        ("core.ssl_verify", "/etc/ca.pem", "/etc/ca.pem"),
        ("core.dcos_url", "https://master:8443/x", "https://master:8443/x"),
    ],
)
def test_values_have_the_type_of_their_property(name: str, text: str, value: object) -> None:
    assert settings.typed(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("core.timeout", "-5", "Unable to parse '-5' as an int"),
        ("core.timeout", "five", "Unable to parse 'five' as an int"),
        ("core.reporting", "1", "Unable to parse '1' as a boolean"),
        ("core.dcos_url", "master", "Unable to parse 'master' as a url"),
        ("core.dcos_url", "http://", "as a url"),
        ("core.dcos_url", "ftp://x", "as a url"),
        ("core.dcos_acs_token", "a\nb", "not printable"),
        ("core.timout", "5", "Property 'core.timout' is invalid; did you mean core.timeout?"),
        ("timeout", "5", "must have both a section and key"),
    ],
)
def test_bad_values_are_refused(name: str, text: str, said: str) -> None:
    with pytest.raises(DcosError) as caught:
        settings.typed(name, text)
    assert said in str(caught.value)


def test_a_whole_configuration_is_checked() -> None:
    found: Settings = {"core": {"timeout": "x", "dcos_url": "http://a", "colour": 1}, "other": {"of": "a package"}}
    first, second = settings.problems(found)
    assert "('colour' was unexpected)" in first
    assert "Path: core.timeout" in second
    with pytest.raises(DcosError, match=r"doesn't fully specify a value - possible properties are:\ncore\.colour"):
        settings.without(found, "core")
    with pytest.raises(DcosError, match=r"Property 'core.dcos_ur' doesn't exist; did you mean core.dcos_url\?"):
        settings.without(found, "core.dcos_ur")
