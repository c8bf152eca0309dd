"""The product's own packages rendered, the labels of installed ones, media types."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from tortie.packages import apps
from tortie.packages.apps import Installed, app_of, canonical, to_be_asked, users_of
from tortie.packages.failures import CosmosError
from tortie.packages.media import BY_PATH, OPERATIONS, negotiate
from tortie.packages.sources import BUILT_IN, built_in
from tortie.packages.universe import Found, Repository, Universe

OURS = Universe([(Repository("Tortie", BUILT_IN), built_in())])


def found(name: str) -> Found:
    package = OURS.find(name)
    assert package is not None
    return package


def test_the_packages_of_the_product() -> None:
    versions = {package.name: package.version for package in OURS.search()}
    assert versions == {
        "calico": "0.4.0",
        "etcd": "0.0.3",
        "hello": "0.1.0",
        "marathon-lb": "1.2.1",
        "stars": "0.5.0",
    }
    for package in OURS.search():
        assert package.template is not None
        assert package.fields["postInstallNotes"]
        assert package.fields["packagingVersion"] == "4.0"


def test_etcd_and_calico_with_their_defaults() -> None:
    etcd = app_of(found("etcd"), {})
    assert (etcd["id"], etcd["cpus"], etcd["mem"]) == ("/etcd", 0.2, 128)
    assert '"mem": 128,' in json.dumps(etcd)
    assert etcd["env"]["AUTO_RESEED"] == "false"
    assert etcd["env"]["TORTIE_ARGS"] == "packages etcd-framework"
    assert etcd["env"]["ETCD_CONTAINER"] == "docker"
    assert etcd["labels"]["TORTIE_PACKAGE_UNINSTALL"] == "/uninstall"
    assert etcd["labels"]["DCOS_PACKAGE_FRAMEWORK_NAME"] == "etcd"
    calico = app_of(found("calico"), {})
    assert (calico["id"], calico["cpus"], calico["mem"]) == ("/calico-install-framework", 0.2, 512)
    assert calico["env"]["CALICO_ENABLE_INSTALL_CNI"] == "true"
    assert calico["env"]["TORTIE_ARGS"] == "packages install-framework"
    assert not {"cmd", "args"} & {*etcd, *calico}, "documents list them without a command"
    assert "CALICO_NODE_IMG" not in calico["env"]
    assert calico["labels"]["TORTIE_PACKAGE_NEEDS"] == "etcd:etcd.mesos"
    assert calico["labels"]["TORTIE_PACKAGE_UNINSTALL"] == "/uninstall"
    assert calico["env"]["CALICO_IMAGE"] == calico["container"]["docker"]["image"]


def test_a_hand_without_room_to_work_is_refused() -> None:
    with pytest.raises(CosmosError) as caught:
        app_of(found("calico"), {"Install CNI": {"mem-limit": 255}})
    assert "256" in json.dumps(caught.value.data)
    calico = app_of(found("calico"), {"Install CNI": {"mem-limit": 256}})
    assert calico["env"]["CALICO_MEM_LIMIT_INSTALL_CNI"] == "256"


def test_a_switched_off_option_is_the_word_false() -> None:
    calico = app_of(found("calico"), {"Install CNI": {"enable": False}, "Etcd Settings": {"run-proxy": False}})
    assert calico["env"]["CALICO_ENABLE_INSTALL_CNI"] == "false"
    assert calico["env"]["CALICO_ENABLE_RUN_ETCD_PROXY"] == "false"
    assert "TORTIE_PACKAGE_NEEDS" not in calico["labels"]


def test_the_roller_of_agents_without_docker_runs_where_its_tasks_do() -> None:
    plain = app_of(found("calico"), {})
    assert (plain["container"]["type"], plain["container"]["docker"]["network"]) == ("DOCKER", "HOST")
    assert "CALICO_CONTAINER" not in plain["env"]
    without = app_of(found("calico"), {"Framework Settings": {"use-docker": False}})
    assert without["env"]["CALICO_CONTAINER"] == "mesos"
    assert without["container"] == plain["container"] | {
        "type": "MESOS",
        "docker": {"image": plain["container"]["docker"]["image"], "forcePullImage": False},
    }
    with pytest.raises(CosmosError) as caught:
        app_of(found("calico"), {"Framework Settings": {"use-docker": "mesos"}})
    assert "/Framework Settings/use-docker" in json.dumps(caught.value.data)


def test_the_page_s_port_is_the_one_that_marathon_has_given_the_app_for_good() -> None:
    calico = app_of(found("calico"), {})
    assert (calico["ports"], calico["requirePorts"], calico["instances"]) == ([0], True, 1)
    assert calico["upgradeStrategy"] == {"minimumHealthCapacity": 0, "maximumOverCapacity": 0}, "a port is held once"
    assert [check["portIndex"] for check in calico["healthChecks"]] == [0]


def balancer(**options: Any) -> dict[str, Any]:
    return app_of(found("marathon-lb"), {"marathon-lb": options})


def test_the_balancer() -> None:
    plain = balancer()
    assert plain["ports"][:4] == [80, 443, 9090, 9091]
    assert (plain["ports"][4], plain["ports"][-1], len(plain["ports"])) == (10000, 10100, 105)
    assert plain["args"] == ["sse", "-m", "http://master.mesos:8080", "--health-check", "--group", "external"]
    assert plain["acceptedResourceRoles"] == ["slave_public"]
    assert plain["healthChecks"][0]["portIndex"] == 2
    assert plain["container"]["docker"]["privileged"] is False
    closed = balancer(**{"bind-http-https": False, "role": ""})
    assert closed["ports"][:2] == [9090, 9091]
    assert closed["healthChecks"][0]["portIndex"] == 0
    assert "--dont-bind-http-https" in closed["args"]
    assert "acceptedResourceRoles" not in closed
    ports = balancer(**{"auto-assign-service-ports": True})["args"]
    assert ports[ports.index("--min-serv-port-ip-per-task") + 1] == "10101"
    assert ports[ports.index("--max-serv-port-ip-per-task") + 1] == "10150"
    assert plain["constraints"] == [["hostname", "UNIQUE"]]
    pinned = balancer(hostname="10.0.0.9")
    assert pinned["constraints"] == [["hostname", "CLUSTER", "10.0.0.9"], ["hostname", "UNIQUE"]]


def test_the_demos() -> None:
    hello = app_of(found("hello"), {"hello": {"virtual-host": "spring.acme.org"}})
    assert (hello["id"], hello["instances"]) == ("/frontend", 3)
    assert hello["labels"]["HAPROXY_0_VHOST"] == "spring.acme.org"
    page = app_of(found("stars"), {})
    assert page["ipAddress"]["discovery"]["ports"][0]["number"] == 9001
    probe = app_of(found("stars"), {"stars": {"probe": True, "name": "calico-stars/client", "network": "client"}})
    # The image's entry point is the probe.
    assert [word.partition("=")[0] for word in probe["args"]] == ["--urls"]
    assert not {"cmd", "uris", "ipAddress"} & set(probe)


def test_options_that_the_schema_forbids() -> None:
    with pytest.raises(CosmosError) as caught:
        app_of(found("etcd"), {"etcd": {"cpus": 0}})
    assert caught.value.kind == "JsonSchemaMismatch"
    [problem] = caught.value.body()["data"]["errors"]
    assert (problem["instance"]["pointer"], problem["keyword"]) == ("/etcd/cpus", "minimum")


def test_labels_of_both_generations() -> None:
    options = {"etcd": {"cluster-size": 5}}
    labels = app_of(found("etcd"), options)["labels"]
    assert labels["DCOS_PACKAGE_NAME"] == "etcd"
    assert labels["DCOS_PACKAGE_VERSION"] == "0.0.3"
    assert labels["DCOS_PACKAGE_SOURCE"] == BUILT_IN
    assert labels["DCOS_PACKAGE_IS_FRAMEWORK"] == "true"
    assert labels["DCOS_PACKAGE_RELEASE"] == "1"
    assert labels["DCOS_PACKAGE_REGISTRY_VERSION"] == "4.0"
    assert json.loads(base64.b64decode(labels["DCOS_PACKAGE_OPTIONS"])) == options
    assert json.loads(base64.b64decode(labels["DCOS_PACKAGE_METADATA"]))["name"] == "etcd"
    envelope = json.loads(base64.b64decode(labels["DCOS_PACKAGE_DEFINITION"]))
    assert envelope["metadata"]["Content-Encoding"] == "gzip"
    definition = json.loads(gzip.decompress(base64.b64decode(envelope["data"])))
    assert definition == found("etcd").package.entry()
    one = Installed("/etcd", labels)
    assert (one.definition(), one.options()) == (definition, options)
    assert base64.b64decode(app_of(found("etcd"), {})["labels"]["DCOS_PACKAGE_OPTIONS"]) == b"{}"


def test_what_a_person_took_away_is_remembered() -> None:
    """null replaces a default: an update merges into the same options."""
    options = {"Framework Settings": {"override-installer-url": None, "list": [None]}}
    labels = apps.labels_of(found("calico"), options)
    assert json.loads(base64.b64decode(labels["DCOS_PACKAGE_OPTIONS"])) == options
    assert Installed("/x", labels).options() == options


def test_who_needs_what_goes() -> None:
    def one(app: str, name: str = "etcd", framework: str = "", needs: str = "") -> Installed:
        return Installed(app, {apps.NAME: name, apps.FRAMEWORK: framework, apps.NEEDS: needs})

    first, second, standby = one("/a", framework="etcd"), one("/b", framework="other"), one("/c", framework="etcd")
    calico, any_will_do = one("/calico", "calico", needs="etcd:etcd.mesos"), one("/x", "x", needs="y, etcd")
    assert users_of([first], [second, calico]) == ["/calico"]
    assert users_of([first], [standby, calico]) == []
    assert users_of([second], [first, calico]) == []
    assert users_of([first], [second, any_will_do]) == []
    assert users_of([first, second, standby], [any_will_do, calico]) == ["/calico", "/x"]
    assert users_of([first, calico], []) == []


def test_who_is_asked_before_apps_go() -> None:
    def one(app: str, name: str = "etcd", framework: str = "etcd") -> Installed:
        return Installed(app, {apps.NAME: name, **({apps.FRAMEWORK: framework} if framework else {})})

    first, second, other, plain = one("/a"), one("/b"), one("/c", framework="own"), one("/d", framework="")
    assert to_be_asked([first, second, other, plain], []) == [[first, second], [other], [plain]]
    assert to_be_asked([first, plain], [second, one("/e", framework="")]) == [[plain]]
    assert to_be_asked([first], [one("/x", "another")]) == [[first]]


def test_a_template_cannot_say_that_it_is_another_package() -> None:
    package = found("hello").package
    lying = type(package)(package.fields, 0, template='{"id": "x", "labels": {"DCOS_PACKAGE_NAME": "etcd", "A": "b"}}')
    labels = app_of(Found(lying, Repository("r", "http://r.test")), {})["labels"]
    assert (labels["DCOS_PACKAGE_NAME"], labels["A"]) == ("hello", "b")


@pytest.mark.parametrize(
    "template",
    [
        "[]",
        "7",
        "{",
        "",
        '{"labels": 3}',
        '{"labels": false}',
        '{"labels": []}',
        '{"labels": {"a": 1}}',
        "{{#a}}",
        '{"a": 1e999}',
    ],
)
def test_templates_that_make_no_app(template: str) -> None:
    package = found("hello").package
    broken = type(package)(package.fields, 0, template=template)
    with pytest.raises(CosmosError) as caught:
        app_of(Found(broken, Repository("r", "http://r.test")), {})
    assert caught.value.kind == "MarathonTemplateMustBeJsonObject"


@pytest.mark.parametrize(
    "text", ["", "%", "bm8=", base64.b64encode(b'{"data": 1}').decode(), base64.b64encode(b'{"data": "AAAA"}').decode()]
)
def test_labels_that_somebody_else_wrote(text: str) -> None:
    labels = {apps.NAME: "x", apps.VERSION: "1", apps.OPTIONS: text, apps.DEFINITION: text, apps.METADATA: text}
    one = Installed("/x", labels)
    assert isinstance(one.options(), dict)
    assert isinstance(one.definition(), dict)


def test_ids_of_apps() -> None:
    assert [canonical(one) for one in ("a", "/a", "/a/b-c/", "a.b")] == ["/a", "/a", "/a/b-c", "/a.b"]
    assert [canonical(one) for one in ("../x", "/a/../b", "./a", "a/./b")] == ["/x", "/b", "/a", "/a/b"]
    for wrong in ("", "/", ".", "..", "a/..", "A", "a b", "-a", "a//b", "ä", "a_b"):
        with pytest.raises(CosmosError):
            canonical(wrong)


def test_media_types_are_compared_whatever_their_blanks_and_written_without_any() -> None:
    install = BY_PATH["/package/install"]
    assert install.response(2) == "application/vnd.dcos.package.install-response+json;charset=utf-8;version=v2"
    blanks = install.response(1).replace(";", " ; ").replace("utf-8", "UTF-8")
    assert negotiate(install, install.request, blanks) == 1
    both = f"{install.response(1)}, {install.response(2)};q=0.5"
    assert negotiate(install, install.request, both) == 1
    assert negotiate(install, install.request, f"{install.response(1)}, {install.response(2)}") == 2
    assert all(" " not in one.request for one in OPERATIONS)


@pytest.mark.parametrize(
    ("content_type", "accept", "kind"),
    [
        (None, "right", "not_present"),
        ("right", None, "not_present"),
        (None, None, "multiple_errors"),
        ("application/json", "right", "not_valid"),
        ("right", "application/json", "not_valid"),
        ("right", "*/*", "not_valid"),
        ("application/json", None, "multiple_errors"),
    ],
)
def test_headers_that_are_missing_or_wrong(content_type: str | None, accept: str | None, kind: str) -> None:
    describe = BY_PATH["/package/describe"]
    right = {"right": describe.request}.get(content_type or "", content_type)
    wanted = {"right": describe.response(3)}.get(accept or "", accept)
    with pytest.raises(CosmosError) as caught:
        negotiate(describe, right, wanted)
    assert (caught.value.kind, caught.value.status) == (kind, 400)
