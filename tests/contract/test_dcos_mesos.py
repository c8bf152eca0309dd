"""`dcos task`, `node`, `service` at a cluster of made-up answers; and what is said when it answers wrongly or not."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from tests.support.dcos_cluster import (
    AGENT,
    FRAMEWORK,
    PATIENT,
    Answer,
    Asked,
    Dcos,
    DcosCluster,
    agent,
    command,
    serving,
    state,
    task,
)
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, wait_until

STATE = "/mesos/master/state.json"
SUMMARY = "/mesos/master/state-summary"
SANDBOX = "/var/lib/mesos/slaves/s/sandbox"


@pytest.fixture
def cluster() -> Iterator[DcosCluster]:
    with serving(DcosCluster()) as made:
        made.answers = {
            STATE: state(task("web.1"), task("web.12"), task("db.1"), completed=(task("old.1", state="TASK_KILLED"),)),
            SUMMARY: {"slaves": [agent()]},
            "/mesos_dns/v1/hosts/master.mesos.": [{"host": "master.mesos.", "ip": "172.24.197.101"}],
            "/mesos_dns/v1/hosts/leader.mesos.": [{"host": "leader.mesos.", "ip": "172.24.197.101"}],
            "/metadata": {"PUBLIC_IPV4": "54.1.2.3", "CLUSTER_ID": "x"},
            f"/slave/{AGENT}/state.json": agent_state("web.1", "web.12"),
        }
        yield made


@pytest.fixture
def dcos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: DcosCluster) -> Dcos:
    return command(tmp_path, monkeypatch, cluster.url)


def agent_state(*tasks: str) -> dict[str, Any]:
    executors = [{"id": name, "directory": f"{SANDBOX}/{name}", "tasks": [{"id": name}]} for name in tasks]
    return {"frameworks": [{"executors": executors}]}


def files(texts: dict[str, bytes]) -> Any:
    """An agent's read.json: bytes that are no text are replaced, as Mesos does it."""

    def read(asked: Asked) -> Answer:
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        data = texts.get(query["path"].removeprefix(SANDBOX))
        if data is None:
            return Answer(b"", 404)
        offset, length = int(query["offset"]), int(query["length"])
        if offset == -1:
            return Answer({"data": "", "offset": len(data)})
        return Answer({"data": data[offset : offset + min(length, 65536)].decode(errors="replace"), "offset": offset})

    return read


# -- tasks -------------------------------------------------------------------------------------------------------------


def test_tasks(dcos: Dcos) -> None:
    for line in ("task", "task list"):
        rows = dcos(line).out.splitlines()
        assert rows[0].split() == ["NAME", "HOST", "USER", "STATE", "ID", "MESOS", "ID"]
        assert [row.split() for row in rows[1:]] == [
            [name.partition(".")[0], "10.0.1.190", "root", "R", name, AGENT] for name in ("db.1", "web.1", "web.12")
        ]
    assert [one["id"] for one in json.loads(dcos("task --json web.1*").out)] == ["web.1", "web.12"]
    assert dcos("task list -q").out.split() == ["db.1", "web.1", "web.12"]
    assert dcos("node list --quiet").out == f"{AGENT}\n"
    assert dcos("service list --quiet").out == f"{FRAMEWORK}\n"
    assert dcos("task --completed").out.splitlines()[1].split()[3:5] == ["K", "old.1"]
    assert len(dcos("task --all").out.splitlines()) == 5
    none = dcos("task nothing")
    assert (none.code, len(none.out.splitlines())) == (0, 1)


def test_the_end_of_a_log(dcos: Dcos, cluster: DcosCluster) -> None:
    text = "".join(f"line {n} {'ü' * (n % 300)}\n" for n in range(2000)).encode()
    cluster.answers[f"/slave/{AGENT}/files/read.json"] = files(
        {
            "/web.1/stdout": text,
            "/web.1/stderr": b"",
            "/web.12/stdout": b"other\nlines",
            "/web.1/sub/x": b"a\n\xff\nb\n",
        }
    )
    lines = text.decode().splitlines()
    assert dcos("task log web.1").out.splitlines() == lines[-10:]
    assert dcos("task log web.1 --lines=700").out.splitlines() == lines[-700:]
    assert dcos("task log web.1 --lines=3000").out.splitlines() == lines
    assert dcos("task log web.1 sub/x --lines=2").out.splitlines() == ["\ufffd", "b"]
    assert dcos("task log web.1 stderr") == (0, "", "No logs for this task\n")
    both = dcos("task log web.1* --lines=1")
    assert both.out.splitlines() == ["===> task:web.1:stdout <===", lines[-1], "===> task:web.12:stdout <===", "lines"]


def test_logs_that_are_not_there(dcos: Dcos, cluster: DcosCluster) -> None:
    cluster.answers[f"/slave/{AGENT}/files/read.json"] = files({})
    assert dcos("task log web.1") == (1, "", "No files exist. Exiting.\n")
    assert dcos("task log nothing") == (1, "", "No matching tasks. Exiting.\n")
    assert "there is 1 matching completed task. Run with --completed" in dcos("task log old").err
    assert dcos("task log web.1 --lines=many").err.startswith("Error parsing string as int")
    del cluster.answers[f"/slave/{AGENT}/state.json"]
    away = dcos("task log web.1")
    assert away.code == 1
    assert away.err.startswith("Error accessing slave: Error while fetching [")
    assert away.err.endswith("HTTP 404: Not Found\nNo files exist. Exiting.\n")
    cluster.answers[STATE] = state()
    assert dcos("task log") == (1, "", "No tasks found. Exiting.\n")


def test_files_of_tasks(dcos: Dcos, cluster: DcosCluster) -> None:
    def browse(asked: Asked) -> Answer:
        path = parse_qs(asked.query)["path"][0]
        if not path.startswith(f"{SANDBOX}/web."):
            return Answer(b"", 404)
        about = {"mode": "-rw-r--r--", "nlink": 1, "uid": "root", "gid": "root", "size": 3, "mtime": 0}
        names = ["in"] if path.endswith("/sub") else ["stderr", "stdout"]
        return Answer([{"path": f"{path}/{name}", **about} for name in names])

    cluster.answers[f"/slave/{AGENT}/files/browse.json"] = browse
    assert dcos("task ls web.1").out == "stderr  stdout\n"
    assert dcos("task ls web.1 /sub").out == "in\n"
    assert dcos("task ls web").out.splitlines()[::2] == ["===> web.1 <===", "===> web.12 <==="]
    assert [row.split()[0] for row in dcos("task ls --long web.1").out.splitlines()] == ["-rw-r--r--"] * 2
    assert dcos("task ls nothing").err == 'Cannot find a task with ID containing "nothing"\n'
    assert dcos("task ls db.1").err == "The agent does not know the files of task [db.1] any more\n"
    cluster.answers[f"/slave/{AGENT}/files/browse.json"] = Answer(b"", 404)
    assert dcos("task ls web.1 no") == (1, "", "Cannot access [no]: No such file or directory\n")
    cluster.answers[f"/slave/{AGENT}/files/browse.json"] = {"no": "list"}
    assert "no list of files" in dcos("task ls web.1").err


def test_direct_to_a_master(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: DcosCluster) -> None:
    cluster.answers["/master/state.json"] = cluster.answers[STATE]
    straight = command(tmp_path, monkeypatch)
    assert len(straight("task", DCOS_MESOS_MASTER_URL=cluster.url).out.splitlines()) == 4


# -- nodes -------------------------------------------------------------------------------------------------------------


def test_nodes(dcos: Dcos) -> None:
    for line in ("node", "node list"):
        rows = dcos(line).out.splitlines()
        assert [row.split() for row in rows] == [
            ["HOSTNAME", "IP", "ID", "TYPE"],
            ["10.0.1.190", "10.0.1.190", AGENT, "agent"],
            ["master.mesos.", "172.24.197.101", "master-id", "master", "(leader)"],
        ]
    assert dcos("node --field=RACK:attributes.rack").out.splitlines()[1].split()[-1] == "r1"
    assert dcos("node --field=attributes.nothing") == (1, "", 'Field "attributes.nothing" is invalid.\n')
    assert [one["type"] for one in json.loads(dcos("node --json").out)] == ["master (leader)", "agent"]


def test_logs_of_nodes(dcos: Dcos, cluster: DcosCluster) -> None:
    cluster.answers["/mesos/files/read.json"] = files({"/master/log": b"m1\nm2\n"})
    cluster.answers[f"/slave/{AGENT}/files/read.json"] = files({"/slave/log": b"s1\ns2\n"})
    assert dcos("node log --leader --lines=1").out == "m2\n"
    assert dcos(f"node log --mesos-id={AGENT}").out == "s1\ns2\n"
    both = dcos(f"node log --leader --mesos-id={AGENT} --lines=1").out.splitlines()
    assert both == [f"===> slave:{AGENT}:/slave/log <===", "s2", "===> master:/master/log <===", "m2"]
    assert dcos("node log") == (1, "", "You must choose one of --leader or --mesos-id.\n")
    assert dcos("node log --leader --component=x").err == "--component or --filter is not supported by files API\n"
    assert dcos("node log --mesos-id=x").err == 'No agent found with ID "x".\n'


def test_logs_of_hosts_with_journals(dcos: Dcos, cluster: DcosCluster) -> None:
    container = f"/system/v1/agent/{AGENT}/logs/v1/%s/framework/{FRAMEWORK}/executor/web.1/container/container-of-web.1"
    entry = {"fields": {"MESSAGE": "hello"}, "realtime_timestamp": 1500000000000000}
    cluster.answers |= {
        "/capabilities": {"capabilities": [{"name": "LOGGING"}]},
        "/dcos-metadata/ui-config.json": {"uiConfiguration": {"plugins": {"mesos": {"logging-strategy": "journald"}}}},
        container % "range": Answer(b"one\ntwo\n"),
        container % "stream": Answer(b"id: 1\ndata: " + json.dumps(entry).encode() + b"\n\ndata: broken\n\n"),
        "/system/v1/leader/mesos/logs/v1/range/": Answer(b"master's\n"),
    }
    assert dcos("task log web.1 --lines=2").out == "one\ntwo\n"
    assert parse_qs(cluster.asked[-1].query) == {"skip_prev": ["2"], "filter": ["STREAM:STDOUT"]}
    follow = dcos("task log --follow web.1")
    assert (follow.code, follow.out.endswith(": hello\n"), "to json: broken" in follow.err) == (1, True, True)
    assert dcos("node log --leader --component=dcos-mesos-master --filter=_PID:1").out == "master's\n"
    assert parse_qs(cluster.asked[-1].query)["filter"] == ["_PID:1", "_SYSTEMD_UNIT:dcos-mesos-master.service"]
    assert "Must be --filter=key:value" in dcos("node log --leader --filter=x").err
    assert "dcos-log only supports stdout/stderr" in dcos("task log web.1 other").err


@pytest.fixture
def ssh(tmp_path: Path) -> Path:
    """A directory with an `ssh` and an `ssh-agent` that say what they were given, and end with 7."""
    for name in ("ssh", "ssh-agent"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho {name}; for word; do echo "<$word>"; done; exit 7\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return tmp_path / "bin"


def test_ssh_takes_the_place_of_the_command(tmp_path: Path, cluster: DcosCluster, ssh: Path) -> None:
    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "DCOS_URL": cluster.url,
            "HOME": str(tmp_path),
            **PATIENT,
        }
        return subprocess.run(
            [sys.executable, "-m", "tortie.cli.dcos.main", "node", "ssh", *words],
            env={"PATH": f"{ssh}:{os.environ['PATH']}", **kept, **variables},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    done = run("--master-proxy", f"--mesos-id={AGENT}", SSH_AUTH_SOCK="/x")
    assert (done.returncode, done.stderr) == (7, "Running `ssh -A -t core@54.1.2.3 ssh -A -t core@10.0.1.190 `\n")
    assert done.stdout.splitlines() == ["ssh", "<-A>", "<-t>", "<core@54.1.2.3>", "<ssh -A -t core@10.0.1.190>"]
    done = run("--leader", "--user=me", "--option", "A=b", "uptime")
    assert (done.returncode, done.stderr) == (7, "Running `ssh -t -o A=b me@172.24.197.101 uptime`\n")
    done = run("--private-ip=10.0.0.9", "--proxy-ip=1.1.1.1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("There is no SSH_AUTH_SOCK env variable")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id_ed25519").write_text("a key")
    done = run("--private-ip=10.0.0.9", "--proxy-ip=1.1.1.1")
    assert done.stdout.splitlines()[:4] == ["ssh-agent", "<ssh>", "<-o>", "<AddKeysToAgent=yes>"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("node ssh --mesos-id=nobody", "No slave found with ID [nobody]"),
        ("node ssh --leader --option=x", "--option is SSHOPT=VAL, not 'x'"),
        ("node ssh", "one of --leader, --master, --mesos-id, --slave, --private-ip is needed"),
    ],
)
def test_ssh_to_nobody(dcos: Dcos, line: str, said: str) -> None:
    found = dcos(line, SSH_AUTH_SOCK="/x")
    assert (found.code, found.out) == (1, "")
    assert said in found.err


def test_a_master_without_a_public_address(dcos: Dcos, cluster: DcosCluster) -> None:
    cluster.answers["/metadata"] = {"CLUSTER_ID": "x"}
    assert dcos(f"node ssh --master-proxy --mesos-id={AGENT}", SSH_AUTH_SOCK="/x") == (
        1,
        "",
        f"Cannot use --master-proxy.  Failed to find 'PUBLIC_IPV4' at {cluster.url}/metadata\n",
    )
    cluster.answers["/mesos_dns/v1/hosts/leader.mesos."] = []
    assert "The cluster's DNS knows no leader.mesos." in dcos("node ssh --leader").err


# -- services ----------------------------------------------------------------------------------------------------------


def test_services(dcos: Dcos, cluster: DcosCluster) -> None:
    shown = cluster.answers[STATE]
    idle = {**shown["frameworks"][0], "id": "f2", "name": "idle", "active": False, "tasks": []}
    ended = {**idle, "id": "f3", "name": "ended"}
    shown["frameworks"].append(idle)
    shown["completed_frameworks"].append(ended)

    def names(line: str) -> list[str]:
        return [row.split()[0] for row in dcos(line).out.splitlines()[1:]]

    assert names("service") == names("service list") == ["marathon"]
    assert names("service --inactive") == ["idle", "marathon"]
    assert names("service --completed --inactive") == ["ended", "idle", "marathon"]
    assert json.loads(dcos("service --json").out)[0]["id"] == FRAMEWORK


def test_a_service_is_shut_down(dcos: Dcos, cluster: DcosCluster) -> None:
    cluster.answers["POST /mesos/master/teardown"] = {}
    assert dcos("service shutdown f-1") == (0, "", "")
    assert cluster.said("POST").body == b"frameworkId=f-1"
    del cluster.answers["POST /mesos/master/teardown"]
    cluster.answers["POST /mesos/master/shutdown"] = {}
    assert dcos("service shutdown f-1").code == 0, "as it was called before"
    cluster.answers["POST /mesos/master/teardown"] = Answer(b"No framework found with specified ID", 400)
    assert dcos("service shutdown f-1") == (1, "", "Bad request\n")


def test_the_log_of_a_service(dcos: Dcos, cluster: DcosCluster) -> None:
    labels = {"labels": {"DCOS_PACKAGE_FRAMEWORK_NAME": "kafka"}}
    cluster.answers |= {
        "/service/marathon/v2/apps": {"apps": [{"id": "/kafka", **labels}, {"id": "/other"}]},
        "/service/marathon/v2/apps/kafka": {"app": {"id": "/kafka", "tasks": [{"id": "web.1"}]}},
        f"/slave/{AGENT}/files/read.json": files({"/web.1/stdout": b"ready\n", "/web.12/stdout": b"no\n"}),
    }
    assert dcos("service log kafka").out == "ready\n"
    assert dcos("service log nothing").err == "No marathon apps found for service [nothing]\n"
    cluster.answers["/service/marathon/v2/apps/kafka"]["app"]["tasks"] = []
    assert "to be running 1 task, but we instead found 0 tasks" in dcos("service log kafka").err


# -- a cluster that answers wrongly ------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["task", "service", "node", "task log", "task ls", "task exec web.1 ls"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer({}, 401), "Authentication failed. Please run `dcos auth login`\n"),
        (Answer({}, 403), "You are not authorized to perform this operation\n"),
        (Answer({}, 400), "Bad request\n"),
        (Answer(b"x", 502), "Error while fetching [{url}]: HTTP 502: Bad Gateway\n"),
        (Answer(b"why", 422), "Error while fetching [{url}]: HTTP 422: why\n"),
        (Answer(b"<html>"), "Error decoding response from [{url}]: HTTP 200: OK\n"),
        (Answer([1, 2]), "Error decoding response from [{url}]: it is no document\n"),
        (Answer({"frameworks": 5, "slaves": 5}), "The answer of the cluster cannot be read: it has no list of '"),
    ],
)
def test_wrong_answers(dcos: Dcos, cluster: DcosCluster, line: str, answer: Answer, said: str) -> None:
    path = SUMMARY if line == "node" else STATE
    cluster.answers[path] = answer
    found = dcos(line)
    assert (found.code, found.out) == (1, "")
    assert found.err.startswith(said.format(url=cluster.url + path))


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    nobody = command(tmp_path, monkeypatch, url)
    assert nobody("task") == (1, "", f"URL [{url}{STATE}] is unreachable: Connection refused\n")
    for wrong in ("http://127.0.0.1:x", "http://127.0.0.1:99999999"):
        assert nobody("task", DCOS_URL=wrong).err.startswith("HTTP Exception: Invalid URL [")


def test_redirects_are_followed_without_the_token(dcos: Dcos, cluster: DcosCluster) -> None:
    with serving(DcosCluster()) as other:
        other.answers["/master/state"] = state(task("there.1"))
        cluster.answers[STATE] = Answer({}, 307, {"Location": f"{other.url}/master/state"})
        assert "there.1" in dcos("task", DCOS_ACS_TOKEN="secret").out
        assert "authorization" in cluster.asked[-1].headers
        assert "authorization" not in other.asked[-1].headers
        dcos("marathon about", DCOS_ACS_TOKEN="secret", DCOS_MARATHON_URL=other.url)
        assert (other.asked[-1].path, "authorization" in other.asked[-1].headers) == ("/v2/info", False)
    cluster.answers[STATE] = Answer({}, 307, {"Location": STATE})
    assert "too many redirects" in dcos("task").err


def test_a_log_is_followed(tmp_path: Path, cluster: DcosCluster) -> None:
    texts = {"/web.1/stdout": b"one\n"}
    cluster.answers[STATE] = state(task("web.1"))
    cluster.answers[f"/slave/{AGENT}/files/read.json"] = files(texts)
    environ = {**os.environ, "DCOS_URL": cluster.url, "HOME": str(tmp_path), "PYTHONUNBUFFERED": "1", **PATIENT}
    out = tmp_path / "out"
    with out.open("wb") as file:
        program = subprocess.Popen(
            [sys.executable, "-m", "tortie.cli.dcos.main", "task", "log", "--follow", "web.1"],
            stdout=file,
            stdin=subprocess.DEVNULL,
            env=environ,
        )
    try:
        wait_until(lambda: out.read_text() == "one\n", message=out.read_text)
        texts["/web.1/stdout"] += b"two\npart"
        wait_until(lambda: out.read_text() == "one\ntwo\npart\n", message=out.read_text)
        texts["/web.1/stdout"] = b"anew\n"
        wait_until(lambda: out.read_text().endswith("anew\n"), message=out.read_text)
    finally:
        program.kill()
        program.wait()
