"""The demo's files against the facts that the walk-through relies on."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

from tortie.lab.services import RAW, builtin_artifacts

FILES = files("tortie.lab").joinpath("files")
GROUP: dict[str, Any] = json.loads(FILES.joinpath("stars.json").read_text())
RESOURCES: list[dict[str, str]] = json.loads(FILES.joinpath("calico-stars-resources.json").read_text())
APPS: dict[str, dict[str, Any]] = {app["id"]: app for app in GROUP["apps"]}


def url(app: str) -> str:
    return f"http://{app}-calico-stars.marathon.mesos:9000/status"


def parameters(app: str) -> dict[str, str]:
    return {p["key"]: p["value"] for p in APPS[app]["container"]["docker"]["parameters"]}


def test_four_apps_on_four_networks() -> None:
    assert GROUP["id"] == "/calico-stars"
    assert set(APPS) == {"management-ui", "client", "frontend", "backend"}
    for name, app in APPS.items():
        assert app["container"]["type"] == "DOCKER"
        assert app["container"]["docker"]["image"] == "djosborne/star:v0.5.0"
        assert parameters(name)["net"] == name
        assert app["mem"] == 64
        assert "instances" not in app
        assert "healthChecks" not in app


def test_the_page_has_a_pinned_address_a_name_and_its_resources() -> None:
    app = APPS["management-ui"]
    assert parameters("management-ui")["ip"] == "192.168.255.254"
    assert app["container"]["docker"]["network"] == "BRIDGE"
    assert "cpus" not in app
    assert app["ipAddress"]["discovery"]["ports"] == [{"number": 9001, "name": "http", "protocol": "tcp"}]
    assert app["labels"] == {"HAPROXY_GROUP": "external", "HAPROXY_0_VHOST": "my.marathon.app"}
    assert app["cmd"] == ("/star/target/debug/star-collect --resources-file=$MESOS_SANDBOX/calico-stars-resources.json")
    assert app["uris"] == [RAW + "calico-stars-resources.json"]
    assert app["uris"][0] in builtin_artifacts()


def test_each_probe_asks_the_two_others_by_the_names_that_the_collector_uses() -> None:
    probes = {"client", "frontend", "backend"}
    assert {(row["id"], row["url"]) for row in RESOURCES} == {(name[0].upper(), url(name)) for name in probes}
    for name in probes:
        app = APPS[name]
        match = re.fullmatch(r"/star/target/debug/star-probe --urls=(\S+)", app["cmd"])
        assert match is not None
        assert set(match[1].split(",")) == {url(other) for other in probes - {name}}
        assert app["cpus"] == 0.1
        assert "ipAddress" not in app
        assert "network" not in app["container"]["docker"]
