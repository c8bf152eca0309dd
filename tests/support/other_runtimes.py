"""podman and containerd as runtimes of a host of the kernel tests, each in a mount namespace of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.support.waiting import PATIENCE, wait_until
from tortie.base import cgroups


class Runtime:
    """`netns`: the host's; `plugins`: its CNI plug-ins; `networks`: names to serve by our plug-in.

    It has its own /etc, /opt and /var/lib above the machine's, and a /run of its own: nothing that these runtimes look
    for there is read, nothing is left.
    """

    def __init__(self, netns: str, work: Path, plugins: Path, networks: Sequence[str]) -> None:
        self.work, self.plugins, self.config = work, plugins, work / "net.d"
        self.cgroup = f"tortie-test-other-{os.getpid()}"
        self.config.mkdir(parents=True)
        for number, name in enumerate(networks):
            document = {"cniVersion": "1.0.0", "name": name, "plugins": [{"type": "calico"}]}
            (self.config / f"{number}-{name}.conflist").write_text(json.dumps(document))
        self._enter = ["nsenter", f"--net=/run/netns/{netns}"]
        self._holder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        lines = [*(self._above(place) for place in ("/etc", "/opt", "/var/lib")), "mount -t tmpfs tmpfs /run"]
        lines.append("mount -t tmpfs tmpfs /dev/shm")  # podman keeps its locks there, one set for all of a machine
        lines += ["rm -rf /etc/cni /opt/cni /var/lib/cni", "mkdir /etc/cni /opt/cni"]
        lines += [f"ln -s {self.config} /etc/cni/net.d", f"ln -s {self.plugins} /opt/cni/bin"]
        ready = self.work / "ready"
        line = " && ".join([*lines, f"touch {ready}", "exec sleep infinity"])
        self._holder = subprocess.Popen([*self._enter, "unshare", "--mount", "sh", "-c", line], start_new_session=True)
        wait_until(ready.exists, message="its mount namespace")
        return self

    def _above(self, place: str) -> str:
        """Mounts a view of a folder whose changes are kept apart."""
        upper, work = (self.work / f"{kind}{place.replace('/', '-')}" for kind in ("upper", "work"))
        upper.mkdir()
        work.mkdir()
        return f"mount -t overlay overlay -o lowerdir={place},upperdir={upper},workdir={work} {place}"

    def __exit__(self, *_: object) -> None:
        assert self._holder is not None
        for hierarchy in cgroups.hierarchies():
            cgroups.end(hierarchy / self.cgroup)
        self._holder.kill()
        self._holder.wait(PATIENCE)
        cgroups.remove(f"/{self.cgroup}")

    def words(self, *command: str) -> list[str]:
        assert self._holder is not None
        return ["nsenter", f"--target={self._holder.pid}", "--mount", "--net", *command]

    def run(self, *command: str, **environment: str) -> str:
        done = subprocess.run(
            self.words(*command),
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
        return done.stdout


class Podman(Runtime):
    def __enter__(self) -> Self:
        super().__enter__()
        folders = f'static_dir = "{self.work}/static"\nvolume_path = "{self.work}/volumes"\ntmp_dir = "{self.work}/tmp"'
        (self.work / "containers.conf").write_text(
            f'[network]\nnetwork_backend = "cni"\ncni_plugin_dirs = ["{self.plugins}"]\n'
            f'network_config_dir = "{self.config}"\n'
            f'[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n{folders}\n'
        )
        (self.work / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{self.work}/graph"\nrunroot = "{self.work}/run"\n'
        )
        (self.work / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        return self

    def podman(self, *command: str) -> str:
        given = {"CONTAINERS_CONF": "containers.conf", "CONTAINERS_STORAGE_CONF": "storage.conf"}
        return self.run("podman", *command, **{name: str(self.work / file) for name, file in given.items()})

    def load(self, archive: Path) -> None:
        shutil.copy(archive, self.work / "image.tar")  # its own name has a colon, which no reference may have
        policy = ("--signature-policy", str(self.work / "policy.json"))
        self.podman("load", *policy, "--input", str(self.work / "image.tar"))

    def start(self, name: str, network: str) -> int:
        """The pid of its process."""
        limits = ("--ulimit", "nofile=1000:1000", "--ulimit", "nproc=1000:1000")  # a machine may not let us raise them
        place = ("--cgroup-parent", f"/{self.cgroup}", "--network", network, "--name", name)
        self.podman("run", "--detach", *limits, *place, "localhost/box:latest", "sleep", "infinity")
        return int(self.podman("inspect", "--format", "{{.State.Pid}}", name))

    def remove(self, name: str) -> None:
        self.podman("rm", "--force", "--time", "0", name)


class Containerd(Runtime):
    """A daemon, and containers that its command `ctr` runs in the foreground: otherwise it never sends DEL."""

    def __enter__(self) -> Self:
        super().__enter__()
        settings = {"root": "root", "state": "state"}
        lines = [f'{key} = "{self.work / path}"' for key, path in settings.items()]
        (self.work / "config.toml").write_text(
            "\n".join(["version = 2", *lines, 'disabled_plugins = ["io.containerd.grpc.v1.cri"]', "[grpc]"])
            + f'\naddress = "{self.work}/sock"\n'
        )
        with (self.work / "log").open("wb") as log:
            command = self.words("containerd", "--config", str(self.work / "config.toml"))
            self._daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        wait_until(self._answers, message=lambda: (self.work / "log").read_text()[-2000:])
        return self

    def _answers(self) -> bool:
        asked = self.words("ctr", "--address", str(self.work / "sock"), "version")
        return subprocess.run(asked, capture_output=True, check=False, timeout=PATIENCE).returncode == 0

    def __exit__(self, *problem: Any) -> None:
        for process in self._running.values():
            process.kill()
            process.wait(PATIENCE)
        self._daemon.send_signal(signal.SIGTERM)
        self._daemon.wait(PATIENCE)
        super().__exit__(*problem)

    def ctr(self, *command: str) -> str:
        return self.run("ctr", "--address", str(self.work / "sock"), *command)

    def load(self, archive: Path) -> None:
        self.ctr("images", "import", str(archive))

    def start(self, name: str) -> int:
        """On the only network that it knows; the pid of its process."""
        image = "docker.io/library/box:latest"
        run = ("run", "--rm", "--cni", "--cgroup", f"/{self.cgroup}/{name}", "--env", "PATH=/usr/bin:/bin", image, name)
        command = self.words("ctr", "--address", str(self.work / "sock"), *run, "sleep", "infinity")
        with (self.work / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        told = wait_until(lambda: self._pid(name), message=(self.work / f"{name}.log").read_text)
        return int(told)

    def _pid(self, name: str) -> str:
        process = self._running[name]
        assert process.poll() is None, (self.work / f"{name}.log").read_text()
        rows = [line.split() for line in self.ctr("task", "ls").splitlines()]
        return next((row[1] for row in rows if row[0] == name and row[2] == "RUNNING"), "")

    def remove(self, name: str) -> None:
        """Returns when it has sent DEL."""
        self.ctr("task", "kill", "--signal", "SIGKILL", name)
        self._running.pop(name).wait(PATIENCE)
