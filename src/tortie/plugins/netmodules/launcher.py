"""What Mesos executes for each command of net-modules: passes it on to this host's agent, and prints its answer."""

import _socket as sockets
import posix
import sys
import time

from tortie.plugins.launching import (
    MOST,
    PATIENCE,
    SPOOL,
    VERSION,
    answer,
    away,
    connect,
    exchange,
    keep,
    open_namespace,
    plain,
    request,
    say,
    stamp,
    standard_input,
)

PROCESS_DIGITS = 20
CLEANUPS = ("cleanup", "release")
PATIENT = ("allocate", "reserve", "isolate")


def main() -> int:
    if "-v" in sys.argv[1:] or "--version" in sys.argv[1:]:
        return answer(VERSION + "\n")
    stdin, wrong = standard_input()
    if wrong:
        return fail(wrong)
    process = process_in(stdin)
    namespace = open_namespace(b"/proc/" + process + b"/ns/net" if process else b"")
    given = [b"PLUGIN=calico_mesos", b"PROCESS=" + process, b"STAMP=" + stamp(namespace)]
    call = request([*given, b"TIME=%d" % time.time_ns()], stdin)
    if len(call) > 2 * MOST:
        return fail(f"the call is longer than {2 * MOST} bytes")
    try:
        reply = exchange(reach(stdin), call, namespace)
    except OSError as error:
        return without_agent(stdin, call, away(error))
    return say(reply[1:], reply[0] - 48)


def process_in(stdin: bytes) -> bytes:
    """The process whose namespace the agent is to have, by a glance: the agent reads the request and looks again."""
    after = stdin.partition(b'"pid"')[2].lstrip()
    digits = after[1:].lstrip() if after.startswith(b":") else b""
    process = digits[: len(digits) - len(digits.lstrip(b"0123456789"))]
    return process if len(process) <= PROCESS_DIGITS else b""


def reach(stdin: bytes) -> sockets.socket:
    """Waits for an agent that is away: a clean-up does not, it is kept for it."""
    try:
        return connect(0)
    except OSError:
        if command_of(stdin) not in PATIENT:
            raise
        return connect(time.monotonic() + PATIENCE)


def command_of(stdin: bytes) -> object:
    """Only while the agent is away: reading JSON takes longer than all the rest."""
    import json

    try:
        found = json.loads(stdin)
    except (ValueError, RecursionError):
        return None
    return found.get("command") if isinstance(found, dict) else None


def without_agent(stdin: bytes, call: bytes, why: str) -> int:
    if command_of(stdin) not in CLEANUPS:
        return fail(why)
    try:
        keep(call)
    except OSError as error:
        return fail(f"{why}, and {SPOOL}: {error.strerror}")
    return answer('{"error":null}')


def fail(message: str) -> int:
    answer(f'{{"error":"{plain(message)}"}}')
    return 1


if __name__ == "__main__":
    posix._exit(main())
