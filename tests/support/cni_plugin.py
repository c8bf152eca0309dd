"""A CNI plug-in that writes down how it was called and does what it is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCRIPT = """#!/bin/sh
here={here}
call=$CNI_COMMAND.$CNI_IFNAME
cat > "$here/$call.stdin"
tr '\\0' '\\n' < /proc/$$/environ > "$here/$call.env"
tr '\\0' '\\n' < /proc/$$/cmdline > "$here/$call.argv"
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME" >> "$here/calls"
does=$(cat "$here/$CNI_COMMAND" 2>/dev/null)
case "$does" in
  hang) sleep 1000 & echo $! > "$here/child"; wait ;;
  crash) kill -KILL $$ ;;
  fail) echo '{{"code": 11, "msg": "no address is left"}}'; echo oops >&2; exit 1 ;;
  flood) exec yes ;;
  daemon) sleep 1000 & echo $! > "$here/child" ;;
  meet) touch "$here/met.$CNI_IFNAME"
        while ! test -e "$here/met.eth0" || ! test -e "$here/met.eth1"; do sleep 0.02; done ;;
  "") ;;
  *) echo "$does"; exit 0 ;;
esac
test "$CNI_COMMAND" = DEL || cat "$here/result.$CNI_IFNAME"
"""


class CniPlugin:
    """`home`: what it writes down; `plugins`, `config`: directories as an agent is given them."""

    def __init__(self, base: Path, *names: str) -> None:
        self.home, self.plugins, self.config = (base / name for name in ("seen", "plugins", "networks"))
        for path in (self.home, self.plugins, self.config):
            path.mkdir(parents=True)
        program = self.plugins / "recorder"
        program.write_text(SCRIPT.format(here=self.home))
        program.chmod(0o755)
        for number, name in enumerate(names):
            self.add(name, number)

    def add(self, name: str, number: int = 0, **parts: Any) -> Path:
        document = {"cniVersion": "0.2.0", "name": name, "type": "recorder", **parts}
        path = self.config / f"{name}.cni"
        path.write_text(json.dumps(document))
        self.answers(f"eth{number}", {"ip4": {"ip": f"192.168.0.{number + 1}/32"}})
        return path

    def answers(self, interface: str, result: dict[str, Any]) -> None:
        (self.home / f"result.{interface}").write_text(json.dumps(result))

    def does(self, command: str, what: str) -> None:
        """`hang`, `crash`, `fail`, `flood`, `daemon`, `meet`; `` for what it should; anything else is said."""
        (self.home / command).write_text(what)

    @property
    def calls(self) -> list[str]:
        path = self.home / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def child(self) -> int | None:
        """The process that it has left behind."""
        path = self.home / "child"
        return int(path.read_text()) if path.exists() and path.read_text().strip() else None

    def stdin(self, call: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / f"{call}.stdin").read_text())
        return found

    def environment(self, call: str) -> dict[str, str]:
        lines = (self.home / f"{call}.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)
