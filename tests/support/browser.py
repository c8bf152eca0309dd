"""The browser in which pages are tried: the distribution's Chromium, or the one that set-up lets Playwright bring."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


def _found() -> str | None:
    here = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    brought = sorted(Path.home().glob(".cache/ms-playwright/chromium-*/chrome-linux*/chrome"))
    return here or (str(brought[-1]) if brought else None)


CHROMIUM = _found()
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip

needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="needs chromium, google-chrome or Playwright's own Chromium"
)
