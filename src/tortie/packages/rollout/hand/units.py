"""Units of the host's service manager, restarted once for each content that they are to have read."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tortie.packages.rollout.hand.files import Failed, Place

COMMAND_SECONDS = 200.0
PAUSE = 0.2


class Units:
    """`systemctl`: the program that speaks for the service manager."""

    def __init__(self, place: Place, systemctl: str, patience: float) -> None:
        self._place, self._program, self._patience = place, systemctl, patience

    def active(self, unit: str) -> bool:
        return self._ask("is-active", unit).stdout.strip() == "active"

    def enabled(self, unit: str) -> bool:
        return self._ask("is-enabled", unit).stdout.strip() == "enabled"

    def order(self, verb: str, *units: str) -> None:
        """Failed says what systemctl said."""
        done = self._ask(verb, *units)
        if done.returncode != 0:
            words = " ".join((verb, *units))
            raise Failed(f"systemctl {words}: {(done.stderr or done.stdout).strip() or f'exit {done.returncode}'}")

    def identity(self, unit: str) -> str:
        """The process that the unit runs as now; nothing when there is none."""
        said = self._ask("show", "--property=MainPID", unit).stdout.splitlines()
        pid = next((line.removeprefix("MainPID=") for line in said if line.startswith("MainPID=")), "")
        try:
            stat = Path(f"/proc/{int(pid)}/stat").read_text()
        except (OSError, ValueError):
            return ""
        return f"{pid}:{stat.rpartition(')')[2].split()[19]}"

    def restarted(self, unit: str, content: str) -> bool:
        """Whether the unit runs, and was started after `content` was to be read."""
        mark = self._place.mark(unit)
        if mark.get("content") != content or not self.active(unit):
            return False
        return self.identity(unit) not in ("", mark["was"])

    def restart(self, unit: str, content: str, apart: str = "") -> None:
        """Once for this content, however often it is asked for: the mark, with the process as it was, comes first.

        `apart`: the program that has it done by a unit of its own, for who may end with the one that is restarted.
        """
        if not self.restarted(unit, content):
            self._place.write_mark(unit, content, self.identity(unit))
            self._ask("reset-failed", unit)
            if apart:
                self._restart_apart(apart, unit)
            else:
                self.order("restart", unit)
        ends = time.monotonic() + self._patience
        while not self.restarted(unit, content):
            if time.monotonic() > ends:
                raise Failed(f"{unit} does not stay active {self._patience:g} s after its restart")
            time.sleep(PAUSE)

    def _restart_apart(self, program: str, unit: str) -> None:
        done = run([program, "--quiet", "--collect", "--no-block", self._program, "restart", unit])
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip() or f"exit {done.returncode}"
            raise Failed(f"{program} {self._program} restart {unit}: {said}")

    def _ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run([self._program, *words])


def run(argv: Sequence[str], seconds: float = COMMAND_SECONDS) -> subprocess.CompletedProcess[str]:
    """What a program says. Failed when it is not there or does not end."""
    try:
        return subprocess.run(
            list(argv), capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL, check=False
        )
    except OSError as error:
        raise Failed(f"{argv[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(argv)}: no end within {seconds:g} s") from error
