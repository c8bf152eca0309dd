"""The patterns of the commands: they are the help, and what lines are read by."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.cli.dcos import grammar
from tortie.cli.dcos.commands import COMMANDS, command
from tortie.cli.dcos.grammar import Choice, Command, Place, Verb, line, parse, wanted
from tortie.cli.options import BadUsage

TASK = command("task")
NODE = command("node")
MARATHON = command("marathon")


def test_a_pattern_is_taken_apart() -> None:
    found = parse("(--leader | --mesos-id=<id>) [--all | --completed] [--field=<f>...] <task> [<cmd>] [<args>...]")
    assert found.places == (Place("<task>", False, False), Place("<cmd>", True, False), Place("<args>", True, True))
    assert found.options == ("--leader", "--mesos-id", "--all", "--completed", "--field")
    assert found.choices == (Choice(("--leader", "--mesos-id"), True), Choice(("--all", "--completed"), False))


@pytest.mark.parametrize(
    ("of", "typed", "verb", "named", "given"),
    [
        (TASK, "", "", {}, ()),
        (TASK, "list", "list", {}, ()),
        (TASK, "tester", "", {"<task>": ("tester",)}, ()),
        (TASK, "--json tester", "", {"<task>": ("tester",)}, ("--json",)),
        (TASK, "log --lines 5 a stderr", "log", {"<task>": ("a",), "<file>": ("stderr",)}, ("--lines",)),
        (TASK, "log a --lines=5", "log", {"<task>": ("a",)}, ("--lines",)),
        (TASK, "exec -it a sh -c -- x", "exec", {"<task>": ("a",), "<cmd>": ("sh",), "<args>": ("-c", "--", "x")}, ()),
        (TASK, "exec a ls --all -t", "exec", {"<task>": ("a",), "<cmd>": ("ls",), "<args>": ("--all", "-t")}, ()),
        (MARATHON, "app version list /a", "app version list", {"<app-id>": ("/a",)}, ()),
        (MARATHON, "app update /a cpus=1 mem=2", "app update", {"<properties>": ("cpus=1", "mem=2")}, ()),
        (NODE, "ssh --leader --option=A=b --option C=d ls -l", "ssh", None, None),
    ],
)
def test_lines(
    of: Command, typed: str, verb: str, named: Mapping[str, tuple[str, ...]] | None, given: tuple[str, ...] | None
) -> None:
    if named is None:
        with pytest.raises(BadUsage, match="unknown option -l"):
            line(of, typed.split())
        return
    found = line(of, typed.split())
    assert found.verb.words == verb
    assert named.items() <= found.named.items()
    if given:
        assert set(given) == set(found.options.given)


def test_options_of_a_session() -> None:
    found = line(TASK, ["exec", "-it", "a", "sh"])
    assert (found.has("--interactive"), found.has("--tty"), found.value("--user")) == (True, True, None)
    assert line(TASK, ["exec", "--user=me", "a", "sh"]).value("--user") == "me"


@pytest.mark.parametrize(
    ("of", "typed", "said"),
    [
        (TASK, "--all --completed", "--all and --completed exclude each other"),
        (TASK, "exec a", "<cmd> is missing"),
        (TASK, "--follow", "--follow is no option of dcos task"),
        (TASK, "log --lines", "--lines needs a value"),
        (TASK, "--jsn", "unknown option --jsn"),
        (TASK, "a b", "dcos task has no 'a'"),
        (TASK, "lgo a b", "did you mean log?"),
        (NODE, "ssh", "one of --leader, --master, --mesos-id, --slave, --private-ip is needed"),
        (NODE, "ssh --leader --mesos-id=S1", "exclude each other"),
        (NODE, "list x", "unexpected word 'x'"),
        (NODE, "list --json=1", "--json takes no value"),
        (MARATHON, "", "dcos marathon: one of about, app, debug, deployment, group, pod, task is missing"),
        (MARATHON, "app version", "dcos marathon app version: one of list is missing"),
        (MARATHON, "app lst", "did you mean app list?"),
        (MARATHON, "app show /a /b", "unexpected word '/b'"),
    ],
)
def test_lines_that_follow_no_pattern(of: Command, typed: str, said: str) -> None:
    with pytest.raises(BadUsage) as caught:
        line(of, typed.split())
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("--help", "--help"),
        ("list -h", "--help"),
        ("--version", "--version"),
        ("--info", "--info"),
        ("exec a ls --help", ""),
        ("exec --help", "--help"),
        ("log --lines --help", ""),
        ("log -- --help", ""),
    ],
)
def test_help_of_another_program_is_not_ours(typed: str, asked: str) -> None:
    assert wanted(TASK, typed.split()) == asked


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_whole(name: str) -> None:
    """What patterns name is described, what is described is in a pattern, and every verb has its function."""
    found = command(name)
    assert found.name == name
    described = {written.partition("=")[0].split()[-1] for written in found.options}
    patterns = [parse(verb.pattern) for verb in found.verbs]
    assert {option for pattern in patterns for option in pattern.options} == described
    places = {place.name for pattern in patterns for place in pattern.places}
    assert set(found.arguments) <= places
    for verb in found.verbs:
        module, _, function = verb.run.partition(":")
        assert callable(getattr(importlib.import_module(f"tortie.cli.dcos.{module}"), function)), verb


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal_and_names_every_verb(name: str) -> None:
    found = command(name)
    text = grammar.help_text(found, COMMANDS[name])
    assert [line for line in text.splitlines() if len(line) > grammar.WIDTH] == []
    assert all(f"dcos {name} {verb.words}".strip() in text for verb in found.verbs)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_lines_of_the_command(name: str) -> None:
    for example in command(name).examples:
        program, first, *rest = example.split()
        assert (program, first) == ("dcos", name)
        assert line(command(name), rest)


def test_wrong_lines_are_answered_with_the_verbs_that_are_near() -> None:
    near = grammar.usage(MARATHON, "group")
    assert "dcos marathon group add" in near
    assert "dcos marathon app" not in near
    assert "dcos marathon app add" in grammar.usage(MARATHON, "gruop")


WORDS = st.sampled_from(
    [
        "app",
        "list",
        "exec",
        "log",
        "ssh",
        "task",
        "x",
        "",
        "-",
        "--",
        "-i",
        "-it",
        "-ti",
        "--json",
        "--lines",
        "--lines=",
    ]
    + ["--lines=5", "--option=A=b", "--leader", "--mesos-id", "-q", "--force", "--all", "--completed", "--help", "-h=1"]
)


@given(st.sampled_from(sorted(COMMANDS)), st.lists(WORDS, max_size=7))
def test_every_line_is_read_or_refused(name: str, typed: list[str]) -> None:
    """And what is read has all that its verb needs."""
    found = command(name)
    wanted(found, typed)
    try:
        read = line(found, typed)
    except BadUsage:
        return
    for place in parse(read.verb.pattern).places:
        assert place.optional or read.need(place.name) is not None
    for choice in parse(read.verb.pattern).choices:
        assert sum(map(read.has, choice.options)) in ((1,) if choice.required else (0, 1))


def test_a_verb_of_several_words_wins_over_a_shorter_one() -> None:
    of = Command("x", (Verb("a", "[<w>...]", "m:a", ""), Verb("a b", "", "m:b", "")))
    assert line(of, ["a", "b"]).verb.words == "a b"
    assert line(of, ["a", "c", "b"]).named == {"<w>": ("c", "b")}
