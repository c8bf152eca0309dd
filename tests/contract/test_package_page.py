"""The page about packages is true: its package is built, signed, checked, put on a web server, and installed."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.marathon_live import marathon
from tests.support.package_service import service, shelf
from tests.support.waiting import PATIENCE

from tortie.packages.sources import Trust

PAGE = (Path(__file__).parents[2] / "docs" / "packages.md").read_text()
FILES = dict(re.findall(r"^```json file=(\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
(SCRIPT,) = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
TORTIE = f"#!/bin/sh\nexec {sys.executable} -c 'from tortie.cli.main import main; main()' \"$@\"\n"


def test_the_package_of_the_page(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    program = tmp_path / "bin" / "tortie"
    program.parent.mkdir()
    program.write_text(TORTIE)
    program.chmod(0o755)
    environ = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    ran = subprocess.run(
        ["sh", "-ec", SCRIPT], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1].startswith("1 packages, serial ")

    async def story() -> None:
        names = ("index.json", "index.json.sig")
        pages = {f"/{name}": (tmp_path / name).read_bytes() for name in names}
        trust = Trust([tmp_path / "signing-key.pub"])
        async with (
            shelf(pages) as web,
            marathon(tmp_path) as live,
            service(tmp_path, live.url, trust=trust) as cosmos,
        ):
            mine = {"name": "Mine", "uri": f"{web.url}/index.json"}
            assert (await cosmos.ask("/package/repository/add", mine)).status == 200
            options = {"greeter": {"loud": True}}
            said = await cosmos.ask("/package/install", {"packageName": "greeter", "options": options})
            assert (said.status, said.body["postInstallNotes"]) == (200, "It is starting.")
            app = (await live.call("GET", "/v2/apps/greeter")).body["app"]
            assert "echo GOOD DAY;" in app["cmd"]

    asyncio.run(story())
