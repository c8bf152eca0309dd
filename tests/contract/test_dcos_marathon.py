"""`dcos marathon` against a whole Marathon of ours, on a master with two made-up agents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.dcos_cluster import Answer, Dcos, DcosCluster, Said, command, serving
from tests.support.marathon_live import Live, marathon, sleeper
from tests.support.waiting import until

Ask = Callable[..., Coroutine[Any, Any, Said]]


@asynccontextmanager
async def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Live, Ask]]:
    """A Marathon, and `dcos` that speaks to it from another thread."""
    async with marathon(tmp_path) as live:
        dcos = command(tmp_path, monkeypatch, "http://127.0.0.1:1")

        async def ask(line: str | list[str], typed: str = "") -> Said:
            return await asyncio.to_thread(dcos, line, typed, DCOS_MARATHON_URL=live.url)

        yield live, ask


async def settled(live: Live, app: str, count: int) -> None:
    """The app has so many running tasks and nothing is under way."""

    async def there() -> bool:
        found = (await live.call("GET", f"/v2/apps/{app}")).body
        return bool("app" in found and found["app"]["tasksRunning"] == count and not found["app"]["deployments"])

    await until(there, message=lambda: f"{count} tasks of {app}")


def written(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_an_app_from_its_file_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with running(tmp_path, monkeypatch) as (live, dcos):
            file = written(tmp_path / "app.json", sleeper("web", instances=2))
            added = await dcos(f"marathon app add {file}")
            assert (added.code, added.out.startswith("Created deployment "), added.err) == (0, True, "")
            assert await dcos(f"marathon app add {file}") == (1, "", "Application '/web' already exists\n")
            await settled(live, "web", 2)
            rows = (await dcos("marathon app list")).out.splitlines()
            assert rows[0].split()[:3] == ["ID", "MEM", "CPUS"]
            assert rows[1].split() == ["/web", "32", "0.1", "2/2", "---", "---", "False", "mesos", "sleep", "1000"]
            assert (await dcos("marathon app list --quiet")).out == "/web\n"
            assert json.loads((await dcos("marathon app list --json")).out)[0]["id"] == "/web"
            assert json.loads((await dcos("marathon app show web")).out)["instances"] == 2
            tasks = (await dcos("marathon task list /web")).out.splitlines()
            assert [row.split()[:2] for row in tasks[1:]] == [["/web", "True"]] * 2
            one = tasks[1].split()[-1]
            assert json.loads((await dcos(f"marathon task show {one}")).out)["appId"] == "/web"
            assert json.loads((await dcos(f"marathon task stop {one}")).out)["id"] == one
            await until(lambda: _gone(live, one), message="another task")
            await settled(live, "web", 2)
            killed = await dcos("marathon app kill --host=172.24.197.102 web")
            assert killed.out.startswith("Killed tasks: [")
            await settled(live, "web", 2)
            assert (await dcos("marathon app update web cpus=0.2 mem=16.5")).code == 0
            await settled(live, "web", 2)
            versions = json.loads((await dcos("marathon app version list web")).out)
            assert len(versions) == 2
            before = json.loads((await dcos("marathon app show --app-version=-1 web")).out)
            assert (before["cpus"], before["version"]) == (0.1, versions[1])
            assert json.loads((await dcos("marathon app version list web --max-count=1")).out) == versions[:1]
            assert "only has 2 version(s)" in (await dcos("marathon app show --app-version=-2 web")).err
            assert (await dcos("marathon app restart web")).out.startswith("Created deployment ")
            await settled(live, "web", 2)
            assert (await dcos("marathon app stop web")).code == 0
            await settled(live, "web", 0)
            assert (await dcos("marathon app stop web")).err == "Application 'web' already stopped: 0 instances.\n"
            assert "because it has no running tasks" in (await dcos("marathon app restart web")).err
            assert (await dcos("marathon app kill web")) == (1, "Killed tasks: []\n", "")
            assert (await dcos("marathon app start web 0")).err == "The number of instances must be positive: 0.\n"
            assert (await dcos("marathon app start web 1")).code == 0
            await settled(live, "web", 1)
            assert (await dcos("marathon app start web")).err == "Application 'web' already started: 1 instances.\n"
            one = (await live.tasks("web"))[0]["id"]
            assert (await dcos(f"marathon task kill --scale {one}")).out.startswith("Created deployment: ")
            await settled(live, "web", 0)
            assert await dcos("marathon app remove web") == (0, "", "")
            await live.settled()
            assert (await dcos("marathon app list")).out.splitlines()[1:] == []
            assert (await dcos("marathon app show web")) == (1, "", "Error: App '/web' does not exist\n")

    async def _gone(live: Live, task: str) -> bool:
        return task not in [one["id"] for one in await live.tasks("web")]

    asyncio.run(main())


def test_apps_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with running(tmp_path, monkeypatch) as (_, dcos):
            broken = tmp_path / "broken.json"
            broken.write_text('{"id": "a",')
            found = await dcos(f"marathon app add {broken}")
            assert (found.code, found.err.startswith(f"Error loading JSON: {broken}: ")) == (1, True)
            assert (await dcos("marathon app add nothing.json")).err == (
                "Can't read from resource: nothing.json.\nPlease check that it exists.\n"
            )
            assert "an object is needed, not list" in (await dcos("marathon app add", typed="[]")).err
            assert "has no id" in (await dcos("marathon app add", typed="{}")).err
            refused = await dcos("marathon app add", typed=json.dumps(sleeper("a", cpus=-1)))
            assert (refused.code, refused.out) == (1, "")
            assert refused.err.startswith("Error: Object is not valid\n/cpus: ")
            missing = await dcos("marathon app add", typed='{"id": "a", "cpus": "many"}')
            assert missing.err.startswith("Error on request [POST ")
            assert '"message": "Invalid JSON"' in missing.err
            assert (
                "'cpus' is not a valid json-item" in (await dcos(["marathon", "app", "update", "a", "cpus"])).err
                or (await dcos("marathon app show a")).code == 1
            )
            for line in (
                "app remove a",
                "app stop a",
                "app start a",
                "app restart a",
                "app update a x=1",
                "app kill a",
            ):
                assert (await dcos(f"marathon {line}")) == (1, "", "Error: App '/a' does not exist\n")
            assert (await dcos("marathon task show x")) == (1, "", "Task 'x' does not exist\n")
            assert (await dcos("marathon task kill")) == (1, "", "Please provide at least one task ID\n")
            unknown = "a.11111111-1111-1111-1111-111111111111"
            assert await dcos(f"marathon task kill {unknown}") == (
                1,
                "Killed tasks: []\n",
                "Failed to kill tasks. task-ids seems to be unknown\n",
            )
            assert "Error parsing string as int" in (await dcos("marathon app version list a --max-count=x")).err
            assert "Relative versions must be negative: 3" in (await dcos("marathon app show a --app-version=3")).err

    asyncio.run(main())


def test_deployments_are_seen_stopped_and_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with running(tmp_path, monkeypatch) as (live, dcos):
            assert await dcos("marathon deployment list") == (1, "", "There are no deployments\n")
            assert (await dcos("marathon deployment list --json")).out == "[]\n"
            # More than the agents have: it hangs.
            big = json.dumps(sleeper("big", cpus=100))
            plan = (await dcos("marathon app add", typed=big)).out.split()[-1]
            row = (await dcos("marathon deployment list")).out.splitlines()[1].split()
            assert (row[0], row[1], row[-1]) == ("/big", "-", plan)
            assert (await dcos("marathon deployment list /other")).err == "There are no deployments for '/other'\n"

            async def scales() -> bool:
                return (await dcos("marathon app list")).out.splitlines()[1].split()[5] == "scale"

            await until(scales, message="what the deployment does")
            watched = await dcos(f"marathon deployment watch --max-count=1 {plan}")
            assert (watched.code, plan in watched.out) == (0, True)
            assert (await dcos("marathon deployment watch nothing")) == (0, "", "")

            async def waits() -> bool:
                return "/big" in (await dcos("marathon debug list")).out

            await until(waits, message="the app in the queue")
            held = await dcos("marathon app update big mem=1")
            assert (held.code, held.err) == (1, "Changes blocked: deployment already in progress for app.\n")
            assert (await dcos("marathon debug summary big")).out.splitlines()[3].split()[:2] == ["CPUS", "100"]
            assert (await dcos("marathon debug details big")).out.splitlines()[0].split()[0] == "HOSTNAME"
            assert (await dcos("marathon debug summary nothing")).err == "No apps found in Marathon queue\n"
            undone = await dcos(f"marathon deployment rollback {plan}")
            assert "deploymentId" in json.loads(undone.out)
            await live.settled()
            plan = (await dcos("marathon app add", typed=big)).out.split()[-1]
            assert await dcos(f"marathon deployment stop {plan}") == (0, "", "")
            await live.settled()
            assert (await dcos(f"marathon deployment stop {plan}")).code == 1
            assert (await dcos("marathon app remove --force big")).code == 0
            await live.settled()

    asyncio.run(main())


def test_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with running(tmp_path, monkeypatch) as (live, dcos):
            group = json.dumps(
                {"id": "/g", "apps": [sleeper("one")], "groups": [{"id": "in", "apps": [sleeper("two")]}]}
            )
            assert (await dcos("marathon group add", typed=group)).out.startswith("Created deployment ")
            assert await dcos("marathon group add", typed=group) == (1, "", "Group '/g' already exists\n")
            await live.settled()
            rows = [row.split() for row in (await dcos("marathon group list")).out.splitlines()]
            assert rows == [["ID", "APPS"], ["/g", "2"], ["/g/in", "1"]]
            assert json.loads((await dcos("marathon group show g")).out)["id"] == "/g"
            assert (await dcos("marathon group scale g 2")).code == 0
            await settled(live, "g/one", 2)
            await live.settled()
            assert json.loads((await dcos("marathon group show --group-version=-1 g")).out)["apps"][0]["instances"] == 1
            assert "Error parsing string as float" in (await dcos("marathon group scale g much")).err
            assert (await dcos("marathon group scale nothing 2")).err == "Error: Group '/nothing' does not exist\n"
            changed = await dcos(["marathon", "group", "update", "g", "dependencies=[]"])
            assert changed.code == 0, changed.err
            await live.settled()
            assert await dcos("marathon group remove g") == (0, "", "")
            await live.settled()
            assert (await dcos("marathon group show g")).code == 1

    asyncio.run(main())


def test_pods_as_this_marathon_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with running(tmp_path, monkeypatch) as (_, dcos):
            assert (await dcos("marathon pod list")).out.split()[:2] == ["ID+TASKS", "INSTANCES"]
            assert (await dcos("marathon pod list --json")).out == "[]\n"
            refused = await dcos("marathon pod add", typed='{"id": "p"}')
            assert (refused.code, refused.err.startswith("Error: Object is not valid\n/: pods need")) == (1, True)
            assert (await dcos("marathon pod show p")).err == "Error: Pod '/p' does not exist\n"
            assert (await dcos("marathon pod remove p")).code == 1
            assert (await dcos("marathon pod kill p")).err == "Please provide at least one pod instance ID\n"
            assert json.loads((await dcos("marathon about")).out)["name"] == "marathon"

    asyncio.run(main())


# -- other Marathons ---------------------------------------------------------------------------------------------------


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    with serving(DcosCluster()) as cluster:
        yield cluster, command(tmp_path, monkeypatch, cluster.url)


def test_pods_of_a_marathon_that_has_them(door: tuple[DcosCluster, Dcos]) -> None:
    cluster, dcos = door
    v2 = "/service/marathon/v2"
    pod = {"id": "/p", "spec": {"containers": [{"name": "c"}]}, "instances": [], "status": "STABLE", "statusSince": "t"}
    deployed = Answer({}, 201, {"Marathon-Deployment-Id": "d-1"})
    cluster.answers |= {
        f"HEAD {v2}/pods": {},
        f"POST {v2}/pods": deployed,
        f"PUT {v2}/pods/p": deployed,
        f"DELETE {v2}/pods/p": Answer({}, 202),
        f"DELETE {v2}/pods/p::instances": [],
        f"{v2}/pods/::status": [pod],
        f"{v2}/pods/p::status": pod,
        f"{v2}/queue": {"queue": [{"pod": {"id": "/p"}, "delay": {"overdue": True}}]},
    }
    assert dcos("marathon pod add", typed='{"id": "p"}') == (0, "Created deployment d-1\n", "")
    assert dcos("marathon pod update --force p", typed='{"id": "p"}').out == "Created deployment d-1\n"
    assert cluster.said("PUT").query == "force=true"
    assert dcos("marathon pod list").out.splitlines()[1].split()[-1] == "True"
    assert json.loads(dcos("marathon pod show p").out) == pod
    assert dcos("marathon pod kill p i-1 i-2") == (0, "", "")
    assert cluster.said("DELETE").document == ["i-1", "i-2"]
    assert dcos("marathon pod remove p") == (0, "", "")
    cluster.answers[f"POST {v2}/pods"] = Answer({}, 201)
    assert dcos("marathon pod add", typed="{}").err.startswith('Error: missing "Marathon-Deployment-Id" header')
    del cluster.answers[f"HEAD {v2}/pods"]
    assert dcos("marathon pod list") == (1, "", "This command is not supported by your version of Marathon\n")


@pytest.mark.parametrize("part", ["apps", "deployments", "queue"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(b"", 401), "Authentication failed. Please run `dcos auth login`\n"),
        (Answer(b"", 403), "You are not authorized to perform this operation\n"),
        (Answer(b"<html>", 502), "Error decoding response from [{}]: HTTP 502: Bad Gateway\n"),
        (Answer(b"<html>", 404), "Error decoding response from [{}]: HTTP 404: Not Found\n"),
        (Answer(b"{", 200), "Error decoding response from [{}]: HTTP 200: OK\n"),
        (Answer({"errors": [{"error": "who?"}]}, 500), "Service likely misconfigured. Please check your proxy"),
        (Answer(5, 200), "The answer of the cluster cannot be read: it has no list of '"),
    ],
)
def test_wrong_answers_to_app_list(door: tuple[DcosCluster, Dcos], part: str, answer: Answer, said: str) -> None:
    cluster, dcos = door
    v2 = "/service/marathon/v2"
    cluster.answers = {f"{v2}/apps": {"apps": []}, f"{v2}/deployments": [], f"{v2}/queue": {"queue": []}}
    cluster.answers[f"{v2}/{part}"] = answer
    found = dcos("marathon app list")
    assert (found.code, found.out) == (1, "")
    assert found.err.startswith(said.format(f"{cluster.url}{v2}/{part}"))


def test_a_definition_from_a_url(door: tuple[DcosCluster, Dcos]) -> None:
    cluster, dcos = door
    cluster.answers |= {
        "/files/app.json": {"id": "a"},
        "POST /service/marathon/v2/apps": {"deployments": [{"id": "d"}]},
    }
    assert dcos(f"marathon app add {cluster.url}/files/app.json") == (0, "Created deployment d\n", "")
    assert cluster.said("POST").document == {"id": "a"}
    for wrong in (f"{cluster.url}/nothing", "http://127.0.0.1:1/x", "ftp://x/y"):
        assert dcos(f"marathon app add {wrong}").err.startswith(f"Can't read from resource: {wrong}.\n")
    cluster.answers["POST /service/marathon/v2/apps"] = {}
    assert 'missing "deploymentId"' in dcos("marathon app add", typed='{"id": "a"}').err
