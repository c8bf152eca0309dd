"""A supervisor as process 1 of a PID namespace, with daemons and unit files of a test's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import wait_until as wait
from tortie.lab import control
from tortie.lab.plan import Daemon, as_json

PROGRAM = """
import json, sys
from pathlib import Path
from tortie.lab.plan import daemon_from
from tortie.lab.supervisor import Supervisor
base = Path(sys.argv[1])
daemons = [daemon_from(raw) for raw in json.loads((base / "daemons.json").read_text())]
env = {"PATH": "/usr/bin:/bin"}
supervisor = Supervisor(
    daemons, control=base / "control.sock", logs=base, env=env, sockets={}, units=base / "units"
)
supervisor.open()
supervisor.run()
"""


class Running:
    def __init__(self, base: Path, daemons: list[Daemon]) -> None:
        self.base = base
        (base / "units").mkdir(exist_ok=True)
        (base / "daemons.json").write_text(json.dumps([as_json(daemon) for daemon in daemons]))
        self.process = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c", PROGRAM, str(base)]
        )
        try:
            wait((base / "control.sock").exists, message="its control socket")
        except BaseException:
            self.end()
            raise

    def order(self, operation: str, name: str | None = None) -> dict[str, object]:
        return control.order(self.base / "control.sock", operation, name)

    def daemon(self, name: str) -> dict[str, object]:
        daemons = control.order(self.base / "control.sock", "status")["daemons"]
        return next(report for report in daemons if report["name"] == name)

    def log(self, name: str) -> str:
        path = self.base / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def inside(self, *argv: str) -> str:
        """Run in the namespace (process 1 is the child of unshare)."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return subprocess.run(
            ["nsenter", f"--target={children[0]}", "--pid", "--mount", *argv],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
