"""Starting this host's node from calicoctl: what it is, written to the store; then the agent as a process.

Where a service manager knows `calico-node.service` the agent is started by that; else it becomes a process of its own.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from tortie.base.errors import Conflict, Invalid, NotFound, TortieError, Unavailable
from tortie.cli.calicoctl import node_status, unix_http
from tortie.model.kinds.node import NODE, NodeBgp, NodeSpec
from tortie.model.resource import Metadata, Resource
from tortie.store.client import Client

UNIT = "calico-node.service"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
AGREE_SECONDS = 5.0
LOG_LINES = 5
ATTEMPTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a node shall be: `address` and `address6` with the length of their subnets, empty where there is none."""

    node: str
    address: str
    address6: str = ""
    number: int | None = None
    log_dir: str = "/var/log/calico"
    docker: bool = True
    pools: bool = True


def pid() -> int | None:
    """The node's process; None when it does not run."""
    return unix_http.peer_pid(node_status.SOCKET)


def conflict(client: Client, wish: Wish) -> str | None:
    """Which other node has one of these addresses already: the sentence to say, or None."""
    wanted = {text.partition("/")[0] for text in (wish.address, wish.address6) if text}
    for item in client.list(NODE).items:
        bgp = item.spec.bgp or NodeBgp()
        taken = {(text or "").partition("/")[0] for text in (bgp.ipv4_address, bgp.ipv6_address)} & wanted
        if taken and item.name != wish.node:
            return f"IP address {taken.pop()} is already in use by host {item.name}."
    return None


def describe(client: Client, wish: Wish) -> None:
    """Writes the Node, and where they are absent the cluster's first settings and its first pool."""
    from tortie.node.bootstrap import write_defaults

    write_defaults(client, pool=wish.pools)
    for _ in range(ATTEMPTS):
        found = client.find(NODE, wish.node)
        spec = found.spec if found else NodeSpec()
        bgp = msgspec.structs.replace(
            spec.bgp or NodeBgp(),
            ipv4_address=wish.address,
            **({"ipv6_address": wish.address6} if wish.address6 else {}),
            **({"as_number": wish.number} if wish.number is not None else {}),
        )
        wanted = msgspec.structs.replace(spec, bgp=bgp)
        try:
            if found is None:
                client.create(Resource(kind=NODE, metadata=Metadata(name=wish.node), spec=wanted))
            elif wanted != spec:
                client.update(replace(found, spec=wanted))
        except (Conflict, NotFound):
            continue
        return
    raise Conflict(f"Node {wish.node} was changed by others {ATTEMPTS} times in a row")


def arguments(wish: Wish, store: str) -> list[str]:
    """The command line of the agent. Raises Invalid when this installation has no `tortie`."""
    beside = Path(sys.executable).parent / "tortie"
    program = shutil.which("tortie") or (str(beside) if beside.exists() else "")
    if not program:
        raise Invalid("the program tortie is not installed beside calicoctl")
    argv = [program, "node", "run", "--hostname", wish.node, "--address", wish.address]
    argv += ["--address6", wish.address6] if wish.address6 else []
    argv += ["--store", store]
    return argv if wish.docker else [*argv, "--no-docker"]


def command_line(wish: Wish, store: str) -> str:
    return shlex.join(arguments(wish, store))


def foreground(wish: Wish, store: str) -> None:
    """Becomes the agent; does not return."""
    argv = arguments(wish, store)
    sys.stdout.flush()
    os.execv(argv[0], argv)


def start(wish: Wish, store: str, environ: Mapping[str, str]) -> int:
    """The agent's process. Raises Unavailable when it cannot be started."""
    if _service("start"):
        return _listening(lambda: None)
    Path(wish.log_dir).mkdir(parents=True, exist_ok=True)
    log = Path(wish.log_dir) / "node.log"
    try:
        with log.open("ab") as out:
            process = subprocess.Popen(
                arguments(wish, store),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd="/",
                env=dict(environ),
                start_new_session=True,
            )
    except OSError as error:
        raise Unavailable(f"the node cannot be started: {error}") from error

    def ended() -> str | None:
        return None if process.poll() is None else f"it ended with {process.returncode}\n{_tail(log)}"

    try:
        return _listening(ended)
    except Unavailable:
        process.terminate()
        raise


def wait_ready() -> None:
    """Until the agent has programmed this host. Raises Unavailable, with what it waits for."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            status, body = unix_http.get(node_status.SOCKET, "/readiness")
            if status == 204:
                return
            why = body.decode(errors="replace")
        except Unavailable as error:
            why = str(error)
        if time.monotonic() > deadline:
            raise Unavailable(f"the node is not ready after {START_SECONDS:g} s: {why}")
        time.sleep(0.1)


def stop() -> None:
    """Ends the agent, and waits for it; none is fine. Raises Unavailable when it does not end."""
    _service("stop")
    running = pid()
    if running is not None:
        try:
            os.kill(running, signal.SIGTERM)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise Unavailable(f"process {running}: {error.strerror}") from error
    deadline = time.monotonic() + STOP_SECONDS
    while pid() is not None:
        if time.monotonic() > deadline:
            raise Unavailable(f"the node did not end within {STOP_SECONDS:g} s")
        time.sleep(0.1)


def enable_forwarding() -> None:
    """Packets of containers go through this host. Raises Unavailable."""
    from tortie.dataplane import interfaces
    from tortie.node.before import Before

    if failed := Before().write(interfaces.HOST | interfaces.HOST6):
        raise Unavailable("; ".join(f"/proc/sys/{name}: {why}" for name, why in failed.items()))


def _service(verb: str) -> bool:
    """Whether the host's service manager did it: it does only for a unit that it knows."""
    program = shutil.which("systemctl")
    if program is None:
        return False
    try:
        done = subprocess.run([program, verb, UNIT], capture_output=True, timeout=START_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"systemctl {verb} {UNIT}: {error}") from error
    return done.returncode == 0


def _listening(ended: Callable[[], str | None]) -> int:
    """The process behind the agent's socket, as soon as there is one."""
    deadline = time.monotonic() + START_SECONDS
    while (running := pid()) is None:
        if (why := ended()) is not None:
            raise Unavailable(f"the node did not start: {why}")
        if time.monotonic() > deadline:
            raise Unavailable(f"the node did not start within {START_SECONDS:g} s")
        time.sleep(0.05)
    return running


def _tail(log: Path) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
    except OSError as error:
        return f"{log}: {error}"


def run(wish: Wish, store: str, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Starts the agent where it does not run, says its process and waits until it is ready. Raises TortieError."""
    running = pid()
    if running is not None:
        _check_same(wish)
    else:
        enable_forwarding()
        running = start(wish, store, environ)
    say(f"Calico node is running with id: {running}")
    say("Waiting for successful startup")
    wait_ready()
    say("Calico node started successfully")


def _check_same(wish: Wish) -> None:
    """A running agent keeps what it was started with, but for an IPv6 address that it has from its Node."""
    deadline = time.monotonic() + AGREE_SECONDS
    while (other := _difference(wish)) and time.monotonic() < deadline:
        time.sleep(0.1)
    if other:
        raise Conflict(other)


def _difference(wish: Wish) -> str:
    """What a running agent has that is not as it is wished; nothing when all is."""
    try:
        status: dict[str, object] = msgspec.json.decode(unix_http.get(node_status.SOCKET, "/status")[1], type=dict)
    except (TortieError, msgspec.MsgspecError) as error:
        raise Unavailable(f"the node is running, but does not say how: {error}") from error
    same = [
        ("name", wish.node, status.get("node")),
        ("address", wish.address.partition("/")[0], str(status.get("address")).partition("/")[0]),
    ]
    if wish.address6:
        same.append(("IPv6 address", wish.address6.partition("/")[0], status.get("address6") or "none"))
    for what, asked, has in same:
        if asked != has:
            return f"the node is running with the {what} {has}: stop it before it is started with {asked}"
    return ""
