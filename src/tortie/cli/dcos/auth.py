"""`dcos auth`: who one is to the cluster."""

from __future__ import annotations

from tortie.cli.dcos import login, settings
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.grammar import Command, Line, Verb
from tortie.cli.dcos.session import Session, say, show
from tortie.cli.dcos.table import table

COMMAND = Command(
    "auth",
    (
        Verb("list-providers", "[--json]", "auth:list_providers", "List the ways to log in that the cluster offers."),
        Verb("login", login.PATTERN, "auth:login_", "Log in to the cluster."),
        Verb("logout", "", "auth:logout", "Forget the token."),
    ),
    {**login.OPTIONS, "--json": "Print JSON-formatted data."},
    examples=("dcos auth login", "dcos auth login --username=me --password-env=MINE"),
)


def list_providers(session: Session, line: Line) -> int:
    found = login.providers(session.http, session.dcos_url)
    if line.has("--json"):
        show(found)
    elif not found:
        raise DcosError("No providers configured for your cluster")
    else:
        rows = [(name, login.kind_of_provider(about)) for name, about in sorted(found.items())]
        say(table(("PROVIDER ID", "AUTHENTICATION TYPE"), rows, left=("PROVIDER ID", "AUTHENTICATION TYPE")))
    return 0


def login_(session: Session, line: Line) -> int:
    wanted = login.of_line(line, session.environ)
    url = session.value(settings.URL)
    if url is None:
        raise DcosError("Please provide the url to your DC/OS cluster: `dcos config set core.dcos_url`")
    _forget(session)
    found = login.token(session.http_of(url, None), url, wanted)
    if found is not None:
        session.save(settings.change(session.settings, settings.TOKEN, found)[0])
    say("Login successful!")
    return 0


def logout(session: Session, line: Line) -> int:
    _forget(session)
    return 0


def _forget(session: Session) -> None:
    if settings.stored(session.settings, settings.TOKEN) is not None:
        session.save(settings.without(session.settings, settings.TOKEN)[0])
