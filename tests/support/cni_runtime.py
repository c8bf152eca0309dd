"""A runtime as the CNI plug-in sees one: executes it with a configuration, as libcni does for one plug-in of a list."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.waiting import PATIENCE


@dataclass(frozen=True)
class Said:
    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.stdout)
        return found


@dataclass
class Runtime:
    """`words`: what runs a command on the host. `folder`: where the plug-ins are."""

    folder: Path
    words: Sequence[str] = ()
    config: Mapping[str, Any] = field(default_factory=lambda: {"cniVersion": "1.0.0", "name": "blue", "type": "calico"})

    def run(
        self,
        command: str,
        container: str,
        netns: str,
        *,
        interface: str = "eth0",
        arguments: str = "",
        plugin: str = "calico",
        **config: Any,
    ) -> Said:
        process = self.start(command, container, netns, interface=interface, arguments=arguments, plugin=plugin)
        out, err = process.communicate(self.stdin(**config), timeout=PATIENCE)
        return Said(process.returncode, out.decode(), err.decode())

    def start(
        self,
        command: str,
        container: str,
        netns: str,
        *,
        interface: str = "eth0",
        arguments: str = "",
        plugin: str = "calico",
    ) -> subprocess.Popen[bytes]:
        env = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": netns,
            "CNI_IFNAME": interface,
            "CNI_ARGS": arguments,
            "CNI_PATH": f"{self.folder}:/usr/lib/cni",
        }
        pipe = subprocess.PIPE
        argv = [*self.words, str(self.folder / plugin)]
        return subprocess.Popen(argv, env=env, stdin=pipe, stdout=pipe, stderr=pipe, cwd="/")

    def stdin(self, **config: Any) -> bytes:
        return json.dumps({**self.config, **config}).encode()
