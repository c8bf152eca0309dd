"""The Hello document's hosts and files against the facts that the walk-through relies on."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest

from tortie.lab import files as lab_files
from tortie.lab.daemons import plan_of
from tortie.lab.documents import DOCUMENTS, HELLO, PRODUCT, PUBLIC, check_options
from tortie.lab.images import NAMES
from tortie.lab.plan import Plan
from tortie.packages.apps import app_of
from tortie.packages.sources import BUILT_IN, built_in
from tortie.packages.universe import Repository, Universe

FILES = files("tortie.lab").joinpath("files")


def app(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILES.joinpath(f"hello/{name}.json").read_text())
    return found


def balancer() -> dict[str, Any]:
    """As its package makes it of the document's options."""
    found = Universe([(Repository("Tortie", BUILT_IN), built_in())]).find("marathon-lb")
    assert found
    return app_of(found, app("marathon-lb-options"))


def plan(**changes: Any) -> Plan:
    plain: dict[str, Any] = {"agents": None, "store": "sqlite", "routing": "direct", "runtime": "docker"}
    return plan_of("t", check_options("hello", **{**plain, **changes}))


def words(made: Plan, host: str, daemon: str) -> tuple[str, ...]:
    return next(d.argv for d in made.host(host).daemons if d.name == daemon)


def test_three_agents_and_a_public_one() -> None:
    assert {host.name: (host.address, host.role) for host in plan().hosts[1:]} == {
        "laptop": ("172.24.197.10", "outside"),
        "master": ("172.24.197.101", "master"),
        "agent-1": ("172.24.197.102", "agent"),
        "agent-2": ("172.24.197.103", "agent"),
        "agent-3": ("172.24.197.104", "agent"),
        "public-1": ("172.24.197.201", "public"),
    }
    assert plan(public_agents=2).host("public-2").address == "172.24.197.202"


def test_what_the_public_agent_has_is_kept_for_its_role() -> None:
    argv = words(plan(), "public-1", "agent")
    assert argv[argv.index("--default-role") + 1] == "slave_public"
    assert "ports:[1-21,23-5050,5052-32000]" in argv[argv.index("--resources") + 1]
    assert "--default-role" not in words(plan(), "agent-1", "agent")
    assert plan().host("public-1").forwards


@pytest.mark.parametrize("store", ["sqlite", "etcd"])
def test_no_balancer_on_the_master_and_names_on_another_port(store: str) -> None:
    made = plan(store=store)
    assert "lb" not in [daemon.name for daemon in made.host("master").daemons]
    assert words(made, "master", "dns")[-1] == "/opt/mesosphere/etc/mesos-dns.json"
    for host in made.hosts[1:]:
        assert words(made, host.name, "resolver")[-1] == "mesos=172.24.197.101:61053"
        written = {
            file.path: file.text
            for file in lab_files.of_host(host, made.hosts, document=HELLO, python="/p", path=["/src"], store="s")
        }
        assert written["/etc/resolv.conf"] == "nameserver 198.51.100.1\n"
    config = json.loads(lab_files.mesos_dns(HELLO.dns))
    assert (config["port"], config["listener"], config["IPSources"]) == (61053, "172.24.197.101", ["netinfo", "host"])


def test_every_image_of_a_document_can_be_made_and_every_app_has_its_own() -> None:
    for document in DOCUMENTS.values():
        assert set(document.images) <= NAMES.keys()
    images = [app(name)["container"]["docker"]["image"] for name in ("database", "frontend")]
    assert images == ["redis", "calico/hello-dcos:v0.1.0"]
    assert "library/redis:latest" in HELLO.images
    assert {PRODUCT, balancer()["container"]["docker"]["image"]} <= set(HELLO.images)


def test_the_two_apps_are_on_their_networks_with_a_port_to_be_found() -> None:
    for name, network, port, count in (("database", "database-net", 6379, 1), ("frontend", "frontend-net", 80, 3)):
        found = app(name)
        assert found["container"]["docker"]["parameters"] == [{"key": "net", "value": network}]
        assert [p["number"] for p in found["ipAddress"]["discovery"]["ports"]] == [port]
        assert found["instances"] == count
        assert "healthChecks" not in found, "from an agent they would be its own host's, from Marathon refused"
    labels = app("frontend")["labels"]
    assert labels == {"HAPROXY_GROUP": "external", "HAPROXY_0_VHOST": "spring.acme.org"}
    assert app("frontend")["taskKillGracePeriodSeconds"] > 5, "it serves on for 5 s after SIGTERM"


def test_the_balancer_is_an_app_for_the_public_agent() -> None:
    found = balancer()
    assert found["acceptedResourceRoles"] == ["slave_public"]
    assert found["container"]["docker"]["network"] == "HOST"
    assert ["hostname", "CLUSTER", PUBLIC] in found["constraints"], "the policy of the frontend names this one"
    assert found["args"][-6:] == [
        *("--min-serv-port-ip-per-task", "10101", "--max-serv-port-ip-per-task", "10150", "--group", "external"),
    ]
    assert found["ports"] == [80, 443, 9090, 9091, *range(10000, 10101)]
    assert found["ports"][found["healthChecks"][0]["portIndex"]] == 9090
