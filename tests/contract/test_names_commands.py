"""Wrong use of `tortie dns` and `tortie lb`: one clear line and the right exit code, before anything is started."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tortie.cli.main import main


def ends(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tortie", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


RESOLVER = ("dns", "run", "--role", "resolver", "--listen", "127.0.0.1")
LB = ("lb", "run", "--group", "external")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("lb", "run"), 2, "--group is needed"),
        ((*LB, "--auto-assign-service-ports=9-5"), 2, "cannot set"),
        ((*LB, "--auto-assign-service-ports=x"), 2, "is not MIN-MAX"),
        ((*LB, "--min-serv-port-ip-per-task", "5"), 2, "either specify both"),
        ((*LB, "--auto-assign-service-ports", "--max-serv-port-ip-per-task", "5"), 2, "say the same"),
        ((*LB, "--marathon", "master:8080"), 2, "is not a URL"),
        ((*LB, "--marathon", "http://a:x"), 2, "is not a URL"),
        ((*LB, "master:8080"), 2, "is not a URL"),
        ((*LB, "--http-port", "0"), 2, "--http-port"),
        ((*LB, "--hard-stop-after", "soon"), 2, "is not a time"),
        ((*LB, "--hard-stop-after", "5m\n  user root"), 2, "is not a time"),
        ((*LB, "--auth-credentials", "nobody"), 2, "is not USER:PASSWORD"),
        ((*LB, "--marathon-ca-cert", "/nowhere/ca.pem"), 2, "no certificates to believe"),
        ((*LB, "--max-reload-retries", "-2"), 2, "--max-reload-retries"),
        (("lb", "sse"), 2, "--group is needed"),
        (("lb", "event"), 2, "event"),
        ((*LB, "--haproxy", "/nowhere/haproxy"), 5, "no such program"),
        ((*LB, "--templates", "/nowhere"), 2, "not a directory"),
        ((*LB, "--ssl-certs", "/nowhere.pem"), 2, "certificate /nowhere.pem: No such file"),
        (("lb", "templates", "NONE"), 3, "no template NONE"),
        (("lb", "zdd", "-m", "http://a", "-l", "http://b"), 2, "--json"),
        (("lb", "zdd", "-m", "a:b", "-l", "http://b", "-j", "x"), 1, "not a URL"),
        (("lb", "zdd", "-m", "http://a", "-l", "http://b", "-j", "/nowhere"), 1, "no such file"),
        (("lb", "zdd", "-m", "http://a", "-l", "http://b", "-j", "/"), 1, "Is a directory"),
        (("lb", "zdd", "-m", "http://a", "-l", "http://b", "-j", "/dev/null"), 1, "JSON"),
        (("lb", "stop", "--work-dir", "/nowhere/lb"), 3, "no haproxy runs there"),
        (("dns", "run"), 2, "--config FILE is needed"),
        (("dns", "run", "--config", "/nowhere/config.json"), 3, "no such file"),
        (("dns", "run", "--config", "/"), 2, "directory"),
        (("dns", "run", "--role", "resolver"), 2, "--listen ADDRESS is needed"),
        (("dns", "run", "--role", "resolver", "--listen", "here"), 2, "here"),
        (("dns", "run", "--role", "resolver", "--listen", "127.0.0.1", "--forward", "mesos"), 2, "ZONE=ADDRESS"),
        (("dns", "run", "--role", "nothing"), 2, "nothing"),
        ((*RESOLVER, "--config", "/etc/hosts"), 2, "--config goes with --role mesos-dns"),
        ((*RESOLVER, "--master", "nowhere"), 2, "--master nowhere"),
        ((*RESOLVER, "--upstream", "dns.example"), 2, "--upstream dns.example"),
        ((*RESOLVER, "--upstream", "127.0.0.1"), 2, "that is this resolver itself"),
        ((*RESOLVER, "--forward", "mesos=127.0.0.1:53"), 2, "that is this resolver itself"),
        ((*RESOLVER, "--forward", "dcos.thisdcos.directory=10.0.0.1"), 2, "answers for that zone itself"),
        ((*RESOLVER, "--forward", "a..b=10.0.0.1"), 2, "is not a domain"),
        ((*RESOLVER, "--cluster-id", "a.b"), 2, "not one label"),
        ((*RESOLVER, "--http", "8123"), 2, "not HOST:PORT"),
        (("dns", "run", "--config", "/etc/hosts", "--master", "a:1"), 2, "go with --role resolver"),
        (("dns", "run", "--role", "resolver", "--listen", "192.0.2.1:5353"), 5, "cannot listen on 192.0.2.1:5353"),
    ],
)
def test_wrong_use(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    words: str,
    tmp_path: Path,
) -> None:
    if arguments[:2] == ("lb", "run"):
        arguments = (*arguments, "--work-dir", str(tmp_path))
    assert ends(monkeypatch, *arguments) == code
    assert words in capsys.readouterr().err


def test_a_template_is_shown_with_its_fields(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(monkeypatch, "lb", "templates", "HAPROXY_FRONTEND_BACKEND_GLUE") == 0
    head, fields, text = capsys.readouterr().out.strip().splitlines()
    assert head == "HAPROXY_FRONTEND_BACKEND_GLUE or label HAPROXY_n_FRONTEND_BACKEND_GLUE"
    assert " backend " in fields
    assert text == "  use_backend {backend}"
    assert ends(monkeypatch, "lb", "templates") == 0
    assert capsys.readouterr().out.count("# fields: ") > 40


def test_every_problem_of_a_configuration_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"port": 0, "IPSources": ["magic"]}')
    assert ends(monkeypatch, "dns", "run", "--config", str(file)) == 2
    said = capsys.readouterr().err
    for words in ("masters", "port: 0", "'magic'"):
        assert words in said


@pytest.mark.parametrize("text", ["often", "0", "-5", "nan", "inf"])
def test_a_poll_interval_that_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    monkeypatch.setenv("POLL_INTERVAL", text)
    assert ends(monkeypatch, "lb", "poll", "--group", "external") == 2
    assert "POLL_INTERVAL" in capsys.readouterr().err
