"""What a runtime executes for each command of CNI: passes the call on to this host's agent, and prints its answer.

It knows no more of CNI than what must not depend on the agent.
"""

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

SUPPORTED = '"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"'
ABOUT = '{"cniVersion":"1.1.0","supportedVersions":[' + SUPPORTED + "]}"
ENVIRONMENT, INPUT_OUTPUT, NOT_DECODED, TRY_AGAIN, NOT_AVAILABLE = 4, 5, 6, 11, 50


def main() -> int:
    plugin = sys.argv[0].rpartition("/")[2]
    if "-v" in sys.argv[1:] or "--version" in sys.argv[1:]:
        return answer(VERSION + "\n")
    command = posix.environ.get(b"CNI_COMMAND", b"").decode(errors="replace")
    if not command:
        posix.write(2, f"{plugin} is a CNI plug-in of Tortie: a container runtime calls it.\n".encode())
        return 0
    if command == "VERSION":
        return answer(ABOUT)
    stdin, wrong = standard_input()
    if wrong:
        return fail(NOT_DECODED if stdin else INPUT_OUTPUT, wrong)
    namespace = open_namespace(posix.environ.get(b"CNI_NETNS", b""))
    given = [b"PLUGIN=" + plugin.encode(errors="surrogateescape"), b"STAMP=" + stamp(namespace)]
    given += [name + b"=" + value for name, value in posix.environ.items() if name.startswith(b"CNI_")]
    call = request(given, stdin)
    if len(call) > 2 * MOST:
        return fail(ENVIRONMENT, f"the call is longer than {2 * MOST} bytes")
    try:
        reply = exchange(connect(time.monotonic() + (PATIENCE if command == "ADD" else 0)), call, namespace)
    except OSError as error:
        return without_agent(command, call, away(error))
    return say(reply[1:], reply[0] - 48)


def without_agent(command: str, call: bytes, why: str) -> int:
    if command == "DEL":
        try:
            keep(call)
        except OSError as error:
            return fail(INPUT_OUTPUT, f"{why}, and {SPOOL}: {error.strerror}")
        return 0
    return fail(NOT_AVAILABLE if command == "STATUS" else TRY_AGAIN, why)


def fail(code: int, message: str) -> int:
    answer(f'{{"code":{code},"msg":"{plain(message)}"}}')
    return 1


if __name__ == "__main__":
    posix._exit(main())
