"""`python -m bench._balancer_lab LAB [SCALINGS [ROLLINGS]]`: requests that fail while Marathon scales and deploys anew.

On a running lab of the Hello document: its front end with real containers, its Marathon, its balancer as an app; the
requests come from its laptop.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MASTER, PUBLIC, APP = "172.24.197.101:8080", "172.24.197.201", "/frontend"
_WITHIN = 300.0


class Lab:
    def __init__(self, name: str) -> None:
        self._exec = [str(Path(sys.executable).with_name("tortie")), "exec", "--name", name]

    def laptop(self, *command: str) -> list[str]:
        return [*self._exec, "laptop", "--", *command]

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        more = ["-H", "Content-Type: application/json", "-d", json.dumps(body)] if body else []
        command = self.laptop("curl", "-sS", "--fail", "-X", method, f"http://{MASTER}{path}", *more)
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def balancer(self) -> dict[str, Any]:
        command = self.laptop("curl", "-sS", "--fail", f"http://{PUBLIC}:9090/_mlb/state")
        found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return found

    def deployed(self) -> None:
        until = time.monotonic() + _WITHIN
        while self.ask("GET", "/v2/deployments"):
            if time.monotonic() > until:
                raise TimeoutError("the deployment does not end")
            time.sleep(0.2)


def change(lab: Lab, scalings: int, rollings: int) -> None:
    dice, size = random.Random(6), 3
    for number in range(scalings):
        size = 3 if number == scalings - 1 else dice.choice([n for n in range(1, 7) if n != size])
        lab.ask("PUT", f"/v2/apps/{APP}", {"instances": size})
        lab.deployed()
    for _ in range(rollings):
        lab.ask("POST", f"/v2/apps/{APP}/restart")
        lab.deployed()


def main(name: str, scalings: str = "10", rollings: str = "5") -> int:
    lab = Lab(name)
    before = lab.balancer()["haproxy"]
    root = Path(__file__).parents[1]
    command = lab.laptop("env", f"PYTHONPATH={root}:{root}/src", sys.executable, "-m", "bench._balancer_load",
                         f"http://{PUBLIC}/", "spring.acme.org")  # fmt: skip
    load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ)
    began = time.monotonic()
    try:
        change(lab, int(scalings), int(rollings))
    finally:
        said, _ = load.communicate("")
    took = time.monotonic() - began
    found = json.loads(said)
    after = lab.balancer()["haproxy"]
    sent = sum(found["found"].values())
    print(f"{scalings} scalings and {rollings} rolling deployments in {took:.0f} s")
    print(f"requests that failed: {sent - found['found'].get('answered', 0)} of {sent}: {found['found']}")
    print(f"reloads: {after['reloads'] - before['reloads']}; processes: {sorted(after['processes'].values())}")
    for line in found["when"]:
        print(line)
    return int(set(found["found"]) != {"answered"} or after["reloads"] != before["reloads"])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
