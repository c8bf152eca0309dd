"""A daemon's process brought to life by its host's supervisor. Standard library only."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tortie.base.errors import TortieError
from tortie.lab.plan import Daemon, Manner
from tortie.lab.units import environment, expanded

PLAIN_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD)
"""A daemon takes these as the kernel gives them, whatever the caller of `up` had done to them."""


class CannotStart(TortieError):
    """There is no process; the text says why."""


def spawn(daemon: Daemon, argv: Sequence[str], log: int, env: Mapping[str, str], sockets: Mapping[str, int]) -> int:
    """The process of `argv`, in a session of its own, what it says in `log`. CannotStart says why there is none."""
    env = {**env, **daemon.env, **_from_files(daemon.manner)}
    passed = {str(name): sockets[name] for name in daemon.listen if name in sockets}
    if passed:
        env["LAB_SOCKETS"] = json.dumps(passed)
    for fd in sockets.values():
        os.set_inheritable(fd, fd in passed.values())
    if not argv:
        raise CannotStart("there is no program to start")
    words = expanded((argv[0].removeprefix("-"), *argv[1:]), env) if daemon.manner != Manner() else list(argv)
    words = [*_limits(daemon.manner), *words]
    actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
    actions += [(os.POSIX_SPAWN_DUP2, log, n) for n in (1, 2)]
    try:
        return os.posix_spawnp(
            words[0], words, env, file_actions=actions, setsid=True, setsigmask=(), setsigdef=PLAIN_SIGNALS
        )
    except ValueError as error:
        raise CannotStart(f"cannot start {words[0]!r}: {error}") from error
    except OSError as error:
        raise CannotStart(f"cannot start {words[0]}: {error.strerror}") from error


def _from_files(manner: Manner) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in manner.env_files:
        try:
            found |= environment(Path(name.removeprefix("-")).read_text())
        except (OSError, UnicodeDecodeError) as error:
            if not (name.startswith("-") and isinstance(error, FileNotFoundError)):
                raise CannotStart(f"cannot read {name.removeprefix('-')}: {error}") from error
    return found


def _limits(manner: Manner) -> list[str]:
    """What has to stand before a program so that it starts there and with that limit."""
    words = ["env", f"--chdir={manner.directory}", "--"] if manner.directory else []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # As much of it as this machine gives to anybody.
    wanted = manner.open_files if hard == resource.RLIM_INFINITY else min(manner.open_files, hard)
    if wanted not in (0, soft):
        words += ["prlimit", f"--nofile={wanted}", "--"]
    return words
