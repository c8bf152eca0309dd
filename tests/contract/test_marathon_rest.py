"""Marathon's REST interface as its clients use it, good input and bad."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from tests.support.marathon_live import Live, marathon, names, sleeper, stars
from tests.support.waiting import until

from tortie.wire.marathon import MarathonClient

Story = Callable[[Live], Awaitable[None]]


def run(tmp_path: Path, story: Story) -> None:
    async def whole() -> None:
        async with marathon(tmp_path) as live:
            await story(live)

    asyncio.run(whole())


# The sample of the Stars document has two syntax errors: no comma after "DOCKER", no "value" key.
BROKEN_SAMPLE = """{
  "id": "/calico-apps",
  "apps": [ {
      "id": "frontend", "cmd": "star-probe",
      "container": { "type": "DOCKER"
        "docker": { "image": "mesosphere/star:v0.3.0",
          "parameters": [ { "key": "net", "management-ui" } ] } } } ]
}"""


def test_bodies_that_cannot_be_used(tmp_path: Path) -> None:
    async def story(live: Live) -> None:
        broken = await live.call("PUT", "/v2/groups/calico-stars", BROKEN_SAMPLE)
        assert broken.status == 400
        assert broken.body["message"] == "Invalid JSON"
        assert "line 6" in broken.body["details"]
        empty = await live.call("PUT", "/v2/groups/calico-stars", "")
        assert (empty.status, empty.body["message"]) == (400, "Please specify data in JSON format")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        curl = await live.call("PUT", "/v2/groups/x", b"{}", headers=form)
        assert (curl.status, curl.body) == (415, {"message": "Unsupported Media Type"})
        for body in ("[]", '"x"', "1", "\xff".encode("latin-1"), "{", '{"id": 1}', '{"apps": [null]}', "[" * 5000):
            answer = await live.call("PUT", "/v2/groups/x", body)
            assert answer.status == 400, body
        missing = await live.call("POST", "/v2/apps", {"cmd": "sleep 1"})
        assert missing.status == 400
        assert missing.body["details"] == [{"path": "/id", "errors": ["error.path.missing"]}]
        big = await live.call("POST", "/v2/apps", sleeper(env={"A": "x" * 5_000_000}))
        assert big.status == 413
        assert (await live.call("GET", "/v2/apps")).body == {"apps": []}

    run(tmp_path, story)


BROKEN_RULES: list[tuple[dict[str, Any], str, str]] = [
    ({"id": "A_b"}, "/id", "must fully match regular expression"),
    ({"cmd": "x", "args": ["y"]}, "/", "AppDefinition must either contain one of 'cmd' or 'args'"),
    ({"cmd": None}, "/", "AppDefinition must either contain one of 'cmd' or 'args'"),
    ({"instances": -1}, "/instances", "got -1, expected 0 or more"),
    ({"upgradeStrategy": {"minimumHealthCapacity": 1.5}}, "/upgradeStrategy/minimumHealthCapacity", "got 1.5"),
    ({"ipAddress": {}, "ports": [80]}, "/", "You cannot specify both an IP address and ports"),
    ({"constraints": [["hostname", "LIKE", "("]]}, "/constraints(0)", "is not a valid regular expression"),
    ({"constraints": [["hostname", "MAX_PER", "x"]]}, "/constraints(0)", "is not a number"),
    ({"ports": [70000]}, "/portDefinitions", "between 0 and 65535"),
    ({"executor": "/my/executor"}, "/executor", "only the command executor"),
    ({"healthChecks": [{"portIndex": 3}]}, "/healthChecks(0)", "Health check port indices"),
    ({"healthChecks": [{"port": 0}]}, "/healthChecks(0)", "got port 0, expected between 1 and 65535"),
    ({"healthChecks": [{"port": 80, "portIndex": 0}]}, "/healthChecks(0)", "either a port or a portIndex"),
    ({"healthChecks": [{"protocol": "COMMAND"}]}, "/healthChecks(0)", "must have a command"),
    ({"healthChecks": [{"port": 1, "intervalSeconds": 0}]}, "/healthChecks(0)", "must be greater than 0"),
    ({"healthChecks": [{"port": 1, "gracePeriodSeconds": -1}]}, "/healthChecks(0)", "must be between 0 and"),
    ({"healthChecks": [{"port": 1, "maxConsecutiveFailures": -1}]}, "/healthChecks(0)", "must be between 0 and"),
    ({"healthChecks": [{"port": 1, "protocol": "MESOS_TCP"}] * 2}, "/healthChecks", "at most one Mesos health check"),
    ({"upgradeStrategy": {"maximumOverCapacity": -0.1}}, "/upgradeStrategy/maximumOverCapacity", "got -0.1"),
    ({"taskKillGracePeriodSeconds": -1}, "/taskKillGracePeriodSeconds", "got -1, expected between 0"),
    ({"backoffFactor": 0.5}, "/backoffFactor", "got 0.5, expected between 1"),
    ({"constraints": [["hostname", "UNIQUE", "x"]]}, "/constraints(0)", "Value specified but not used"),
    ({"constraints": [["hostname", "GROUP_BY", "x"]]}, "/constraints(0)", "Value was specified but is not a number"),
    ({"constraints": [["hostname", "LIKE"]]}, "/constraints(0)", "A regular expression value must be provided"),
    ({"constraints": [["hostname", "IS"]]}, "/constraints(0)", "A value must be provided"),
    ({"ports": [80, 80]}, "/portDefinitions", "Ports must be unique."),
    ({"portDefinitions": [{"protocol": "icmp"}]}, "/portDefinitions(0)/protocol", "is not one of (tcp,udp)"),
    (
        {"unreachableStrategy": {"inactiveAfterSeconds": 9, "expungeAfterSeconds": 1}},
        "/unreachableStrategy",
        "not above",
    ),
    ({"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}, "instances": 2}, "/instances", "only have one instance"),
    ({"dependencies": ["/a"], "id": "/a"}, "/", "Dependency graph has cyclic dependencies."),
]
UNREADABLE: list[tuple[dict[str, Any], str, str]] = [
    ({"instances": "2"}, "/instances", "error.expected.jsnumber"),
    ({"instances": 1.5}, "/instances", "error.expected.int"),
    ({"upgradeStrategy": []}, "/upgradeStrategy", "error.expected.jsobject"),
    ({"upgradeStrategy": {"minimumHealthCapacity": "1"}}, "/upgradeStrategy/minimumHealthCapacity", "jsnumber"),
    ({"killSelection": "OLDEST"}, "/killSelection", "OLDEST is not valid"),
    ({"taskKillGracePeriodSeconds": "5"}, "/taskKillGracePeriodSeconds", "error.expected.jsnumber"),
    ({"acceptedResourceRoles": []}, "/acceptedResourceRoles", "set must not be empty"),
    ({"acceptedResourceRoles": "*"}, "/acceptedResourceRoles", "error.expected.jsarray"),
    (
        {"constraints": [["hostname", "NEAR"]]},
        "/constraints(0)",
        "must be one of the following: [UNIQUE,",
    ),
    ({"constraints": ["hostname"]}, "/constraints(0)", "array of strings in format: <key>, <operator>[, value]"),
    ({"constraints": [["hostname", "MAX_PER", 2]]}, "/constraints(0)", "array of strings in format"),
    ({"healthChecks": {}}, "/healthChecks", "error.expected.jsarray"),
    ({"healthChecks": [{"protocol": "UDP"}]}, "/healthChecks(0)/protocol", "UDP is not a valid protocol"),
    ({"healthChecks": [{"command": "true"}]}, "/healthChecks(0)/command", "error.expected.jsobject"),
    ({"healthChecks": [{"ignoreHttp1xx": 1}]}, "/healthChecks(0)/ignoreHttp1xx", "error.expected.jsboolean"),
    ({"healthChecks": [{"portIndex": "http"}]}, "/healthChecks(0)/portIndex", "error.expected.jsnumber"),
    ({"requirePorts": "yes"}, "/requirePorts", "error.expected.jsboolean"),
    ({"dependencies": [1]}, "/dependencies(0)", "error.expected.jsstring"),
    ({"ipAddress": {"networkName": 1}}, "/ipAddress/networkName", "error.expected.jsstring"),
    ({"ipAddress": {"groups": "a"}}, "/ipAddress/groups", "error.expected.jsarray"),
    ({"ipAddress": {"discovery": {"ports": [{"number": 1}]}}}, "/ipAddress/discovery/ports(0)/name", "path.missing"),
    ({"unreachableStrategy": "off"}, "/unreachableStrategy", "error.expected.jsobject"),
]


def test_apps_that_break_a_rule(tmp_path: Path) -> None:
    async def story(live: Live) -> None:
        cases = [(422, "Object is not valid", BROKEN_RULES), (400, "Invalid JSON", UNREADABLE)]
        for status, message, (app, path, text) in [(s, m, case) for s, m, listed in cases for case in listed]:
            answer = await live.call("POST", "/v2/apps", sleeper() | app)
            assert (answer.status, answer.body["message"]) == (status, message), app
            assert any(d["path"] == path and text in " ".join(d["errors"]) for d in answer.body["details"]), answer.body
        assert (await live.call("GET", "/v2/apps")).body == {"apps": []}

    run(tmp_path, story)


def test_numbers_beyond_all_use_leave_nothing_behind(tmp_path: Path) -> None:
    async def story(live: Live) -> None:
        await live.call("POST", "/v2/apps", sleeper("/g/a", instances=2))
        await live.settled()
        for field in ("cpus", "mem", "backoffSeconds", "taskKillGracePeriodSeconds", "instances"):
            for number in ("1e300", "9" * 400, "-1e18", "1e16", "-3"):
                answer = await live.call("PUT", "/v2/apps/g/a", f'{{"{field}": {number}}}')
                assert answer.status in (400, 422), (field, number)
        for number in ("1e300", "1e11", "2147483647", "-1"):
            answer = await live.call("PUT", "/v2/groups/g", f'{{"scaleBy": {number}}}')
            assert answer.status in (400, 422), number
        deep = '{"id":"x","groups":[' * 150 + '{"id":"x"}' + "]}" * 150
        assert (await live.call("PUT", "/v2/groups/d", deep)).status == 400
        long = await live.call("PUT", "/v2/groups/" + "a/" * 2000, {"apps": []})
        assert (long.status, "at most 200 characters" in json.dumps(long.body)) == (422, True)
        assert names((await live.call("GET", "/v2/groups")).body["groups"]) == ["/g"]
        app = (await live.call("GET", "/v2/apps/g/a")).body["app"]
        assert (app["instances"], app["deployments"], app["cpus"]) == (2, [], 0.1)
        assert len((await live.call("GET", "/v2/apps/g/a/versions")).body["versions"]) == 1

    run(tmp_path, story)


def test_every_problem_of_a_body_is_named_at_once(tmp_path: Path) -> None:
    async def story(live: Live) -> None:
        app = sleeper(cpus="1", instances=1.5, labels={"a": 1}, container={"type": "FOO", "docker": {}})
        answer = await live.call("POST", "/v2/apps", app)
        assert answer.status == 400
        found = {d["path"]: d["errors"] for d in answer.body["details"]}
        assert found == {
            "/cpus": ["error.expected.jsnumber"],
            "/instances": ["error.expected.int"],
            "/labels/a": ["error.expected.jsstring"],
            "/container/type": ["FOO is not a valid container type"],
            "/container/docker/image": ["error.path.missing"],
        }

    run(tmp_path, story)


def test_an_app_from_post_to_delete(tmp_path: Path) -> None:
    async def story(live: Live) -> None:
        made = await live.call("POST", "/v2/apps", sleeper())
        assert made.status == 201
        assert (made.body["id"], made.body["instances"], made.body["tasksRunning"]) == ("/a", 1, 0)
        assert made.headers["Marathon-Deployment-Id"] == made.body["deployments"][0]["id"]
        again = await live.call("POST", "/v2/apps", sleeper())
        assert (again.status, again.body["message"]) == (409, "An app with id [/a] already exists.")
        await live.settled()
        for path in ("/v2/apps//a", "/v2/apps/a", "/v2/apps/a/", "/v2/apps/%2Fa"):
            assert (await live.call("GET", path)).body["app"]["tasksRunning"] == 1, path
        first = await live.tasks("a")
        version = (await live.call("GET", "/v2/apps/a")).body["app"]["version"]
        same = await live.call("PUT", "/v2/apps/a", sleeper())
        assert same.status == 200
        assert (await live.call("GET", "/v2/deployments")).body == []
        await live.call("PUT", "/v2/apps/a", {"instances": 3})
        await live.settled()
        app = (await live.call("GET", "/v2/apps/a")).body["app"]
        assert app["versionInfo"] == {"lastConfigChangeAt": version, "lastScalingAt": app["version"]}
        assert set(names(first)) < set(names(await live.tasks("a")))
        await live.call("PUT", "/v2/apps/a", {"labels": {"x": "y"}})
        await live.settled()
        assert not set(names(first)) & set(names(await live.tasks("a")))
        versions = (await live.call("GET", "/v2/apps/a/versions")).body["versions"]
        assert versions == sorted(versions, reverse=True)
        old = await live.call("GET", f"/v2/apps/a/versions/{version}")
        assert (old.body["instances"], old.body["labels"]) == (1, {})
        back = await live.call("PUT", "/v2/apps/a", {"version": version})
        assert back.status == 200
        await live.settled()
        assert len(live.master.live()) == 1
        assert (await live.call("DELETE", "/v2/apps/a")).status == 200
        await until(lambda: not live.master.live())
        gone = await live.call("GET", "/v2/apps/a")
        assert (gone.status, gone.body) == (404, {"message": "App '/a' does not exist"})

    run(tmp_path, story)


def test_a_locked_app_needs_force_and_a_deployment_can_be_rolled_back(tmp_path: Path) -> None:
    async def story(live: Live) -> None:
        await live.call("POST", "/v2/apps", sleeper())
        await live.settled()
        live.master.hold = lambda _task: True
        first = await live.call("PUT", "/v2/apps/a", {"cmd": "sleep 2"})
        locked = await live.call("PUT", "/v2/apps/a", {"cmd": "sleep 3"})
        assert locked.status == 409
        assert locked.body["deployments"] == [{"id": first.body["deploymentId"]}]
        assert (await live.call("GET", "/v2/apps/a")).body["app"]["cmd"] == "sleep 2"
        forced = await live.call("PUT", "/v2/apps/a?force=true", {"cmd": "sleep 3"})
        assert forced.status == 200
        before = [task.info["task_id"]["value"] for task in live.master.live() if task.state == "TASK_RUNNING"]
        undone = await live.call("DELETE", f"/v2/deployments/{forced.body['deploymentId']}")
        assert undone.status == 200
        assert (await live.call("GET", "/v2/apps/a")).body["app"]["cmd"] == "sleep 2"
        stopped = await live.call("DELETE", f"/v2/deployments/{undone.body['deploymentId']}?force=true")
        assert (stopped.status, stopped.body) == (202, "")
        nothing = await live.call("DELETE", "/v2/deployments/none")
        assert (nothing.status, nothing.body) == (404, {"message": "DeploymentPlan none does not exist"})
        assert len(before) == 1

    run(tmp_path, story)


def test_a_rolled_back_creation_is_gone(tmp_path: Path) -> None:
    async def story(live: Live) -> None:
        live.master.hold = lambda _task: True
        put = await live.call("PUT", "/v2/groups/calico-stars", stars())
        await until(lambda: len(live.master.live()) == 4)
        assert (await live.call("DELETE", f"/v2/deployments/{put.body['deploymentId']}")).status == 200
        await until(lambda: not live.master.live())
        await live.settled()
        assert (await live.call("GET", "/v2/groups")).body["groups"] == []

    run(tmp_path, story)


def test_groups(tmp_path: Path) -> None:
    async def story(live: Live) -> None:
        dry = await live.call("PUT", "/v2/groups/calico-stars?dryRun=true", stars())
        actions = [[a["action"] for a in step["actions"]] for step in dry.body["steps"]]
        assert actions == [["StartApplication"] * 4, ["ScaleApplication"] * 4]
        assert (await live.call("GET", "/v2/groups/calico-stars")).status == 404
        put = await live.call("PUT", "/v2/groups/calico-stars", stars())
        assert put.headers["Marathon-Deployment-Id"] == put.body["deploymentId"]
        await live.settled()
        group = (await live.call("GET", "/v2/groups/calico-stars")).body
        assert [a["id"].rpartition("/")[2] for a in group["apps"]] == ["backend", "client", "frontend", "management-ui"]
        again = await live.call("PUT", "/v2/groups/calico-stars", stars())
        assert again.status == 200
        assert len(live.master.tasks) == 4
        fewer = {**stars(), "apps": stars()["apps"][:3]}
        await live.call("PUT", "/v2/groups/calico-stars", fewer)
        await live.settled()
        assert len(live.master.live()) == 3
        await live.call("PUT", "/v2/groups/calico-stars", {"scaleBy": 2})
        await live.settled()
        assert len(live.master.live("client")) == 2
        mixed = await live.call("PUT", "/v2/groups/calico-stars", {"scaleBy": 2, "apps": []})
        assert mixed.status == 422
        exists = await live.call("POST", "/v2/groups", {"id": "calico-stars"})
        assert exists.status == 409
        astray = await live.call("PUT", "/v2/groups/g", {"apps": [sleeper("/elsewhere/a")]})
        assert astray.status == 422
        assert "Identifier is not child of /g" in json.dumps(astray.body)
        cycle = {"apps": [sleeper("a", dependencies=["b"]), sleeper("b", dependencies=["a"])]}
        circular = await live.call("PUT", "/v2/groups/g", cycle)
        assert (circular.status, circular.body["details"][0]["errors"]) == (
            422,
            ["Dependency graph has cyclic dependencies."],
        )
        same = await live.call("PUT", "/v2/groups/calico-stars/client", {"apps": []})
        assert same.status == 422
        versions = (await live.call("GET", "/v2/groups/calico-stars/versions")).body
        assert versions == sorted(versions, reverse=True)
        assert (await live.call("DELETE", "/v2/groups/calico-stars?force=true")).status == 200
        await until(lambda: not live.master.live())
        assert (await live.call("DELETE", "/v2/groups/calico-stars")).status == 404
        back = await live.call("PUT", "/v2/groups/calico-stars?force=true", {"version": versions[-1]})
        assert back.status == 200
        await until(lambda: len(live.master.live()) == 4)

    run(tmp_path, story)


def test_an_update_of_a_pinned_address_stops_the_old_task_first(tmp_path: Path) -> None:
    async def story(live: Live) -> None:
        await live.call("PUT", "/v2/groups/calico-stars", stars())
        await live.settled()
        most = 0
        real = live.master.run

        def watch(task: Any) -> None:
            nonlocal most
            real(task)
            most = max(most, len(live.master.live("management-ui")))

        live.master.run = watch  # type: ignore[method-assign]
        assert (await live.call("POST", "/v2/apps/calico-stars/management-ui/restart")).status == 200
        await live.settled()
        assert most == 1

    run(tmp_path, story)


def test_killing_tasks(tmp_path: Path) -> None:
    async def story(live: Live) -> None:
        await live.call("POST", "/v2/apps", sleeper(instances=3))
        await live.settled()
        before = names(await live.tasks("a"))
        killed = await live.call("DELETE", f"/v2/apps/a/tasks/{before[0]}")
        assert killed.body["task"]["id"] == before[0]
        await until(lambda: live.master.tasks[before[0]].state == "TASK_KILLED" and len(live.master.live()) == 3)
        assert (await live.call("GET", "/v2/deployments")).body == []
        before = [task.info["task_id"]["value"] for task in live.master.live()]
        scaled = await live.call("POST", "/v2/tasks/delete?scale=true", {"ids": [before[0]]})
        assert scaled.body.keys() == {"version", "deploymentId"}
        await live.settled()
        assert sorted(t.info["task_id"]["value"] for t in live.master.live()) == sorted(before[1:])
        both = await live.call("DELETE", "/v2/apps/a/tasks?scale=true&wipe=true")
        assert both.body["message"] == "You cannot use scale and wipe at the same time."
        assert both.status == 400
        assert (await live.call("DELETE", "/v2/apps/a/tasks/a.nope")).status == 404
        assert (await live.call("POST", "/v2/tasks/delete", {"ids": ["nodot"]})).status == 400
        assert (await live.call("POST", "/v2/tasks/delete", {"ids": "x"})).status == 400

    run(tmp_path, story)


def test_lists_filters_and_embeds(tmp_path: Path) -> None:
    async def story(live: Live) -> None:
        await live.call("POST", "/v2/apps", sleeper("x", labels={"tier": "web"}))
        await live.call("POST", "/v2/apps", sleeper("y"))
        await live.settled()
        plain = (await live.call("GET", "/v2/apps")).body["apps"]
        assert names(plain) == ["/x", "/y"]
        assert all("tasks" not in app and "tasksRunning" in app for app in plain)
        with_tasks = (await live.call("GET", "/v2/apps?embed=apps.tasks")).body["apps"]
        assert [len(app["tasks"]) for app in with_tasks] == [1, 1]
        assert names((await live.call("GET", "/v2/apps?label=tier==web")).body["apps"]) == ["/x"]
        assert names((await live.call("GET", "/v2/apps?label=tier!=db")).body["apps"]) == ["/x"]
        assert (await live.call("GET", "/v2/apps?label=tier=web")).status == 422
        assert names((await live.call("GET", "/v2/apps/*")).body["*"]) == ["/x", "/y"]
        text = await live.call("GET", "/v2/tasks", headers={"Accept": "text/plain"})
        assert text.body.startswith("x\t10000\t172.24.197.10")
        both = (await live.call("GET", "/v2/tasks?status=running")).body["tasks"]
        assert [task["servicePorts"] for task in sorted(both, key=lambda t: str(t["appId"]))] == [[10000], [10001]]
        env = live.master.live("x")[0].info["command"]["environment"]["variables"]
        found = {v["name"]: v["value"] for v in env}
        port = next(task for task in both if task["appId"] == "/x")["ports"][0]
        assert (found["PORT0"], found["MARATHON_APP_ID"]) == (str(port), "/x")

    run(tmp_path, story)


def test_methods_and_paths_that_are_not_there(tmp_path: Path) -> None:
    async def story(live: Live) -> None:
        nope = await live.call("GET", "/v2/nope")
        assert (nope.status, nope.body) == (404, {"message": "URI not found: /v2/nope"})
        wrong = await live.call("DELETE", "/v2/info")
        assert (wrong.status, wrong.body) == (405, {"message": "Method Not Allowed"})
        assert "GET" in wrong.headers["Allow"]
        head = await live.call("HEAD", "/v2/apps")
        assert (head.status, head.body) == (200, "")
        ping = await live.call("GET", "/ping")
        assert (ping.status, ping.body) == (200, "pong")
        assert (await live.call("GET", "/v2/leader")).body["leader"].startswith("127.0.0.1:")
        metrics = (await live.call("GET", "/metrics")).body
        assert metrics.keys() == {"version", "gauges", "counters", "histograms", "meters", "timers"}
        assert metrics["gauges"]["service.mesosphere.marathon.app.count"] == {"value": 0}
        assert metrics["gauges"]["marathon.deployments.active.gauge"] == {"value": 0}
        assert (await live.call("GET", "/v2/plugins")).body == {"plugins": []}
        assert (await live.call("HEAD", "/v2/pods")).status == 200
        for path in ("/v2/pods", "/v2/pods/::status", "/v2/pods::status", "/v2/pods%3A%3Astatus"):
            assert (await live.call("GET", path)).body == []
        pod = await live.call("POST", "/v2/pods", {"id": "/p", "containers": []})
        assert (pod.status, pod.body["details"][0]["path"]) == (422, "/")
        assert "Mesos containerizer" in pod.body["details"][0]["errors"][0]
        for method, path in (("GET", "/v2/pods/g/p::status"), ("GET", "/v2/pods//g/p"), ("DELETE", "/v2/pods/g/p")):
            none = await live.call(method, path)
            assert (none.status, none.body) == (404, {"message": "Pod '/g/p' does not exist"})
        assert (await live.call("PUT", "/v2/pods/p", "{")).status == 400
        sure = await live.call("PUT", "/v2/apps/a?force=maybe", sleeper())
        assert sure.status == 422
        assert (await live.call("GET", "/v2/apps/a/versions/yesterday")).status == 422
        assert (await live.call("GET", "/v2/events", headers={"Accept": "application/json"})).status == 406

    run(tmp_path, story)


def test_the_stream_of_events_in_order(tmp_path: Path) -> None:
    async def story(live: Live) -> None:
        seen: list[str] = []
        async with MarathonClient(live.url) as client:
            events = client.events()
            first = await anext(events)
            assert first["eventType"] == "event_stream_attached"
            await client.put_app("a", sleeper())
            async for event in events:
                seen.append(event["eventType"])
                if event["eventType"] == "deployment_success":
                    break
            await events.aclose()
            ((app,), problems) = await client.apps()
            assert [task.state for task in app.tasks or ()] == ["TASK_RUNNING"]
            assert problems == []
        order = [kind for kind in seen if kind not in ("instance_changed_event", "scheduler_registered_event")]
        assert order == [
            "api_post_event",
            "group_change_success",
            "deployment_info",
            "deployment_step_success",
            "deployment_info",
            "status_update_event",
            "status_update_event",
            "deployment_step_success",
            "deployment_success",
        ]
        url = f"{live.url}/v2/events?event_type=deployment_success"
        async with live.session.get(url, headers={"Accept": "text/event-stream"}) as reply:
            assert (await reply.content.readline()) == b"event: event_stream_attached\r\n"
            await reply.content.readline()
            await reply.content.readline()
            await live.call("PUT", "/v2/apps/a", {"instances": 0})
            assert (await reply.content.readline()) == b"event: deployment_success\r\n"

    run(tmp_path, story)


def test_plans_in_events_carry_the_groups_unless_a_light_form_is_asked_for(tmp_path: Path) -> None:
    async def story(live: Live) -> None:
        await live.call("PUT", "/v2/groups/g", {"apps": [sleeper("a"), sleeper("other")]})
        await live.settled()
        async with (
            live.session.get(f"{live.url}/v2/events") as whole,
            live.session.get(f"{live.url}/v2/events?plan-format=light") as light,
        ):
            assert (await whole.content.readline()) == (await light.content.readline())
            await live.call("PUT", "/v2/apps/g/a", {"instances": 2, "labels": {"x": "y"}})
            await live.settled()
            for stream in (whole, light):
                found = await plan_of(stream)
                apps = {
                    key: {app["id"]: app for app in found[key]["groups"][0]["apps"]}
                    for key in ("original", "target")
                    if key in found
                }
                assert {key: [apps[key]["/g/a"][f] for f in ("instances", "labels")] for key in apps} == (
                    {"original": [1, {}], "target": [2, {"x": "y"}]} if stream is whole else {}
                )
                assert all("/g/other" in listed for listed in apps.values())
                if stream is whole:
                    assert found["original"]["version"] < found["target"]["version"] == found["version"]

    run(tmp_path, story)


async def plan_of(stream: aiohttp.ClientResponse) -> dict[str, Any]:
    """Of the first deployment that the stream tells of."""
    async for line in stream.content:
        if line.startswith(b"data: ") and b'"deployment_info"' in line:
            plan: dict[str, Any] = json.loads(line[6:])["plan"]
            return plan
    raise AssertionError("the stream ended")
