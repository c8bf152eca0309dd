"""Short `dcos` commands from start to end: performance row 36."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.support.dcos_cluster import DcosCluster, agent, serving, state, task

from bench._starting import figures

COMMANDS = ("help", "config show", "--version", "task", "node", "marathon app list")
TASKS = 20


def run() -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as directory, serving(_cluster()) as cluster:
        variables = {"DCOS_DIR": directory, "DCOS_URL": cluster.url}
        program = [sys.executable, "-P", str(_entry(Path(directory)))]
        return figures({f"dcos {words}": ([*program, *words.split()], variables) for words in COMMANDS})


def _entry(directory: Path) -> Path:
    """What an installed `dcos` is."""
    path = directory / "dcos"
    path.write_text("import sys\nfrom tortie.cli.dcos.main import main\nsys.exit(main())\n")
    return path


def _cluster() -> DcosCluster:
    apps = [{"id": f"/app-{n}", "mem": 64, "cpus": 0.1, "instances": 1, "cmd": "sleep 1"} for n in range(TASKS)]
    return DcosCluster(
        answers={
            "/mesos/master/state.json": state(*(task(f"app-{n}.1") for n in range(TASKS))),
            "/mesos/master/state-summary": {"slaves": [agent()]},
            "/mesos_dns/v1/hosts/master.mesos.": [{"host": "master.mesos.", "ip": "172.24.197.101"}],
            "/dcos-metadata/dcos-version.json": {"version": "1.9.2"},
            "/service/marathon/v2/apps": {"apps": apps},
            "/service/marathon/v2/deployments": [],
            "/service/marathon/v2/queue": {"queue": []},
        }
    )
