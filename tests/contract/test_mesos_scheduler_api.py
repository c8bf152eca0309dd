"""The scheduler API of a running master, as a framework of any make would meet it."""

from __future__ import annotations

import base64
import http.client
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.mesos_agent import BareAgent
from tests.support.mesos_client import Framework, get, request, task
from tests.support.mesos_cluster import TORTIE, Daemon, run_once
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, wait_until

from tortie.wire.recordio import Deframer

API = "/api/v1/scheduler"
JSON = {"Content-Type": "application/json"}
SUBSCRIBE = {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "root", "name": "x"}}}


def master(work: Path, *options: str) -> Daemon:
    number = free_port()
    arguments = ("--ip", "127.0.0.1", "--port", str(number), "--store", f"sqlite://{work}/store")
    return Daemon(number, work / "log", "master", "run", *arguments, "--allocation-interval=100ms", *options)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with master(tmp_path_factory.mktemp("master")).running() as daemon:
        yield daemon.port


@pytest.fixture
def framework(port: int) -> Iterator[Framework]:
    started = Framework(port, acknowledging=False, name="contract").subscribe()
    yield started
    started.call("TEARDOWN")
    started.close()


@pytest.fixture
def agent(port: int) -> Iterator[BareAgent]:
    started = BareAgent(port).subscribe()
    yield started
    started.say("UNREGISTER")
    started.close()


def post(port: int, body: Any, headers: dict[str, str] | None = None) -> tuple[int, str]:
    status, text, _ = request(port, "POST", API, body, JSON if headers is None else headers)
    return status, text


def test_requests_that_cannot_be_read(port: int) -> None:
    assert post(port, SUBSCRIBE, {}) == (400, "Expecting 'Content-Type' to be present")
    assert post(port, SUBSCRIBE, {"Content-Type": "text/plain"})[0] == 415
    assert post(port, SUBSCRIBE, JSON | {"Accept": "text/plain"})[0] == 406
    status, _, headers = request(port, "GET", API)
    assert (status, headers["allow"]) == (405, "POST")
    assert post(port, b"{")[0] == 400
    assert post(port, b"{")[1].startswith("Failed to parse body into JSON: ")
    words = "Failed to convert JSON into Call protobuf: "
    assert post(port, [])[1] == words + "Expecting a JSON object"
    assert post(port, {"type": "DANCE"})[1] == words + "Failed to find enum for 'DANCE'"
    assert post(port, {"type": 3})[1] == words + "Not expecting a JSON number for field 'type'"
    nameless = {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"name": "x"}}}
    assert post(port, nameless) == (400, words + "Missing required fields: subscribe.framework_info.user")
    assert post(port, b"\xff\xfe")[0] == 400


def test_calls_that_are_not_whole(port: int, framework: Framework) -> None:
    words = "Failed to validate scheduler::Call: "
    assert post(port, {}) == (400, words + "Expecting 'type' to be present")
    assert post(port, {"type": "REVIVE"}) == (400, words + "Expecting 'framework_id' to be present")
    assert post(port, {"type": "SUBSCRIBE"}) == (400, words + "Expecting 'subscribe' to be present")
    assert post(port, {"type": "UNKNOWN"})[0] == 501
    differs = words + "'framework_id' differs from 'subscribe.framework_info.id'"
    assert post(port, SUBSCRIBE | {"framework_id": {"value": "x"}}) == (400, differs)
    for kind in ("ACCEPT", "DECLINE", "KILL", "ACKNOWLEDGE", "RECONCILE"):
        assert framework.call(kind) == (400, f"{words}Expecting '{kind.lower()}' to be present")


def test_the_stream_id_is_asked_for(port: int, framework: Framework) -> None:
    stranger = {"type": "REVIVE", "framework_id": {"value": "nobody"}}
    assert post(port, stranger) == (400, "Framework cannot be found")
    own = {"type": "REVIVE", "framework_id": {"value": framework.id}}
    assert post(port, own) == (400, "All non-subscribe calls should include the 'Mesos-Stream-Id' header")
    status, text = post(port, own, JSON | {"Mesos-Stream-Id": "wrong"})
    assert (status, text[:33]) == (400, "The stream ID 'wrong' included in")
    text = "Subscribe calls should not include the 'Mesos-Stream-Id' header"
    assert post(port, SUBSCRIBE, JSON | {"Mesos-Stream-Id": "x"}) == (400, text)
    assert framework.call("REVIVE") == (202, "")


def test_a_subscription_begins_with_its_id_and_a_heartbeat(framework: Framework) -> None:
    assert uuid.UUID(framework.stream)
    framework.wait(lambda e: e["type"] == "HEARTBEAT")
    assert [e["type"] for e in framework.events[:2]] == ["SUBSCRIBED", "HEARTBEAT"]
    subscribed = framework.events[0]["subscribed"]
    assert subscribed["heartbeat_interval_seconds"] == 15.0
    assert subscribed["master_info"]["address"]["ip"] == "127.0.0.1"


def test_a_refused_subscription_is_an_event_and_the_end(port: int) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"failover_timeout": -1}, "The framework failover_timeout (-1.0) is invalid"),
        ({"role": "a/b"}, "Role 'a/b' is invalid"),
        (
            {"role": "a", "capabilities": [{"type": "MULTI_ROLE"}]},
            "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable",
        ),
    ]
    for info, text in cases:
        refused = Framework(port, **info).subscribe()
        assert refused.events == [{"type": "ERROR", "error": {"message": text}}]
        assert refused.ended.wait(PATIENCE)


def test_the_old_stream_ends_when_a_framework_fails_over(port: int, framework: Framework) -> None:
    successor = Framework(port, id={"value": framework.id}).subscribe()
    assert framework.wait(lambda e: e["type"] == "ERROR")["error"]["message"] == "Framework failed over"
    assert framework.ended.wait(PATIENCE)
    assert successor.stream != framework.stream
    assert framework.call("REVIVE")[0] == 400
    assert successor.call("TEARDOWN") == (202, "")
    assert successor.ended.wait(PATIENCE)
    gone = Framework(port, id={"value": framework.id}).subscribe()
    assert gone.events[0]["error"]["message"] == "Framework has been removed"
    completed = get(port, "/state")["completed_frameworks"]
    assert framework.id in [f["id"] for f in completed]


def test_a_framework_that_left_is_known_but_not_subscribed(port: int) -> None:
    away = Framework(port, name="away").subscribe()
    away.close()
    assert away.ended.wait(PATIENCE)
    wait_until(lambda: not own(port, away)["connected"])
    assert away.call("REVIVE") == (403, "Framework is not subscribed")
    away.subscribe()
    assert away.call("TEARDOWN")[0] == 202


def test_a_task_from_offer_to_its_last_acknowledgement(port: int, framework: Framework, agent: BareAgent) -> None:
    offer = framework.offer()
    assert offer["hostname"] == "agent.test"
    assert offer["url"]["address"] == {"hostname": "agent.test", "ip": "10.9.9.9", "port": 5051}
    assert offer["resources"][0]["allocation_info"] == {"role": "*"}
    labels = {"labels": [{"key": "HAPROXY_GROUP", "value": "external"}]}
    discovery = {"visibility": "FRAMEWORK", "name": "web", "ports": {"ports": [{"number": 80}]}}
    framework.accept(offer, task(offer, "web.1", command={"value": "x"}, labels=labels, discovery=discovery))
    run = agent.wait(lambda m: m["type"] == "RUN_TASK")["run_task"]
    assert run["task"]["labels"] == labels
    assert run["framework"]["id"]["value"] == framework.id
    assert only_task(port, framework)["state"] == "TASK_STAGING"

    first = agent.update(str(framework.id), "web.1", "TASK_RUNNING")
    seen = framework.status("web.1", "TASK_RUNNING")
    assert seen["uuid"] == first
    shown = only_task(port, framework)
    assert shown["labels"] == labels["labels"]
    assert shown["discovery"] == discovery
    assert shown["resources"] == {"cpus": 0.1, "gpus": 0, "mem": 32, "disk": 0}
    network = shown["statuses"][0]["container_status"]["network_infos"][0]
    assert network == {"name": "client", "ip_addresses": [{"protocol": "IPv4", "ip_address": "192.168.0.5"}]}
    framework.acknowledge(seen)
    heard = agent.wait(lambda m: m["type"] == "ACKNOWLEDGE")["acknowledge"]
    assert base64.b64decode(heard["uuid"]) == base64.b64decode(first)

    assert framework.call("KILL", {"task_id": {"value": "web.1"}}) == (202, "")
    agent.wait(lambda m: m["type"] == "KILL_TASK")
    agent.update(str(framework.id), "web.1", "TASK_KILLED")
    last = framework.status("web.1", "TASK_KILLED")
    assert only_task(port, framework)["state"] == "TASK_KILLED"
    framework.acknowledge(last)
    wait_until(lambda: not own(port, framework)["tasks"])
    assert own(port, framework)["completed_tasks"][0]["id"] == "web.1"


def own(port: int, framework: Framework) -> dict[str, Any]:
    found: dict[str, Any] = next(f for f in get(port, "/master/state.json")["frameworks"] if f["id"] == framework.id)
    return found


def only_task(port: int, framework: Framework) -> dict[str, Any]:
    (found,) = own(port, framework)["tasks"]
    return dict(found)


def test_reconciliation_and_kills_of_what_is_not_known(framework: Framework, agent: BareAgent) -> None:
    offer = framework.offer()
    framework.accept(offer, task(offer, "one", command={"value": "x"}))
    framework.call("RECONCILE", {"tasks": []})
    staging = framework.status("one", "TASK_STAGING")
    assert staging["message"] == "Reconciliation: Latest task state"
    assert staging["reason"] == "REASON_RECONCILIATION"
    assert "uuid" not in staging
    framework.call("KILL", {"task_id": {"value": "ghost"}})
    assert framework.status("ghost", "TASK_LOST")["reason"] == "REASON_RECONCILIATION"
    framework.call("RECONCILE", {"tasks": [{"task_id": {"value": "g2"}, "agent_id": {"value": agent.id}}]})
    assert framework.status("g2", "TASK_LOST")["message"] == "Reconciliation: Task is unknown to the agent"


def test_an_agent_that_falls_silent_is_told_of(tmp_path: Path) -> None:
    """Of a master of its own: a busy machine may keep an agent from answering within seconds."""
    with master(tmp_path, "--agent-ping-timeout=500ms", "--max-agent-ping-timeouts=6").running() as impatient:
        silent = BareAgent(impatient.port, "silent.test").subscribe()
        framework = Framework(impatient.port, acknowledging=False).subscribe()
        offer = framework.offer()
        framework.accept(offer, task(offer, "doomed", command={"value": "x"}))
        silent.wait(lambda m: m["type"] == "RUN_TASK")
        silent.silent = True
        lost = framework.status("doomed", "TASK_LOST")
        assert lost["message"] == "Agent silent.test is unreachable: health check timed out"
        failure = framework.wait(lambda e: e["type"] == "FAILURE")
        assert failure["failure"]["agent_id"]["value"] == silent.id
        assert silent.say("PONG") == 403


def test_documents_of_the_master(port: int, framework: Framework, agent: BareAgent) -> None:
    framework.offer()
    state = get(port, "/state")
    (slave,) = [s for s in state["slaves"] if s["id"] == agent.id]
    assert slave["pid"] == "slave(1)@10.9.9.9:5051"
    assert state["leader"] == f"master@127.0.0.1:{port}"
    assert slave["offered_resources"] == {"cpus": 4, "gpus": 0, "mem": 1024, "disk": 0}
    summary = get(port, "/state-summary")
    assert {"TASK_RUNNING", "TASK_UNREACHABLE", "slave_ids"} <= summary["frameworks"][0].keys()
    for path in ("/slaves", "/master/frameworks", "/tasks.json", "/roles", "/version", "/flags", "/metrics/snapshot"):
        assert get(port, path)
    assert get(port, "/metrics/snapshot")["master/slaves_active"] == 1
    status, text, headers = request(port, "GET", "/version?jsonp=f")
    assert (status, text[:2], text[-2:], headers["content-type"][:15]) == (200, "f(", ");", "text/javascript")
    assert request(port, "GET", "/version?jsonp=alert(1)//")[0] == 400
    assert request(port, "GET", "/tasks?limit=x")[0] == 400
    assert request(port, "GET", "/nothing")[0] == 404
    found = request(port, "POST", "/api/v1/operator", {"type": "GET_AGENTS"}, JSON)
    assert json.loads(found[1])["get_agents"]["agents"][0]["agent_info"]["id"]["value"] == agent.id
    assert request(port, "POST", "/api/v1", {}, JSON)[0] == 400
    assert request(port, "POST", "/teardown", b"frameworkId=nobody")[:2] == (
        400,
        "No framework found with specified ID",
    )


def test_the_operator_stream_tells_of_tasks_and_agents(port: int, framework: Framework) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("POST", "/api/v1", json.dumps({"type": "SUBSCRIBE"}), JSON)
    reply = connection.getresponse()
    deframer, heard = Deframer(), list[dict[str, Any]]()

    def until(kind: str) -> dict[str, Any]:
        while not [e for e in heard if e["type"] == kind]:
            heard.extend(json.loads(record) for record in deframer.feed(reply.read1(65536)))
        return next(e for e in heard if e["type"] == kind)

    assert until("SUBSCRIBED")["subscribed"]["get_state"]["get_frameworks"]["frameworks"]
    until("HEARTBEAT")
    agent = BareAgent(port).subscribe()
    assert until("AGENT_ADDED")["agent_added"]["agent"]["agent_info"]["id"]["value"] == agent.id
    offer = framework.offer()
    framework.accept(offer, task(offer, "seen", command={"value": "x"}))
    assert until("TASK_ADDED")["task_added"]["task"]["task_id"]["value"] == "seen"
    agent.update(str(framework.id), "seen", "TASK_RUNNING")
    assert until("TASK_UPDATED")["task_updated"]["state"] == "TASK_RUNNING"
    agent.say("UNREGISTER")
    assert until("AGENT_REMOVED")["agent_removed"]["agent_id"]["value"] == agent.id
    other = Framework(port, name="other").subscribe()
    assert until("FRAMEWORK_ADDED")["framework_added"]["framework"]["framework_info"]["id"]["value"] == other.id
    assert request(port, "POST", "/teardown", f"frameworkId={other.id}".encode())[0] == 200
    assert until("FRAMEWORK_REMOVED")["framework_removed"]["framework_info"]["id"]["value"] == other.id
    connection.close()


def test_the_page_and_its_files_are_there(port: int) -> None:
    status, text, headers = request(port, "GET", "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    for address in ("assets/mesos.js", "static/tortie.css", "static/cat.svg"):
        assert address in text
        assert request(port, "GET", f"/{address}")[0] == 200
    assert request(port, "GET", "/static/../front.py")[0] == 404


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--ip", "nonsense"], 5, "cannot listen on nonsense:5050"),
        (["--ip", "127.0.0.1", "--port", "99999"], 2, "99999"),
        (["--ip", "127.0.0.1", "--offer-timeout", "soon"], 2, "'soon' is no duration"),
        (["--ip", "127.0.0.1", "--port", "0"], 2, "0"),
        ([], 2, "--ip"),
    ],
)
def test_a_master_that_cannot_start_says_why(tmp_path: Path, arguments: list[str], code: int, text: str) -> None:
    done = run_once([*TORTIE, "master", "run", "--store", f"sqlite://{tmp_path}/s", *arguments])
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_named(port: int, tmp_path: Path) -> None:
    arguments = ["--ip", "127.0.0.1", "--port", str(port), "--store", f"sqlite://{tmp_path}/s"]
    done = run_once([*TORTIE, "master", "run", *arguments])
    assert done.returncode == 5
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--master", "zk://x/mesos"], "HOST:PORT is expected"),
        (["--ip", "nonsense"], "--ip nonsense"),
        (["--resources", "cpus:many"], "--resources"),
        (["--attributes", "a:{b}"], "--attributes"),
        (["--containerizers", "appc"], "docker, mesos or both are expected"),
        (["--image-providers", "appc"], "appc is not served"),
        (["--docker-registry", "images"], "an absolute path of a directory is expected"),
        (["--docker-store-dir", "/var/a:b"], "overlayfs takes no path with"),
        (["--cgroups-root", "../up"], "the path of a cgroup is expected"),
        (["--executor-environment-variables", "[]"], "an object of strings is expected"),
        (["--work-dir", "/proc/none"], "--work-dir /proc/none"),
        (["--gc-delay", "1"], "is no duration"),
        (["--network_cni_config_dir", "/etc"], "Missing required '--network_cni_plugins_dir' flag"),
        (["--network_cni_plugins_dir", "/bin"], "Missing required '--network_cni_config_dir' flag"),
    ],
)
def test_an_agent_that_cannot_start_says_why(tmp_path: Path, arguments: list[str], text: str) -> None:
    standard = ["--master", "127.0.0.1:1", "--ip", "127.0.0.1", "--work-dir", str(tmp_path)]
    done = run_once([*TORTIE, "agent", "run", *standard, *arguments])
    assert done.returncode == 2, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr
