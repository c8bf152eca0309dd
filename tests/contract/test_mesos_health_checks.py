"""Health checks of a container by the agent: what cannot be run is a failed check, and nothing worse."""

from __future__ import annotations

import anyio
import pytest

from tortie.mesos.agent.checks import passes
from tortie.mesos.agent.docker_containers import DockerContainers
from tortie.wire import mesos as wire


@pytest.mark.parametrize(
    "check",
    [
        wire.HealthCheck(type="COMMAND", command=wire.CommandInfo(value="a\0b")),
        wire.HealthCheck(type="COMMAND", command=wire.CommandInfo(value="true")),
        wire.HealthCheck(type="HTTP", http=wire.HTTPCheck(port=80)),
        wire.HealthCheck(type="TCP", tcp=wire.TCPCheck(port=80)),
        wire.HealthCheck(type="TELEPATHY"),
        wire.HealthCheck(type="HTTP"),
    ],
)
def test_without_an_engine_every_check_fails_with_a_reason(check: wire.HealthCheck) -> None:
    containers = DockerContainers("me", docker="/no/such/docker", socket="/no/such.sock")
    ok, said = anyio.run(passes, containers, "mesos-x", check)
    assert not ok
    assert said
