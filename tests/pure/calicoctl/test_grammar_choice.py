"""Which grammar a command line is in: issue 4, Build 7, in its order."""

from __future__ import annotations

import pytest

from tortie.base.errors import Invalid
from tortie.cli.calicoctl import choose


@pytest.mark.parametrize(
    ("program", "asked", "grammar"),
    [
        ("/usr/bin/calicoctl", None, None),
        ("./calicoctl-v0.19.0", None, "0.19"),
        ("/opt/calicoctl-1.3", None, "1.3"),
        ("calicoctl_v3.26.1", None, "3"),
        ("calicoctl", "3", "3"),
        ("calicoctl-v0.19.0", "1.3", "1.3"),
        ("calicoctl", "3.x", "3"),
    ],
)
def test_a_copy_is_fixed_by_variable_or_name(program: str, asked: str | None, grammar: str | None) -> None:
    found = choose.fixed(program, asked)
    assert (found and found.grammar) == grammar


@pytest.mark.parametrize("asked", ["2", "v1", "four", "1.3.0.0", "0.19;", " 3"])
def test_only_known_grammars_can_be_asked_for(asked: str) -> None:
    if asked in ("2", "v1"):
        found = choose.fixed("calicoctl", asked)
        assert found is not None
        assert found.grammar == "1.3"
        return
    with pytest.raises(Invalid, match="no such grammar"):
        choose.fixed("calicoctl", asked)


@pytest.mark.parametrize(
    ("line", "grammar"),
    [
        ("profile web rule show", "0.19"),
        ("pool show", "0.19"),
        ("ipam info 10.0.0.1", "0.19"),
        ("ipam release 10.0.0.1", "0.19"),
        ("node --ip=10.0.0.1 --libnetwork", "0.19"),
        ("config felix loglevel", "0.19"),
        ("config set asNumber 5", "1.3"),
        ("get wep --orchestrator=cni", "1.3"),
        ("patch node x -p {}", "3"),
        ("get gnp", "3"),
        ("get policy -A", "3"),
        ("ipam show --show-blocks", "3"),
        ("ipam release --ip=10.0.0.1", None),
        ("get profiles", None),
        ("create -f x.yaml", None),
        ("version", None),
        ("", None),
    ],
)
def test_words_that_only_one_grammar_has(line: str, grammar: str | None) -> None:
    found = choose.by_words(line.split())
    assert (found and found.grammar) == grammar


def test_files_speak_for_one_grammar() -> None:
    v1, v3 = (
        ("a.yaml", "apiVersion: v1\nkind: policy\n"),
        ("b.json", '{"kind": "Tier", "apiVersion":"projectcalico.org/v3"}'),
    )
    for files, grammar in (([v1], "1.3"), ([v3], "3"), ([("c", "- apiVersion: v1\n  kind: profile\n")], "1.3")):
        found = choose.by_files(files)
        assert found is not None
        assert found.grammar == grammar
    assert choose.by_files([("d", "hello")]) is None
    with pytest.raises(Invalid, match=r"cannot be mixed: v1 in a\.yaml, projectcalico\.org/v3 in b\.json"):
        choose.by_files([v1, v3])


def test_the_kind_of_the_configuration_file() -> None:
    for text, grammar in (("kind: calicoApiConfig\n", "1.3"), ('{"kind": "CalicoAPIConfig"}', "3")):
        found = choose.by_configuration(text)
        assert found is not None
        assert found.grammar == grammar
    assert choose.by_configuration(None) is None
    assert choose.by_configuration("kind: Other") is None
