"""The house style: contrast of every text colour, and nothing from another host."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

CSS = files("tortie.web").joinpath("static/tortie.css").read_text()
TEXT = ["text", "accent", "good", "bad", "soft"]


def tokens(theme: str) -> dict[str, str]:
    light = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", CSS[: CSS.index("@media")]))
    dark = CSS[CSS.index("@media (prefers-color-scheme: dark)") :]
    over = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", dark[: dark.index("\n}\n")]))
    return light if theme == "light" else {**light, **over}


def luminance(colour: str) -> float:
    def linear(part: str) -> float:
        value = int(part, 16) / 255
        return float(value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4)

    red, green, blue = (linear(colour[i : i + 2]) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["ground", "surface"])
@pytest.mark.parametrize("name", TEXT)
def test_text_stands_out(theme: str, ground: str, name: str) -> None:
    have = tokens(theme)
    assert contrast(have[name], have[ground]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_waiting_text_stands_out_on_its_fill(theme: str) -> None:
    have = tokens(theme)
    assert contrast(have["on-wait"], have["wait"]) >= 4.5


@pytest.mark.parametrize(("package", "folder"), [("tortie.web", "static"), ("tortie.stars", "assets")])
def test_no_file_names_another_host(package: str, folder: str) -> None:
    for file in files(package).joinpath(folder).iterdir():
        found = re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+", file.read_text())
        assert [host for host in found if "w3.org" not in host] == [], file.name
