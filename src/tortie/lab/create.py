"""`up`: from a plan to running hosts. It is noted before it exists: `down` finds it after any end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import tortie
from tortie.base.errors import TortieError, Unavailable
from tortie.lab import api, artifacts, network, pages, ssh, state
from tortie.lab.api import Lab
from tortie.lab.daemons import ARCHIVES, IMAGES, SERVICES, store_of, with_ports
from tortie.lab.documents import DOCUMENTS
from tortie.lab.plan import PATH, SWITCH, Host, Plan, as_json, in_order

BOOT_SECONDS = 120.0
READY_SECONDS = 240.0
TAIL_LINES = 5
NAMED = 3


class DaemonMissing(TortieError):
    """A daemon of the lab does not come up; the text has the end of its log."""


class Progress(Protocol):
    """Told what `up` is doing."""

    def doing(self, what: str, done: int, of: int, waiting: str = "") -> None:
        """`done` of so many hosts or daemons are up; `waiting` names some that are not."""
        ...


def create(plan: Plan, asked: Mapping[str, Any], progress: Progress) -> Lab:
    """Make the lab's hosts and wait for their daemons. The caller holds the lock and removes what a failure leaves.

    `asked` is noted beside the plan's options. Raises Unavailable naming the host that could not be made, DaemonMissing
    when the hosts are there but a daemon does not come up.
    """
    for host in plan.hosts:
        in_order(host.daemons)
    where = state.places(plan.name)
    where.run.mkdir(parents=True)
    opened = pages.listen(plan.pages)
    plan = with_ports(plan, {page.page.name: page.port for page in opened})
    noted = {
        "name": plan.name,
        "options": as_json(plan.options),
        **asked,
        "phase": "starting",
        "started": time.time(),
        "hosts": [{"name": host.name, "address": host.address, "role": host.role} for host in plan.hosts],
        "pages": [{**as_json(o.page), "local": o.port, "url": o.url, "said": o.said} for o in opened],
    }
    state.write(where.run / "state.json", noted)
    try:
        where.store.mkdir(parents=True)
        if (
            plan.options.store == "sqlite" and not plan.options.bare
        ):  # with etcd the hosts do it: there is no store before them
            network.write_when_there(f"sqlite://{where.store}", plan.options, seconds=0)
        _boot_all(plan, where, opened, progress)
    finally:
        for page in opened:
            page.socket.close()
    note(where, phase="daemons")
    lab = Lab.find(plan.name)
    wait_ready(lab, progress)
    note(where, phase="up")
    return Lab.find(plan.name)


def note(where: state.Places, **changes: Any) -> None:
    """Change what is noted of a lab."""
    state.write(where.run / "state.json", {**state.state_of(where), **changes})


def _boot_all(plan: Plan, where: state.Places, opened: Sequence[pages.Open], progress: Progress) -> None:
    """The switch first, then every host at once."""
    others = [host for host in plan.hosts if host.role != "switch"]  # which is none of the document's
    progress.doing("hosts", 0, len(others))
    common = {
        "lab": plan.name,
        "hosts": as_json(plan)["hosts"],
        "python": sys.executable,
        "path": _import_path(),
        "keep": _keep(),
        "ca": _authority(where),
        "store": store_of(plan.options),
        "document": plan.options.document,
        "bare": plan.options.bare,
        "ssh": ssh.keys(plan.hosts, where.data / "ssh") if DOCUMENTS[plan.options.document].ssh else None,
    }
    archives = where.data / "images"
    shared = [(str(where.data / "services"), SERVICES), (IMAGES, IMAGES), (str(archives), ARCHIVES)]
    for folder in (Path(IMAGES), archives):
        folder.mkdir(parents=True, exist_ok=True)
    sockets = {page.page.name: page.socket.fileno() for page in opened}
    switch = _boot(plan.host(SWITCH), where, {**common, "shared": shared, "sockets": sockets}, tuple(sockets.values()))
    _wait_booted([switch], lambda _: None)
    switch_pid = state.live_pid(where.host_run(SWITCH) / "pid.json")
    rest = {**common, "shared": [(str(archives), ARCHIVES)], "sockets": {}, "switch_pid": switch_pid}
    _wait_booted([_boot(host, where, rest, ()) for host in others], lambda n: progress.doing("hosts", n, len(others)))


def _import_path() -> list[str]:
    """Where Python finds our packages, when that is not its own site directory."""
    source = Path(tortie.__file__).parent.parent
    return [str(source)]


def _keep() -> list[str]:
    """What programs of ours need at the same path inside: the checkout, the environment, the interpreter behind it."""
    source = Path(tortie.__file__).parent.parent
    checkout = source.parent if (source.parent / "pyproject.toml").exists() else source
    found = dict.fromkeys(
        map(str, (checkout, Path(sys.prefix), Path(sys.base_prefix), Path(os.path.realpath(sys.executable))))
    )
    return [path for path in found if path not in ("/", "/usr")]


def _authority(where: state.Places) -> dict[str, str]:
    made = artifacts.authority(where.data / "services" / "authority", sorted(artifacts.HOSTS))
    ran = subprocess.run(
        ["openssl", "x509", "-in", str(made.ca), "-noout", "-hash"], capture_output=True, text=True, check=False
    )
    if ran.returncode != 0:
        raise Unavailable(f"openssl x509: {ran.stderr.strip()}")
    return {"certificate": made.ca.read_text(), "hashed": ran.stdout.strip()}


def _boot(
    host: Host, where: state.Places, spec: dict[str, Any], inherit: tuple[int, ...]
) -> tuple[str, subprocess.Popen[str]]:
    where.host_run(host.name).mkdir(mode=0o700)
    (where.data / host.name).mkdir(parents=True, exist_ok=True)
    path = where.host_run(host.name) / "spec.json"
    state.write(path, {**spec, "host": host.name})
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", state.BOOT_MODULE, str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=inherit,
        start_new_session=True,
        cwd="/",
        env={"PATH": PATH, "PYTHONPATH": ":".join(_import_path()), "LANG": "C.UTF-8"},
    )
    return host.name, process


def _wait_booted(booting: Sequence[tuple[str, subprocess.Popen[str]]], done: Callable[[int], None]) -> None:
    for n, (name, process) in enumerate(booting, 1):
        try:
            _, said = process.communicate(timeout=BOOT_SECONDS)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"host {name} did not come up within {BOOT_SECONDS:g} s") from None
        if process.returncode != 0:
            raise Unavailable(said.strip() or f"host {name}: ended with {process.returncode} before it was up")
        done(n)


def wait_ready(lab: Lab, progress: Progress) -> None:
    """Until every daemon of every host is ready. DaemonMissing names the first that is not, with the end of its log;
    Unavailable a host that has ended or whose supervisor does not answer at all."""
    deadline = time.monotonic() + READY_SECONDS
    hosts = [lab.switch, *lab.hosts.values()]
    while True:
        reports, late = _reports(hosts)
        ready = [report for _, report in reports if report["state"] in ("running", "done")]
        missing = [f"{report['name']} on {host.name}" for host, report in reports if report not in ready]
        progress.doing("daemons", len(ready), len(reports), ", ".join([*missing, *late][:NAMED]))
        if len(ready) == len(reports) and not late:
            return
        if late and time.monotonic() > deadline:
            raise next(iter(late.values()))
        for host, report in reports:
            hopeless = report["state"] == "backoff" and report["restarts"] >= GIVE_UP_RESTARTS
            if hopeless or (time.monotonic() > deadline and report not in ready):
                state_now = f"{report['state']}, {report['last_exit'] or 'no exit'}"
                log = tail(host.log(report["name"]))
                raise DaemonMissing(f"{report['name']} on {host.name} is not up ({state_now})\n{log}")
        time.sleep(0.05)


def _reports(hosts: Sequence[api.Host]) -> tuple[list[tuple[api.Host, dict[str, Any]]], dict[str, Unavailable]]:
    """What each supervisor says of its daemons, and who did not answer this time, with the error: a machine that has
    just written a lot may let one wait. Unavailable when a host has ended."""
    reports: list[tuple[api.Host, dict[str, Any]]] = []
    late: dict[str, Unavailable] = {}
    for host in hosts:
        try:
            reports += [(host, report) for report in host.daemons()]
        except Unavailable as error:
            if not host.alive:
                raise
            late[f"the supervisor of {host.name}"] = error
    return reports, late


GIVE_UP_RESTARTS = 5
"""By then the waits between starts have grown to seconds: it will not come."""


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, or nothing."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
