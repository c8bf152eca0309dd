"""What pages of docs/ tell people to type: their fenced blocks, and whether a line is one that a program takes."""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import click

from tests.support.waiting import PATIENCE
from tortie.cli.dcos import grammar
from tortie.cli.dcos.commands import command as dcos_command
from tortie.cli.main import tortie

DOCS = Path(__file__).parents[2] / "docs"


class Block(NamedTuple):
    """`kind`: the language; `on`: the host it is typed on; `file`: the file that it is; `after`: what has to run
    before; `words`: what else is said."""

    kind: str
    on: str
    file: str
    after: str
    words: frozenset[str]
    text: str

    @property
    def lines(self) -> list[str]:
        """The commands, without comments and with continued lines joined."""
        joined = self.text.replace("\\\n", " ")
        bare = (re.sub(r"(^|\s)# .*$", "", line).strip() for line in joined.splitlines())
        return [line for line in bare if line]


def blocks(page: str) -> list[Block]:
    """The fenced blocks of docs/PAGE that say their language, in order."""
    found = []
    for match in re.finditer(r"^```(\w+)([^\n]*)\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL):
        said = dict(word.partition("=")[::2] for word in match[2].split())
        words = frozenset(word for word, value in said.items() if not value)
        found.append(Block(match[1], said.get("on", ""), said.get("file", ""), said.get("after", ""), words, match[3]))
    return found


def commands(line: str) -> list[list[str]]:
    """The simple commands of a shell line, each as its words, without what goes to or comes from files."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    skip = False
    for word in lexer:
        if skip or set(word) <= set("<>"):
            skip = not skip
        elif set(word) <= set("();|&"):
            found.append([])
        else:
            found[-1].append(word)
    return [words for words in found if words]


def fault(words: list[str]) -> str:
    """Why this command line is not one that its program takes; nothing when it is. Nothing is run but `--help`."""
    first, *rest = words[1:] if words[0] == "sudo" else words
    name = first.rpartition("/")[2]
    if name == "tortie":
        return _fault_of_ours(tortie, rest)
    if name == "dcos":
        return _fault_of_dcos(rest)
    return _fault_by_help(name, rest)


def _fault_of_ours(command: click.Command, arguments: list[str]) -> str:
    try:
        with _context(command) as context:
            _parse(command, context, arguments)
    except click.UsageError as error:
        return error.format_message()
    return ""


def _context(command: click.Command, parent: click.Context | None = None) -> click.Context:
    how: dict[str, Any] = {**command.context_settings, "resilient_parsing": True}
    return click.Context(command, parent=parent, info_name=command.name, **how)


def _parse(command: click.Command, context: click.Context, arguments: list[str]) -> None:
    """As click does it, but nothing is called: types and required options are looked at, too."""
    given, left, _ = command.make_parser(context).parse_args(list(arguments))
    for parameter in command.get_params(context):
        value = given.get(parameter.name or "")
        if isinstance(value, (str, list, tuple)) and value:
            parameter.type_cast_value(context, value)
        elif parameter.required and not value:
            raise click.MissingParameter(ctx=context, param=parameter)
    if isinstance(command, click.Group):
        if not left:
            raise click.UsageError(f"{command.name}: no command")
        _, found, rest = command.resolve_command(context, left)
        if found is None:
            raise click.UsageError(f"{command.name}: no command {left[0]}")
        with _context(found, context) as inner:
            _parse(found, inner, rest)
    elif left:
        raise click.UsageError(f"{command.name}: unexpected {' '.join(left)}")


def _fault_of_dcos(arguments: list[str]) -> str:
    name, *rest = arguments
    try:
        grammar.line(dcos_command(name), rest)
    except Exception as error:  # noqa: BLE001 - whatever it says is what is wrong
        return str(error) or repr(error)
    return ""


def _fault_by_help(name: str, arguments: list[str]) -> str:
    """The words before the first option or value are looked for as commands, options in the help of the last one."""
    path: list[str] = []
    for word in arguments:
        if word.startswith("-") or not _has(help_of(name, *path), word):
            break
        path.append(word)
    said = help_of(name, *path)
    missing = [word for word in arguments if word.startswith("-") and not _has_option(said, word.partition("=")[0])]
    return f"{name} {' '.join(path)} --help has no {', '.join(missing)}" if missing else ""


def _has_option(said: str, option: str) -> bool:
    """Letters may stand together: `-rf`."""
    letters = "" if option.startswith("--") else option[1:]
    return _has(said, option) or (bool(letters) and all(_has(said, f"-{letter}") for letter in letters))


def _has(said: str, word: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", said) is not None


def program(name: str) -> str | None:
    """Where it is: ours and pip beside this interpreter, others on the path."""
    own = Path(sys.executable).with_name(name)
    return str(own) if own.exists() else shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@functools.cache
def help_of(name: str, *words: str) -> str:
    """What `NAME WORDS --help` prints, wherever it does."""
    found = program(name)
    assert found, f"this machine has no {name}"
    ran = subprocess.run(
        [found, *words, "--help"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env={**os.environ, "LC_ALL": "C"},
    )
    return ran.stdout + ran.stderr
