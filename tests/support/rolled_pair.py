"""Two real hosts on one wire that an operator rolls versions of the product out to, with a container on each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tortie
from tests.support.real_host import RealHost
from tests.support.waiting import PATIENCE, wait_until
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.resource import Metadata, Resource
from tortie.packages.rollout import book
from tortie.packages.rollout.machine import Rollout
from tortie.store.client import Client
from tortie.store.open import open_store

PYTHON = str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
AGENT = "mesos-slave.service"
NODE = "calico-node.service"
MANAGER = Path(__file__).with_name("unit_manager.py")
# ssh, as far as the roller uses it: the host's address, and a command for its shell.
_SSH = """\
#!/bin/bash
while [ "$1" != -- ]; do shift; done
exec nsenter --target="$(cat "{work}/$2")" --net --mount --uts --pid \
  env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root bash -c "$3"
"""


# What a node needs none of takes half of the time to pack, unpack and compile.
LIGHT = (
    ("base/distributions.py", '"click", "dnspython", ', '"click", '),
    ("base/distributions.py", '    "rich",\n', ""),
)


class Version:
    """A copy of the product's source, changed. `edits`: file, a text in it and what stands there instead."""

    def __init__(self, folder: Path, *edits: tuple[str, str, str]) -> None:
        self.folder = folder
        edits += LIGHT
        shutil.copytree(Path(tortie.__file__).parent, folder / "tortie")
        for name, before, after in edits:
            file = folder / "tortie" / name
            text = file.read_text()
            assert before in text, (name, before)
            file.write_text(text.replace(before, after, 1))


class Pair:
    """`one` (10.99.7.1) and `two` (10.99.7.2)."""

    def __init__(self, work: Path, hosts: Mapping[str, RealHost]) -> None:
        self.work, self.hosts = work, hosts
        self.store = f"sqlite://{work}/store"
        self.file = work / "hosts.yaml"
        self.addresses: dict[str, str] = {}
        (work / "bin").mkdir()
        self._program(work / "bin/ssh", _SSH.format(work=work))
        for host in hosts.values():
            (work / host.address.partition("/")[0]).write_text(str(host.pid))
            self._manager(host)
        self._pool()
        self.write()

    @staticmethod
    def _manager(host: RealHost) -> None:
        """What systemd does for the roller, with an agent that runs."""
        client = f'#!/bin/sh\nexec {PYTHON} -I {MANAGER} systemctl "$@"\n'
        host.write("/usr/local/bin/systemctl", client)
        host.write(f"/etc/systemd/system/{AGENT}", "[Service]\nExecStart=/bin/sleep infinity\n")
        host.must("chmod 755 /usr/local/bin/systemctl")
        host.start(f"{PYTHON} -I {MANAGER} serve /var/log")
        wait_until(lambda: host.run(f"systemctl start {AGENT}").returncode == 0, message=host.log)

    @staticmethod
    def _program(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def _pool(self) -> None:
        store = open_store(self.store)
        try:
            spec = IPPoolSpec(cidr="192.168.0.0/16", nat_outgoing=False)
            Client(store).apply(Resource(kind=IP_POOL, metadata=Metadata(name="default"), spec=spec))
        finally:
            store.close()

    def write(self, **more: Any) -> None:
        """The file of hosts."""
        hosts = [{"name": name, "address": host.address.partition("/")[0]} for name, host in self.hosts.items()]
        whole = {
            "store": self.store,
            "ssh": {"python": PYTHON},
            "node": {"CALICO_NETWORKING_BACKEND": "direct", "TORTIE_DOCKER": "false"},
            "cni": {"config-dir": "/etc/cni/net.d"},
            "agent": AGENT,
            "settle": 0.5,
            "patience": PATIENCE,
            "hosts": hosts,
            **more,
        }
        self.file.write_text(json.dumps(whole))

    def roll(self, version: Version, *words: str) -> subprocess.CompletedProcess[str]:
        """`tortie rollout` of this version."""
        program = "import sys; from tortie.cli.main import main; sys.exit(main())"
        path = os.pathsep.join([str(version.folder), *(p for p in sys.path if p.endswith("site-packages"))])
        return subprocess.run(
            [sys.executable, "-c", program, "rollout", *words],
            env={
                "PATH": f"{self.work}/bin:{os.environ['PATH']}",
                "PYTHONPATH": path,
                "TORTIE_STORE": self.store,
                "HOME": str(self.work),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    def plan(self, version: Version) -> dict[str, Any]:
        said = self.roll(version, str(self.file), "--dry-run", "--json")
        assert said.returncode in (0, 2), said.stderr
        found: dict[str, Any] = json.loads(said.stdout)
        return found

    def apply(self, version: Version, digest: str = "") -> subprocess.CompletedProcess[str]:
        return self.roll(version, str(self.file), "--apply", digest or self.plan(version)["hash"])

    def book(self) -> Rollout:
        store = open_store(self.store)
        try:
            return book.current(store).rollout
        finally:
            store.close()

    def ask(self, host: str, path: str) -> Any:
        """The node's answer; None while there is none."""
        said = self.hosts[host].run(f"curl -s --unix-socket /run/tortie/node.sock http://node{path}")
        return json.loads(said.stdout) if said.returncode == 0 and said.stdout else None

    def unit(self, host: str, unit: str) -> str:
        """Its process."""
        return self.hosts[host].must(f"systemctl show {unit}").strip()

    def container(self, host: str, name: str) -> None:
        """With an address of the plug-in that the roller has put there, once that is in force."""
        config = json.dumps(
            {"cniVersion": "1.0.0", "name": "calico", "type": "calico", "ipam": {"type": "calico-ipam"}}
        )
        number = f"{sum(map(ord, name)):012x}".ljust(64, "0")
        call = f"CNI_COMMAND=ADD CNI_CONTAINERID={number} CNI_NETNS=/var/run/netns/{name} CNI_IFNAME=eth0"
        self.hosts[host].must(f"ip netns add {name} && ip -n {name} link set lo up")
        said = self.hosts[host].must(f"{call} CNI_PATH=/opt/cni/bin /opt/cni/bin/calico <<< '{config}'")
        self.addresses[name] = json.loads(said)["ips"][0]["address"].partition("/")[0]

    def story(self) -> str:
        """What one wants to read of a failure."""
        logs = [f"{name}: {host.run(f'tail -n 30 /var/log/{NODE}.log').stdout}" for name, host in self.hosts.items()]
        return "\n".join(logs)


@contextmanager
def pair(work: Path) -> Iterator[Pair]:
    folders = [work / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with RealHost(folders[0], "10.99.7.1/24", "one") as one, RealHost(folders[1], "10.99.7.2/24", "two") as two:
        for host in (one, two):
            host.must("ip link del uplink")
        _wire(one, two)
        yield Pair(work, {"one": one, "two": two})


def _wire(one: RealHost, two: RealHost) -> None:
    made = ["ip", "link", "add", "uplink", "netns", str(one.pid), "type", "veth"]
    subprocess.run([*made, "peer", "name", "uplink", "netns", str(two.pid)], check=True)
    for host in (one, two):
        host.must(f"ip address add {host.address} dev uplink && ip link set uplink up")
    for host in (one, two):
        wait_until(lambda host=host: "LOWER_UP" in host.must("ip link show uplink"), message="the wire")  # type: ignore[misc]


PROBER = """
import json, os, socket, sys, threading, time
server, out, every, patience = sys.argv[1], sys.argv[2], 0.04, float(sys.argv[3])
counts = {"kept": 0, "new": 0, "sent": 0, "received": 0}
failures, enough = [], threading.Event()

def kept():
    with socket.create_connection((server, 7000), patience) as sock:
        while not enough.wait(every):
            word = b"%08d" % counts["kept"]
            sock.sendall(word)
            told = b""
            while len(told) < 8:
                piece = sock.recv(8 - len(told))
                if not piece: raise OSError("the connection ended")
                told += piece
            assert told == word, (told, word)
            counts["kept"] += 1

def new():
    while not enough.wait(every):
        with socket.create_connection((server, 7000), patience) as sock:
            sock.sendall(b"12345678")
            assert sock.recv(8)
        counts["new"] += 1

def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((server, 7000))
        seen, last = set(), time.monotonic()
        while True:
            going = not enough.wait(every)
            # So many without an answer at most: a slow container's buffer holds them.
            if not going or counts["sent"] - len(seen) < 50:
                sock.send(b"%d" % counts["sent"])
                counts["sent"] += 1
            while True:
                try: seen.add(int(sock.recv(99, socket.MSG_DONTWAIT))); last = time.monotonic()
                except BlockingIOError: break
            counts["received"] = len(seen)
            if not going:
                sock.settimeout(patience)
                while len(seen) < counts["sent"]:
                    seen.add(int(sock.recv(99)))
                    counts["received"] = len(seen)
                return

def run(what):
    try: what()
    except Exception as error: failures.append("%s: %r" % (what.__name__, error))

def write():
    with open(out + ".new", "w") as file: json.dump({**counts, "failures": failures}, file)
    os.replace(out + ".new", out)

threads = [threading.Thread(target=run, args=(what,)) for what in (kept, new, udp)]
for thread in threads: thread.start()
while not os.path.exists(out + ".enough"): write(); time.sleep(0.1)
enough.set()
for thread in threads: thread.join()
write()
"""
ANSWERER = """
import pathlib, socket, sys, threading
server = socket.create_server(("", 7000), backlog=99)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 7000))
pathlib.Path(sys.argv[1]).touch()
def serve(sock):
    with sock:
        try:
            while data := sock.recv(99): sock.sendall(data)
        except OSError: pass
def accept():
    while True: threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
while True:
    data, whom = udp.recvfrom(99)
    udp.sendto(data, whom)
"""
PROBES = ("kept", "new", "received")


class Prober:
    """Speaks from a container to another, 25 times a second in each of three ways: a TCP connection that is kept, new
    ones, UDP. It begins once the other one listens; after the `with` block neither of them runs."""

    def __init__(self, pair: Pair, work: Path, asking: tuple[str, str], answering: tuple[str, str]) -> None:
        self.out, self._pair = work / "probes", pair
        self._asking, self._answering = asking, answering
        self._running: list[tuple[RealHost, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Prober:
        listens = self.out.with_name("listens")
        there = self._pair.hosts[self._answering[0]]
        try:
            self._start(*self._answering, ANSWERER, str(listens))
            wait_until(listens.exists, message=lambda: f"an answering container: {there.log()}")
            self._start(*self._asking, PROBER, self._pair.addresses[self._answering[1]], str(self.out), str(PATIENCE))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        for host, program in self._running:
            if program.poll() is None:
                host.end(program)

    def _start(self, host: str, container: str, program: str, *words: str) -> None:
        file = self.out.with_name(f"{container}.py")
        file.write_text(program)
        line = f"ip netns exec {container} {PYTHON} -I {file} {' '.join(words)}"
        self._running.append((self._pair.hosts[host], self._pair.hosts[host].start(line)))

    def counts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out.read_text()) if self.out.exists() else {}
        return found

    def more(self, probes: int = 5) -> None:
        """Returns once so many more of each kind have been answered."""
        first = self.counts() or dict.fromkeys(PROBES, 0)

        def told() -> str:
            return f"probes: {self.counts()} after {first}; {self._pair.story()}"

        def answered() -> bool:
            now = self.counts()
            assert not now.get("failures"), told()
            return bool(now) and all(now[kind] >= first[kind] + probes for kind in PROBES)

        wait_until(answered, message=told)

    def end(self) -> dict[str, Any]:
        """What became of all of them."""
        self.out.with_name(self.out.name + ".enough").touch()
        self._running[-1][1].wait(2 * PATIENCE)  # which waits as long for what is lost
        return self.counts()


def times_out(rollout: Rollout) -> list[tuple[float, float]]:
    """From when until when each host was out, in the order of the hosts."""
    found = []
    for steps in (host.steps for host in rollout.hosts if host.steps):
        begun, ended = ([time for step in steps if (time := getattr(step, name))] for name in ("since", "until"))
        found.append((min(begun), max(ended)))
    return found
