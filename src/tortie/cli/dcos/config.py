"""`dcos config`: the properties of the configuration file."""

from __future__ import annotations

from tortie.cli.dcos import files, settings
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.grammar import Command, Line, Verb
from tortie.cli.dcos.session import Session, say, tell

COMMAND = Command(
    "config",
    (
        Verb("set", "<name> <value>", "config:set_", "Add or set a property."),
        Verb("show", "[<name>]", "config:show", "Print all properties, or the value of one."),
        Verb("unset", "<name>", "config:unset", "Remove a property."),
        Verb("validate", "", "config:validate", "Check the configuration file."),
    ),
    arguments={
        "<name>": f"The name of the property: {', '.join(settings.KEYS)}.",
        "<value>": "The value of the property. A variable wins over the file: DCOS_FOO over core.foo, DCOS_FOO_BAR over"
        " foo.bar, DCOS_URL over core.dcos_url.",
    },
    examples=("dcos config set core.dcos_url http://master.example", "dcos config show core.dcos_url"),
)
MOVED = (
    "This config property is being deprecated. To setup the CLI to talk to your cluster, please run `dcos cluster "
    "setup <dcos_url>`."
)


def set_(session: Session, line: Line) -> int:
    """A new address beside configured clusters is one more cluster; in a plain file it is a property like others."""
    name, text = line.need("<name>"), line.need("<value>")
    if name == settings.URL and not session.environ.get("DCOS_CONFIG") and files.clusters(session.environ):
        from tortie.cli.dcos.login import Login
        from tortie.cli.dcos.setup import setup

        tell(MOVED)
        return setup(session, str(settings.typed(name, text)), Login())
    changed, said = settings.change(session.settings, name, settings.typed(name, text))
    session.save(changed)
    tell(said)
    return 0


def unset(session: Session, line: Line) -> int:
    changed, said = settings.without(session.settings, line.need("<name>"))
    session.save(changed)
    tell(said)
    return 0


def show(session: Session, line: Line) -> int:
    found, name = session.settings, line.word("<name>")
    if name is None:
        for one, in_file in settings.properties(found):
            in_force, variable = settings.effective(found, session.environ, one)
            say(settings.shown(one, in_file, in_force, variable, named=True))
        return 0
    if name in found:
        raise DcosError(settings.choices(found, name))
    in_force, variable = settings.effective(found, session.environ, name)
    if in_force is None:
        raise DcosError(f"Property '{name}' doesn't exist")
    say(settings.shown(name, settings.stored(found, name), in_force, variable, named=False))
    return 0


def validate(session: Session, line: Line) -> int:
    say(f"Validating {files.path(session.environ)} ...")
    if found := settings.problems(session.settings):
        raise DcosError("\n\n".join(found))
    say("Congratulations, your configuration is valid!")
    return 0
