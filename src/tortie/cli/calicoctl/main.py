"""`calicoctl`: picks the grammar of an era and runs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence

from tortie.base.errors import Invalid, NoNetworkStore
from tortie.base.quick import import_msgspec
from tortie.base.sources import Sources
from tortie.cli.calicoctl import choose
from tortie.cli.calicoctl.choose import Choice


def main(grammar: str | None = None) -> None:
    """`grammar` fixes this copy to one grammar, whatever the variables and the program's name say."""
    import_msgspec()
    sys.exit(run(sys.argv[0], sys.argv[1:], os.environ, grammar))


def run(program: str, arguments: Sequence[str], environ: Mapping[str, str], grammar: str | None = None) -> int:
    """The exit code; what there is to say has been printed."""
    sources = Sources()
    try:
        tell = False
        choice = Choice(grammar, "") if grammar else choose.fixed(program, environ.get("CALICOCTL_GRAMMAR"))
        if choice is None:
            choice = _choose(arguments, sources)
            tell = bool(choice.why) and sys.stderr.isatty()
    except Invalid as error:
        print(f"calicoctl: {error}", file=sys.stderr)
        return 1
    if tell and not choice.typed and _new_here(choice.grammar, environ):
        tell = _tell(choice)
    try:
        code = _grammar(choice.grammar)(arguments, environ, sources)
        sys.stdout.flush()
    except NoNetworkStore as error:
        first, *rest = str(error).splitlines()
        print("\n".join([f"calicoctl: {first}", *rest]), file=sys.stderr)
        return 5
    except KeyboardInterrupt:
        print("Aborted command.")
        return 0
    except BrokenPipeError:
        # Who read our output has gone; keep the interpreter from telling again while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if code and tell:  # perhaps another was meant
        _tell(choice)
    return code


def _tell(choice: Choice) -> bool:
    """A person, which grammar it is and why. False: it need not be told again."""
    print(f"calicoctl: grammar {choice.grammar}, from {choice.why}", file=sys.stderr)
    return False


def _new_here(grammar: str, environ: Mapping[str, str]) -> bool:
    """Whether nobody has been told on this terminal since it was opened; noted for the next time. True where nothing
    can be noted."""
    try:
        terminal = os.fstat(sys.stderr.fileno())
        folder = environ.get("XDG_RUNTIME_DIR") or ("/run" if os.geteuid() == 0 else f"/run/user/{os.geteuid()}")
        path, text = f"{folder}/calicoctl-grammar-{terminal.st_rdev:x}", f"{terminal.st_ctime_ns} {grammar}"
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                if file.read() == text:
                    return False
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except (OSError, UnicodeDecodeError):
        pass
    return True


def _choose(arguments: Sequence[str], sources: Sources) -> Choice:
    """Nothing is read that an earlier step made needless. A file that cannot be read is left to the command."""
    if choice := choose.by_words(arguments):
        return choice
    files = _values(arguments, "-f", "--filename")
    try:
        texts = [text for name in files for text in sources.texts(name)]
    except Invalid:
        texts = []
    if choice := choose.by_files(texts):
        return choice
    from tortie.cli.calicoctl import configuration

    try:
        text = configuration.file_text(next(iter(_values(arguments, "-c", "--config")), None))
    except Invalid:
        text = None
    return choose.by_configuration(text) or Choice(choose.DEFAULT, "")


def _values(arguments: Sequence[str], short: str, long: str) -> list[str]:
    found: list[str] = []
    for position, word in enumerate(arguments):
        if word in (short, long):
            found += arguments[position + 1 : position + 2]
        elif word.startswith(f"{long}=") or (word.startswith(short) and not word.startswith("--")):
            found.append(word.partition("=")[2] if "=" in word else word.removeprefix(short))
    return found


def _grammar(wanted: str) -> Callable[[Sequence[str], Mapping[str, str], Sources], int]:
    if wanted == "0.19":
        from tortie.cli.calicoctl.era019.main import run as run019

        return lambda arguments, environ, _sources: run019(arguments, environ)
    if wanted == "1.3":
        from tortie.cli.calicoctl.era13.main import run as run13

        return run13
    from tortie.cli.calicoctl.era3.main import run as run3

    return run3


if __name__ == "__main__":
    main()
