"""What a runtime executes, the one in Python and the one compiled from C, against an agent that does its worst."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.machine import needs_compiler
from tests.support.waiting import PATIENCE

from tortie import __version__
from tortie.base.errors import Unavailable
from tortie.plugins.cni import install as cni
from tortie.plugins.cni.call import VERSIONS
from tortie.plugins.cni.launcher import SUPPORTED
from tortie.plugins.install import Kind
from tortie.plugins.launching import MOST
from tortie.plugins.netmodules import install as netmodules
from tortie.plugins.spool import Spool
from tortie.plugins.wire import Request, decode

ENV = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "653feb5461db",
    "CNI_NETNS": "",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/opt/cni/bin:/usr/lib/cni",
}
CONFIG = b'{"cniVersion":"1.0.0","name":"blue"}'
Does = Callable[[socket.socket], None]


class Place:
    """The launchers of one kind, with the paths that they were made for."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        self.folder, self.socket, self.spool = folder, folder / 'a "socket"', folder / "a\\spool"
        paths = str(self.socket), str(self.spool)
        self.cni = [placed.path for placed in cni.install(folder / "bin", *paths, kind)]
        self.modules, self.description = [placed.path for placed in netmodules.install(folder / "m", *paths, kind)]

    def run(self, stdin: bytes = CONFIG, name: str = "calico", **env: str) -> subprocess.CompletedProcess[bytes]:
        return run([str(self.folder / "bin" / name)], stdin, {**ENV, **env})

    def ask(self, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
        return run([str(self.modules)], stdin, {})

    def kept(self) -> list[Request]:
        """What lies in the spool, whole and half, which there must be none of; it is empty afterwards."""
        found = [request for _, request in Spool(self.spool).kept()]
        assert len(os.listdir(self.spool)) == len(found)
        for name in os.listdir(self.spool):
            (self.spool / name).unlink()
        return found


def run(
    words: list[str], stdin: bytes, env: Mapping[str, str], before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        words, input=stdin, capture_output=True, env=env, cwd="/", timeout=PATIENCE, preexec_fn=before, check=False
    )


@pytest.fixture(scope="module", params=["python", pytest.param("compiled", marks=needs_compiler)])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("l"), request.param)


@pytest.fixture
def place(made: Place) -> Iterator[Place]:
    yield made
    made.socket.unlink(missing_ok=True)
    made.kept()


class Heard:
    """What the agent was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.namespaces: list[int] = []
        """Inodes of what was passed along."""
        self.ended = threading.Event()

    def read(self, connection: socket.socket) -> None:
        data = b""
        while True:
            part, passed, _, _ = socket.recv_fds(connection, 65536, 4)
            for descriptor in passed:
                self.namespaces.append(os.fstat(descriptor).st_ino)
                os.close(descriptor)
            data += part
            if not part:
                self.requests.append(decode(data))
                return


@contextmanager
def agent(place: Place, does: Does) -> Iterator[None]:
    """Does the same with every caller until the test has what it wanted."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place.socket))
        listener.listen(16)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(PATIENCE)
                    does(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
            place.socket.unlink()


@contextmanager
def answering(place: Place, reply: bytes) -> Iterator[Heard]:
    heard = Heard()

    def does(connection: socket.socket) -> None:
        heard.read(connection)
        connection.sendall(reply)

    with agent(place, does):
        yield heard


def code_of(said: subprocess.CompletedProcess[bytes]) -> tuple[int, int]:
    return said.returncode, json.loads(said.stdout)["code"]


def error_of(said: subprocess.CompletedProcess[bytes]) -> str:
    assert said.returncode == 1
    error: str = json.loads(said.stdout)["error"]
    return error


def request(command: str, **args: Any) -> bytes:
    return json.dumps({"args": args, "command": command}).encode()


def test_what_needs_no_agent(place: Place) -> None:
    assert [path.name for path in place.cni] == ["tortie", "calico", "calico-ipam"]
    version = place.run(b"no matter what", CNI_COMMAND="VERSION", CNI_NETNS="dummy")
    assert json.loads(version.stdout) == {"cniVersion": "1.1.0", "supportedVersions": list(VERSIONS)}
    assert ", ".join(f'"{version}"' for version in VERSIONS) == SUPPORTED
    about = place.run(CNI_COMMAND="")
    assert (about.returncode, about.stdout) == (0, b"")
    assert about.stderr == b"calico is a CNI plug-in of Tortie: a container runtime calls it.\n"
    for program in (*place.cni, place.modules):
        for word in ("-v", "--version"):
            said = run([str(program), word], b"", {})
            assert (said.returncode, said.stdout.decode()) == (0, f"{__version__}\n")
    modules = json.loads(place.description.read_text())
    assert modules["libraries"][0]["modules"][0]["parameters"][0]["value"] == str(place.modules)


def test_a_call_arrives_whole_and_its_answer_is_printed_as_it_is(place: Place) -> None:
    own = os.stat("/proc/self/ns/net")
    with answering(place, b'0{"any": "thing"}') as heard:
        said = place.run(CNI_NETNS="/proc/self/ns/net", CNI_ARGS="a=é\udcff;b= ", PATH="/bin", X="CNI_")
        assert (said.returncode, said.stdout, said.stderr) == (0, b'{"any": "thing"}', b"")
        longest = b"[" * MOST
        assert place.run(longest, name="calico-ipam", CNI_COMMAND="DEL").returncode == 0
        assert place.run(b"").returncode == 0
    first, second, third = heard.requests
    stamp = f"{own.st_dev}:{own.st_ino}"
    expected = {
        **ENV,
        "PLUGIN": "calico",
        "STAMP": stamp,
        "CNI_NETNS": "/proc/self/ns/net",
        "CNI_ARGS": "a=é\ufffd;b= ",
    }
    assert (first.variables, first.stdin, heard.namespaces) == (expected, CONFIG, [own.st_ino])
    assert (second.variables["PLUGIN"], second.variables["STAMP"], second.stdin) == ("calico-ipam", "", longest)
    assert third.stdin == b""
    with answering(place, b"1" + b"x" * MOST):
        said = place.run()
        assert (said.returncode, said.stdout) == (1, b"x" * MOST)


def test_what_is_no_namespace_has_no_stamp(place: Place, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with answering(place, b"0") as heard:
        for path in ("/etc/passwd", "/", "/nowhere", "", str(tmp_path / "fifo"), "x" * 5000):
            assert place.run(CNI_NETNS=path).returncode == 0
    assert {found.variables["STAMP"] for found in heard.requests} == {""}


def test_net_modules_passes_the_namespace_of_the_process_along(place: Place) -> None:
    own = os.stat("/proc/self/ns/net")
    with answering(place, b"0{}") as heard:
        assert place.ask(request("isolate", pid=os.getpid())).stdout == b"{}"
        assert place.ask(b'{"pid" :\n %d}' % os.getpid()).returncode == 0
        for stdin in (b'{"pid":"%d"}' % os.getpid(), b'{"pid":999999999}', b'{"pid":' + b"1" * 5000, b"", b'"pid"'):
            assert place.ask(stdin).returncode == 0
    assert heard.namespaces == [own.st_ino] * 2
    assert [found.variables["STAMP"] for found in heard.requests[:2]] == [f"{own.st_dev}:{own.st_ino}"] * 2
    processes = [found.variables["PROCESS"] for found in heard.requests]
    assert processes == [str(os.getpid())] * 2 + ["", "999999999", "", "", ""]
    assert all(int(found.variables["TIME"]) > 0 for found in heard.requests)


def test_an_agent_that_is_away(place: Place) -> None:
    for command, code in (("ADD", 11), ("CHECK", 11), ("GC", 11), ("STATUS", 50), ("JUMP", 11)):
        said = place.run(CNI_COMMAND=command)
        assert (code_of(said), said.stderr) == ((1, code), b"")
        assert "agent of this host" in json.loads(said.stdout)["msg"]
    assert place.kept() == []
    for number in range(3):
        said = place.run(CNI_COMMAND="DEL", CNI_CONTAINERID=f"c{number}", CNI_NETNS="/proc/self/ns/net")
        assert (said.returncode, said.stdout) == (0, b"")
        assert b"when the agent is back" in said.stderr
    kept = place.kept()
    assert [found.variables["CNI_CONTAINERID"] for found in kept] == ["c0", "c1", "c2"]
    assert (kept[0].stdin, kept[0].variables["STAMP"] != "") == (CONFIG, True)


def test_net_modules_while_the_agent_is_away(place: Place) -> None:
    for stdin in (request("allocate"), request("jump")):
        assert "agent of this host" in error_of(place.ask(stdin))
    assert place.kept() == []
    for stdin in (request("release", ips=["192.168.0.1"]), request("cleanup", container_id="c")):
        said = place.ask(stdin)
        assert (said.returncode, said.stdout) == (0, b'{"error":null}')
        assert [found.stdin for found in place.kept()] == [stdin]


@pytest.mark.parametrize(
    ("stdin", "is_kept"),
    [
        (b' \n{"a":[1,{"b":[]},"\\"}",true,-1.5e3,{}],\t"command" : "release" } \n', True),
        (b'{"command":"jump","command":"cleanup"}', True),
        (b'{"command":"cleanup","command":7}', False),
        (b'{"args":{"command":"release"},"command":"jump"}', False),
        (b'{"args":{"command":"release"}}', False),
        (b'{"args":"\\"command\\":\\"release\\""}', False),
        (b'[{"command":"release"}]', False),
        (b'{"command":["release"]}', False),
        (b'{"command":"release-and-more-than-that"}', False),
        (b'{"command":"release"', False),
        (b'{"command":"release"} x', False),
        (b'{"command":"release",}', False),
        (b'{"command":"release" "a":1}', False),
        (b'{"command":"release","a":}', False),
        (b'{"command":"release","a":[}]', False),
        (b'{"command":"release', False),
        (b'{"command":"release\\', False),
        (b'{"command":"rel\nease"}', False),
        (b'{"command":"release","a":' + b"[" * 100_000 + b"}", False),
        (b"nonsense", False),
        (b"", False),
        (b"\0", False),
    ],
)
def test_only_a_clean_up_is_kept(place: Place, stdin: bytes, is_kept: bool) -> None:
    said = place.ask(stdin)
    assert (said.returncode, json.loads(said.stdout)["error"] is None) == ((0, True) if is_kept else (1, False))
    assert len(place.kept()) == is_kept


def test_an_agent_that_comes_while_it_is_waited_for(place: Place) -> None:
    process = subprocess.Popen([str(place.cni[1])], env=ENV, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(CONFIG)
    process.stdin.flush()
    with answering(place, b"0{}"):
        out, _ = process.communicate(timeout=PATIENCE)
    # It may have lost its patience on a very slow machine, but never with half an answer.
    assert out == b"{}" or json.loads(out)["code"] == 11


def close_at_once(connection: socket.socket) -> None:
    """The call stays unread: the caller may find the connection reset."""


def close_unanswered(connection: socket.socket) -> None:
    Heard().read(connection)


def rubbish(connection: socket.socket) -> None:
    Heard().read(connection)
    connection.sendall(b"what?")


def flood(connection: socket.socket) -> None:
    Heard().read(connection)
    try:
        for _ in range(200):
            connection.sendall(b"0" * 65536)
    except OSError:
        return


@pytest.mark.parametrize("does", [close_at_once, close_unanswered, rubbish, flood])
def test_an_agent_that_ends_in_the_middle(place: Place, does: Does) -> None:
    with agent(place, does):
        assert code_of(place.run(b"[" * MOST)) == (1, 11)
        assert "agent of this host" in error_of(place.ask(request("allocate")))
        assert place.kept() == []
        assert place.run(CNI_COMMAND="DEL").returncode == 0
        assert [found.variables["CNI_COMMAND"] for found in place.kept()] == ["DEL"]
        assert place.ask(request("cleanup")).returncode == 0
        assert len(place.kept()) == 1


@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_a_runtime_that_loses_its_patience_with_an_agent_that_hangs(place: Place, command: str) -> None:
    heard, gone = Heard(), threading.Event()

    def hang(connection: socket.socket) -> None:
        heard.read(connection)
        heard.ended.set()
        assert gone.wait(PATIENCE)
        with pytest.raises(BrokenPipeError):
            connection.sendall(b"0")

    with agent(place, hang):
        process = subprocess.Popen(
            [str(place.cni[1])], env={**ENV, "CNI_COMMAND": command}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        assert heard.ended.wait(PATIENCE)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE)
        gone.set()
    assert (process.returncode, out) == (-signal.SIGTERM, b"")
    assert place.kept() == []


def test_a_runtime_that_dies_before_it_has_said_anything(place: Place) -> None:
    words = {**ENV, "CNI_COMMAND": "DEL"}
    process = subprocess.Popen([str(place.cni[0])], env=words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, place.kept()) == (-signal.SIGTERM, b"", [])


def test_standard_input_that_will_not_do(place: Place) -> None:
    with answering(place, b"0") as heard:
        assert code_of(place.run(b"{" * (MOST + 1))) == (1, 6)
        assert "longer than" in error_of(place.ask(b"{" * (MOST + 1)))
        for path, mode, code in (("/dev/zero", os.O_RDONLY, 6), ("/dev/null", os.O_WRONLY, 5)):
            with opened(path, mode) as stdin:
                said = subprocess.run(
                    [str(place.cni[1])], env=ENV, stdin=stdin, capture_output=True, timeout=PATIENCE, check=False
                )
            assert code_of(said) == (1, code)
            assert "standard input" in json.loads(said.stdout)["msg"]
    assert heard.requests == []


@contextmanager
def opened(path: str, mode: int) -> Iterator[int]:
    descriptor = os.open(path, mode)
    yield descriptor
    os.close(descriptor)


def test_more_than_an_agent_would_read(place: Place) -> None:
    many = {f"CNI_{number}": "x" * 100_000 for number in range(12)}
    with answering(place, b"0") as heard:
        said = run([str(place.cni[1])], b"[" * MOST, {**ENV, **many})
        assert (code_of(said), "longer than" in json.loads(said.stdout)["msg"]) == ((1, 4), True)
        assert run([str(place.cni[1])], CONFIG, {**ENV, **many}).returncode == 0
    assert len(heard.requests) == 1


def test_an_answer_that_nobody_hears(place: Place) -> None:
    with answering(place, b"0{}"):
        for program in (place.cni[1], place.modules):
            reader, writer = os.pipe()
            os.close(reader)
            said = subprocess.run(
                [str(program)], env=ENV, input=CONFIG, stdout=writer, stderr=subprocess.PIPE, check=False
            )
            os.close(writer)
            assert (said.returncode, said.stderr) == (1, b"standard output: Broken pipe\n")


def _no_room() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def test_a_clean_up_that_cannot_be_kept_is_an_error(place: Place) -> None:
    full = run([str(place.cni[1])], CONFIG, {**ENV, "CNI_COMMAND": "DEL"}, _no_room)
    assert code_of(full) == (1, 5)
    assert "File too large" in json.loads(full.stdout)["msg"]
    assert "File too large" in error_of(run([str(place.modules)], request("release"), {}, _no_room))
    assert place.kept() == []
    aside = place.spool.rename(place.folder / "aside")
    try:
        for _ in ("missing", "a file"):
            assert code_of(place.run(CNI_COMMAND="DEL")) == (1, 5)
            assert "spool" in error_of(place.ask(request("cleanup")))
            place.spool.touch()
    finally:
        place.spool.unlink()
        aside.rename(place.spool)


def test_which_launcher_is_placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def install(kind: Kind) -> list[str]:
        return [placed.what for placed in cni.install(tmp_path / "bin", "/x", str(tmp_path / "spool"), kind)]

    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho 'stdio.h is nowhere' >&2\nexit 1\n")
    broken.chmod(0o755)
    for found, why in ((str(broken), "stdio.h is nowhere"), (None, "no C compiler"), ("/nowhere", "No such file")):
        monkeypatch.setattr("tortie.plugins.install.find_compiler", lambda found=found: found)
        said = install("auto")
        assert len(said) == 3
        assert said[0].startswith("in Python")
        assert why in said[0]
        assert install("python") == ["in Python"] * 3
        with pytest.raises(Unavailable, match=why):
            install("compiled")
    assert json.loads(run([str(tmp_path / "bin/tortie")], b"", {**ENV, "CNI_COMMAND": "VERSION"}).stdout)
