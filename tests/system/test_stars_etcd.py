"""The Stars demo with a real etcd as its store, and what happens when that is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from tests.support.etcd_server import ETCD
from tests.support.stars_lab import ECHO, Container, Conversation, check, daemon_pid, tortie, wait_for

from tortie.lab.api import Host, Lab

pytestmark = [
    pytest.mark.root,
    pytest.mark.lab,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(ETCD is None, reason="no etcd on this machine (package etcd-server)"),
]

NAME = f"etcd-{os.getpid()}"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    ran = tortie("up", "stars", "--store", "etcd", "--name", NAME)
    try:
        assert ran.returncode == 0, ran.stderr
        yield Lab.find(NAME)
    finally:
        tortie("down", "--name", NAME)


def output(host: Host, *words: str) -> str:
    ran = host.run(words)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_store_of_every_host_is_the_master_s_etcd(lab: Lab) -> None:
    for host in lab.hosts.values():
        assert output(host, "cat", "/etc/tortie/store") == "etcd://172.24.197.101:2379\n"
    agent = lab.host("agent-1")
    assert "store.db" not in output(agent, "ls", "-a", "/var/lib/tortie/store")
    assert "frontend" in output(agent, "calicoctl", "profile", "show")
    assert "/calico/" in output(agent, "tortie", "store", "export")


def test_without_etcd_packets_go_on_and_behind_it_nothing_is_missed(lab: Lab) -> None:
    master, first, second = lab.host("master"), lab.host("agent-1"), lab.host("agent-2")
    server = Container(first, "t-echo", "client", ("python3", "-c", ECHO))
    client = Container(second, "t-client", "client")
    talk = Conversation(client, server)
    before = daemon_pid(lab, "master", "etcd")
    master.order("stop", "etcd")
    asked = first.run(["calicoctl", "profile", "show"])
    assert (asked.returncode, "Connection refused" in asked.stdout) == (1, True)
    refused = first.run(["docker", "run", "--rm", "--net", "client", "--name", "t-no", "calico/star:v0.5.0"])
    assert (refused.returncode, "Connection refused" in refused.stderr) == (125, True)
    assert talk.speak()
    Conversation(client, server).close()
    master.order("start", "etcd")
    pid = daemon_pid(lab, "master", "etcd")
    assert pid not in (None, before)
    output(master, "kill", f"-{signal.SIGKILL.value}", str(pid))
    wait_for("etcd", lambda: daemon_pid(lab, "master", "etcd") not in (None, pid))
    wait_for("the store", lambda: first.run(["calicoctl", "profile", "show"]).returncode == 0)
    output(first, "docker", "network", "create", "--driver", "calico", "--ipam-driver", "calico-ipam", "late")
    wait_for("it on the second", lambda: second.run(["docker", "network", "inspect", "late"]).returncode == 0)
    Container(second, "t-late", "late").remove()
    assert talk.speak()
    talk.close()
    client.remove()
    server.remove()


def test_the_matrix_holds_with_every_daemon_started_anew(lab: Lab) -> None:
    for host, daemon in (("master", "master"), ("master", "marathon"), ("agent-1", "node"), ("master", "node")):
        lab.host(host).order("restart", daemon)
    wait_for("the nodes", lambda: all(daemon_pid(lab, host, "node") for host in ("agent-1", "master")))
    check(NAME)
