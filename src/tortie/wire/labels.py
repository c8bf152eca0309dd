"""Labels of containers that more than one room knows."""

from __future__ import annotations

# Which Mesos task a container is: written by the agent, read by the network's driver.
MESOS_TASK = "io.tortie.mesos.task"
MESOS_TASK_NAME = "io.tortie.mesos.task-name"
