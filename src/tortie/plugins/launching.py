"""What all launchers do: pass a runtime's call on to this host's agent, and keep a clean-up while no agent answers.

A launcher runs once per container and per question of a runtime, so nothing is imported that is not built into the
interpreter (os alone takes a millisecond). `install` writes this text and the launcher's own into one file, with the
paths of this host.
"""

import _socket as sockets
import posix
import sys
import time

SOCKET = "/run/tortie/cni.sock"
SPOOL = "/var/lib/tortie/cni/spool"
VERSION = "tortie"
PROTOCOL = b"tortie-cni-1\0"
PATIENCE = 5.0
PAUSE = 0.1
MOST = 1 << 20


def request(given: list[bytes], stdin: bytes) -> bytes:
    """The call as the agent reads it: `NAME=VALUE` each ended by a zero, an empty one, what was on standard input."""
    return PROTOCOL + b"".join(part + b"\0" for part in given) + b"\0" + stdin


def open_namespace(path: bytes) -> int:
    """A descriptor, because the path may mean another namespace by the time the agent looks; -1 for none."""
    try:
        return posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK) if path else -1
    except OSError:
        return -1


def stamp(namespace: int) -> bytes:
    """Which namespace it is; nothing when it is a plain file, as after a restart of the host."""
    if namespace < 0:
        return b""
    try:
        found, own = posix.fstat(namespace), posix.stat("/proc/self/ns/net")
    except OSError:
        return b""
    if found.st_dev != own.st_dev:
        return b""
    return b"%d:%d" % (found.st_dev, found.st_ino)


def connect(until: float) -> sockets.socket:
    """Tries again for a while: an agent that is being replaced is back within seconds."""
    while True:
        connection = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        try:
            connection.connect(SOCKET)
        except OSError:
            connection.close()
            if time.monotonic() >= until:
                raise
            time.sleep(PAUSE)
        else:
            return connection


def exchange(connection: sockets.socket, call: bytes, namespace: int) -> bytes:
    """The answer: its first byte is the exit code, the rest is to be printed as it is."""
    rights = []
    if namespace >= 0:
        number = namespace.to_bytes(4, sys.byteorder)
        rights = [(sockets.SOL_SOCKET, sockets.SCM_RIGHTS, number)]
    sent = connection.sendmsg([call], rights)
    if sent < len(call):
        connection.sendall(call[sent:])
    connection.shutdown(sockets.SHUT_WR)
    reply = read_all(connection.fileno(), 4 * MOST)
    if not reply:
        raise ConnectionResetError(104, "it ended in the middle of the call")
    if len(reply) == 4 * MOST or not reply[:1].isdigit():
        raise ConnectionResetError(104, "it answered what is no answer")
    return reply


def away(error: OSError) -> str:
    """Why nobody answered."""
    return f"the agent of this host at {SOCKET}: {error.strerror}"


def keep(call: bytes) -> None:
    """For the agent's next start: runtimes do not repeat a clean-up."""
    name = f"{time.time_ns():020d}-{posix.getpid()}"
    beside = f"{SPOOL}/.{name}"
    file = posix.open(beside, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o600)
    try:
        write_all(file, call)
        posix.fsync(file)
        posix.rename(beside, f"{SPOOL}/{name}")
    except OSError:
        posix.unlink(beside)
        raise
    finally:
        posix.close(file)
    posix.write(2, f"{SOCKET} does not answer: it is done when the agent is back\n".encode())


def plain(message: str) -> str:
    """Fit to stand between the quotes of JSON."""
    return "".join(letter if letter.isprintable() and letter not in '"\\' else " " for letter in message)


def answer(text: str) -> int:
    return say(text.encode(errors="replace"), 0)


def say(data: bytes, code: int) -> int:
    """The exit code: 1 when nobody hears it."""
    try:
        write_all(1, data)
    except OSError as error:
        posix.write(2, f"standard output: {error.strerror}\n".encode())
        return 1
    return code


def write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[posix.write(fd, data) :]


def read_all(fd: int, most: int) -> bytes:
    """What there is, up to so many bytes."""
    parts: list[bytes] = []
    while most > 0:
        part = posix.read(fd, min(most, 65536))
        if not part:
            break
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def standard_input() -> tuple[bytes, str]:
    """What the runtime wrote, and why it will not do."""
    try:
        stdin = read_all(0, MOST + 1)
    except OSError as error:
        return b"", f"standard input: {error.strerror}"
    return stdin, f"standard input is longer than {MOST} bytes" if len(stdin) > MOST else ""
