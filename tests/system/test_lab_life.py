"""The life of a lab: up, exec, a second up, faults, down; hosts with their own engine, nothing of a document."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from tests.support.waiting import PATIENCE
from tests.support.waiting import wait_until as wait

from tortie.base.errors import NotFound, Unavailable
from tortie.lab import state
from tortie.lab.api import Lab
from tortie.lab.documents import STARS

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]


def unique(name: str) -> str:
    """Two runs of these tests on one machine do not meet."""
    return f"{name}-{os.getpid()}"


NAME = unique("t-life")
TORTIE = [sys.executable, "-c", "from tortie.cli.main import main; main()"]
KINDS = ("net", "mnt", "pid", "uts")


def tortie(*words: str, stdin: str = "", timeout: float = 600) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TORTIE, *words], input=stdin, capture_output=True, text=True, timeout=timeout, check=False)


def up(name: str, daemons: str = "forward", *words: str) -> subprocess.CompletedProcess[str]:
    return tortie("up", "--name", name, "--daemons", daemons, *words)


# -- what a lab has on the machine


def namespaces_of(name: str) -> set[str]:
    """Every namespace that a process of the lab is in, containers included, and that this process is not in."""
    own = {os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS}
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if f"/tortie-{name}/" in Path(f"/proc/{pid}/cgroup").read_text():
                found |= {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in KINDS}
        except OSError:  # it has just ended
            continue
    return found - own


def namespaces_in_use(name: str, before: int) -> set[str]:
    """Of processes that were there `before` (ticks), or that are the lab's: numbers of namespaces that have gone are
    given out again, to whom does not matter here."""
    used = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            started = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
            if started <= before or f"/tortie-{name}/" in Path(f"/proc/{pid}/cgroup").read_text():
                used |= {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in KINDS}
        except OSError:  # it has just ended
            continue
    return used


def ticks() -> int:
    """Now, as the kernel counts the starts of processes."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def interfaces() -> set[str]:
    """The machine's own that could be of a lab: of its hosts, or of containers. Others may come and go meanwhile."""
    ours = {"br0", "eth0", "switch", "laptop", "master"}
    return {i for i in os.listdir("/sys/class/net") if i in ours or i.startswith(("agent-", "cali", "temp"))}


def left_of(name: str, namespaces: set[str], before: int = 0) -> list[str]:
    """Everything that is still there, in words."""
    left = [f"namespace {ns}" for ns in namespaces & namespaces_in_use(name, before)]
    left += [f"process {pid}" for pid in state.boot_processes(name)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    left += [f"mount {line}" for line in mounts if f"/{name}" in line]
    # Not by a glob: cgroups of others go away under it.
    left += [f"cgroup {at}" for at, _, _ in os.walk("/sys/fs/cgroup") if Path(at).name.startswith(f"tortie-{name}")]
    left += [f"directory {path}" for base in (state.RUN, state.DATA) for path in base.glob(f"*{name}*")]
    return left


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    ran = up(NAME, "dockerd,services,forward")
    assert ran.returncode == 0, ran.stderr
    yield Lab.find(NAME)
    ran = tortie("down", "--name", NAME)
    assert ran.returncode == 0, ran.stderr


# -- hosts


def test_hosts_are_those_of_the_document(lab: Lab) -> None:
    listed = json.loads(tortie("hosts", "--name", NAME, "--json").stdout)["hosts"]
    assert [(host["name"], host["address"], host["alive"]) for host in listed] == [
        ("laptop", "172.24.197.10", True),
        ("master", "172.24.197.101", True),
        ("agent-1", "172.24.197.102", True),
        ("agent-2", "172.24.197.103", True),
    ]


def test_every_host_reaches_every_other_and_nothing_else(lab: Lab) -> None:
    for host in lab.hosts.values():
        for other in lab.hosts.values():
            assert host.run(["ping", "-c", "1", "-W", "60", other.address]).returncode == 0
        assert "default" not in host.run(["ip", "route"]).stdout


def test_a_host_has_its_own_name_files_and_processes(lab: Lab) -> None:
    agent, master = lab.host("agent-1"), lab.host("master")
    assert agent.run(["hostname"]).stdout == "agent-1\n"
    assert agent.run(["sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '"]).stdout.split()[2:4] == [
        "-m",
        "tortie.lab.boot",
    ]
    # An editor that renames works, and what it writes stays on this host.
    assert agent.run(["sed", "-i", "$ a 10.9.8.7 edited", "/etc/hosts"]).returncode == 0
    assert "edited" in agent.run(["cat", "/etc/hosts"]).stdout
    assert "edited" not in master.run(["cat", "/etc/hosts"]).stdout
    assert "edited" not in Path("/etc/hosts").read_text()
    assert "stars.json" in agent.run(["ls"]).stdout
    assert agent.run(["ls", "/var/lib/tortie-labs"]).stdout == ""


def test_the_store_is_one_directory_for_all_hosts(lab: Lab) -> None:
    lab.host("agent-1").run(["touch", "/var/lib/tortie/store/seen"])
    assert lab.host("agent-2").run(["ls", "/var/lib/tortie/store/seen"]).returncode == 0
    lab.host("agent-2").run(["rm", "/var/lib/tortie/store/seen"])


def test_settings_that_packets_depend_on(lab: Lab) -> None:
    def setting(host: str, name: str) -> str:
        return lab.host(host).run(["cat", f"/proc/sys/net/ipv4/{name}"]).stdout.strip()

    assert setting("agent-1", "ip_forward") == "1"
    assert setting("laptop", "ip_forward") == "0"
    for host in lab.hosts:
        assert setting(host, "conf/eth0/send_redirects") == setting(host, "conf/eth0/accept_redirects") == "0"
        assert setting(host, "icmp_ratelimit") == "0"
    assert "192.168.0.0/16 via 172.24.197.102" in lab.host("laptop").run(["ip", "route"]).stdout


def test_pool_and_agent_settings_are_written_before_any_node(lab: Lab) -> None:
    from tortie.model.ipam import CONFIG_KEY
    from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION
    from tortie.model.kinds.ip_pool import IP_POOL
    from tortie.store.client import Client
    from tortie.store.open import open_store

    datastore = open_store(f"sqlite://{state.places(NAME).store}")
    client = Client(datastore)
    (pool,) = client.list(IP_POOL).items
    assert (pool.spec.cidr, pool.spec.block_size, pool.spec.nat_outgoing) == ("192.168.0.0/16", 26, False)
    felix = client.get(FELIX_CONFIGURATION, "default").spec
    assert (felix.host_services, felix.default_endpoint_to_host_action) == ("Enabled", "Return")
    kept = datastore.get(CONFIG_KEY)
    assert kept
    assert json.loads(kept.value)["ipCooldownSeconds"] == 30
    datastore.close()


def test_downloads_of_the_document_come_from_the_lab(lab: Lab) -> None:
    url = "https://raw.githubusercontent.com/projectcalico/calico/master/demos/docker/stars.json"
    for tool in (["curl", "-sSf", url], ["wget", "-qO-", url]):
        ran = lab.host("agent-1").run(tool)
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout)["id"]


# -- the engine


def test_pull_and_run_as_typed(lab: Lab) -> None:
    pulled = tortie("exec", "--name", NAME, "agent-1", "docker pull calico/star:v0.5.0")
    assert pulled.returncode == 0, pulled.stderr
    ran = lab.host("agent-1").run(
        ["docker", "run", "--rm", "--net", "none", "--entrypoint", "cat", "calico/star:v0.5.0", "/etc/hostname"]
    )
    assert ran.returncode == 0, ran.stderr
    absent = lab.host("agent-1").run(["docker", "pull", "no/such:image"])
    assert absent.returncode == 1


def test_containers_live_in_cgroups_of_the_lab_and_outlive_their_engine(lab: Lab) -> None:
    agent = lab.host("agent-2")
    words = ["docker", "run", "-d", "--net", "none", "-m", "32m", "--entrypoint", "sleep", "calico/star:v0.5.0", "600"]
    container = agent.run(words).stdout.strip()
    pid = int(agent.run(["docker", "inspect", "-f", "{{.State.Pid}}", container]).stdout)
    assert f"/tortie-{NAME}/agent-2/" in agent.path(f"/proc/{pid}/cgroup").read_text()
    before = next(d["pid"] for d in agent.daemons() if d["name"] == "dockerd")
    agent.run(["kill", "-9", str(before)])
    wait(lambda: agent.run(["docker", "inspect", "-f", "{{.State.Pid}}", container]).stdout.strip() == str(pid))
    assert next(d for d in agent.daemons() if d["name"] == "dockerd")["restarts"] == 1
    agent.run(["docker", "rm", "-f", container])


def test_systemctl_is_the_supervisor(lab: Lab) -> None:
    agent = lab.host("agent-1")

    def systemctl(*words: str) -> int:
        return agent.run(["sudo", "systemctl", *words]).returncode

    before = next(d["pid"] for d in agent.daemons() if d["name"] == "dockerd")
    assert systemctl("restart", "docker") == 0
    assert next(d["pid"] for d in agent.daemons() if d["name"] == "dockerd") != before
    assert systemctl("is-active", "docker.service") == 0
    assert systemctl("stop", "docker") == 0
    assert systemctl("is-active", "docker") == 3
    assert tortie("status", "--name", NAME).returncode == 1
    assert systemctl("start", "docker") == 0
    assert systemctl("status", "no-such") == 4
    assert systemctl("restart", "no-such") == 5
    assert tortie("status", "--name", NAME).returncode == 0


# -- exec


@pytest.mark.parametrize(
    ("words", "code", "printed"),
    [
        (["true"], 0, ""),
        (["sh", "-c", "exit 7"], 7, ""),
        (["exit 9"], 9, ""),
        (["echo a  b; exit 9"], 9, "a b\n"),
        (["--", "echo", "a  b"], 0, "a  b\n"),
        (["umask"], 127, ""),
        (["sh", "-c", "umask"], 0, "0022\n"),
        (["echo", "--name", "x", "--help"], 0, "--name x --help\n"),
        (["echo", "$HOME", "*"], 0, "$HOME *\n"),
        (["pwd; echo $HOME $USER"], 0, "/root\n/root root\n"),
        (["no-such-program"], 127, ""),
        (["/etc/hosts"], 126, ""),
        (["sh", "-c", "kill -9 $$"], 137, ""),
    ],
)
def test_exec_gives_output_and_exit_code(lab: Lab, words: list[str], code: int, printed: str) -> None:
    ran = tortie("exec", "--name", NAME, "agent-1", *words)
    assert (ran.returncode, ran.stdout) == (code, printed)


def test_exec_passes_input_and_many_bytes(lab: Lab) -> None:
    text = "x" * 1_000_000
    assert tortie("exec", "--name", NAME, "master", "cat", stdin=text).stdout == text


def test_exec_passes_signals_on(lab: Lab) -> None:
    program = "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    process = subprocess.Popen(
        [*TORTIE, "exec", "--name", NAME, "agent-1", "sh", "-c", program], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.stdout.read() == "got it\n"
    assert process.wait(PATIENCE) == 3


def test_a_killed_exec_takes_its_program_along(lab: Lab) -> None:
    process = subprocess.Popen([*TORTIE, "exec", "--name", NAME, "agent-1", "sleep", "600.5"])

    def runs() -> bool:
        return "sleep 600.5" in lab.host("agent-1").run(["ps", "-eo", "args"]).stdout

    wait(runs)
    process.kill()
    process.wait()
    wait(lambda: not runs())


def test_exec_gives_the_terminal_to_the_program(lab: Lab) -> None:
    # `script` runs a command on a terminal of its own; job control of the shell inside proves that it owns it.
    shell = f"{sys.executable} -c 'from tortie.cli.main import main; main()' exec --name {NAME} agent-1 bash -i"
    ran = subprocess.run(
        ["script", "-qec", shell, "/dev/null"],
        input="tty -s && echo 'is a' terminal; sleep 60 & kill %1; exit 5\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "is a terminal" in ran.stdout
    assert "no job control" not in ran.stdout
    assert ran.returncode == 5


def test_an_unknown_host_exits_3_and_names_those_there_are(lab: Lab) -> None:
    ran = tortie("exec", "--name", NAME, "agent-9", "true")
    assert ran.returncode == 3
    assert "agent-9" in ran.stderr
    assert "agent-1" in ran.stderr
    assert tortie("logs", "--name", NAME, "agent-9", "dockerd").returncode == 3
    assert tortie("logs", "--name", NAME, "agent-1", "nothing").returncode == 3


def test_logs_show_a_daemon_and_follow_it(lab: Lab) -> None:
    assert "dockerd" in tortie("logs", "--name", NAME, "agent-1").stdout.split()
    wait(lambda: "API listen" in tortie("logs", "--name", NAME, "agent-1", "dockerd").stdout)
    command = [*TORTIE, "logs", "-f", "--name", NAME, "switch", "forward"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout
        assert "carrying" in following.stdout.readline()
        with state.places(NAME).log("switch", "forward").open("a") as log:
            log.write("a new line\n")
        assert following.stdout.readline() == "a new line\n"
        following.send_signal(signal.SIGINT)
        assert following.wait(PATIENCE) == 130


def test_a_command_that_does_not_end_is_ended(lab: Lab) -> None:
    with pytest.raises(Unavailable, match="did not end within"):
        lab.host("agent-1").run(["sleep", "600.25"], timeout=0.5)
    wait(lambda: "sleep 600.25" not in lab.host("agent-1").run(["ps", "-eo", "args"]).stdout)


# -- pages


def test_pages_on_127_0_0_1_lead_into_the_lab_and_back_after_a_kill(lab: Lab) -> None:
    program = (
        "import http.server as h; "
        "h.ThreadingHTTPServer(('172.24.197.101', 8080), h.SimpleHTTPRequestHandler).serve_forever()"
    )
    process = subprocess.Popen(
        [*TORTIE, "exec", "--name", NAME, "master", "python3", "-c", program], stderr=subprocess.DEVNULL
    )
    try:
        seen = json.loads(tortie("status", "--name", NAME, "--json").stdout)
        url = next(page["url"] for page in seen["pages"] if page["name"] == "marathon")

        def answers() -> bool:
            try:
                with urllib.request.urlopen(url, timeout=30) as reply:
                    return bool(reply.status == 200)
            except OSError:
                return False

        wait(answers)
        before = lab.switch.daemons()[1]["pid"]
        lab.switch.run(["kill", "-9", str(before)])
        wait(lambda: lab.switch.daemons()[1]["pid"] not in (None, before))
        wait(answers)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def held(ports: Iterable[int]) -> Iterator[set[int]]:
    """Listens on those of 127.0.0.1 that are free."""
    with ExitStack() as stack:
        mine = set()
        for port in ports:
            with suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
                mine.add(port)
        yield mine


def test_a_taken_port_gives_the_next_one_said_aloud(lab: Lab) -> None:
    other = unique("t-other")
    try:
        with held(page.port for page in STARS.pages) as taken:
            ran = up(other)
        assert ran.returncode == 0, ran.stderr
        pages = {page["local"]: page for name in (NAME, other) for page in Lab.find(name).state["pages"]}
        assert len(pages) == 2 * len(STARS.pages)
        # Those that neither this test nor its first lab holds are another's, who may let go of them meanwhile.
        taken |= {page["local"] for page in lab.state["pages"]}
        own = Lab.find(other).state["pages"]
        assert not taken & {page["local"] for page in own}
        for page in STARS.pages:
            if page.port in taken:
                assert f"({page.port} is taken on this machine)" in ran.stdout
        # Two labs with the same addresses, each with its own hosts.
        ran_there = (
            Lab.find(other).host("agent-1").run(["sh", "-c", "hostname > /tmp/mark; ping -c1 -W60 172.24.197.103"])
        )
        assert ran_there.returncode == 0
        assert lab.host("agent-1").run(["cat", "/tmp/mark"]).returncode == 1
    finally:
        assert tortie("down", "--name", other).returncode == 0
    assert lab.host("agent-2").run(["ping", "-c1", "-W60", "172.24.197.102"]).returncode == 0


# -- up and down again


def test_a_second_up_finds_the_lab_and_another_changes_nothing(lab: Lab) -> None:
    ran = up(NAME, "dockerd,services,forward")
    assert ran.returncode == 0
    assert "up already" in ran.stderr
    pids = {host.name: host.pid for host in lab.hosts.values()}
    for words in (["--agents", "3"], []):
        daemons = "dockerd,services,forward" if words else "forward"
        ran = up(NAME, daemons, *words)
        assert ran.returncode == 4
        assert "nothing was changed" in ran.stderr
    assert {host.name: host.pid for host in lab.hosts.values()} == pids


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["starz"], "starz"),
        (["--bare"], "--bare"),
        (["--store", "mysql"], "--store mysql"),
        (["--routing", "ospf"], "--routing ospf"),
        (["--runtime", "rkt"], "--runtime rkt"),
        (["--subnets", "2"], "--routing direct"),
        (["--public-agents", "99"], "--public-agents 99"),
        (["hello", "--public-agents", "0"], "--public-agents 0"),
        (["hello", "--until", "13"], "13"),
        (["stars", "--until", "99"], "99"),
        (["--name", "../x"], "../x"),
        (["--daemons", "nonsense"], "nonsense"),
    ],
)
def test_what_cannot_be_is_refused_with_2_before_anything_is_made(words: list[str], named: str) -> None:
    ran = tortie("up", "--name", unique("t-never"), *words)
    assert ran.returncode == 2
    assert named in ran.stderr
    assert "Traceback" not in ran.stderr
    assert left_of(unique("t-never"), set()) == []


def test_down_of_nothing_says_so_and_exits_0() -> None:
    name = unique("t-none")
    ran = tortie("down", "--name", name)
    assert ran.returncode == 0
    assert f"no lab {name}" in ran.stdout
    assert tortie("status", "--name", name).returncode == 3
    with pytest.raises(NotFound):
        Lab.find(name)


def test_down_after_kill_9_of_down_removes_what_lies_in_its_grave() -> None:
    name = unique("t-grave")
    grave = state.DATA / f".{name}.1.removed"
    (grave / "agent-1" / "layers").mkdir(parents=True)
    ran = tortie("down", "--name", name)
    assert (ran.returncode, "is down" in ran.stdout) == (0, True)
    assert left_of(name, set()) == []


def test_down_leaves_nothing_of_hosts_engines_and_containers() -> None:
    name, before = unique("t-gone"), interfaces()
    assert up(name, "dockerd,services,forward").returncode == 0
    lab = Lab.find(name)
    words = ["docker", "run", "-d", "--net", "none", "--entrypoint", "sleep", "calico/star:v0.5.0", "600"]
    assert lab.host("agent-1").run(words).returncode == 0
    own = namespaces_of(name)
    assert len(own) > 4 * 5
    here = ticks()
    assert own <= namespaces_in_use(name, here)
    ran = tortie("down", "--name", name)
    assert ran.returncode == 0, ran.stderr
    assert left_of(name, own, here) == []
    assert interfaces() <= before


def test_a_lab_does_not_take_on_the_umask_and_signals_of_its_caller() -> None:
    name = unique("t-plain")
    caller = ["sh", "-c", "umask 077; trap '' INT HUP; exec \"$@\"", "sh"]
    made = subprocess.run([*caller, *TORTIE, "up", "--name", name, "--daemons", "forward"], check=False)
    assert made.returncode == 0
    try:
        lab = Lab.find(name)
        assert (
            lab.host("agent-1").run(["stat", "-c", "%a", "/run/docker/plugins", "/etc/resolv.conf"]).stdout
            == "755\n644\n"
        )
        pid = next(report["pid"] for report in lab.switch.daemons() if report["name"] == "forward")
        status = dict(line.split(":\t") for line in lab.switch.path(f"/proc/{pid}/status").read_text().splitlines())
        assert int(status["SigIgn"], 16) & (1 << signal.SIGINT - 1 | 1 << signal.SIGHUP - 1) == 0
    finally:
        assert tortie("down", "--name", name).returncode == 0


def test_two_ups_at_once_make_one_lab() -> None:
    name = unique("t-twice")
    outcomes: list[subprocess.CompletedProcess[str]] = []
    threads = [threading.Thread(target=lambda: outcomes.append(up(name))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert [ran.returncode for ran in outcomes] == [0, 0], [ran.stderr for ran in outcomes]
        assert sum("up already" in ran.stderr for ran in outcomes) == 1
    finally:
        tortie("down", "--name", name)
    assert left_of(name, set()) == []


def test_down_during_up_waits_for_it_and_leaves_nothing() -> None:
    name = unique("t-during")
    making = subprocess.Popen(
        [*TORTIE, "up", "--name", name, "--daemons", "forward"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait(lambda: bool(state.boot_processes(name)))
    ran = tortie("down", "--name", name)
    assert making.wait(600) == 0
    assert ran.returncode == 0, ran.stderr
    assert left_of(name, set()) == []


@pytest.mark.parametrize("agents", [1, 3])
def test_as_many_agents_as_asked_for(agents: int) -> None:
    name = unique(f"t-agents-{agents}")
    try:
        assert up(name, "resolver,dns", "--agents", str(agents)).returncode == 0
        lab = Lab.find(name)
        assert [host.name for host in lab.hosts.values() if host.role == "agent"] == [
            f"agent-{n}" for n in range(1, agents + 1)
        ]
        # Without a master the name server has no state: it says so through every host's own resolver.
        for host in lab.hosts.values():
            ours = host.run(["dig", "+time=30", "@198.51.100.1", "x.marathon.mesos"]).stdout
            other = host.run(["dig", "+time=30", "@198.51.100.1", "example.com"]).stdout
            assert ("status: SERVFAIL" in ours, "status: REFUSED" in other) == (True, True)
    finally:
        assert tortie("down", "--name", name).returncode == 0
    assert left_of(name, set()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_removes_what_it_made(number: int) -> None:
    name = unique(f"t-int-{number}")
    process = subprocess.Popen(
        [*TORTIE, "up", "--name", name, "--daemons", "dockerd,forward"], stderr=subprocess.PIPE, text=True
    )
    wait(lambda: bool(state.boot_processes(name)))
    process.send_signal(number)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 130
    assert "removed" in said
    assert left_of(name, set()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_walk_removes_its_lab(number: int) -> None:
    name = unique(f"t-walk-{number}")
    process = subprocess.Popen([*TORTIE, "walk", "stars", "--name", name], stderr=subprocess.PIPE, text=True)
    assert process.stderr
    for line in process.stderr:
        if line.startswith("step 1"):
            break
    process.send_signal(number)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 130
    assert f"lab {name} is removed again" in said
    assert left_of(name, set()) == []


@pytest.mark.parametrize("moment", ["first process", "all hosts"])
def test_down_after_kill_9_of_up(moment: str) -> None:
    name = unique("t-kill-up")
    process = subprocess.Popen([*TORTIE, "up", "--name", name, "--daemons", "dockerd"], stderr=subprocess.DEVNULL)
    where = state.places(name)
    wait(
        lambda: (
            bool(state.boot_processes(name))
            if moment == "first process"
            else len(list(where.run.glob("*/control.sock"))) == 5
        )
    )
    process.kill()
    process.wait()
    # Whoever types `status` or `up` meanwhile is not misled; here the next thing typed is `down`.
    assert tortie("down", "--name", name).returncode == 0
    assert left_of(name, set()) == []


def test_up_after_kill_9_of_up_makes_the_lab_anew() -> None:
    name = unique("t-kill-again")
    process = subprocess.Popen([*TORTIE, "up", "--name", name, "--daemons", "forward"], stderr=subprocess.DEVNULL)
    wait(lambda: bool(state.boot_processes(name)))
    process.kill()
    process.wait()
    try:
        ran = up(name)
        assert ran.returncode == 0, ran.stderr
        assert "anew" in ran.stderr or "removing" in ran.stderr
        assert tortie("status", "--name", name).returncode == 0
    finally:
        tortie("down", "--name", name)
    assert left_of(name, set()) == []


def test_a_killed_supervisor_ends_its_host_and_nothing_else() -> None:
    name = unique("t-kill-host")
    try:
        assert up(name, "dockerd,services,forward").returncode == 0
        lab = Lab.find(name)
        own, here, pid = namespaces_of(name), ticks(), lab.host("agent-1").pid
        lab.host("agent-1").run(
            ["docker", "run", "-d", "--net", "none", "--entrypoint", "sleep", "calico/star:v0.5.0", "9"]
        )
        os.kill(pid, signal.SIGKILL)
        wait(lambda: not lab.host("agent-1").alive)
        ran = tortie("exec", "--name", name, "agent-1", "true")
        assert ran.returncode == 5
        assert "agent-1" in ran.stderr
        assert tortie("status", "--name", name).returncode == 1
        assert lab.host("master").run(["ping", "-c1", "-W60", "172.24.197.103"]).returncode == 0
    finally:
        assert tortie("down", "--name", name).returncode == 0
    assert left_of(name, own, here) == []


def test_a_daemon_that_does_not_come_up_is_named_with_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    from tortie.lab import create, remove
    from tortie.lab.plan import Daemon, Host, Options, Plan, Ready

    class Quiet:
        def doing(self, what: str, done: int, of: int, waiting: str = "") -> None:
            pass

    monkeypatch.setattr(create, "GIVE_UP_RESTARTS", 2)
    name = unique("t-bad")
    bad = Daemon("bad", ("sh", "-c", "echo the reason; exit 3"), ready=Ready("listens", "/no/such"))
    hosts = (Host("switch", "172.24.197.2", "switch"), Host("only", "172.24.197.10", "outside", (bad,)))
    with state.locked(name) as lock:
        try:
            with pytest.raises(create.DaemonMissing, match=r"(?s)bad on only.*exit 3.*the reason"):
                create.create(Plan(name, Options(), hosts, ()), {"until": "0", "daemons": None}, Quiet())
        finally:
            remove.remove(name)
            lock.unlink()
    assert left_of(name, set()) == []


def test_no_page_is_open_after_down() -> None:
    def listening(port: int) -> set[str]:
        """The sockets that listen there, by their inodes: the port itself may be another's a moment later."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return {row[9] for row in rows if row[1] == f"0100007F:{port:04X}" and row[3] == "0A"}

    name = unique("t-pages")
    assert up(name).returncode == 0
    ports = [page["local"] for page in Lab.find(name).state["pages"]]
    before = {port: listening(port) for port in ports}
    assert all(before.values())
    assert tortie("down", "--name", name).returncode == 0
    assert [port for port in ports if listening(port) & before[port]] == []
