"""Which containerizer runs a task. Values only."""

from __future__ import annotations

from collections.abc import Sequence

from tortie.wire import mesos as wire

DOCKER = "docker"
MESOS = "mesos"


def containerizer_for(task: wire.TaskInfo, enabled: Sequence[str]) -> str | None:
    """None: nobody does.

    Docker takes tasks of type DOCKER. Mesos takes the others, and where Docker is not enabled those of type DOCKER too:
    it runs their images itself. Executors of a framework's own are nobody's.
    """
    if task.executor is not None:
        return None
    if task.container is not None and task.container.type == "DOCKER" and DOCKER in enabled:
        return DOCKER
    return MESOS if MESOS in enabled else None


def nobody(enabled: Sequence[str]) -> str:
    """What the status of a task says that nobody takes."""
    return (
        f"Failed to launch container: None of the enabled containerizers ({','.join(enabled)}) could create a "
        "container for the provided TaskInfo/ExecutorInfo message"
    )
