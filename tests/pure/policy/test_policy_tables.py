"""The matrix of the Stars document from files alone, against the walk-through's own (walkthroughs 3.1); as text."""

from __future__ import annotations

import csv
import io
import random

import pytest
from tests.support.policy_worlds import SERVICES, resources
from tests.support.stars_files import endpoint, files, parties

from tortie.lab.walks.matrix import Seen, wanted
from tortie.lab.walks.stars import PROBES, STAGES
from tortie.policy.classes import Look
from tortie.policy.matrices import Table, table
from tortie.policy.reading import Reader, world_of
from tortie.policy.tables import group_title, table_csv, table_data, table_lines
from tortie.policy.world import Service, World


def stars(step: str, peers: int = 0) -> World:
    return world_of(Reader().read([("stars.yaml", files(step, peers))]).resources.values())


def answers(found: Table) -> dict[tuple[str, str, str], bool]:
    """By the names of two ends and a service."""
    said = {}
    for row in csv.DictReader(io.StringIO(table_csv(found))):
        said[row["from"], row["to"], row["service"]] = row["verdict"] == "allow"
    return said


@pytest.mark.parametrize("step", ["3", "7", "8", "9a", "9b"])
def test_the_matrix_of_the_document(step: str) -> None:
    said = answers(table(stars(step, peers=1), [Service.parse(str(probe)) for probe in PROBES]))
    everybody = parties(peers=1)
    seen = 0
    for name, source in everybody.items():
        for to, destination in everybody.items():
            if name != to and destination.role != "host":
                for probe in PROBES:
                    allowed = wanted(STAGES[step], source, destination, probe) is not Seen.DROPPED
                    assert said[name, to, str(probe)] is allowed, (name, to, str(probe))
                    seen += 1
    assert seen == len(PROBES) * (8 * 7 + 8)


def test_it_looks_like_this() -> None:
    services = [Service.parse(text) for text in ("tcp/9000", "tcp/9001")]
    assert table_lines(table(stars("9b"), services)) == [
        "in each cell: tcp/9000, tcp/9001",
        "A allowed, - denied, . no such pair",
        "",
        "               backend  client  frontend  management-ui  anywhere else",
        "backend        ..       --      --        -A             AA",
        "client         --       ..      AA        -A             AA",
        "frontend       AA       --      ..        -A             AA",
        "management-ui  A-       A-      A-        ..             AA",
        "anywhere else  --       --      --        -A             ..",
    ]


def test_those_that_are_alike_stand_together_with_their_number() -> None:
    found = table(stars("9b", peers=3), [Service.parse("tcp/9000")])
    lines = table_lines(found)
    assert [line.strip().split("  ")[0] for line in lines[4:]] == [
        "1 backend, backend-peer0 +2",
        "2 client, client-peer0 +2",
        "3 frontend, frontend-peer0 +2",
        "4 management-ui, management-ui-peer0 +2",
        "5 anywhere else",
    ]
    assert all("x4" in line for line in lines[4:8])
    assert max(map(len, lines)) <= 80
    assert [group["size"] for group in table_data(found)["groups"]] == [4, 4, 4, 4, 1]


def test_groups_that_rules_tell_apart_but_treat_alike_are_one() -> None:
    """After step 3 with the own-tag rules gone nobody may reach anybody: four profiles, one group."""
    closed = files("3").replace("action: allow, source", "action: deny, source")
    world = world_of(Reader().read([("f", closed)]).resources.values())
    found = table(world, [Service.parse("tcp/80")])
    assert [len(group.ends) for group in found.groups] == [4, 1]
    assert table_lines(found)[3:] == [
        "                        backend, client +2  anywhere else",
        "backend, client +2  x4  -                   A",
        "anywhere else           -                   .",
    ]


def test_many_columns_are_broken_into_parts_of_eighty() -> None:
    texts = []
    for n in range(40):
        rules = f"ingress: [{{action: allow, source: {{tag: t{(n + 1) % 40}}}}}], egress: [{{action: allow}}]"
        texts.append(f"apiVersion: v1\nkind: profile\nmetadata: {{name: p{n}, tags: [t{n}]}}\nspec: {{{rules}}}\n")
        texts.append(endpoint(f"a-long-name-{n}", f"p{n}", f"10.0.0.{n}", "n"))
    world = world_of(Reader().read([("f", "---\n".join(texts))]).resources.values())
    lines = table_lines(table(world, [Service.parse("tcp/1")]))
    assert max(map(len, lines)) <= 80
    heads = [line for line in lines if line.startswith("     ")]
    assert " ".join(heads).split() == [str(n) for n in range(1, 42)]


def test_nobody() -> None:
    empty = table(World(), [Service.parse("tcp/1")])
    assert table_lines(empty) == ["no endpoint: nobody to ask about"]
    assert table_csv(empty) == "from,from_address,to,to_address,service,verdict\n"


@pytest.mark.parametrize("seed", range(12))
def test_the_table_says_what_every_pair_says(seed: int) -> None:
    """Groups are merged twice, by rules and by what they may: no pair's answer is lost."""
    world = world_of(resources(random.Random(seed)).values())
    services = SERVICES[:12]
    found = table(world, services)
    look = Look(world, services)
    pairs = 0
    for i, one in enumerate(found.groups):
        for j, other in enumerate(found.groups):
            for source in one.ends:
                for destination in other.ends:
                    if source == destination or (one.outside and other.outside):
                        continue
                    said = tuple(look.way.ask(source, destination, service).allowed for service in services)
                    assert found.cells[i][j] == said, (group_title(one), group_title(other))
                    pairs += 1
    assert pairs >= 6 * 6
    data = table_data(found)
    for service in map(str, services):
        assert not {tuple(pair) for pair in data["allowed"][service]} & {tuple(p) for p in data["denied"][service]}
