"""What the README tells people to type exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.pages import commands, fault

from tortie.cli.main import COMMANDS
from tortie.lab.daemons import plan_of
from tortie.lab.documents import DOCUMENTS, check_options

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_every_command_of_tortie_in_the_readme_exists() -> None:
    typed = set(re.findall(r"\btortie ([a-z]+)", README)) - {"is"}
    assert len(typed) > 5
    assert typed <= COMMANDS.keys()


def test_the_lines_to_type_parse() -> None:
    lines = "".join(re.findall(r"^```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)).splitlines()
    typed = [words for line in lines for words in commands(line.partition(" # ")[0]) if words[0] in ("tortie", "dcos")]
    assert len(typed) > 3
    for words in typed:
        assert fault(words) == "", words


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: page.stem
)
def test_every_link_and_picture_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


def test_every_address_in_the_readme_is_a_host_of_the_lab() -> None:
    plain: dict[str, Any] = {"agents": None, "store": "sqlite", "routing": "direct", "runtime": "docker"}
    labs = [plan_of("t", check_options(name, **plain)) for name in DOCUMENTS]
    addresses = {host.address for lab in labs for host in lab.hosts}
    assert set(re.findall(r"172\.24\.197\.\d+", README)) <= addresses


def test_every_make_target_in_the_readme_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)`", README)) <= targets
