"""`dcos task exec` and `attach`: a command in a task's container, or its first process, at this terminal.

The command's exit code becomes this program's: 128 and the signal's number where a signal ended it. Ctrl-C goes to the
command where it has a terminal, and ends it where it has none. Ctrl-P Ctrl-Q leaves a task that one is attached to.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tortie.cli.dcos import state as of
from tortie.cli.dcos.errors import DcosError, refusal
from tortie.cli.dcos.grammar import Line
from tortie.cli.dcos.mesos import Mesos
from tortie.cli.dcos.reply import Reply
from tortie.cli.dcos.session import Session, tell
from tortie.cli.dcos.terminal import Escape, Terminal

if TYPE_CHECKING:
    from tortie.wire.agent_client import AgentClient, Stream

PIECE = 32768
NO_TERMINAL = "Must be running in a tty to pass the '--tty flag'."
WAIT = 30.0
"""Seconds that the agent has to say how a command ended."""


def exec_(session: Session, line: Line) -> int:
    interactive, tty = line.has("--interactive"), line.has("--tty")
    if tty and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise DcosError(NO_TERMINAL)
    client, container_id = _container(session, line.need("<task>"))
    terminal = Terminal(raw=tty and interactive) if tty else None
    rows, columns = terminal.size() if terminal else (0, 0)
    environment = {"TERM": session.environ.get("TERM", "xterm")} if tty else {}
    arguments = [line.need("<cmd>"), *line.words("<args>")]

    def begin() -> Stream:
        return client.session(
            container_id,
            arguments,
            environment=environment,
            user=line.value("--user"),
            terminal=tty,
            rows=rows,
            columns=columns,
        )

    return _spoken(begin, client, terminal, read=interactive, escape=None, waits=True)


def attach(session: Session, line: Line) -> int:
    """A task goes on when one leaves it; its own end gives no code."""
    client, container_id = _container(session, line.need("<task>"))
    read = not line.has("--no-stdin")
    terminal = Terminal(raw=read) if sys.stdin.isatty() and sys.stdout.isatty() else None
    return _spoken(lambda: client.attach(container_id), client, terminal, read=read, escape=Escape(), waits=False)


def _container(session: Session, wanted: str) -> tuple[AgentClient, dict[str, Any]]:
    from tortie.cli.dcos.web import client as web_client

    mesos = Mesos(session)
    state = mesos.state()
    task = of.task(state, wanted)
    container_id = of.container(task)
    url = mesos.agent_url(of.agent(state, str(task.get("slave_id"))), "api/v1")
    tls = url.startswith("https://")
    web_client(tls=tls)
    from tortie.wire.agent_client import AgentClient

    context = session.http.tls() if tls else None
    return AgentClient(url, headers=session.http.login(url), context=context), container_id


def _spoken(
    begin: Any, client: AgentClient, terminal: Terminal | None, *, read: bool, escape: Escape | None, waits: bool
) -> int:
    from tortie.base.errors import Unavailable
    from tortie.wire.agent_client import Refused

    try:
        with begin() as stream:
            left = threading.Event()
            if terminal is not None:
                stream.open_input()
                terminal.enter(lambda: stream.resize(*terminal.size()))
            if read:
                threading.Thread(target=_typed, args=(stream, escape, left), daemon=True).start()
            elif waits and terminal is None:
                stream.close_input()  # nothing to read, instead of waiting for it for ever
            try:
                _print(stream, left)
            finally:
                if terminal is not None:
                    terminal.leave()
            return _ended(stream) if waits else 0
    except Refused as error:
        reply = Reply(client.address.url, error.status, error.reason, {}, error.text.encode())
        raise DcosError(error.text) if error.text and error.status not in (401, 403) else refusal(reply) from error
    except Unavailable as error:
        raise DcosError(str(error)) from error


def _ended(stream: Stream) -> int:
    """The command's exit code; agents before 1.3 forget a session as soon as its output has ended."""
    from tortie.wire.agent_client import Refused, exit_code

    try:
        return exit_code(stream.wait(WAIT))
    except Refused as error:
        if error.status != 404:
            raise
        tell("The agent does not know how the command ended.")
        return 0


def _print(stream: Stream, left: threading.Event) -> None:
    """Until the command has ended, or the one who watches has left."""
    from tortie.base.errors import Unavailable

    files: Mapping[str, int] = {"STDOUT": 1, "STDERR": 2}
    try:
        for name, data in stream.output():
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(files.get(name, 1), rest) :]
    except Unavailable:
        if not left.is_set():
            raise


def _typed(stream: Stream, escape: Escape | None, left: threading.Event) -> None:
    """Standard input, to its end."""
    stream.open_input()
    while True:
        try:
            data = os.read(0, PIECE)
        except OSError:
            data = b""
        if not data:
            stream.close_input()
            return
        if escape is not None:
            data, leaves = escape.feed(data)
            if leaves:
                left.set()
                tell("\r\nleft; the task goes on\r")
                stream.hang_up()
                return
        stream.write(data)
