"""The balancer's configuration: from Marathon's answer to haproxy.cfg and its maps, and HAProxy's own check."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tortie.lb.files import Files
from tortie.lb.render import Rendered, Settings, render
from tortie.lb.services import Choice, Known, services
from tortie.wire.marathon_apps import decode

TASKS, ROUNDS = 3, 5


def marathon_answer(apps: int, *, moved: int = 0) -> bytes:
    """Apps with a virtual host, a health check and three tasks each; of the first `moved` one task is elsewhere."""
    shown = [
        {
            "id": f"/group-{i // 10}/app-{i}", "instances": TASKS, "portDefinitions": [{"port": 10000 + i}],
            "labels": {"HAPROXY_GROUP": "external", "HAPROXY_0_VHOST": f"app-{i}.example.org,www.app-{i}.example.org"},
            "healthChecks": [{"protocol": "HTTP", "path": "/health", "intervalSeconds": 5, "portIndex": 0}],
            "tasks": [
                {"id": f"app-{i}.{task}", "host": f"10.0.{i % 50}.{task + 1 + 9 * (task == 0 and i < moved)}",
                 "state": "TASK_RUNNING", "ports": [31000 + i % 1000]}
                for task in range(TASKS)
            ],
        }
        for i in range(apps)
    ]  # fmt: skip
    return json.dumps({"apps": shown}).encode()


def rendered(apps: int, settings: Settings) -> tuple[Rendered, float, float]:
    """With the seconds of CPU that it took: the medians of some rounds, the first time and after a task has moved."""
    choice, first, later = Choice(groups=("external",)), [], []
    answer, moved = marathon_answer(apps), marathon_answer(apps, moved=1)
    for _ in range(ROUNDS):
        known = Known()
        began = time.process_time()
        made = render(services(decode(answer)[0], choice, str, None, known)[0], settings)
        first.append(time.process_time() - began)
        began = time.process_time()
        after = render(services(decode(moved)[0], choice, str, None, known)[0], settings, made)
        later.append(time.process_time() - began)
        assert after.text != made.text
        assert after.mark == made.mark, "a task that moved would need a reload"
    return made, sorted(first)[ROUNDS // 2], sorted(later)[ROUNDS // 2]


def checked(made: Rendered, work_dir: Path) -> str:
    """What `haproxy -c` takes for it."""
    program = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        return "no haproxy here"
    Files(work_dir).provide(made.files)
    (work_dir / "haproxy.cfg").write_text(made.text)
    began = time.monotonic()
    subprocess.run([program, "-c", "-f", work_dir / "haproxy.cfg"], check=True, capture_output=True)
    return f"{time.monotonic() - began:.2f} s"


def run() -> list[tuple[str, str]]:
    """Names of figures and figures."""
    found = []
    for apps in (10, 1000, 10_000):
        with tempfile.TemporaryDirectory(prefix="tortie-bench-") as directory:
            settings = Settings(work_dir=directory, maxconn=100)
            made, took, again = rendered(apps, settings)
            what = f"lb: {apps:,} apps x {TASKS} tasks, /v2/apps to haproxy.cfg ({len(made.text) // 1024:,} KiB)"
            found.append((what, f"{took:.3f} s CPU"))
            found.append((f"lb: the same after one of {apps * TASKS:,} tasks moved", f"{again:.3f} s CPU"))
            if apps <= 1000:
                found.append((f"lb: `haproxy -c` of the same, {apps:,} apps", checked(made, Path(directory))))
    return found


if __name__ == "__main__":
    for name, figure in run():
        print(f"{name}: {figure}")
