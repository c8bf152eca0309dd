"""What a visitor sees when policy drops the balancer's packets: 503 after the connect time-outs, in a namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.fake_marathon import stars_app
from tests.support.waiting import PATIENCE

from tortie.lb.files import Files
from tortie.lb.render import Settings, render
from tortie.lb.services import Choice, services
from tortie.wire.marathon_apps import decode

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        any(shutil.which(program, path=PATH) is None for program in ("haproxy", "nft", "unshare", "curl")),
        reason="needs haproxy, nft, unshare and curl",
    ),
]

SCRIPT = """
set -e
ip link set lo up
nft 'add table ip t; add chain ip t c { type filter hook input priority 0; }; add set ip t tries { type inet_service;
  flags dynamic; }; add rule ip t c tcp dport 9001 add @tries { tcp sport } drop'
haproxy -f "$1/haproxy.cfg" & pid=$!
trap 'kill $pid; wait $pid || true' EXIT
until curl -s -o /dev/null http://127.0.0.1/none; do sleep 0.05; done
curl -s -o /dev/null -w '%{http_code} %{time_total}\n' -H 'Host: my.marathon.app' http://127.0.0.1/
nft -j list set ip t tries
"""


def test_a_dropped_server_is_503_after_four_connect_timeouts(tmp_path: Path) -> None:
    apps, _ = decode(json.dumps({"apps": [stars_app(address="127.0.0.9")]}).encode())
    found, _ = services(apps, Choice(groups=("external",), ports=range(20001, 30000)), lambda host: host)
    rendered = render(found, Settings(work_dir=str(tmp_path), maxconn=100))
    Files(tmp_path).provide(rendered.files)
    (tmp_path / "haproxy.cfg").write_text(rendered.text)
    command = ["unshare", "-n", "--kill-child", "sh", "-c", SCRIPT, "sh", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, env={"PATH": PATH})
    assert done.returncode == 0, done.stderr
    (status, seconds), listed = done.stdout.splitlines()[0].split(), json.loads(done.stdout.splitlines()[1])
    assert status == "503"
    assert float(seconds) > 11, "four times three seconds"
    # Each attempt has a port of its own; what TCP sends again within an attempt has not.
    (tries,) = [item["set"]["elem"] for item in listed["nftables"] if "set" in item]
    assert len(tries) == 4
