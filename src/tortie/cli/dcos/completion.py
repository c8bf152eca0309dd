"""`dcos completion SHELL`, and the words that a shell asks for while somebody types."""

from __future__ import annotations

from collections.abc import Sequence

from tortie.cli.completing import scripts
from tortie.cli.dcos import grammar
from tortie.cli.dcos.commands import COMMANDS, command
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.grammar import Command, Line, Verb
from tortie.cli.dcos.session import Session, say

COMMAND = Command(
    "completion",
    (
        Verb("", "<shell>", "completion:completion", "Print the script for a shell."),
        Verb("words", "[<word>...]", "completion:words", "What the last word may become.", verbatim=True),
    ),
    arguments={"<shell>": "bash, zsh or fish. In bash: `source <(dcos completion bash)`."},
    examples=("dcos completion bash",),
)


def completion(session: Session, line: Line) -> int:
    known, shell = scripts("dcos"), line.need("<shell>")
    if shell not in known:
        raise DcosError(f"completion of {shell}? bash, zsh or fish")
    print(known[shell], end="")
    return 0


def words(session: Session, line: Line) -> int:
    for word in candidates(line.words("<word>"), session):
        say(word)
    return 0


def candidates(typed: Sequence[str], session: Session) -> list[str]:
    """What the last word may become; nothing that the cluster would have to be asked for when it does not answer."""
    *before, last = _joined(typed) or [""]
    return sorted({word for word in _offered(before, last, session) if word.startswith(last)})


def _joined(typed: Sequence[str]) -> list[str]:
    """bash gives `--option=value` in three parts."""
    found: list[str] = []
    for word in typed:
        if word == "=" and found and found[-1].startswith("--"):
            found[-1] += "="
        elif found and found[-1].startswith("--") and found[-1].endswith("=") and not word.startswith("-"):
            found[-1] += word
        else:
            found.append(word)
    return found


def _offered(before: Sequence[str], last: str, session: Session) -> Sequence[str]:
    if not before:
        return list(COMMANDS)
    if before[0] not in COMMANDS:
        return ()
    found, rest = command(before[0]), list(before[1:])
    options = {written.partition("=")[0].split()[-1]: written.partition("=")[2] for written in found.options}
    option, equals, _ = last.partition("=")
    if equals and option in options:
        return [f"{option}={name}" for name in names(session, options[option])]
    if rest and options.get(rest[-1]):
        return names(session, options[rest[-1]])
    if last.startswith("-"):
        return _options(found, rest, options)
    plain = _words(rest, options)
    verb = grammar.verb_of(found, plain)
    after = plain[len(verb.words.split()) :] if verb else plain
    return [*_verbs(found, plain), *_arguments(session, verb, after)]


def _words(rest: Sequence[str], options: dict[str, str]) -> list[str]:
    """Without the options and their values."""
    found: list[str] = []
    value = False
    for word in rest:
        if not value and not word.startswith("-"):
            found.append(word)
        value = bool(options.get(word))
    return found


def _verbs(found: Command, plain: Sequence[str]) -> list[str]:
    """The next word of every verb that begins like this."""
    split = [verb.words.split() for verb in found.verbs]
    return [words[len(plain)] for words in split if words[: len(plain)] == list(plain) and len(words) > len(plain)]


def _options(found: Command, rest: Sequence[str], options: dict[str, str]) -> list[str]:
    verb = grammar.verb_of(found, _words(rest, options))
    known = grammar.parse(verb.pattern).options if verb else ()
    return [*(f"{name}=" if options.get(name) else name for name in known), "--help"]


def _arguments(session: Session, verb: grammar.Verb | None, given: Sequence[str]) -> Sequence[str]:
    places = grammar.parse(verb.pattern).places if verb else ()
    if not places:
        return ()
    place = places[min(len(given), len(places) - 1)]
    return names(session, place.name) if place.many or len(given) < len(places) else ()


def names(session: Session, kind: str) -> Sequence[str]:
    """The names of that kind that there are now."""
    if kind == "<command>":
        return list(COMMANDS)
    if kind == "<shell>":
        return list(scripts("dcos"))
    from tortie.cli.dcos import names as known

    return known.of_kind(session, kind)
