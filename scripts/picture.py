"""Makes docs/images/DOCUMENT.png: a page of a running lab, as a browser draws it.

.venv/bin/tortie up stars && .venv/bin/python scripts/picture.py stars [LAB]
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

CHECKOUT = Path(__file__).resolve().parents[1]
EDGES = "window.stars && window.stars.edges().filter(edge => edge.reachable).length === {}"
TEXT = "document.body.innerText.includes('{}')"
PICTURES = {
    "stars": ("stars", EDGES.format(2), (1200, 690)),
    "hello": ("door", TEXT.format("marathon-lb"), (1000, 760)),
    "net-modules": ("star-iso", EDGES.format(4), (1000, 612)),
    "environments": ("marathon", TEXT.format("tester2"), (1000, 712)),
}
"""Of each document the page, when it is drawn, and its size."""


def address(lab: str, name: str) -> str:
    """Of a lab's page on this machine."""
    command = [Path(sys.executable).parent / "tortie", "status", "--name", lab, "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if not ran.stdout:
        sys.exit(ran.stderr)
    return str(next(page["url"] for page in json.loads(ran.stdout)["pages"] if page["name"] == name))


def main(document: str = "stars", lab: str = "default") -> None:
    name, drawn, (width, height) = PICTURES[document]
    picture = CHECKOUT / f"docs/images/{document}.png"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme="light", reduced_motion="reduce", bypass_csp=True
        )
        page.goto(address(lab, name))
        page.wait_for_function(drawn, timeout=60_000)
        page.screenshot(path=picture)
        browser.close()
    print(picture.relative_to(CHECKOUT))


if __name__ == "__main__":
    main(*sys.argv[1:3])
