"""Hosts with agents of a real Mesos master, each in namespaces and with files of its own, and the framework that rolls
a node out to them: daemons to kill, hands to hold while that happens, and a book of all that was written down."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import os
import shlex
import signal
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import msgspec
from tests.kernel.netlab import Lab
from tests.support.mesos_client import get, request
from tests.support.mesos_cluster import Daemon
from tests.support.netns import within
from tests.support.real_host import RealHost
from tests.support.ucr_host import kill_shim
from tests.support.waiting import PATIENCE, wait_until

from tortie.base import cgroups
from tortie.cli import node_config
from tortie.framework.memory import STATE
from tortie.packages.calico.memory import KEYS
from tortie.packages.calico.run import Settings, run
from tortie.packages.calico.tasks import Needs
from tortie.packages.calico.values import Wanted
from tortie.packages.rollout import book
from tortie.packages.rollout.artefact import Artefact
from tortie.packages.rollout.hand.artefact import DIGITS, tag
from tortie.packages.rollout.inventory import CURRENT, Cni, Product
from tortie.packages.rollout.machine import Rollout, out
from tortie.store.open import open_store

ROOT = Path(__file__).parents[2]
MANAGER = ROOT / "tests/support/unit_manager.py"
AGENT, NODE = "mesos.service", "calico-node.service"
MASTER, PORT, AGENT_PORT, OWN_PORT = "172.24.197.101", 5050, 5051, 9000
PYTHON = "/usr/local/bin/python-of-the-hand"
STEPS = ("artefact", "configuration", "cni", "agent", "node", "gate")
LONG = 3 * PATIENCE
"""For what begins only when the step before it has ended."""
HAND = "tortie.packages.rollout.hand"
_PATHS = [str(ROOT), str(ROOT / "src"), *filter(None, sys.path)]
_RUN = f"import sys; sys.path[:0] = {_PATHS!r}; from tortie.cli.main import main; main()"
# Says when a hand begins, holds it while that is asked for, and notices when it is not the only one: on its host, and
# of those that change something on any host. The locks end with the process, whatever ends it.
_HAND = """\
#!/bin/sh
step=${{MESOS_SANDBOX#*/executors/}}; step=${{step%%.*}}
exec 9>>{work}/{name}.lock
flock -n 9 || echo "two on {name}: $step" >> {work}/together
case $step in apply-*|undo-*)
  exec 8>>{work}/any.lock
  flock -n 8 || echo "beside another host: $step on {name}" >> {work}/together
esac
echo "$step" >> {work}/{name}.begun
while [ -e {work}/{name}.hold-$step ]; do sleep 0.02; done
exec {python} "$@"
"""


class Station:
    """A host with an agent. `orders`: what its service manager was told, in order."""

    def __init__(self, world: World, name: str, address: str) -> None:
        self.world, self.name, self.address = world, name, address
        self.work = world.work / name
        self.work.mkdir()
        self.netns = world.lab.plug(name, address)
        self.host = RealHost(self.work, name=name, netns=self.netns)
        self.cgroup = f"tortie-test-kills-{os.getpid()}-{name}"

    @contextmanager
    def up(self) -> Iterator[Self]:
        with self.host:
            clients = {name: f'exec {sys.executable} -I {MANAGER} {name} "$@"' for name in ("systemctl", "systemd-run")}
            programs = {f"/usr/local/bin/{name}": f"#!/bin/sh\n{line}\n" for name, line in clients.items()}
            programs[PYTHON] = _HAND.format(work=self.world.work, name=self.name, python=sys.executable)
            for path, text in programs.items():
                self.host.write(path, text)
                self.host.must(f"chmod 755 {path}")
            self.host.write(f"/etc/systemd/system/{AGENT}", f"[Service]\nExecStart={shlex.join(self._agent())}\n")
            self.host.must("rm -rf /etc/tortie /etc/calico /etc/cni /opt/tortie /opt/cni /var/lib/tortie")
            self.host.start(f"{sys.executable} -I {MANAGER} serve {self.work}")
            wait_until(lambda: self.host.run(f"systemctl start {AGENT}").returncode == 0, message=self.host.log)
            try:
                yield self
            finally:
                for socket in (self.work / "run/ucr").glob("*/*/socket"):
                    kill_shim(socket.parent)
        for hierarchy in cgroups.hierarchies():
            cgroups.end(hierarchy / self.cgroup)

    def _agent(self) -> list[str]:
        return [
            *(sys.executable, "-c", _RUN, "agent", "run", "--master", f"{MASTER}:{PORT}", "--ip", self.address),
            *("--port", str(AGENT_PORT), "--hostname", self.name, "--resources", "cpus:4;mem:1024;disk:1000"),
            *("--work-dir", f"{self.work}/agent", "--fetcher-cache-dir", f"{self.work}/cache"),
            *("--docker-socket", f"{self.work}/no.sock", "--containerizers", "mesos"),
            *("--runtime-dir", f"{self.work}/run", "--cgroups-root", self.cgroup),
        ]

    def kill(self, unit: str, but: int = 0) -> int:
        """Another process than `but` that the unit is, which its manager starts again. Returns its number."""
        pid = wait_until(lambda: found if (found := self.pid(unit)) != but else 0, message=f"{unit} of {self.name}")
        self.host.run(f"kill -9 {pid}")
        return pid

    def pid(self, unit: str) -> int:
        return int(self.host.must(f"systemctl show --property=MainPID {unit}").partition("=")[2])

    def orders(self) -> list[str]:
        path = self.work / "orders"
        return path.read_text().splitlines() if path.exists() else []

    def hands(self) -> list[str]:
        """Their containers, as the agent tells, and their processes, whoever started them."""
        with suppress(OSError):
            found = [one["executor_id"] for one in get(AGENT_PORT, "/containers", host=self.address)]
            hands = [name for name in found if name.startswith(("probe-", "apply-", "undo-"))]
            return hands + self.host.run(f"ps -eo pid,args | grep {HAND} | grep -v grep").stdout.splitlines()
        return ["the agent does not answer"]

    def files(self) -> set[str]:
        """Those that differ from this machine's, which all hosts have below theirs."""
        found = self.host.must(f"find {self.work}/upper-* -type f -not -path '*/upper-var-log/*'")
        return {line.removeprefix(f"{self.work}/") for line in found.splitlines()}

    def log(self) -> str:
        path = self.work / f"{AGENT}.log"
        return path.read_text(errors="replace")[-1500:] if path.exists() else ""


class Book:
    """Everything that was written down of rollouts, in order."""

    def __init__(self, url: str) -> None:
        self.store = open_store(url)
        self.written: list[Rollout] = []
        self._watch = self.store.watch(book.PREFIX, self.store.list(book.PREFIX).revision)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while not self._ending.is_set():
            for event in self._watch.next(1.0):
                if event.key == book.STATE and event.value is not None:
                    self.written.append(msgspec.json.decode(event.value, type=Rollout))

    def tells(self, *wanted: tuple[str, str]) -> None:
        """Waits for this to be each time that a host went out: its name, and the mark with which it came back."""
        wait_until(lambda: self._stays_out() == list(wanted), message=lambda: f"{wanted}, it tells {self._stays_out()}")

    def _stays_out(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        there: frozenset[str] = frozenset()
        for rollout in self.written:
            gone = out(rollout)
            assert len(gone) <= 1, f"two hosts are out: {sorted(gone)}"
            found += [(name, _mark(rollout, name)) for name in sorted(there - gone)]
            there = gone
        return found

    def close(self) -> None:
        self._ending.set()
        self._watch.close()
        self._thread.join(PATIENCE)
        self.store.close()


def _mark(rollout: Rollout, name: str) -> str:
    return next(host.mark for host in rollout.hosts if host.name == name)


class World:
    """A master, agents `names`, and the framework, started by `begin`."""

    def __init__(self, work: Path, lab: Lab, names: tuple[str, ...]) -> None:
        self.work, self.lab = work, lab
        self.netns = self.lab.plug("leader", MASTER)
        self.stations = {
            name: Station(self, name, f"172.24.197.{number}") for number, name in enumerate(names, start=102)
        }
        master = ("--ip", MASTER, "--port", str(PORT), "--store", self.lab.url, "--allocation_interval=100ms")
        self.master = Daemon(PORT, work / "master.log", "master", "run", *master, host=MASTER)
        line = (
            f"import sys; sys.path[:0] = {_PATHS!r}; from tests.kernel.rollout_world import main; main(*sys.argv[1:])"
        )
        self.framework = Daemon(
            OWN_PORT,
            work / "framework.log",
            *(self.lab.url, "one"),
            host=MASTER,
            program=[sys.executable, "-c", line],
        )

    @classmethod
    @contextmanager
    def up(cls, work: Path, *names: str) -> Iterator[Self]:
        """Who uses it is on the master's host meanwhile."""
        with ExitStack() as stack:
            lab = Lab(work)
            stack.callback(lab.close)
            world = cls(work, lab, names)
            stack.enter_context(within(world.netns))
            stack.enter_context(world.master.running())
            for station in world.stations.values():
                stack.enter_context(station.up())
            wait_until(lambda: world.active() == sorted(names), message=lambda: f"all agents: {world.active()}")
            try:
                yield world
            finally:
                if world.framework.process is not None:
                    world.framework.stop(signal.SIGKILL)

    # -- what the master and the framework say -------------------------------------------------------------------------

    def active(self) -> list[str]:
        with suppress(OSError):
            slaves = get(PORT, "/slaves", host=MASTER)["slaves"]
            return sorted(one["hostname"] for one in slaves if one["active"])
        return []

    def tasks(self) -> list[tuple[str, str]]:
        """Those of the framework that the master has not seen end: name and state."""
        frameworks = get(PORT, "/state", host=MASTER)["frameworks"]
        kinds = ("tasks", "unreachable_tasks")
        found = [task for one in frameworks if one["name"] == "calico" for kind in kinds for task in one.get(kind, [])]
        return [(task["name"], task["state"]) for task in found]

    def shown(self) -> Any:
        """What the page shows; nothing while nobody answers."""
        with suppress(OSError):
            status, text, _ = request(OWN_PORT, "GET", "/v1/status", host=MASTER)
            return json.loads(text) if status == 200 else {}
        return {}

    def shows(self, wanted: Callable[[Any], bool], message: str) -> Any:
        """Waits until the page shows what is wanted."""
        last: list[Any] = [{}]

        def there() -> bool:
            last[0] = self.shown()
            return bool(last[0]) and wanted(last[0])

        wait_until(there, message=lambda: f"{message}; it shows {last[0]}; {self.story()}", seconds=LONG)
        return last[0]

    def order(self, word: str) -> None:
        def taken() -> bool:
            with suppress(OSError):
                return request(OWN_PORT, "POST", f"/v1/{word}", host=MASTER)[0] == 200
            return False

        wait_until(taken, message=lambda: f"{word} is taken: {self.shown()}")

    def story(self) -> str:
        logs = {name: station.log() for name, station in self.stations.items()}
        return f"framework: {(self.work / 'framework.log').read_text()[-3000:]}\nagents: {logs}"

    # -- hands ---------------------------------------------------------------------------------------------------------

    def hold(self, name: str, *steps: str) -> None:
        """From now on, the hands of these steps wait when they have begun; what has begun until now is forgotten."""
        (self.work / f"{name}.begun").unlink(missing_ok=True)
        for step in steps:
            (self.work / f"{name}.hold-{step}").touch()

    def release(self, name: str, step: str) -> None:
        (self.work / f"{name}.hold-{step}").unlink()

    def begun(self, name: str) -> list[str]:
        """The hands that have begun on a host since the last that were to be held."""
        path = self.work / f"{name}.begun"
        return path.read_text().split() if path.exists() else []

    def held(self, name: str, step: str) -> None:
        """Returns when the hand of this step waits on its host, and the framework's page says that it is at work."""
        wait_until(
            lambda: step in self.begun(name),
            seconds=LONG,
            message=lambda: f"{step} on {name}; {self.shown()}; {self.story()}",
        )
        if not step.startswith("probe"):
            word = step.partition("-")[2]
            self.shows(lambda shown: _progress(shown, name, word) in ("running", "undoing"), f"{step} runs on {name}")

    def together(self) -> str:
        path = self.work / "together"
        return path.read_text() if path.exists() else ""

    def quiet(self) -> None:
        """Nothing of any hand is left: not for the master, not on a host, not in what the framework keeps."""
        wait_until(lambda: self.tasks() == [], message=lambda: f"tasks are left: {self.tasks()}")
        for station in self.stations.values():
            wait_until(lambda s=station: not s.hands(), message=lambda s=station: str(s.hands()))  # type: ignore[misc]
        store = self.lab.client.datastore

        def forgotten() -> bool:
            found = store.get(KEYS.prefix + STATE)
            return found is not None and not msgspec.json.decode(found.value).get("hands")

        wait_until(forgotten, message=lambda: f"hands are kept: {store.get(KEYS.prefix + STATE)}")
        assert self.together() == ""


def _progress(shown: Any, name: str, word: str) -> str:
    steps = [step for host in shown["hosts"] if host["name"] == name for step in host["steps"] if step["name"] == word]
    return str(steps[0]["progress"]) if steps else ""


def product(mark: str) -> tuple[str, bytes]:
    """(name, packed) of a small product: a program that is the one under test, and a mark."""
    program = f'#!/bin/sh\nexec {sys.executable} -c {shlex.quote(_RUN)} "$@"\n'
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, text in {"bin/tortie": program, "lib/product.py": f"MARK = {mark!r}\n"}.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text), 0o755
            tar.addfile(member, io.BytesIO(text.encode()))
    data = plain.getvalue()
    return hashlib.sha256(data).hexdigest()[:DIGITS], gzip.compress(data, mtime=0)


def main(store: str, mark: str) -> None:
    """The framework, as the command runs it, with a small product."""
    from tortie.base.log import setup

    setup("calico-framework")
    name, packed = product(mark)
    settings = Settings(
        masters=[f"{MASTER}:{PORT}"],
        store=store,
        hostname=MASTER,
        port=OWN_PORT,
        needs=Needs(cpus=0.1, mem=256, container="mesos", python=PYTHON),
        wanted=Wanted(
            cluster=store,
            etcd="",
            endpoints=(f"http://{MASTER}:2379",),
            node={"TORTIE_STORE": store, "TORTIE_DOCKER": "false"},
            cni=Cni(config_dir="/etc/cni/net.d"),
            units=(AGENT, AGENT),
            settle=0.3,
            patience=PATIENCE,
        ),
        build=lambda: Artefact(name, tag(), packed),
        product=lambda made, _: Product(
            made.name, made.tag, node_config.unit(CURRENT), {"calico": "#!/bin/sh\nexit 1\n"}, {}
        ),
    )
    asyncio.run(run(settings))
