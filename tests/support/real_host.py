"""A host to install on and to uninstall from: namespaces of its own, files that are kept apart from the machine's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.support.host_state import PLACES, State, look
from tests.support.waiting import PATIENCE, wait_until

KEPT_APART = ("/etc", "/opt", "/usr/local", "/var/lib", "/var/log", "/root")
BIN = Path(sys.executable).parent


class RealHost:
    """Namespaces for network, mounts, name and processes; `address` is on its uplink. Everything in it ends with it.

    `netns`: the name of a network namespace that is there already, with its addresses.
    """

    def __init__(self, work: Path, address: str = "", name: str = "one", *, netns: str = "") -> None:
        self.work, self.address, self.name, self.netns = work, address, name, netns
        self._first: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        lines = [self._above(place) for place in KEPT_APART]
        lines += ["mount -t tmpfs tmpfs /run", f"hostname {self.name}"]
        if not self.netns:
            lines += ["ip link set lo up", "ip link add uplink type veth peer cable"]
            lines += [f"ip address add {self.address} dev uplink", "ip link set uplink up", "ip link set cable up"]
        lines += [f"touch {self.work}/ready"]
        network = ["nsenter", f"--net=/run/netns/{self.netns}", "unshare"] if self.netns else ["unshare", "--net"]
        command = [*network, "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        line = " && ".join([*lines, "exec sleep infinity"])
        self._first = subprocess.Popen([*command, "sh", "-c", line], stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            self._pid = self._begun(self._first)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _begun(self, outside: subprocess.Popen[bytes]) -> int:
        """Its first process, once its mounts are made."""
        ready = self.work / "ready"
        wait_until(lambda: ready.exists() or outside.poll() is not None, message="its first process")
        assert ready.exists(), "its mounts could not be made"
        return int(Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text().split()[0])

    def _above(self, place: str) -> str:
        """Mounts a view of a folder whose changes are kept apart."""
        upper, work = self._upper(place), self.work / f"work{place.replace('/', '-')}"
        upper.mkdir()
        work.mkdir()
        return f"mount -t overlay overlay -o lowerdir={place},upperdir={upper},workdir={work} {place}"

    def _upper(self, place: str) -> Path:
        """Where a folder's changes are."""
        return self.work / f"upper{place.replace('/', '-')}"

    def __exit__(self, *_: object) -> None:
        assert self._first is not None
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
        self._first.kill()
        self._first.wait(PATIENCE)
        for daemon in self._daemons:
            daemon.wait(PATIENCE)

    @property
    def pid(self) -> int:
        """Of its first process, as the machine sees it."""
        return self._pid

    def words(self, line: str) -> list[str]:
        namespaces = ("--net", "--mount", "--uts", "--pid")
        return ["nsenter", f"--target={self._pid}", *namespaces, "bash", "-c", line]

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(line),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env=self._environ(),
            cwd="/",
        )

    def must(self, line: str) -> str:
        ran = self.run(line)
        assert ran.returncode == 0, f"{line}: exit {ran.returncode}: {ran.stdout}{ran.stderr}"
        return ran.stdout

    def start(self, line: str, **variables: str) -> subprocess.Popen[bytes]:
        """A daemon; its words go to WORK/log."""
        with (self.work / "log").open("ab") as log:
            daemon = subprocess.Popen(
                self.words(f"echo $$ > {self.work}/pid-{len(self._daemons)}; exec {line}"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self._environ(), **variables},
                cwd="/",
            )
        self._daemons.append(daemon)
        return daemon

    def end(self, daemon: subprocess.Popen[bytes]) -> None:
        """As systemd stops it. The pid is the host's: what began it waits outside and hands no signal on."""
        noted = self.work / f"pid-{self._daemons.index(daemon)}"
        wait_until(lambda: noted.exists() and noted.read_text().endswith("\n"), message="its number, written down")
        self.must(f"kill {noted.read_text()}")
        daemon.wait(PATIENCE)

    def log(self) -> str:
        return (self.work / "log").read_text(errors="replace")[-3000:]

    def install(self) -> None:
        """What pip makes of the product in /opt/tortie/venv: commands that lead to the ones under test."""
        folder = "/opt/tortie/venv/bin"
        for name in ("tortie", "calicoctl", "dcos"):
            text = f'#!/bin/sh\\nexec {BIN}/{name} "$@"\\n'
            self.must(f"mkdir -p {folder} && printf '{text}' > {folder}/{name} && chmod 755 {folder}/{name}")

    def write(self, path: str, text: str) -> None:
        target = Path(f"/proc/{self._pid}/root{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def there(self) -> State:
        """Of files those that differ from this machine's."""
        return look(lambda line: self.run(line).stdout, {str(self._upper(place)): place for place in PLACES})

    @staticmethod
    def _environ() -> dict[str, str]:
        path = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        own = {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}
        return {"PATH": path, "HOME": "/root", "LC_ALL": "C.UTF-8", **own}
