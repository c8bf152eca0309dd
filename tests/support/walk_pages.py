"""A page about a walk-through beside what the walk has typed."""

from __future__ import annotations

import re

from tests.support.pages import blocks
from tests.support.waiting import wait_until
from tortie.lab.api import Lab

NAMED = ((r"tester2\.[0-9a-f-]{36}", "${TESTER2ID}"), (r"--mesos-id=\S+", "--mesos-id=ID"))
"""What a page cannot know, and how it writes that."""


def typed(said: str) -> set[tuple[str, str]]:
    """The lines that a walk shows as typed, by their hosts. Those of a shell that it opened there belong to no host."""
    for pattern, name in NAMED:
        said = re.sub(pattern, lambda _found, name=name: name, said)  # type: ignore[misc]
    found = set[tuple[str, str]]()
    for line in said.splitlines():
        shown = re.fullmatch(r"  ([a-z0-9-]+)# (.*?)( <<'END')?", line)
        found.add((shown[1], shown[2]) if shown else ("", line.strip()))
    return found


def untyped(document: str, said: str) -> list[str]:
    """Lines of the page, without those that people type only `then`, that the walk has not typed on the page's host."""
    done = typed(said)
    page = [block for block in blocks(f"walkthroughs/{document}.md") if block.on and "then" not in block.words]
    assert page, "a page without a line to type"
    return [
        f"{block.on}# {line}" for block in page for line in block.lines if not {(block.on, line), ("", line)} & done
    ]


def type_then(document: str, lab: Lab) -> None:
    """What people type at the end, to look: each line comes to end with 0 and to print something."""
    for block in blocks(f"walkthroughs/{document}.md"):
        for line in block.lines if block.on and "then" in block.words else ():
            said: list[object] = []

            def answers(host: str = block.on, line: str = line, said: list[object] = said) -> bool:
                ran = lab.host(host).run(["bash", "-c", line])
                said[:] = line, ran.returncode, ran.stdout, ran.stderr
                return ran.returncode == 0 and ran.stdout != ""

            wait_until(answers, message=lambda said=said: said)  # type: ignore[misc]
