"""The hosts and files of the documents environments and net-modules against the facts that their walks rely on."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import yaml

from tortie.lab import files as lab_files
from tortie.lab import root, ssh
from tortie.lab.daemons import plan_of
from tortie.lab.documents import DOCUMENTS, ENVIRONMENTS, FILES, NET_MODULES, check_options
from tortie.lab.plan import Host, Plan

PLAIN: dict[str, Any] = {"agents": None, "store": "sqlite", "routing": "direct", "runtime": "docker"}
APPS = [f"{group}-{kind}.json" for group in ("dev", "prod") for kind in ("database", "frontend", "tester")]
POLICIES = ["frontend-database", "lan-frontend", "pings", "tester-database", "tester-frontend"]


def plan(document: str, **changes: Any) -> Plan:
    return plan_of("t", check_options(document, **{**PLAIN, **changes}))


def words(host: Host, daemon: str) -> dict[str, str]:
    """Each option of a daemon with the word behind it; of one given twice, the last."""
    argv = next(d.argv for d in host.daemons if d.name == daemon)
    return dict(itertools.pairwise(argv))


def placed(document: str, host: Host) -> dict[str, str]:
    return {file.path: file.text for file in root.documents(host, DOCUMENTS[document])}


def app(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FILES / "environments" / name).read_text())
    return found


def test_the_loops_of_the_document_find_its_files_and_no_others() -> None:
    made = plan("environments")
    assert sorted(placed("environments", made.host("laptop"))) == [f"/root/{name}" for name in APPS]
    at_agent = placed("environments", made.host("agent-2"))
    in_root = sorted(path for path in at_agent if path.startswith("/root/"))
    assert in_root == [f"/root/allow-dev-{name}.yaml" for name in POLICIES]
    assert placed("environments", made.host("master")) == {}
    assert not any("<your-lan-CIDR>" in text for path, text in at_agent.items() if path.startswith("/root/"))


def test_two_environments_of_three_apps() -> None:
    ids = [app(name)["id"] for name in APPS]
    assert ids == ["database2", "frontend2", "tester2", "database", "frontend", "tester"]
    for name in APPS:
        found = app(name)
        group = "development" if name.startswith("dev") else "production"
        assert found["ipAddress"]["networkName"] == "calico"
        assert found["ipAddress"]["labels"] == {"app": found["id"].removesuffix("2"), "group": group}
        assert found["container"]["type"] == "MESOS"
        assert found.get("cmd") == ("ifconfig && sleep 4h" if "tester" in name else None)
        images = {image.removeprefix("library/").removesuffix(":latest") for image in ENVIRONMENTS.images}
        assert found["container"]["docker"]["image"] in images
    ports = {p["number"] for p in app("dev-database.json")["ipAddress"]["discovery"]["ports"]}
    assert ports == {1521, 81}


def test_the_corrected_files_say_what_they_mean_and_keep_to_their_group() -> None:
    folder = FILES / "environments" / "corrected"
    read = {path.name: yaml.safe_load(path.read_text()) for path in folder.iterdir()}
    assert sorted(read) == [f"allow-dev-{name}.yaml" for name in POLICIES]
    for name, policy in read.items():
        assert policy["metadata"]["name"] == name.removesuffix(".yaml")
        (rule,) = policy["spec"]["ingress"]
        lan = name == "allow-dev-lan-frontend.yaml"
        assert lan or "group == 'development'" in rule["source"]["selector"]
        assert not lan or (rule["source"]["net"], rule["destination"]["ports"]) == ("<your-lan-CIDR>", [80])
    assert read["allow-dev-pings.yaml"]["spec"]["ingress"][0]["protocol"] == "icmp"
    placed_there = placed("environments", plan("environments").host("agent-1"))
    at = "/usr/local/share/tortie/corrected/allow-dev-lan-frontend.yaml"
    assert "172.24.197.0/24" in placed_there[at]


def test_agents_of_environments_run_both_kinds_of_containers() -> None:
    found = words(plan("environments").host("agent-3"), "agent")
    assert found["--containerizers"] == "docker,mesos"
    assert found["--docker-registry"] == "/var/lib/tortie/images"
    assert found["--network-cni-config-dir"] == "/opt/mesosphere/etc/dcos/network/cni"
    assert found["--network-cni-plugins-dir"] == "/opt/mesosphere/active/cni"
    assert found["--cgroups-root"].startswith("tortie-t/agent-3/")
    assert "--modules" not in found
    assert words(plan("stars", runtime="ucr").host("agent-1"), "agent")["--containerizers"] == "mesos"
    assert "--containerizers" not in words(plan("stars").host("agent-1"), "agent")
    archives = {document: "--archives" in words(plan(document).host("switch"), "services") for document in DOCUMENTS}
    assert archives == {"stars": False, "hello": False, "net-modules": True, "environments": True}


def test_the_network_of_environments_is_there_and_networks_of_others_are_written_later() -> None:
    for document, network in (("environments", ["calico"]), ("stars", [])):
        made = plan(document, runtime="ucr")
        wanted = [f"/opt/mesosphere/etc/dcos/network/cni/{name}.cni" for name in network]
        written = lab_files.of_host(
            made.host("agent-1"), made.hosts, document=DOCUMENTS[document], python="/p", path=["/src"], store="s"
        )
        assert [file.path for file in written if file.path.endswith(".cni")] == wanted
    config = json.loads(lab_files.cni("calico"))
    assert (config["name"], config["type"], config["cniVersion"]) == ("calico", "calico", "0.2.0")


def test_the_line_that_the_document_edits_is_one_line() -> None:
    lines = lab_files.mesos_dns(ENVIRONMENTS.dns).splitlines()
    assert '  "IPSources": ["host", "netinfo"]' in lines
    assert json.loads("\n".join(lines))["port"] == 61053


def test_agents_of_net_modules_have_its_ports_its_modules_and_a_second_resolver() -> None:
    made = plan("net-modules")
    assert [host.name for host in made.hosts if host.role == "agent"] == ["agent-1", "agent-2"]
    found = words(made.host("agent-2"), "agent")
    assert found["--resources"] == "cpus:4;mem:4096;ports(*):[9000-31100]"
    assert found["--modules"] == "file:///calico/modules.json"
    assert (found["--isolation"], found["--hooks"]) == (
        "com_mesosphere_mesos_NetworkIsolator",
        "com_mesosphere_mesos_NetworkHook",
    )
    assert "--network-cni-config-dir" not in found
    for host in made.hosts[1:]:
        listening = [b for a, b in itertools.pairwise(_argv(host, "resolver")) if a == "--listen"]
        assert listening == ["198.51.100.1:53", "192.168.255.254:53"]
    assert _argv(made.host("laptop"), "ports")[-5:] == (
        "127.0.0.1:8080=172.24.197.101:8080",
        "127.0.0.1:5050=172.24.197.101:5050",
        "172.24.197.10:9001=collect.star-before.marathon.mesos:9001",
        "172.24.197.10:9002=collect.star.marathon.mesos:9001",
        "172.24.197.10:9003=collect.star-iso.marathon.mesos:9001",
    )
    pages = {page.name: (page.port, page.target) for page in NET_MODULES.pages}
    assert pages["star-iso"] == (9003, "172.24.197.10:9003")
    assert NET_MODULES.nameserver == "192.168.255.254"


def _argv(host: Host, daemon: str) -> tuple[str, ...]:
    return next(d.argv for d in host.daemons if d.name == daemon)


@pytest.mark.parametrize(
    ("group", "groups", "collect"),
    [
        ("star-before", None, None),
        ("star", ["public"] * 4, ["public"]),
        ("star-iso", ["star-1", "star-1", "star-2", "star-2"], ["star-1", "star-2", "public"]),
    ],
)
def test_the_groups_of_net_modules(group: str, groups: list[str] | None, collect: list[str] | None) -> None:
    found = json.loads((FILES / "net-modules" / "demo" / f"{group}.json").read_text())
    *probes, page = found["apps"]
    assert [probe["id"] for probe in probes] == ["probe-a", "probe-b", "probe-c", "probe-d"]
    if groups is None:
        assert all(probe["ports"] == [9000] and probe["requirePorts"] for probe in probes)
        assert (page["ports"], "ipAddress" in page) == ([9001], False)
    else:
        assert [probe["ipAddress"]["groups"] for probe in probes] == [[name] for name in groups]
        assert page["ipAddress"]["groups"] == collect
    rows = json.loads((FILES / "net-modules" / "star" / f"{group}-resources.json").read_text())
    asked = {row["id"]: row["url"] for row in rows}
    for probe in probes:
        urls = set(probe["cmd"].partition("--urls=")[2].split(","))
        assert urls == {url for name, url in asked.items() if name != probe["id"][-1].upper()}
    brought = {uri for one in found["apps"] for uri in one["uris"]}
    on_agent = placed("net-modules", plan("net-modules").host("agent-1"))
    assert {uri.removeprefix("file://") for uri in brought} <= on_agent.keys()


def test_the_scripts_of_net_modules_can_be_run_where_people_type() -> None:
    made = plan("net-modules")
    for name in ("laptop", "agent-1"):
        listed = root.documents(made.host(name), NET_MODULES)
        scripts = {file.path.rpartition("/")[2]: file.mode for file in listed if file.path.endswith(".sh")}
        assert scripts == dict.fromkeys(
            (
                *("launch-cluster.sh", "launch-probes-before.sh", "launch-probes.sh", "launch-probes-isolated.sh"),
                *("stop-cluster.sh", "stop-probes-before.sh", "stop-probes.sh", "stop-probes-isolated.sh"),
            ),
            0o755,
        )


def test_keys_go_to_those_who_come_and_to_those_who_let_in() -> None:
    pair = {"private": "private\n", "public": "public\n"}
    made = {"client": pair, "servers": dict.fromkeys(("master", "agent-1"), pair), "known": "known\n"}
    hosts = {host.name: host for host in plan("environments").hosts}
    found = {
        name: {file.path: file.mode for file in ssh.of_host(hosts[name], made)}
        for name in ("laptop", "master", "agent-1", "switch")
    }
    key, server = "/root/.ssh/id_ed25519", "/etc/ssh/lab_host_key"
    assert found["switch"] == {}
    assert (key in found["laptop"], server in found["laptop"]) == (True, False)
    assert (key in found["master"], server in found["master"]) == (True, True)
    assert (key in found["agent-1"], server in found["agent-1"]) == (False, True)
    assert found["laptop"][key] == found["agent-1"][server] == 0o600
    assert ssh.of_host(hosts["laptop"], None) == []
    assert "sshd" not in [daemon.name for daemon in plan("stars").host("agent-1").daemons]
