"""What a command's words mean: its verbs with their patterns, the help made of them, and a command line read by them.

A pattern is written as docopt's users know it: `[--all | --completed] [--json] [<task>]`, `(--leader | --mesos-id=<id>)
[<command>...]`. The help shows the same text that lines are read by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tortie.base.meant import meant
from tortie.cli.options import BadUsage, Options, read

WIDTH = 80
COMMON = {
    "-h --help": "Print usage.",
    "--info": "Print a short description of this subcommand.",
    "--version": "Print version information.",
}


class Verb(NamedTuple):
    """`words` behind the command's name; none for the command alone. `run`: `module:function`, called with a Session
    and a Line. `verbatim`: what stands behind the first argument belongs to another program."""

    words: str
    pattern: str
    run: str
    about: str
    verbatim: bool = False


class Command(NamedTuple):
    """`options`: every spelling and, behind `=`, the name of the value (`-i --interactive`, `--lines=<N>`) -> help.
    `examples`: whole command lines, which the help begins with."""

    name: str
    verbs: tuple[Verb, ...]
    options: Mapping[str, str] = {}
    arguments: Mapping[str, str] = {}
    examples: tuple[str, ...] = ()


class Place(NamedTuple):
    name: str
    optional: bool
    many: bool


class Choice(NamedTuple):
    """Options of which at most one may be given; exactly one where it is `required`."""

    options: tuple[str, ...]
    required: bool


class Pattern(NamedTuple):
    places: tuple[Place, ...]
    options: tuple[str, ...]
    choices: tuple[Choice, ...]


class Line(NamedTuple):
    """A command line that follows the pattern of `verb`."""

    verb: Verb
    options: Options
    named: Mapping[str, tuple[str, ...]]

    def has(self, option: str) -> bool:
        return self.options.has(option)

    def value(self, option: str) -> str | None:
        """Of an option; None where it was not given."""
        return self.options.value(option) if self.options.has(option) else None

    def word(self, name: str) -> str | None:
        """Of an argument such as `<task>`; None where it was not given."""
        found = self.named.get(name)
        return found[0] if found else None

    def need(self, name: str) -> str:
        """Of an argument that the pattern requires."""
        return self.named[name][0]

    def words(self, name: str) -> tuple[str, ...]:
        return self.named.get(name, ())


def parse(pattern: str) -> Pattern:
    for mark in ("[", "]", "(", ")", "|", "..."):
        pattern = pattern.replace(mark, f" {mark} ")
    tokens = pattern.split()
    places: list[Place] = []
    options: list[str] = []
    choices: list[Choice] = []
    group: list[str] = []
    opening = "("
    depth, either = 0, False
    for token, following in zip(tokens, [*tokens[1:], "", ""], strict=False):
        if token in ("[", "("):
            depth += token == "["
            group, opening, either = [], token, False
        elif token in ("]", ")"):
            depth -= token == "]"
            if either:
                choices.append(Choice(tuple(group), opening == "("))
            either = False
        elif token == "|":
            either = True
        elif token == "...":
            continue  # seen with what stands before it
        elif token.startswith("<"):
            places.append(Place(token, depth > 0, following == "..."))
        else:
            group.append(token.partition("=")[0])
            options.append(group[-1])
    return Pattern(tuple(places), tuple(options), tuple(choices))


def verb_of(command: Command, words: Sequence[str]) -> Verb | None:
    """The one with the most words that the line begins with."""
    found = [verb for verb in command.verbs if list(words[: len(verb.words.split())]) == verb.words.split()]
    return max(found, key=lambda verb: len(verb.words.split()), default=None)


def line(command: Command, arguments: Sequence[str]) -> Line:
    """Raises BadUsage, which says what is wrong with the line."""
    flags, values = _spellings({**command.options, **COMMON})

    def another_program(words: Sequence[str]) -> bool:
        verb = verb_of(command, words)
        return verb is not None and verb.verbatim and len(words) > len(verb.words.split())

    options = read(arguments, flags, values, another_program)
    words = options.words
    verb = verb_of(command, words)
    if verb is None or (not verb.words and words and not _takes(verb, len(words))):
        raise BadUsage(_unknown(command, words))
    pattern = parse(verb.pattern)
    for name in options.given:
        if name not in pattern.options:
            raise BadUsage(f"{name} is no option of {_title(command, verb)}")
    for choice in pattern.choices:
        given = [name for name in choice.options if options.has(name)]
        if len(given) > 1:
            raise BadUsage(f"{' and '.join(given)} exclude each other")
        if choice.required and not given:
            raise BadUsage(f"one of {', '.join(choice.options)} is needed")
    return Line(verb, options, _placed(pattern.places, words[len(verb.words.split()) :]))


def wanted(command: Command, arguments: Sequence[str]) -> str:
    """`--help`, `--info` or `--version` when the line asks for one of them; those behind another program's name are
    that program's."""
    asked = {"-h": "--help"} | {name: name for name in ("--help", "--info", "--version")}
    _, values = _spellings(command.options)
    words: list[str] = []
    rest = list(arguments)
    while rest:
        verb = verb_of(command, words)
        if verb is not None and verb.verbatim and len(words) > len(verb.words.split()):
            return ""
        word = rest.pop(0)
        if word in asked:
            return asked[word]
        if word in values:
            del rest[:1]
        elif word == "--":
            return ""
        elif not word.startswith("-"):
            words.append(word)
    return ""


def _spellings(options: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Flags and options with a value: every spelling -> the long name."""
    flags: dict[str, str] = {}
    values: dict[str, str] = {}
    for written in options:
        names, equals, _ = written.partition("=")
        (values if equals else flags).update((name, names.split()[-1]) for name in names.split())
    return flags, values


def _takes(verb: Verb, count: int) -> bool:
    places = parse(verb.pattern).places
    return count <= len(places) or any(place.many for place in places)


def _placed(places: Sequence[Place], words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    rest = list(words)
    named: dict[str, tuple[str, ...]] = {}
    for place in places:
        if not rest and not place.optional:
            raise BadUsage(f"{place.name} is missing")
        taken, rest = (rest, []) if place.many else (rest[:1], rest[1:])
        if taken:
            named[place.name] = tuple(taken)
    if rest:
        raise BadUsage(f"unexpected word {rest[0]!r}")
    return named


def _unknown(command: Command, words: Sequence[str]) -> str:
    verbs = [verb.words.split() for verb in command.verbs if verb.words]
    if begun := {verb[len(words)] for verb in verbs if verb[: len(words)] == list(words)}:
        return f"dcos {' '.join([command.name, *words])}: one of {', '.join(sorted(begun))} is missing"
    typed = " ".join(words[:2]) if any(verb[0] == words[0] for verb in verbs) else words[0]
    return f"dcos {command.name} has no {typed!r}{meant(typed, map(' '.join, verbs))}"


def _title(command: Command, verb: Verb) -> str:
    return " ".join(["dcos", command.name, *verb.words.split()])


def usage(command: Command, word: str = "") -> str:
    """The lines that a wrong command line is answered with: those of the verbs that begin with `word`, if there are."""
    near = [verb for verb in command.verbs if verb.words.split()[:1] == [word]]
    lines = [] if near else [f"    dcos {command.name} --help | --info | --version"]
    for verb in near or command.verbs:
        lines += _wrapped(f"    {_title(command, verb)}", verb.pattern)
    return "Usage:\n" + "\n".join(lines) + "\n"


def _wrapped(start: str, pattern: str) -> list[str]:
    lines = [start]
    for word in pattern.split():
        if len(lines[-1]) + 1 + len(word) > WIDTH:
            lines.append(" " * min(len(start), 22))
        lines[-1] += f" {word}"
    return lines


def help_text(command: Command, about: str) -> str:
    verbs = {verb.words: verb.about for verb in command.verbs if verb.words}
    alone = next((verb.about for verb in command.verbs if not verb.words), "")
    parts = [
        f"Description:\n    {about}\n" + (f"    Alone: {alone}\n" if alone else ""),
        "Examples:\n" + "".join(f"    {example}\n" for example in command.examples) if command.examples else "",
        usage(command),
        _described("Commands", verbs),
        _described("Options", {**command.options, **COMMON}),
        _described("Positional Arguments", command.arguments),
    ]
    return "\n".join(part for part in parts if part)


def _described(title: str, about: Mapping[str, str]) -> str:
    if not about:
        return ""
    lines = [f"{title}:"]
    for name, text in about.items():
        lines.append(f"    {name.replace(' -', ', -')}")
        lines += _filled(text, 8)
    return "\n".join(lines) + "\n"


def _filled(text: str, indent: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + len(word) < WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(" " * indent + word)
    return lines
