"""How a container ended, in the original's words. Values only."""

from __future__ import annotations

from tortie.mesos.agent.containerizer import Exit
from tortie.mesos.agent.status import command_ended

MIB = 1 << 20
KILLED = 9


def ended(status: int, *, out_of_memory: bool = False, requested: int = 0, peak: int = 0) -> Exit:
    """Of a container whose shim has seen its end. `requested`, `peak`: bytes of memory."""
    if not out_of_memory or status == 0:
        return Exit(status=status, message=command_ended(status))
    words = f"Memory limit exceeded: Requested: {requested // MIB}MB Maximum Used: {max(peak, 0) // MIB}MB"
    return Exit(status=status, message=words, reason="REASON_CONTAINER_LIMITATION_MEMORY")


def lost() -> Exit:
    """Whoever watched over it has gone, and it with them."""
    return Exit(status=KILLED, message="Executor terminated", reason="REASON_EXECUTOR_TERMINATED")
