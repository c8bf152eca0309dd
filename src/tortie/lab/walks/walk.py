"""Replaying a document: commands typed on lab hosts, checks with real packets, one report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from tortie.base.errors import TortieError
from tortie.lab.plan import RESOLVER
from tortie.lab.walks.matrix import Cell, Party, Probe, Probing, Seen, Stage, cells
from tortie.lab.walks.parties import Containers, Found, told_apart
from tortie.lab.walks.ports import Lab, Ran
from tortie.lab.walks.prober import Target, probe_all

PATIENCE = 90.0
"""Seconds after which a walk no longer expects what has not come: far more than a busy machine takes."""
ANSWER_SECONDS = 1.5
SLOW_SECONDS, SLOW_LOOKS = 4.0, 3


class StepFailed(TortieError):
    """A command of the document did not do what the document says."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at after a step."""

    step: str
    name: str
    holds: bool
    detail: str = ""


@dataclass(slots=True)
class Report:
    checks: list[Check] = field(default_factory=list)
    matrices: dict[str, list[Cell]] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)


class Progress(Protocol):
    """Who watches a walk."""

    def step(self, key: str, title: str) -> None: ...
    def command(self, host: str, text: str) -> None: ...
    def waiting(self, what: str, seconds: float) -> None: ...
    def explain(self, text: str) -> None: ...
    def check(self, check: Check) -> None: ...
    def matrix(self, step: str, seen: Sequence[Cell]) -> None: ...


class Walk:
    """The hands of a replay: types commands, waits for conditions, looks and notes what it saw."""

    def __init__(self, lab: Lab, progress: Progress, probing: Probing) -> None:
        self.lab = lab
        self.progress = progress
        self.probing = probing
        self.report = Report()
        self.step_key = ""
        self.hosts = [host for host in lab.hosts.values() if host.role != "router"]
        """Those that take part: a router only carries what others send."""
        self.agents = [host.name for host in lab.hosts.values() if host.role == "agent"]
        self.runtime = str(lab.state["options"]["runtime"])
        self.routing = str(lab.state["options"]["routing"])
        self.bare = bool(lab.state["options"].get("bare"))
        """Whether the document's packages bring the network."""
        self.containers: Containers
        """Set by whoever knows what runs them."""

    def begin(self, key: str, title: str) -> None:
        self.step_key = key
        self.progress.step(key, title)

    def typed(self, host: str, text: str, *, timeout: float = 180) -> Ran:
        """Type one line of the document on a host, as a person at a shell would."""
        self.progress.command(host, text)
        return self.lab.hosts[host].run(["bash", "-c", text], timeout=timeout)

    def must(self, host: str, text: str, *, timeout: float = 180) -> str:
        """`typed`, and StepFailed with the command's own words unless it ends with 0. Returns what it printed."""
        ran = self.typed(host, text, timeout=timeout)
        if ran.returncode != 0:
            said = (ran.stderr or ran.stdout).strip()
            raise StepFailed(f"step {self.step_key} on {host}: {text}: exit {ran.returncode}: {said}")
        return ran.stdout

    def check(self, name: str, holds: bool, detail: str = "") -> bool:
        check = Check(self.step_key, name, holds, detail)
        self.report.checks.append(check)
        self.progress.check(check)
        return holds

    def wait(
        self, what: str | Callable[[], str], condition: Callable[[], object], seconds: float, every: float = 0.1
    ) -> bool:
        """True as soon as the condition holds, False when it did not within the time. `what` is asked at each look;
        there is one `every` so many seconds."""
        start = time.monotonic()
        while not condition():
            passed = time.monotonic() - start
            if passed > seconds:
                return False
            self.progress.waiting(what() if callable(what) else what, passed)
            time.sleep(every)
        return True

    def silent(self, host: str, text: str) -> None:
        """A command that must print nothing and end with 0."""
        ran = self.typed(host, text)
        said = f"{text}: exit {ran.returncode}: {ran.stdout}{ran.stderr}"
        self.check("prints nothing, ends with 0", ran.returncode == 0 and not ran.stdout, said)

    # -- parties and packets

    def parties(self) -> Found:
        """Every task and every peer that the document is about, each with its network namespace, in a fixed order."""
        order = self.probing.networks
        found = self.containers.running()
        found.sort(key=lambda item: (item[0].role, order.index(item[0].network or ""), item[0].host, item[0].address))
        return told_apart(found)

    def host_parties(self) -> tuple[dict[Party, Path], list[Party]]:
        """Each host with its network namespace; and what containers try on hosts, their own resolver among it."""
        at = {Party(host.name, "host", host.name, host.address): host.netns() for host in self.hosts}
        if not self.probing.to_hosts:
            return at, []
        dns = frozenset({Probe("udp", 53), Probe("tcp", 53)})
        own = [Party("its resolver", "host", party.host, RESOLVER, None, dns, own=True) for party in at]
        return at, [*at, *own]

    def add_peers(self) -> None:
        """A second container for each network on agents: `same network`, and both placements of every pair."""
        self.containers.add_peers()

    def remove_peers(self) -> None:
        """What `add_peers` made; none there is fine."""
        self.containers.remove_peers()

    def on_agents(self, lines: Mapping[str, str], what: str = "") -> None:
        """A line for each of these agents, at once. StepFailed names `what` it was for, if anything, when one fails."""
        with ThreadPoolExecutor(max_workers=4) as pool:
            jobs = {
                agent: pool.submit(self.lab.hosts[agent].run, ["bash", "-c", line], timeout=300)
                for agent, line in lines.items()
            }
        for agent, job in jobs.items():
            ran = job.result()
            if what and ran.returncode != 0:
                raise StepFailed(f"step {self.step_key} on {agent}: {what}: {ran.stderr.strip()}")

    def matrix(self, stage: Stage, *, settle: float = 0.0) -> None:
        """Try everything, compare with the stage, note the outcome under the present step. `settle`: for so many
        seconds what is wrong is tried again, whatever it is: a change of policy has just been typed."""
        parties = self.parties()
        hosts, asked = self.host_parties()
        at = {**dict(parties), **hosts}
        listed = cells(stage, list(at), [*(party for party, _ in parties), *asked], self.probing)
        seen = _measure(listed, at, ANSWER_SECONDS)
        deadline, slow_looks = time.monotonic() + settle, SLOW_LOOKS
        while again := [cell for cell in seen if not cell.holds]:
            timeout = ANSWER_SECONDS
            if time.monotonic() > deadline:
                # A busy machine may answer late; silence where an answer is wanted gets more, longer looks.
                again = [cell for cell in again if cell.seen is Seen.DROPPED]
                slow_looks, timeout = slow_looks - 1, SLOW_SECONDS
                if not again or slow_looks < 0:
                    break
            better = {(c.source, c.destination, c.probe): c for c in _measure(again, at, timeout)}
            seen = [better.get((c.source, c.destination, c.probe), c) for c in seen]
        self.report.matrices[self.step_key] = seen
        self.progress.matrix(self.step_key, seen)
        wrong = [cell for cell in seen if not cell.holds]
        self.check(f"matrix: {len(seen)} probes", bool(seen) and not wrong, "; ".join(map(_words, wrong[:5])))


def _measure(listed: Sequence[Cell], at: dict[Party, Path], timeout: float) -> list[Cell]:
    by_source: dict[Path, list[Cell]] = {}
    for cell in listed:
        by_source.setdefault(at[cell.source], []).append(cell)
    work = {
        netns: [Target(cell.destination.address, cell.probe) for cell in group] for netns, group in by_source.items()
    }
    results = probe_all(work, timeout)
    return [
        replace(cell, seen=outcome)
        for netns, group in by_source.items()
        for cell, outcome in zip(group, results[netns], strict=True)
    ]


def _words(cell: Cell) -> str:
    seen = cell.seen.value if cell.seen else "nothing"
    return f"{cell.source.name} -> {cell.destination.name} {cell.probe}: wanted {cell.wanted.value}, saw {seen}"
