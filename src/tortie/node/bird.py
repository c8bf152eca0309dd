"""BIRD on this host: its configuration checked before it is taken, its process kept alive, its sessions looked at.

The process is nobody's child: it goes on while the agent is away, and the agent that comes next finds it by its socket.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import time
from pathlib import Path

from tortie.base.errors import Unavailable
from tortie.dataplane.bgp_status import KINDS
from tortie.node.bird_socket import DIRECTORY, NAME, ask

log = logging.getLogger("tortie.node")

SECONDS = 10.0
LEARNED, ROUTE = "show route where source = RTS_BGP", "1007"


class Bird:
    """`directory` has its configuration, its log and the socket at which it answers. `settle` and `stop` block."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self.socket = directory / NAME
        self.log = directory / "bird.log"
        self._config = directory / "bird.conf"
        self._taken: str | None = None

    def alive(self) -> bool:
        """Whether a BIRD answers at our socket."""
        try:
            return bool(ask(self.socket, "show status"))
        except Unavailable:
            return False

    def settle(self, text: str) -> None:
        """A running BIRD with this configuration. Unavailable, with BIRD's own words, when it refuses it: then the last
        good one stays in force."""
        alive = self.alive()
        if alive and text == self._taken:
            return
        program = self._write(text)
        if not alive:
            self._start(program)
            log.info("bird started")
        else:
            said = ask(self.socket, f'configure "{self._config}"')
            if not any(line.startswith(("0003", "0004", "0018")) for line in said):
                raise Unavailable(f"bird does not take its configuration: {' '.join(said)}")
            log.info("bird configured anew")
        self._taken = text

    def stop(self) -> None:
        """End our BIRD, if one is there, and first its sessions: the routes that they brought go with them. It is told
        to leave in the kernel what it has when it ends."""
        if self.alive():
            for kind in KINDS:
                ask(self.socket, f'disable "{kind}_*"')
            ends = time.monotonic() + SECONDS
            while time.monotonic() < ends and any(line.startswith(ROUTE) for line in ask(self.socket, LEARNED)):
                time.sleep(0.05)
            ask(self.socket, "down")
            while time.monotonic() < ends and self.alive():
                time.sleep(0.05)
            log.info("bird ended: nothing is to be brought by BGP")

    def files(self) -> list[Path]:
        """Those that are there."""
        known = (self._config, self._config.with_suffix(".new"), self.log, self.socket)
        return [path for path in known if path.exists()]

    def _write(self, text: str) -> str:
        program = shutil.which("bird", path="/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        if program is None:
            raise Unavailable("bird is not installed (package bird2): no routes by BGP")
        self._config.parent.mkdir(parents=True, exist_ok=True)
        beside = self._config.with_suffix(".new")
        beside.touch(mode=0o600)
        beside.write_text(text)
        checked = _run(program, "-p", "-c", str(beside))
        if checked.returncode != 0:
            raise Unavailable(f"bird refuses its configuration: {checked.stderr.strip() or checked.stdout.strip()}")
        beside.replace(self._config)
        return program

    def _start(self, program: str) -> None:
        # -R: what a BIRD before this one had brought stays until the peers have told it again.
        ran = _run(program, "-R", "-c", str(self._config), "-s", str(self.socket))
        if ran.returncode != 0:
            raise Unavailable(f"bird does not start: {ran.stderr.strip()}")


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"bird: {error}") from error
