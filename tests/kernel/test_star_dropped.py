"""star-probe where packets really vanish: a drop in the kernel, and a name server that never answers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.waiting import PATIENCE, wait_until

pytestmark = [pytest.mark.root]
SOURCE = Path(__file__).parents[2] / "src"
LAUNCH = "import sys; sys.path.insert(0, {source!r}); from tortie.stars.probe import main; main()"


class Space:
    """A network namespace with only its loopback, and programs in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._programs: list[subprocess.Popen[bytes]] = []
        subprocess.run(["ip", "netns", "add", name], check=True)
        self.run("ip", "link", "set", "lo", "up")

    def command(self, *words: str) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.name}", *words]

    def run(self, *words: str) -> str:
        return subprocess.run(self.command(*words), check=True, capture_output=True, text=True, timeout=PATIENCE).stdout

    def probe(self, port: int, urls: str, resolver: Path) -> None:
        """A probe with a period of one second and a resolver file of its own."""
        python = ["/usr/bin/python3", "-IS", "-c", LAUNCH.format(source=os.fspath(SOURCE))]
        flags = [f"--urls={urls}", f"--http-port={port}", "--http-probe-seconds=1"]
        bind = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', os.fspath(resolver)]
        self._programs.append(subprocess.Popen(self.command(*bind, *python, *flags), stdout=subprocess.DEVNULL))

    def target(self, port: int, url: str) -> dict[str, Any]:
        """What the probe at `port` says of `url`; an empty object while the probe is not there yet."""
        done = subprocess.run(
            self.command("curl", "-s", "--max-time", "30", f"http://127.0.0.1:{port}/v1/status"),
            capture_output=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        rows = json.loads(done.stdout)["targets"] if done.stdout else []
        return next((row for row in rows if row["url"] == url), {})

    def close(self) -> None:
        for program in self._programs:
            program.kill()
            program.wait(PATIENCE)
        subprocess.run(["ip", "netns", "del", self.name], check=True)


@pytest.fixture
def space() -> Iterator[Space]:
    made = Space(f"stars-{os.getpid()}")
    yield made
    made.close()


def test_a_drop_and_its_end_are_seen_and_delay_nobody(space: Space, tmp_path: Path) -> None:
    def seen(what: str, url: str, **fields: object) -> None:
        """Until the probe at 9001 says so; one round of a busy machine may miss its second."""
        wait_until(
            lambda: space.target(9001, url).items() >= fields.items(),
            message=lambda: f"{what}: {space.target(9001, url)}",
        )

    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.53\n")
    closed, free = "http://127.0.0.2:9002/status", "http://127.0.0.3:9002/status"
    lost = "http://frontend.example:9002/status"
    space.run("nft", "add table inet t; add chain inet t c { type filter hook input priority 0; }")
    space.run("nft", "add rule inet t c udp dport 53 drop")
    space.probe(9002, "http://127.0.0.1:1/", resolver)
    space.probe(9001, f"{closed},{free},{lost}", resolver)
    seen("open at first", closed, reachable=True)

    space.run("nft", "insert rule inet t c ip daddr 127.0.0.2 tcp dport 9002 drop")
    seen("the drop", closed, reachable=False, error="timeout")
    seen("no other drop", free, reachable=True)
    seen("the name server's silence", lost, probed=True, error="dns")
    seen("what goes on beside it", free, reachable=True)

    space.run("nft", "flush chain inet t c")
    seen("the end of the drop", closed, reachable=True)
