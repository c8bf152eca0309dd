"""`dcos task exec` and `attach` to a real agent's API, its containers being processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.support.agent_api import TASK, AgentApi
from tests.support.dcos_cluster import PATIENT, Answer, DcosCluster, serving, state, task
from tests.support.mesos_cluster import Daemon
from tests.support.ports import free_port
from tests.support.terminal import Terminal
from tests.support.waiting import PATIENCE, wait_until

DCOS = [sys.executable, "-m", "tortie.cli.dcos.main"]
SHELL = "22222222-aaaa-bbbb-cccc-000000000002"
"""A task whose first process is at a terminal."""
WATCHED = "33333333-aaaa-bbbb-cccc-000000000003"
NAME = f"app.{TASK}"
SECRET = "a-token-that-is-long-enough-to-be-one"


@pytest.fixture(scope="module", params=["direct", "door"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def api(way: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentApi]:
    with AgentApi(tmp_path_factory.mktemp("agent")) as running:
        running.task()
        yield running


def shown(name: str, container: str) -> dict[str, object]:
    status = {"state": "TASK_RUNNING", "container_status": {"container_id": {"value": container}}}
    return task(name, slave_id="m-S1", statuses=[status])


@pytest.fixture(scope="module")
def environ(way: str, api: AgentApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """For a `dcos` that speaks to a master of made-up answers and to the agent: straight, or through a real
    door that asks for a token."""
    agents = [{"id": "m-S1", "hostname": "agent.test", "pid": f"slave(1)@127.0.0.1:{api.port}", "active": True}]
    tasks = (
        shown(NAME, TASK),
        shown("shell.1", SHELL),
        shown("watched.1", WATCHED),
        shown("ended.1", "no-such-container"),
        task("docker.1", container={"type": "DOCKER"}),
    )
    home = tmp_path_factory.mktemp("home")
    variables = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    with serving(DcosCluster()) as cluster:
        cluster.answers |= {
            "/master/state.json": state(*tasks, slaves=agents),
            "/master/state-summary": {"slaves": agents, "frameworks": []},
            "/master/redirect": Answer(b"", 307, {"Location": cluster.url.removeprefix("http:")}),
        }
        variables |= {"HOME": str(home), "TERM": "xterm", **PATIENT}
        if way == "direct":
            yield {**variables, "DCOS_MESOS_MASTER_URL": cluster.url}
            return
        port = free_port()
        listen = ("door", "run", "--listen", f"127.0.0.1:{port}", "--state", str(home / "door"))
        token = home / "token"
        token.write_text(SECRET + "\n")
        token.chmod(0o600)
        more = ("--master", cluster.url.removeprefix("http://"), "--token-file", str(token))
        with Daemon(port, home / "door.log", *listen, *more, alive="/login").running():
            yield {**variables, "DCOS_URL": f"http://127.0.0.1:{port}", "DCOS_ACS_TOKEN": SECRET}


def run(environ: Mapping[str, str], *words: str, typed: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*DCOS, "task", *words],
        env=environ,
        input=typed or b"",
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )


def sessions(api: AgentApi) -> list[str]:
    return [name for name in api.local.processes if name not in (TASK, SHELL, WATCHED)]


def test_output_and_exit_code_are_the_commands(environ: dict[str, str]) -> None:
    done = run(environ, "exec", NAME, "sh", "-c", "echo a; echo b >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == (b"a\n", b"b\n", 7)
    assert run(environ, "exec", "app", "true").returncode == 0, "a part of the id is enough"


def test_words_of_the_command_are_its_own(environ: dict[str, str]) -> None:
    done = run(environ, "exec", NAME, "echo", "--help", "-t", "a b", "--")
    assert (done.stdout, done.returncode) == (b"--help -t a b --\n", 0)


def test_a_death_by_signal_is_told_as_a_shell_tells_it(environ: dict[str, str]) -> None:
    assert run(environ, "exec", NAME, "sh", "-c", "kill -9 $$").returncode == 137


def test_input_goes_to_the_command_and_ends(environ: dict[str, str]) -> None:
    assert run(environ, "exec", "-i", NAME, "cat", typed=b"x").stdout == b"x"
    much = os.urandom(1 << 20)
    assert run(environ, "exec", "--interactive", NAME, "cat", typed=much).stdout == much


def test_without_input_there_is_nothing_to_read(environ: dict[str, str]) -> None:
    done = run(environ, "exec", NAME, "sh", "-c", "cat; echo end", typed=b"not for the command")
    assert (done.stdout, done.returncode) == (b"end\n", 0)


def test_the_session_goes_with_the_command(environ: dict[str, str], api: AgentApi) -> None:
    program = subprocess.Popen(
        [*DCOS, "task", "exec", NAME, "sh", "-c", "echo up; sleep 1000"],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == b"up\n"
        program.send_signal(signal.SIGINT)
        _, err = program.communicate(timeout=PATIENCE)
        assert (program.returncode, err) == (0, b"User interrupted command with Ctrl-C\n")
    finally:
        program.kill()
        program.wait()
    wait_until(lambda: not sessions(api), message=lambda: f"sessions left: {sessions(api)}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("exec", "nothing", "ls"), b'Cannot find a task with ID containing "nothing"\n'),
        (("exec", "1", "ls"), b"There are multiple tasks with ID matching [1]. Please choose one:\n"),
        (("exec", "docker.1", "ls"), b"This command is only supported for tasks launched by the Universal Container"),
        (("exec", "-t", NAME, "ls"), b"Must be running in a tty to pass the '--tty flag'.\n"),
        (("exec", "ended.1", "ls"), b"Container no-such-container"),
        (("attach", "ended.1"), b"Container no-such-container"),
    ],
)
def test_commands_that_cannot_be_run(environ: dict[str, str], words: tuple[str, ...], said: bytes) -> None:
    done = run(environ, *words)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(said)


def test_strangers_are_refused(environ: dict[str, str], way: str) -> None:
    done = run({**environ, "DCOS_ACS_TOKEN": "forged"}, "exec", NAME, "echo", "in")
    if way == "door":
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr == b"Authentication failed. Please run `dcos auth login`\n"
    else:
        assert (done.returncode, done.stdout) == (0, b"in\n"), "a master itself asks nobody"


def test_a_shell_at_a_terminal(environ: dict[str, str], api: AgentApi) -> None:
    """Keys, Ctrl-C, the window's size, the shell's own exit code; and the terminal is given back as it was."""
    terminal = Terminal(["sh", "-c", f"{' '.join(DCOS)} task exec -it {NAME} sh; echo code=$?; sleep 1000"], environ)
    try:
        before = terminal.modes()
        terminal.resize(31, 97)
        terminal.type("PS1='rea''dy> '\r")
        terminal.wait_for("ready> ")
        wait_until(lambda: terminal.modes() != before, message="raw")
        terminal.type("stty size; echo term=$TERM\r")
        terminal.wait_for("31 97")
        terminal.wait_for("term=xterm")
        wait_until(lambda: api.local.resized, message="the first size")
        terminal.resize(45, 120)
        wait_until(lambda: api.local.resized[-1][1:] == (45, 120), message=lambda: api.local.resized)
        terminal.type("stty size\r")
        terminal.wait_for("45 120")
        # Said by who is in the foreground: a key that comes before is the shell's own.
        terminal.type("sh -c 'echo go\"\"ing; exec sleep 1000'\r")
        terminal.wait_for("going")
        terminal.type("\x03")
        terminal.wait_for("ready> ")
        terminal.type("exit 3\r")
        terminal.wait_for("code=3")
        assert terminal.modes() == before
    finally:
        terminal.close()
    wait_until(lambda: not sessions(api), message=lambda: f"sessions left: {sessions(api)}")


def test_a_terminal_is_given_back_when_the_program_is_told_to_end(environ: dict[str, str], api: AgentApi) -> None:
    terminal = Terminal([*DCOS, "task", "exec", "-it", NAME, "sh", "-c", "echo here; sleep 1000"], environ)
    try:
        before = terminal.modes()
        terminal.wait_for("here")
        wait_until(lambda: terminal.modes() != before, message="raw")
        terminal.signal(signal.SIGTERM)
        assert terminal.wait() == 143
        assert terminal.modes() == before
    finally:
        terminal.close()
    wait_until(lambda: not sessions(api), message=lambda: f"sessions left: {sessions(api)}")


def test_a_task_is_attached_to_and_left(environ: dict[str, str], api: AgentApi, tmp_path: Path) -> None:
    api.task(SHELL, ["sh", "-c", "while read -r word; do echo heard $word; done"], terminal=True)
    try:
        terminal = Terminal([*DCOS, "task", "attach", "shell.1"], environ)
        try:
            terminal.type("some\r")
            terminal.wait_for("heard some")
            terminal.type("\x10\x11")
            assert terminal.wait() == 0
            assert "left; the task goes on" in terminal.seen
        finally:
            terminal.close()
        process = api.local.processes[SHELL].popen
        assert process is not None
        assert process.poll() is None
    finally:
        api.local.processes[SHELL].kill()


def test_output_of_a_task_is_watched(environ: dict[str, str], api: AgentApi, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    api.task(WATCHED, ["sh", "-c", f"read -r word < {gate}; echo told $word"])
    program = subprocess.Popen(
        [*DCOS, "task", "attach", "--no-stdin", "watched.1"],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        wait_until(lambda: api.local.processes[WATCHED].readers, message="a reader")
        gate.write_text("word\n")
        out, _ = program.communicate(timeout=PATIENCE)
        assert (out, program.returncode) == (b"told word\n", 0)
    finally:
        program.kill()
        program.wait()
