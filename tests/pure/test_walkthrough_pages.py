"""The pages about the walk-throughs: each document has one, what they tell people to type on this machine parses."""

from __future__ import annotations

import re

import pytest
from tests.support.pages import DOCS, blocks, commands, fault

from tortie.lab.documents import DOCUMENTS
from tortie.lab.walks.story import open_story


def test_every_document_has_its_page_and_its_picture() -> None:
    assert {page.stem for page in (DOCS / "walkthroughs").glob("*.md")} == set(DOCUMENTS)
    for name in DOCUMENTS:
        assert (DOCS / f"images/{name}.png").stat().st_size < 200_000


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_typed_on_this_machine_parses_and_names_steps_and_hosts_of_the_document(name: str) -> None:
    story = open_story(name)
    lines = [
        line
        for block in blocks(f"walkthroughs/{name}.md")
        if block.kind == "sh" and not block.on
        for line in block.lines
    ]
    assert len(lines) > 2
    for line in lines:
        (words,) = commands(line)
        assert fault(words) == "", line
        for step in re.findall(r"--(?:until|check) (\S+)", line):
            assert step == "0" or story.index(step) >= 0


def test_what_does_not_parse_is_told() -> None:
    for words in (["tortie", "walk", "stars", "--hear"], ["tortie", "node", "install-cnu"], ["dcos", "node", "shh"]):
        assert fault(words)
    assert fault(["nft", "list", "--jsoon"])
    assert not fault(["tortie", "walk", "stars", "--here"])
