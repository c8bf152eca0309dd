"""What it costs to bring a container to its network, policy in force, and back: CNI and net-modules beside ptp with
host-local, which knows no policy. Every call goes through `ip netns exec`, which takes a good millisecond of it."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.kernel.netlab import Lab, inside
from tests.kernel.test_netmodules_kernel import A1, Agent, end
from tests.support.cni_runtime import Runtime
from tests.support.waiting import PATIENCE, wait_until

from bench import quick
from tortie.plugins.cni.install import install
from tortie.wire.netmodules import PUBLIC

ROUNDS = 3 if quick() else 50
TOGETHER = 3 if quick() else 20
FOREIGN = Path("/usr/lib/cni")


class Host:
    """A host of a lab with both plug-ins of ours, and containers that are nothing but namespaces."""

    def __init__(self, folder: Path) -> None:
        self.lab = Lab(folder)
        self.agent = Agent(self.lab, "agent-1", A1)
        options = dict(zip(self.agent.options[1::2], self.agent.options[2::2], strict=True))
        paths = options["--cni-socket"], options["--cni-spool"]
        self.launcher = next(placed.what for placed in list(install(folder / "bin", *paths)))
        list(install(folder / "python", *paths, "python"))
        self.words = ["ip", "netns", "exec", self.agent.host.netns]
        ipam = {"type": "host-local", "subnet": "10.9.0.0/16", "dataDir": str(folder / "host-local")}
        ptp = {"cniVersion": "1.0.0", "name": "plain", "type": "ptp", "ipam": ipam}
        self.ours = Runtime(folder / "bin", self.words)
        self.python = Runtime(folder / "python", self.words)
        self.ptp = Runtime(FOREIGN, self.words, ptp)
        self.count = 0

    def namespace(self) -> tuple[str, str]:
        self.count += 1
        name = f"{self.agent.host.netns}-b{self.count}"
        self.lab.add_netns(name)
        return name, f"/var/run/netns/{name}"

    def settle(self) -> None:
        """What the kernel still does for a call before is not held against the next one."""
        inside(self.agent.host.netns, "ip", "link", "set", "lo", "up")

    def cni(self, runtime: Runtime, command: str, container: str, path: str) -> float:
        self.settle()
        start = time.perf_counter()
        said = runtime.run(command, container, path, plugin="ptp" if runtime is self.ptp else "calico")
        took = time.perf_counter() - start
        assert said.code == 0, said
        return took

    def modules(self, command: str, **args: object) -> tuple[float, dict[str, object]]:
        request = json.dumps({"command": command, "args": args}).encode()
        start = time.perf_counter()
        done = subprocess.run(
            [*self.words, str(self.agent.command)], input=request, capture_output=True, check=True, timeout=PATIENCE
        )
        return time.perf_counter() - start, json.loads(done.stdout)

    def close(self) -> None:
        self.agent.close()
        self.lab.close()


def _one_by_one(host: Host, took: dict[str, list[float]]) -> None:
    for number in range(ROUNDS):
        container = f"{number:02d}" * 32
        for name, runtime in (("ptp", host.ptp), ("ours", host.ours), ("ours, launcher in Python,", host.python)):
            _, path = host.namespace()
            took.setdefault(f"{name} VERSION", []).append(host.cni(runtime, "VERSION", container, path))
            for command in ("ADD", "DEL"):
                took.setdefault(f"{name} {command}", []).append(host.cni(runtime, command, container, path))
        _net_modules(host, container, took)


def _net_modules(host: Host, container: str, took: dict[str, list[float]]) -> None:
    name, path = host.namespace()
    process = subprocess.Popen(["ip", "netns", "exec", name, "sleep", "600"], stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: Path(f"/proc/{process.pid}/ns/net").stat().st_ino == Path(path).stat().st_ino)
        seconds, answer = host.modules("allocate", hostname=A1, num_ipv4=1, num_ipv6=0, uid=container)
        took.setdefault("allocate", []).append(seconds)
        addresses = answer["ipv4"]
        about = {"hostname": A1, "container_id": container}
        isolate = {**about, "pid": process.pid, "ipv4_addrs": addresses, "netgroups": [PUBLIC]}
        took.setdefault("isolate", []).append(host.modules("isolate", **isolate)[0])
        took.setdefault("release", []).append(host.modules("release", ips=addresses)[0])
        took.setdefault("cleanup", []).append(host.modules("cleanup", **about)[0])
    finally:
        end(process)


def _together(host: Host, runtime: Runtime) -> tuple[list[float], float]:
    """Each ADD of many that begin at once, and all of them."""
    places = [(f"{number:02d}" * 32, host.namespace()[1]) for number in range(TOGETHER)]

    def add(place: tuple[str, str]) -> float:
        return host.cni(runtime, "ADD", *place)

    with ThreadPoolExecutor(TOGETHER) as pool:
        start = time.perf_counter()
        each = list(pool.map(add, places))
        whole = time.perf_counter() - start
    for container, path in places:
        host.cni(runtime, "DEL", container, path)
    return each, whole


def run() -> list[tuple[str, str]]:
    took: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Path(folder))
        try:
            _one_by_one(host, took)
            plain, ours = _together(host, host.ptp), _together(host, host.ours)
        finally:
            host.close()
    median = {name: statistics.median(values) for name, values in took.items()}
    found = [("launcher", host.launcher)]
    found += [(f"{name}, {ROUNDS} one by one (median, least, most)", _shown(values)) for name, values in took.items()]
    least = min(took["ours ADD"]) / min(took["ptp ADD"])
    found += [
        ("CNI ADD with policy in force beside ptp (least of each)", f"{least:.2f}"),
        ("CNI ADD with policy in force beside ptp (medians)", f"{median['ours ADD'] / median['ptp ADD']:.2f}"),
        ("CNI DEL beside ptp (medians)", f"{median['ours DEL'] / median['ptp DEL']:.2f}"),
        ("CNI ADD by the launcher in Python beside ptp (medians)", f"{_python(median, 'ADD'):.2f}"),
        ("CNI DEL by the launcher in Python beside ptp (medians)", f"{_python(median, 'DEL'):.2f}"),
        ("net-modules isolate beside CNI ADD (medians)", f"{median['isolate'] / median['ours ADD']:.2f}"),
    ]
    for name, (each, whole) in (("ptp", plain), ("ours", ours)):
        found.append((f"{name} ADD, {TOGETHER} at once (median, least, most)", _shown(each)))
        found.append((f"{name} ADD, {TOGETHER} at once, all of them", f"{whole * 1000:.0f} ms"))
    return [*found, ("all of ours at once beside all of ptp", f"{ours[1] / plain[1]:.2f}")]


def _python(median: dict[str, float], command: str) -> float:
    return median[f"ours, launcher in Python, {command}"] / median[f"ptp {command}"]


def _shown(values: Sequence[float]) -> str:
    return ", ".join(f"{found(values) * 1000:.1f} ms" for found in (statistics.median, min, max))
