"""Runs one health check of a container: in it, or from its network namespace."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import anyio

from tortie.base.errors import TortieError
from tortie.mesos.agent.containerizer import Containerizer
from tortie.mesos.agent.health import status_is_good, url
from tortie.wire import mesos as wire

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2]))).close()"


async def passes(by: Containerizer, name: str, check: wire.HealthCheck) -> tuple[bool, str]:
    """Whether it passed within its time, and what was said when it did not."""
    try:
        if check.type == "COMMAND" and check.command:
            return await _command(by, name, check.command, check.timeout_seconds)
        with anyio.move_on_after(check.timeout_seconds or None):
            return await _from_inside(by, name, check)
    except (TortieError, OSError, ValueError) as error:  # ValueError: a null byte cannot be passed on
        return False, str(error)
    return False, f"no answer within {check.timeout_seconds:g} seconds"


async def _command(by: Containerizer, name: str, command: wire.CommandInfo, timeout: float) -> tuple[bool, str]:
    inside = ["/bin/sh", "-c", command.value or ""] if command.shell else [command.value or "", *command.arguments]
    variables = command.environment.variables if command.environment else []
    given = {variable.name: variable.value or "" for variable in variables}
    status, said = await by.run_in(name, inside, environment=given, timeout=timeout)
    return status == 0, f"command exited with status {status}: {said}"


async def _from_inside(by: Containerizer, name: str, check: wire.HealthCheck) -> tuple[bool, str]:
    """Of the container's own loopback address, so from its network namespace."""
    enter = ["nsenter", f"--net=/proc/{(await by.look(name)).pid}/ns/net", "--"]
    if check.type == "HTTP" and check.http:
        asked = ["curl", "-s", "-S", "-L", "-k", "-g", "-w", "%{http_code}", "-o", "/dev/null", url(check.http)]
        status, said = await _exit([*enter, *asked])
        code = int(said[-3:]) if status == 0 and said[-3:].isdigit() else 0
        return status_is_good(check.http, code), said if status else f"HTTP status {code}"
    if check.type == "TCP" and check.tcp:
        host = "::1" if check.tcp.protocol == "IPv6" else "127.0.0.1"
        connect = [sys.executable, "-I", "-S", "-c", CONNECT, host, str(check.tcp.port)]
        status, said = await _exit([*enter, *connect])
        return status == 0, said.rpartition("\n")[2]
    return False, f"health check of type {check.type} is not known"


async def _exit(command: Sequence[str]) -> tuple[int, str]:
    done = await anyio.run_process(command, check=False, stdin=subprocess.DEVNULL)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace").strip()
