"""Each label, with the line of the configuration that it makes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.lb_labels import LABELS, TEMPLATE_LABELS, Case

from tortie.lb.labels import PORT_LABELS
from tortie.lb.render import Rendered, Settings, render
from tortie.lb.services import Choice, services
from tortie.lb.templates import TEMPLATES
from tortie.wire.marathon_apps import decode

PORT = 10001


def rendered(app: dict[str, Any], strict: bool = False) -> Rendered:
    apps, problems = decode(json.dumps({"apps": [app]}).encode())
    found, said = services(apps, Choice(groups=("external",), strict=strict), lambda host: host)
    assert not [*problems, *said]
    return render([s for s in found if s.index == 0], Settings(ssl_certs=("/c.pem",)))


def lines(made: Rendered) -> list[str]:
    return [*made.text.splitlines(), *(line for text in made.files.values() for line in text.splitlines())]


@pytest.mark.parametrize("case", [*LABELS, *TEMPLATE_LABELS], ids=lambda case: case.name)
def test_a_label_makes_its_directives(case: Case) -> None:
    port = case.port or PORT
    found = lines(rendered(case.app(PORT), strict=case.strict))
    for text in case.wanted(case.has, port):
        assert [line for line in found if text in line], text
    for text in case.wanted(case.lacks, port):
        assert not [line for line in found if text in line]


def test_every_label_has_a_row() -> None:
    shown = {key for case in LABELS for key in case.labels}
    assert shown >= PORT_LABELS
    assert {case.name[2:] for case in TEMPLATE_LABELS} == {n for n, t in TEMPLATES.items() if t.by_label}
