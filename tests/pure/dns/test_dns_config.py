"""The original's configuration file: what it means, and every problem in it at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tortie.base.errors import Invalid
from tortie.dns.config import parse, split_address


def config(**keys: Any) -> Any:
    return parse(json.dumps({"masters": ["172.24.197.101:5050"]} | keys), "config.json")


def test_keys_are_read_without_regard_to_case_and_unknown_ones_pass() -> None:
    found = config(REFRESHseconds=5, dnsOn=True, ns="ns1", email="root.mesos", resolvers=["10.0.0.1", "10.0.0.2:5353"])
    assert found.refresh_seconds == 5
    assert found.resolvers == ("10.0.0.1:53", "10.0.0.2:5353")
    assert found.ip_sources == ("netinfo", "mesos", "host")


def test_the_domain_shapes_the_names_of_the_soa() -> None:
    found = config(domain="Cluster.Local", SOARname="root@example.org")
    assert (found.domain, found.soa_mname, found.soa_rname) == (
        "cluster.local",
        "ns1.cluster.local",
        "root.example.org",
    )


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"masters": []}, "masters: name at least one"),
        ({"masters": [], "zk": "zk://a:2181/mesos"}, "zk alone is not supported"),
        ({"masters": ["nowhere"]}, "not HOST:PORT"),
        ({"masters": ["a:0"]}, "no port between"),
        ({"masters": ["a:5050", "a:5050"]}, "there twice"),
        ({"port": 70000}, "port: 70000"),
        ({"port": "53"}, "not a whole number"),
        ({"ttl": 0}, "ttl: 0"),
        ({"listener": "here"}, "listener"),
        ({"domain": "a..b"}, "domain"),
        ({"IPSources": []}, "at least one source"),
        ({"IPSources": ["netinfo", "magic"]}, "'magic' is none of"),
        ({"IPSources": ["host", "host"]}, "there twice"),
        ({"resolvers": ["dns.example"]}, "resolvers"),
        ({"dnsOn": False, "httpOn": False}, "nothing to do"),
        ({"externalOn": "yes"}, "not true or false"),
        ({"zoneResolvers": {"a.mesos": ["10.0.0.1"]}}, "answers for mesos itself"),
        ({"zoneResolvers": {"corp": []}}, "at least one item"),
        ({"resolvers": ["10.0.0.1", "10.0.0.1:53"]}, "there twice"),
        ({"zoneResolvers": {"corp": ["10.0.0.1"], "lab.corp": ["10.0.0.2"]}}, "one zone hides another"),
        ({"mesosHTTPSOn": True, "CertFile": "/c"}, "one does not go without the other"),
        ({"CACertFile": "/c"}, "go with mesosHTTPSOn"),
        ({"mesosAuthentication": "basic"}, "needs mesosCredentials"),
        ({"mesosAuthentication": "basic", "mesosCredentials": {"principal": "p"}}, "needs mesosCredentials"),
        ({"mesosAuthentication": "basic", "mesosCredentials": {"principal": "p", "secret": 7}}, "mesosCredentials.sec"),
        ({"mesosAuthentication": "kerberos"}, "neither basic nor empty"),
        ({"mesosAuthentication": "iam"}, "IAM is not supported"),
        ({"IAMConfigFile": "/x"}, "IAM is not supported"),
    ],
)
def test_a_bad_value_is_named(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as caught:
        config(**keys)
    assert words in str(caught.value)
    assert str(caught.value).startswith("config.json: ")


def test_all_problems_come_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        config(port=0, ttl="x", IPSources=["a"])
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_file_that_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="JSON"):
        parse(text, "config.json")


def test_the_shown_configuration_holds_no_credentials() -> None:
    made = config(mesosAuthentication="basic", mesosCredentials={"principal": "p", "secret": "s3cret"})
    shown = made.public(7)
    assert made.login.secret == "s3cret"
    assert "s3cret" not in json.dumps(shown) + repr(made)
    assert shown["MesosAuthentication"] == "basic"
    assert shown["SOASerial"] == 7
    assert shown["IPSources"] == ["netinfo", "mesos", "host"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a:1", ("a", 1)), ("a", ("a", 53)), ("[::1]:5", ("::1", 5)), ("::1", ("::1", 53)), ("[::1]", ("::1", 53))],
)
def test_addresses_with_and_without_port(text: str, expected: tuple[str, int]) -> None:
    assert split_address(text, 53) == expected
