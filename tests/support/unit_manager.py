"""What systemd does for a rollout on a host of a test: units of /etc/systemd/system are started, kept running, told of.

Run by its path: `unit_manager.py serve LOGS` is the manager, `unit_manager.py systemctl ...` and `... systemd-run ...`
are its clients. Standard library only: the roller's hand starts the clients where nothing else is.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNITS, SOCKET = Path("/etc/systemd/system"), "/run/unit-manager"
ORDERS = "orders"
ROUND, AGAIN, GRACE = 0.05, 0.2, 20.0


@dataclass
class Unit:
    """`wanted`: it is kept running; `since`: when its process ended, by the clock that never goes back."""

    name: str
    wanted: bool = False
    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None and self.process.poll() is None else 0

    def lines(self, key: str) -> list[str]:
        found = (line.partition("=") for line in (UNITS / self.name).read_text().splitlines())
        return [value.strip() for name, _, value in found if name.strip() == key]


class Manager:
    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.units: dict[str, Unit] = {}

    def serve(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{SOCKET}.new")
        listener.listen(64)
        os.rename(f"{SOCKET}.new", SOCKET)
        while True:
            if select.select([listener], [], [], ROUND)[0]:
                client, _ = listener.accept()
                with client, contextlib.suppress(OSError, ValueError):
                    client.settimeout(GRACE)
                    self._answer(client)
            for unit in self.units.values():
                self._keep(unit)

    def _keep(self, unit: Unit) -> None:
        if unit.process is not None and unit.process.poll() is not None and not unit.since:
            unit.since = time.monotonic()
        if unit.wanted and not unit.pid and time.monotonic() - unit.since > AGAIN:
            self._start(unit)

    def _answer(self, client: socket.socket) -> None:
        order = json.loads(client.makefile("rb").readline())
        words, block = order["words"], order["block"]
        if not block:
            client.sendall(b'{"code": 0, "out": "", "err": ""}\n')
        try:
            code, out, err = self._do(words)
        except OSError as error:
            code, out, err = 1, "", f"{error.filename}: {error.strerror}"
        if block:
            client.sendall(json.dumps({"code": code, "out": out, "err": err}).encode() + b"\n")

    def _do(self, words: Sequence[str]) -> tuple[int, str, str]:
        verb, *names = [word for word in words if not word.startswith("-")]
        if verb in ("start", "stop", "restart"):
            with (self.logs / ORDERS).open("a") as log:
                log.write(f"{verb} {' '.join(names)}\n")
        if verb in ("daemon-reload", "reset-failed"):
            return 0, "", ""
        if verb == "list-unit-files":
            found = sorted(path.name for path in UNITS.glob("*.service"))
            return 0, "".join(f"{name} {self._told('is-enabled', Unit(name))[1]}" for name in found), ""
        if not names:
            return 1, "", "Too few arguments.\n"
        unit = self.units.setdefault(names[0], Unit(names[0]))
        if verb in ("start", "stop", "restart"):
            if verb != "start":
                self._stop(unit)
            if verb != "stop":
                unit.wanted = True
                return (0, "", "") if unit.pid or self._start(unit) else (1, "", f"{unit.name} does not start")
            return 0, "", ""
        return self._told(verb, unit)

    def _told(self, verb: str, unit: Unit) -> tuple[int, str, str]:
        enabled = UNITS / "multi-user.target.wants" / unit.name
        if verb == "show":
            return 0, f"MainPID={unit.pid}\n", ""
        if verb == "is-active":
            return (0, "active\n", "") if unit.pid else (3, "activating\n" if unit.wanted else "inactive\n", "")
        if verb == "is-enabled":
            return (0, "enabled\n", "") if enabled.exists() else (1, "disabled\n", "")
        if verb == "enable":
            enabled.parent.mkdir(exist_ok=True)
            enabled.touch()
        elif verb == "disable":
            enabled.unlink(missing_ok=True)
        else:
            return 1, "", f"Unknown command verb {verb}."
        return 0, "", ""

    def _start(self, unit: Unit) -> bool:
        unit.since = time.monotonic()
        if not (UNITS / unit.name).exists():
            return False
        with (self.logs / f"{unit.name}.log").open("ab") as log:
            for line in unit.lines("ExecStartPre"):
                if subprocess.run(shlex.split(line), stdout=log, stderr=log, check=False).returncode:
                    return False
            (line,) = unit.lines("ExecStart")
            try:
                unit.process = subprocess.Popen(shlex.split(line), stdout=log, stderr=log, start_new_session=True)
            except OSError as error:
                log.write(f"{error}\n".encode())
                return False
        unit.since = 0.0
        return True

    def _stop(self, unit: Unit) -> None:
        """Its first process; what that started goes on."""
        unit.wanted = False
        if unit.process is None or not unit.pid:
            return
        unit.process.terminate()
        try:
            unit.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            unit.process.kill()
            unit.process.wait()


def order(words: Sequence[str], *, block: bool = True) -> int:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(SOCKET)
        client.sendall(json.dumps({"words": list(words), "block": block}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(client.makefile("rb").readline())
    sys.stdout.write(answer["out"])
    sys.stderr.write(answer["err"])
    return int(answer["code"])


def main(name: str, *words: str) -> int:
    if name == "serve":
        Manager(Path(words[0])).serve()
    if name == "systemctl":
        return order(words)
    options = [word for word in words if word.startswith("--")]
    command = words[len(options) :]
    assert command[0].rpartition("/")[2] == "systemctl", words
    return order(command[1:], block="--no-block" not in options)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
