"""`tortie whatif`: who would gain or lose what, before anything is applied."""

from __future__ import annotations

import sys

import click

from tortie.base.errors import Invalid
from tortie.base.sources import Sources
from tortie.cli.questions import files_option, lab_option, load, show, stand_ins, stored
from tortie.cli.screen import Command, json_option


@click.command(
    cls=Command,
    examples=[
        ("tortie whatif -f change.yaml", "against the store"),
        ("tortie whatif -f change.yaml --base policy/", "against files"),
        ("tortie whatif --remove old.yaml", "what its removal would do"),
    ],
)
@files_option
@click.option("--base", "bases", multiple=True, metavar="FILE", help="Compare with these files, not with the store.")
@click.option("--remove", "removed", multiple=True, metavar="FILE", help="Resources that are taken away.")
@lab_option
@json_option
def whatif(
    files: tuple[str, ...], bases: tuple[str, ...], removed: tuple[str, ...], name: str | None, as_json: bool
) -> None:
    """Show who would gain and who would lose what if the resources in FILE were applied; nothing is applied.

    Exact for every protocol and port, endpoints and everybody outside. Assertions in the files, and in those of --base,
    are checked on what would be.

    Exit code 0: no change; 3: changes; 4: an assertion would be broken, or the files conflict with what is there;
    2: a mistake; 5: the store does not answer.
    """
    if not files and not removed:
        raise Invalid("whatif needs -f FILE: what would be applied\ntype: tortie whatif -f change.yaml")
    from tortie.policy import tables
    from tortie.policy.assertions import check
    from tortie.policy.path import Way
    from tortie.policy.reading import Reader, Stored, assertions_of, laid_over, still_unread, taken_out, world_of
    from tortie.policy.whatif import changes

    reader, sources = Reader(), Sources()
    loaded, gone, base = (load(reader, sources, names) for names in (files, removed, bases))
    there = Stored(base.resources) if bases else stored(name)
    would = laid_over(taken_out(there.resources, gone), loaded)
    written = (*loaded.resources.values(), *gone.resources.values())
    before = world_of(there.resources.values(), there.unread)
    after = world_of(would.values(), still_unread(there.unread, written))
    stand_ins(reader)
    found = changes(before, after)
    assertions = assertions_of(base, loaded)
    broken = check(after, assertions)
    ways = (Way(before), Way(after))
    if as_json:
        import json

        said = {
            "changes": tables.change_data(found, ways),
            "assertions": {"checked": len(assertions), "broken": tables.broken_data(broken)},
        }
        click.echo(json.dumps(said))
    else:
        show(tables.change_lines(found, ways))
        if assertions:
            held = len(assertions) - len({id(item.assertion) for item in broken})
            show(["", f"{held} of {len(assertions)} assertions hold", *tables.broken_lines(broken)])
    sys.exit(4 if broken else 3 if found.items else 0)
