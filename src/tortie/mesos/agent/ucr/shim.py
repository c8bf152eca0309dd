"""The small process beside each container: it outlives the agent, holds the container's streams, waits for its end.

It is run by its path (`python -I -S shim.py NAME=VALUE... -- MAKE... -- BEGIN...`), once for each container and for
each session in one, so it is one file that imports little, and knows nothing of the runtime whose commands it is given:

    dir         its folder, root's alone: `socket`, `pid` (the runtime writes it), `begun`, `status` (of wait(2)), `oom`
    root        with `lower` (folders, the uppermost first), `upper` and `work`: an overlay is mounted there; with
                `bind`: that folder is. Both in a mount namespace of its own, which ends with the container
    stdout      file for its output, and `stderr`; `size` and `files`: when they are rotated, and how many are kept
    console     1: it has a terminal
    input       1: what comes in goes to its standard input, which is /dev/null otherwise
    memory      its memory cgroup: when that has no more to give, the container ends
    making      so many seconds each of the two commands may take
    patience    1: a slow reader holds the container back, and without a reader it waits; else slow readers are cut off

MAKE is run at once, and one line on standard output says how it went; BEGIN when somebody asks for it. The container
has been made when the runtime has written `pid`.

On its socket both sides send frames: a letter, four bytes of length, as many bytes. An order is done before the next
one of the same connection is looked at; those for the container wait until there is one. They are answered by DONE or
REFUSED (with words), but for OUTPUT and WAIT:

    OUTPUT      begins, and from then on STDOUT and STDERR with what it says, at its end STATUS (in decimal)
    INPUT       answered when everything has been taken or will not be: its input is a pipe
    CLOSE       its standard input ends; on a terminal nothing happens
    SIZE        rows and columns of its terminal, two bytes each
    SIGNAL      number, to its first process
    BEGIN       once; a second time is fine
    WAIT        STATUS when it has ended
    QUIT        its first process is killed, and the shim ends
"""

import _socket as sockets
import ctypes
import fcntl
import os
import select
import sys
import termios
import time

OUTPUT, INPUT, CLOSE, SIZE, SIGNAL, BEGIN, WAIT, QUIT = b"o", b"i", b"c", b"z", b"k", b"b", b"w", b"q"
STDOUT, STDERR, STATUS, DONE, REFUSED = b"1", b"2", b"s", b"y", b"n"
LONGEST = 1 << 20
"""A longer frame is an error of its sender's."""
CHUNK = 1 << 16
HOLD = 1 << 18
"""So much may wait for a reader that is waited for."""
CUT = 1 << 23
"""So much may wait for another one."""
LINGER = 60.0
"""So long readers have to fetch what is left, from the last time that they fetched some."""
MAKING = 100
NOT_STARTED = 127 << 8
PLAIN_SIGNALS = tuple(number for number in range(1, 65) if number not in (9, 19, 32, 33))
"""All that can be: a container takes them as the kernel gives them, whatever Python ignores, or a shell that started
the agent in the background."""
SUBREAPER, NEWNS, MS_BIND, MS_REC, MS_SLAVE = 36, 0x20000, 4096, 16384, 1 << 19


def frame(kind: bytes, data: bytes = b"") -> bytes:
    return kind + len(data).to_bytes(4, "big") + data


class Log:
    """A file of the sandbox, which belongs to the container: what lies there later is never written through."""

    def __init__(self, path: str, size: int, files: int) -> None:
        folder, _, self.name = path.rpartition("/")
        self.folder = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.size, self.files = size, files
        self.file = self._open(os.O_CREAT)

    def _open(self, how: int) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | how
        return os.open(self.name, flags, 0o644, dir_fd=self.folder)

    def write(self, data: bytes) -> None:
        """What the disk does not take is lost; the container goes on."""
        try:
            if self.size and os.fstat(self.file).st_size >= self.size:
                self._rotate()
            while data:
                data = data[os.write(self.file, data) :]
        except OSError:
            return

    def _rotate(self) -> None:
        owner = os.fstat(self.file)
        for number in range(self.files - 1, -1, -1):
            old = f"{self.name}.{number}" if number else self.name
            try:
                os.rename(old, f"{self.name}.{number + 1}", src_dir_fd=self.folder, dst_dir_fd=self.folder)
            except OSError:
                continue
        fresh = self._open(os.O_CREAT | os.O_EXCL)
        os.close(self.file)
        self.file = fresh
        os.fchown(fresh, owner.st_uid, owner.st_gid)


class Client:
    def __init__(self, connection: sockets.socket) -> None:
        self.connection = connection
        self.read = bytearray()
        self.write = bytearray()
        self.held: tuple[bytes, bytes] | None = None
        self.reader = self.waiter = self.busy = self.told = False
        self.fetched = time.monotonic()

    def events(self) -> int:
        return (0 if self.busy else select.POLLIN) | (select.POLLOUT if self.write else 0)

    def order(self) -> tuple[bytes, bytes] | None:
        """The next whole one. ValueError for what cannot become one."""
        if len(self.read) < 5:
            return None
        length = int.from_bytes(self.read[1:5], "big")
        if length > LONGEST:
            raise ValueError(length)
        if len(self.read) < 5 + length:
            return None
        found = bytes(self.read[:1]), bytes(self.read[5 : 5 + length])
        del self.read[: 5 + length]
        return found

    def flush(self) -> None:
        """OSError when it is gone."""
        while self.write:
            try:
                sent = self.connection.send(self.write[:CHUNK], sockets.MSG_DONTWAIT | sockets.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            del self.write[:sent]
            self.fetched = time.monotonic()


class Shim:
    def __init__(self, given: dict[str, str], make: list[str], begin: list[str]) -> None:
        self.given, self.make, self.begin_command = given, make, begin
        self.dir = given["dir"]
        self.terminal = given.get("console") == "1"
        self.patient = given.get("patience") == "1"
        self.pid = 0
        self.watch = -1
        self.begun = False
        self.status: int | None = None
        self.sources: dict[int, bytes] = {}
        self.input = -1
        self.pending = bytearray()
        self.writer: Client | None = None
        self.clients: dict[int, Client] = {}
        self.memory: tuple[int, int] | None = None
        self.logs: dict[bytes, Log] = {}

    # -- the container -------------------------------------------------------------------------------------------------

    def prepare(self) -> sockets.socket:
        """Everything that can fail before the runtime is asked. Raises OSError."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
        if "root" in self.given:
            self._mount(libc)
        for kind, name in ((STDOUT, "stdout"), (STDERR, "stderr")):
            if name in self.given:
                self.logs[kind] = Log(self.given[name], int(self.given.get("size", 0)), int(self.given.get("files", 0)))
        os.chdir(self.dir)
        return listener("socket")

    def _mount(self, libc: ctypes.CDLL) -> None:
        """What is unmounted on the host is unmounted here; nothing of ours is seen there."""
        root = self.given["root"].encode()
        if "bind" in self.given:
            kind, source, flags, options = None, self.given["bind"].encode(), MS_BIND | MS_REC, None
        else:
            # Short names: the kernel takes one page of options.
            lower = self.given["lower"].split(":")
            os.chdir(self.dir)
            for number, folder in enumerate(lower):
                os.symlink(folder, f"{number}")
            names = ":".join(str(number) for number in range(len(lower)))
            kind, source, flags = b"overlay", b"overlay", 0
            options = f"lowerdir={names},upperdir={self.given['upper']},workdir={self.given['work']}".encode()
        checked(libc, libc.unshare(NEWNS), "unshare")
        checked(libc, libc.mount(None, b"/", None, MS_REC | MS_SLAVE, None), "mount /")
        checked(libc, libc.mount(source, root, kind, flags, options), f"mount {self.given['root']}")

    def run(self, command: list[str]) -> str:
        """The runtime's own words when it fails, nothing when it has done it."""
        if not command:
            return ""
        makes = self.pid == 0
        console = listener("console") if makes and self.terminal else None
        ends = self._ends(makes=makes)
        actions = [(os.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate(ends)]
        try:
            child = os.posix_spawnp(
                command[0], command, os.environ, file_actions=actions, setsigmask=(), setsigdef=PLAIN_SIGNALS
            )
        except OSError as error:
            return f"{command[0]}: {error.strerror}"
        finally:
            for end in set(ends):
                os.close(end)
        if not self._in_time(child):
            return f"{command[0]} has not ended within {self.given.get('making', MAKING)} seconds"
        status = os.waitpid(child, 0)[1]
        if status:
            said = b"".join(drained(source) for source in list(self.sources)).decode(errors="replace").strip()
            return said or f"{command[0]} ended with status {status}"
        return self._made(console) if makes else ""

    def _in_time(self, child: int) -> bool:
        """Waits for its end; it is killed when that takes too long."""
        handle = os.pidfd_open(child)
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        ended = poll.poll(float(self.given.get("making", MAKING)) * 1000)
        os.close(handle)
        if not ended:
            os.kill(child, 9)
            os.waitpid(child, 0)
        return bool(ended)

    def _made(self, console: sockets.socket | None) -> str:
        try:
            if console is not None:
                self._take_terminal(console)
            with open("pid", encoding="ascii") as file:
                self.pid = int(file.read())
            self.watch = os.pidfd_open(self.pid)
        except (OSError, ValueError, IndexError) as error:
            return f"the runtime made something else: {error}"
        self._watch_memory()
        return ""

    def _ends(self, *, makes: bool) -> tuple[int, int, int]:
        """Standard input, output and error for the runtime: the container's, when it makes one without terminal."""
        if not makes:
            null = os.open("/dev/null", os.O_RDWR)
            return null, null, null
        out, err = os.pipe(), os.pipe()
        self.sources = {out[0]: STDOUT, err[0]: STDERR}
        if self.given.get("input") == "1" and not self.terminal:
            inside, self.input = os.pipe()
            os.set_blocking(self.input, False)
        else:
            inside = os.open("/dev/null", os.O_RDONLY)
        for source in self.sources:
            os.set_blocking(source, False)
        return inside, out[1], err[1]

    def _take_terminal(self, console: sockets.socket) -> None:
        for source in self.sources:
            os.close(source)
        console.settimeout(LINGER)
        connection, _ = console._accept()  # type: ignore[attr-defined]
        sent = sockets.socket(fileno=connection)
        ancillary = sent.recvmsg(256, sockets.CMSG_SPACE(4))[1]
        master = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
        os.set_inheritable(master, False)
        os.set_blocking(master, False)
        self.sources, self.input = {master: STDOUT}, master
        sent.close()
        console.close()
        os.unlink("console")

    def _watch_memory(self) -> None:
        """Of version 1 an event, of version 2 a file that changes. A kernel without either just kills."""
        folder = self.given.get("memory")
        try:
            if folder and os.path.exists(f"{folder}/cgroup.event_control"):
                happened = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
                control = os.open(f"{folder}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
                asked = os.open(f"{folder}/cgroup.event_control", os.O_WRONLY | os.O_CLOEXEC)
                os.write(asked, f"{happened} {control}".encode())
                os.close(asked)
                self.memory = happened, select.POLLIN
            elif folder:
                self.memory = os.open(f"{folder}/memory.events", os.O_RDONLY | os.O_CLOEXEC), select.POLLPRI
        except OSError:
            self.memory = None

    def _memory_is_out(self) -> bool:
        """Also leaves a mark for those who ask how it ended, with the most that it had."""
        folder = self.given.get("memory")
        counts = [*lines(f"{folder}/memory.oom_control"), *lines(f"{folder}/memory.events")]
        if not any(int(text.split()[1]) for text in counts if text.startswith("oom_kill ")):
            return False
        if not os.path.exists("oom"):
            self._mark()
        return True

    def _mark(self) -> None:
        peaks = ("memory.max_usage_in_bytes", "memory.peak")
        write("oom", "".join(text for name in peaks for text in lines(f"{self.given['memory']}/{name}")[:1]))

    def begin(self) -> str:
        """Once. Words when it cannot; a session that cannot begin has ended."""
        if self.begun:
            return ""
        self.begun = True
        makes = self.pid == 0
        said = self.run(self.begin_command)
        if not said:
            write("begun", "")
        elif makes:
            for client in list(self.clients.values()):
                self._give(client, STDOUT if self.terminal else STDERR, f"{said}\r\n".encode())
            self._close_sources()
            self._ended(NOT_STARTED)
        else:
            self.begun = False
        self._let_go()
        return said

    def _ended(self, status: int) -> None:
        self.status = status
        if self.memory is not None:
            self._memory_is_out()
        write("status", f"{status}\n")
        self._close_input()
        self._fed()

    def _close_sources(self) -> None:
        for source in self.sources:
            if source != self.input:
                os.close(source)
        self.sources = {}

    def _drain(self) -> None:
        """What its first process has left behind; not what others that have its output might say later."""
        for source in list(self.sources):
            while self._wants_output() and self._read(source):
                continue
        if self._wants_output():
            self._close_sources()

    # -- what it says --------------------------------------------------------------------------------------------------

    def _read(self, source: int) -> bool:
        """Whether there may be more of it."""
        try:
            data = os.read(source, CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # a terminal without a process
            data = b""
        kind = self.sources[source]
        if not data:
            del self.sources[source]
            if source != self.input:
                os.close(source)
            return False
        if log := self.logs.get(kind):
            log.write(data)
        for client in list(self.clients.values()):
            if client.reader:
                self._give(client, kind, data)
        return True

    def _give(self, client: Client, kind: bytes, data: bytes) -> None:
        if not client.reader:
            return
        client.write += frame(kind, data)
        if not self.patient and len(client.write) > CUT:
            self._leave(client)

    def _wants_output(self) -> bool:
        if not self.patient:
            return True
        readers = [client for client in self.clients.values() if client.reader]
        return bool(readers) and all(len(client.write) < HOLD for client in readers)

    # -- what it is told -----------------------------------------------------------------------------------------------

    def obey(self, client: Client) -> None:
        while not client.busy and (order := client.order()) is not None:
            kind, data = order
            if self.pid == 0 and not self.begun and kind in (INPUT, CLOSE, SIZE, SIGNAL):
                client.held, client.busy = order, True
            elif kind == OUTPUT:
                client.reader = True
                self.begin()
            elif kind == WAIT:
                client.waiter = True
            else:
                self._order(client, kind, data)

    def _order(self, client: Client, kind: bytes, data: bytes) -> None:
        if kind == INPUT:
            self._input(client, data)
        else:
            said = self._do(kind, data)
            client.write += frame(REFUSED, said.encode()) if said else frame(DONE)

    def _let_go(self) -> None:
        """What was said before it began."""
        for client in list(self.clients.values()):
            if client.held is not None:
                (kind, data), client.held, client.busy = client.held, None, False
                self._order(client, kind, data)
                self._obey_or_leave(client)

    def _do(self, kind: bytes, data: bytes) -> str:
        try:
            if kind == BEGIN:
                return self.begin()
            if kind == CLOSE and not self.terminal:
                self._close_input()
            elif kind == SIGNAL and self.pid and self.status is None:
                os.kill(self.pid, data[0])
            elif kind == SIZE and self.terminal and self.input >= 0:
                fcntl.ioctl(self.input, termios.TIOCSWINSZ, size(data))
            elif kind == QUIT:
                self._quit()
            elif kind not in (CLOSE, SIGNAL, SIZE):
                return f"{kind!r} is no order"
        except (OSError, IndexError, OverflowError) as error:
            return str(error)
        return ""

    def _quit(self) -> None:
        """Its first process is this one's to bury: nothing may be left of it that holds its cgroups."""
        if self.pid and self.status is None:
            os.kill(self.pid, 9)
            poll = select.poll()
            poll.register(self.watch, select.POLLIN)
            poll.poll(LINGER * 500)
            os.waitpid(self.pid, os.WNOHANG)
        os._exit(0)

    def _input(self, client: Client, data: bytes) -> None:
        """One writer after the other."""
        if self.input < 0 or self.status is not None or not data:
            client.write += frame(DONE)
            return
        if self.writer is not None:
            client.write += frame(REFUSED, b"somebody else is writing")
            return
        self.writer, client.busy = client, True
        self.pending += data
        self._feed()

    def _feed(self) -> None:
        try:
            while self.pending:
                del self.pending[: os.write(self.input, self.pending[:CHUNK])]
        except BlockingIOError:
            return
        except OSError:
            self._close_input()
        self._fed()

    def _fed(self) -> None:
        self.pending.clear()
        client, self.writer = self.writer, None
        if client is not None:
            client.busy = False
            client.write += frame(DONE)
            self._obey_or_leave(client)

    def _close_input(self) -> None:
        """A terminal's is its output too, and stays."""
        if self.input >= 0 and not self.terminal:
            os.close(self.input)
            self.input = -1

    # -- all together --------------------------------------------------------------------------------------------------

    def serve(self, server: sockets.socket) -> None:
        """Until it has ended and everybody has what they came for."""
        while not self._over():
            self._poll(server)

    def _over(self) -> bool:
        if self.status is None:
            return False
        self._drain()
        now = time.monotonic()
        for client in list(self.clients.values()):
            if client.write and now - client.fetched > LINGER:
                self._leave(client)
            elif (client.waiter or client.reader) and not self.sources and not client.told:
                client.told, client.reader = True, False
                client.write += frame(STATUS, str(self.status).encode())
        readers = any(client.reader for client in self.clients.values())
        return not (self.sources and readers) and not any(client.write for client in self.clients.values())

    def _poll(self, server: sockets.socket) -> None:
        poll = select.poll()
        poll.register(server.fileno(), select.POLLIN)
        if self.pid and self.status is None:
            poll.register(self.watch, select.POLLIN)
            if self.memory is not None:
                poll.register(*self.memory)
        if self._wants_output():
            for source in self.sources:
                poll.register(source, select.POLLIN)
        if self.writer is not None:
            both = select.POLLOUT | (select.POLLIN if self.input in self.sources and self._wants_output() else 0)
            poll.register(self.input, both)
        for number, client in self.clients.items():
            poll.register(number, client.events())
        for number, events in poll.poll(None if self.status is None else 1000):
            self._happened(server, number, events)
        self._reap()

    def _happened(self, server: sockets.socket, number: int, events: int) -> None:
        if number == server.fileno():
            connection = sockets.socket(fileno=server._accept()[0])  # type: ignore[attr-defined]
            self.clients[connection.fileno()] = Client(connection)
        elif number in self.clients:
            self._client(self.clients[number], events)
        elif self.memory is not None and number == self.memory[0]:
            self._memory()
        elif number in self.sources or number == self.input:
            if events & (select.POLLOUT | select.POLLERR) and number == self.input and self.writer is not None:
                self._feed()
            if number in self.sources and events & ~select.POLLOUT:
                self._read(number)

    def _memory(self) -> None:
        """It ends as a whole, as a container of the original's does, not only the process that the kernel chose."""
        assert self.memory is not None
        number, events = self.memory
        if events == select.POLLIN:
            os.read(number, 8)
            self._mark()
        elif not self._memory_is_out():
            os.pread(number, CHUNK, 0)
            return
        if self.pid and self.status is None:
            os.kill(self.pid, 9)

    def _client(self, client: Client, events: int) -> None:
        try:
            if events & select.POLLOUT:
                client.flush()
            if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
                data = client.connection.recv(CHUNK, sockets.MSG_DONTWAIT) if not client.busy else b""
                if not data:
                    self._leave(client)
                    return
                client.read += data
        except BlockingIOError:
            return
        except OSError:
            self._leave(client)
            return
        self._obey_or_leave(client)

    def _obey_or_leave(self, client: Client) -> None:
        try:
            self.obey(client)
        except ValueError:
            self._leave(client)

    def _leave(self, client: Client) -> None:
        self.clients.pop(client.connection.fileno(), None)
        client.connection.close()
        if self.writer is client:
            self.writer = None
            self.pending.clear()

    def _reap(self) -> None:
        """Also those that lost their parents."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid and self.status is None:
                if not self.patient:
                    self._drain()
                self._ended(status)


def checked(libc: ctypes.CDLL, result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def listener(name: str) -> sockets.socket:
    """Who finds it is heard: one that is there and does not listen yet would pass for that of a shim that has ended."""
    server = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
    server.bind(f".{name}")
    server.listen(64)
    os.rename(f".{name}", name)
    return server


def size(data: bytes) -> bytes:
    """As the kernel takes it: rows, columns, and no pixels."""
    return b"".join(int.from_bytes(data[at : at + 2], "big").to_bytes(2, sys.byteorder) for at in (0, 2)) + bytes(4)


def drained(source: int) -> bytes:
    try:
        return os.read(source, CHUNK)
    except OSError:
        return b""


def lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii") as file:
            return file.readlines()
    except OSError:
        return []


def write(name: str, text: str) -> None:
    """All or nothing, and on the disk."""
    with open(f".{name}", "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(f".{name}", name)


def tell(said: str) -> None:
    """The agent, which may have gone meanwhile: the next one finds what there is."""
    report, null = os.dup(1), os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    try:
        os.write(report, said.encode() if said else b"\n")
    except OSError:
        return
    finally:
        os.close(report)
        os.close(null)


def main() -> None:
    words = sys.argv[1:]
    first = words.index("--")
    second = words.index("--", first + 1)
    shim = Shim(dict(word.split("=", 1) for word in words[:first]), words[first + 1 : second], words[second + 1 :])
    if os.fork():
        os._exit(0)
    os.setsid()
    try:
        server = shim.prepare()
        said = shim.run(shim.make)
    except OSError as error:
        said = error.strerror or str(error)
    tell(said)
    if not said:
        shim.serve(server)


if __name__ == "__main__":
    main()
