"""Running a program as on a host, from outside: in its namespaces, its /root, with its environment."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from tortie.base.errors import Unavailable
from tortie.lab import linux
from tortie.lab.plan import ENVIRONMENT

PASSED_ON = ("TERM", "COLORTERM", "NO_COLOR", "LC_ALL", "LC_CTYPE")
FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
NOT_FOUND, NOT_EXECUTABLE = 127, 126


def environment(caller: Mapping[str, str]) -> dict[str, str]:
    """A host's own environment, with the caller's terminal."""
    return {**ENVIRONMENT, **{name: caller[name] for name in PASSED_ON if name in caller}}


def words(command: Sequence[str]) -> list[str]:
    """What is run: several words as they are; one word with blanks as a shell reads it."""
    if len(command) == 1 and any(c.isspace() for c in command[0]):
        return ["/bin/bash", "-c", command[0]]
    return list(command) or ["/bin/bash"]


def namespaces(pid: int) -> list[tuple[int, int]]:
    """Open every namespace of a process: (file descriptor, kind), in the order in which to enter them."""
    try:
        return [
            (os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), kind)
            for name, kind in linux.NAMESPACES.items()
        ]
    except OSError as error:
        raise Unavailable(f"process {pid} has ended: {error.strerror}") from error


def call(pid: int, command: Sequence[str]) -> int:
    """Run `command` in the namespaces of `pid`, joined to this process's input, output, terminal and signals.

    Returns its exit code, 128 + N when a signal ended it, 127 when there is no such program.
    """
    env = environment(os.environ)
    for fd, kind in namespaces(pid):
        linux.setns(fd, kind)
        os.close(fd)
    terminal = _own_terminal()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _become(words(command), env, terminal)
    for number in FORWARDED:
        signal.signal(number, lambda received, _: _pass_on(child, received))
    for number in (signal.SIGINT, signal.SIGQUIT):
        # The terminal sends these to the whole group: the program decides what they mean.
        signal.signal(
            number, (lambda received, _: None) if terminal else (lambda received, _: _pass_on(child, received))
        )
    code = _wait(child)
    if terminal:
        _give_terminal(os.getpgrp())
    return code


def _own_terminal() -> bool:
    """Whether standard input is a terminal in whose foreground this process runs."""
    try:
        return os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _become(command: Sequence[str], env: Mapping[str, str], terminal: bool) -> None:
    """In the child: a process group of its own in the foreground (a shell asks for one), then the program."""
    code = NOT_FOUND
    try:
        linux.die_with_parent(signal.SIGHUP)
        if terminal:
            os.setpgid(0, 0)
            _give_terminal(os.getpgrp())
        for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGQUIT, *FORWARDED):
            signal.signal(number, signal.SIG_DFL)
        os.umask(0o022)
        os.chdir("/root")
        os.environ["PATH"] = env["PATH"]
        os.execvpe(command[0], list(command), dict(env))
    except FileNotFoundError:
        print(f"{command[0]}: command not found", file=sys.stderr)
    except OSError as error:
        code = NOT_EXECUTABLE
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _give_terminal(group: int) -> None:
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # hung up meanwhile: nothing to give
        os.tcsetpgrp(0, group)
    signal.signal(signal.SIGTTOU, before)


def _pass_on(child: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)


def _wait(child: int) -> int:
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            # Stopped at the terminal: stop as well, and go on together.
            _give_terminal(os.getpgrp())
            os.kill(os.getpid(), signal.SIGSTOP)
            _give_terminal(child)
            _pass_on(child, signal.SIGCONT)
            continue
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code
