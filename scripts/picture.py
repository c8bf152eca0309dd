"""Makes docs/images/stars.png: the Stars page of a running lab, as a browser draws it.

.venv/bin/tortie up stars && .venv/bin/python scripts/picture.py [LAB]
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

CHECKOUT = Path(__file__).resolve().parents[1]
PICTURE = CHECKOUT / "docs/images/stars.png"
SIZE = {"width": 1200, "height": 690}
DRAWN = "window.stars && window.stars.edges().filter(edge => edge.reachable).length === 2"


def address(lab: str) -> str:
    """Of the Stars page on this machine."""
    command = [Path(sys.executable).parent / "tortie", "status", "--name", lab, "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if not ran.stdout:
        sys.exit(ran.stderr)
    return str(next(page["url"] for page in json.loads(ran.stdout)["pages"] if page["name"] == "stars"))


def main(lab: str = "default") -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        page = browser.new_page(viewport=SIZE, color_scheme="light", reduced_motion="reduce")
        page.goto(address(lab))
        page.wait_for_function(DRAWN, timeout=60_000)
        page.screenshot(path=PICTURE)
        browser.close()
    print(PICTURE.relative_to(CHECKOUT))


if __name__ == "__main__":
    main(*sys.argv[1:2])
