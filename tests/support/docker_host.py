"""A host with a real Docker Engine for tests: namespaces of its own for network, mounts, names and processes.

    with DockerHost("a1") as host:
        host.docker("run", "--net=none", host.image, "true")

Seen from outside, the host's /run is `host.run_dir` (so its plug-in directory is `host.plugin_dir`) and its engine
answers at `host.socket`. Killing process 1 of the host ends everything in it; nothing is left after `close`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.support.waiting import PATIENCE, wait_until

IMAGE = "root:1"
PROGRAMS = ("/bin/dash", "/bin/sleep", "/bin/cat", "/bin/ls", "/bin/true", "/usr/bin/ip", "/bin/ip", "/bin/ping")
# Ignoring SIGCHLD makes process 1 reap whatever is left to it: a dead containerd must not look alive.
REAPER = "import signal; signal.signal(17, signal.SIG_IGN); print(flush=True); signal.sigwait([signal.SIGUSR1])"


def run(*command: str, check: bool = True, timeout: float = 2 * PATIENCE) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    return done


def small_root(target: Path) -> Path:
    """A tar with a shell, a few programs of this distribution and the libraries that they need."""
    files: set[str] = set()
    for program in PROGRAMS:
        if not Path(program).exists():
            continue
        files.add(program)
        listed = run("ldd", program, check=False).stdout
        files.update(re.findall(r"(/\S+)", listed))
    with tarfile.open(target, "w") as tar:
        for name in sorted(files):
            tar.add(os.path.realpath(name), arcname=name.lstrip("/"))
        link = tarfile.TarInfo("bin/sh")
        link.type, link.linkname = tarfile.SYMTYPE, "dash"
        tar.addfile(link)
        for directory in ("etc", "proc", "sys", "dev", "tmp"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
    return target


class DockerHost:
    """One host. `address` (with mask) gives it an interface eth0 whose other end is `uplink` in namespace `switch`."""

    image = IMAGE

    def __init__(
        self, name: str, *, address: str | None = None, switch: str | None = None, options: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.netns = f"docker-{name}-{os.getpid()}"
        self.dir = Path(tempfile.mkdtemp(prefix=f"td-{name}-", dir="/tmp"))
        self.run_dir = self.dir / "run"
        self.plugin_dir = self.run_dir / "docker/plugins"
        self.socket = self.run_dir / "docker.sock"
        self.cgroup = f"/{self.netns}"
        self.pid = 0
        self._address, self._switch, self._options = address, switch, options
        self._init: subprocess.Popen[bytes] | None = None
        self._engine: subprocess.Popen[bytes] | None = None
        self._log = (self.dir / "dockerd.log").open("ab")

    def __enter__(self) -> Self:
        try:
            self.start()
            self.start_engine()
            run("docker", "-H", f"unix://{self.socket}", "import", str(small_root(self.dir / "root.tar")), IMAGE)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """The namespaces and process 1."""
        run("ip", "netns", "add", self.netns)
        run("ip", "-n", self.netns, "link", "set", "lo", "up")
        run(*self._inside_net("sysctl", "-qw", "net.ipv4.ip_forward=1"))
        if self._address and self._switch:
            self._plug_in(self._address, self._switch)
        self.plugin_dir.mkdir(parents=True)
        script = f"mount --bind {self.run_dir} /run && hostname {self.name} && exec /usr/bin/python3 -IS -c '{REAPER}'"
        self._init = subprocess.Popen(
            self._inside_net("unshare", "-m", "-u", "-p", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        assert self._init.stdout is not None
        assert self._init.stdout.readline() == b"\n"
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text().split()
        self.pid = int(children[0])

    def _plug_in(self, address: str, switch: str) -> None:
        port = f"p{self.name}"
        run("ip", "-n", self.netns, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", switch)
        run("ip", "-n", switch, "link", "set", port, "master", "br0", "up")
        run("ip", "-n", self.netns, "addr", "add", address, "dev", "eth0")
        run("ip", "-n", self.netns, "link", "set", "eth0", "up")

    def _inside_net(self, *command: str) -> list[str]:
        """`ip netns exec` would hide the cgroups behind a /sys of its own."""
        return ["nsenter", f"--net=/run/netns/{self.netns}", *command]

    def inside(self, *command: str) -> list[str]:
        """The command line that runs `command` in every namespace of the host."""
        return ["nsenter", f"--target={self.pid}", "-m", "-u", "-n", "-p", *command]

    def start_engine(self) -> None:
        """Returns once the engine answers."""
        for stale in (self.run_dir / "d.pid", self.socket):
            stale.unlink(missing_ok=True)
        config = self.dir / "daemon.json"
        config.write_text("{}")
        self._engine = subprocess.Popen(
            self.inside(
                "dockerd",
                "--bridge=none",
                "--iptables=false",
                "--live-restore",
                f"--config-file={config}",
                f"--data-root={self.dir}/data",
                f"--exec-root={self.dir}/exec",
                "--pidfile=/run/d.pid",
                "--exec-opt=native.cgroupdriver=cgroupfs",
                f"--cgroup-parent={self.cgroup}",
                "--host=unix:///run/docker.sock",
                *self._options,
            ),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        wait_until(self._answers, message=lambda: f"dockerd of {self.name} answers; {self._story()}")

    def _answers(self) -> bool:
        if self._engine is not None and self._engine.poll() is not None:
            raise AssertionError(f"dockerd of {self.name} ended; {self._story()}")
        return self.docker("version", check=False).returncode == 0

    def _story(self) -> str:
        return f"its log ends with: {(self.dir / 'dockerd.log').read_text()[-3000:]}"

    def stop_engine(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Ends dockerd and returns when it is gone; containers stay, because of live-restore."""
        assert self._engine is not None
        child = Path(f"/proc/{self._engine.pid}/task/{self._engine.pid}/children").read_text().split()
        for pid in child:
            os.kill(int(pid), how)
        self._engine.wait(PATIENCE)

    def docker(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run("docker", "-H", f"unix://{self.socket}", *arguments, check=check)

    def ip(self, *arguments: str) -> str:
        return run("ip", "-n", self.netns, *arguments).stdout

    def close(self) -> None:
        if self._init is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid or self._init.pid, signal.SIGKILL)
            self._init.wait(PATIENCE)
        if self._engine is not None:
            self._engine.wait(PATIENCE)
        self._log.close()
        run("ip", "netns", "del", self.netns, check=False)
        self._remove_cgroups()
        shutil.rmtree(self.dir, ignore_errors=True)

    def _remove_cgroups(self) -> None:
        """Process 1 is gone, so is everything below; a cgroup may still take a moment to see it."""
        mounted = [*Path("/sys/fs/cgroup").iterdir(), Path("/sys/fs/cgroup")]
        for top in {root / self.netns for root in mounted if (root / self.netns).is_dir()}:
            wait_until(lambda top=top: _rmdir_tree(top), message=f"cgroup {top} is empty")  # type: ignore[misc]


def _rmdir_tree(top: Path) -> bool:
    for directory, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            Path(directory).rmdir()
    return not top.exists()
