"""A real Docker Engine pulls the demo's images by the documents' names and runs them within the demo's 64 MB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from tests.support.docker_host import DockerHost
from tests.support.waiting import PATIENCE, wait_until

from tortie.lab.documents import STARS_IMAGES
from tortie.stars.board import parse_resources

pytestmark = [pytest.mark.docker]
FILES = files("tortie.lab").joinpath("files")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerHost]:
    state = tmp_path_factory.mktemp("services")
    with DockerHost("stars", options=["--registry-mirror=http://127.0.0.1:5000"]) as made:
        command = [sys.executable, "-m", "tortie.lab.services", "--address=127.0.0.1", f"--state={state}"]
        services = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{made.netns}", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            assert services.stdout is not None
            assert services.stdout.readline().startswith("ready ")
            yield made
        finally:
            services.terminate()
            services.communicate(timeout=PATIENCE)


def ask(host: DockerHost, url: str) -> str:
    command = ["nsenter", f"--net=/run/netns/{host.netns}", "curl", "-s", "--max-time", "30", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False).stdout


def test_the_documents_names_can_be_pulled_and_nothing_else(host: DockerHost) -> None:
    for name in STARS_IMAGES:
        host.docker("pull", name)
    ids = set(host.docker("images", "--quiet", "--no-trunc", "--filter", "label=tortie.image=star").stdout.split())
    assert len(ids) == 1
    for name in ("calico/star:latest", "nginx"):
        assert host.docker("pull", name, check=False).returncode != 0


def test_probe_and_collector_run_in_the_demos_memory_and_end_at_once(host: DockerHost, tmp_path: Path) -> None:
    resources = [{"id": "P", "url": "http://127.0.0.1:9000/status"}]
    (tmp_path / "resources.json").write_text(json.dumps(resources))
    common = ["--detach", "--net=host", "--memory=64m", "--memory-swap=64m"]
    host.docker("run", *common, "--name=probe", "djosborne/star:v0.5.0", "--urls=http://127.0.0.1:9001/")
    host.docker(
        "run", *common, "--name=collect", f"--volume={tmp_path}:/mnt/mesos/sandbox", "--entrypoint=/bin/sh",
        "--env=MESOS_SANDBOX=/mnt/mesos/sandbox", "mesosphere/star:v0.3.0", "-c",
        "/star/target/debug/star-collect --http-request-seconds=1 --resources-file=$MESOS_SANDBOX/resources.json",
    )  # fmt: skip
    wait_until(lambda: '"reachable":true' in ask(host, "http://127.0.0.1:9001/responses"), message="the probe's answer")
    assert "<title>Stars" in ask(host, "http://127.0.0.1:9001/")
    for name in ("probe", "collect"):
        used = host.docker("stats", "--no-stream", "--format={{.MemUsage}}", name).stdout.split()[0]
        assert float(used.removesuffix("MiB")) < 32
        host.docker("stop", "--time=60", name)
        # It ended by its own will: at the end of its time it would have been killed.
        assert host.docker("inspect", "--format={{.State.ExitCode}}", name).stdout.strip() == "0"


def test_a_person_finds_a_shell_and_tools(host: DockerHost) -> None:
    lines = ["ls / > /dev/null", "getent hosts localhost", "ping -c 1 127.0.0.1", "python3 -c 'import http.client'"]
    host.docker("run", "--rm", "--net=host", "--entrypoint=sh", "calico/star:v0.5.0", "-ec", "\n".join(lines))


def test_the_resources_file_is_one_that_the_collector_reads() -> None:
    assert [id for id, _ in parse_resources(FILES.joinpath("calico-stars-resources.json").read_bytes())] == list("CFB")
