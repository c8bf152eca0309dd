"""Which server the door finds for a path, as the cluster changes behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.door_live import answering, ask, door, on_the_loop
from tests.support.ports import free_port
from tests.support.waiting import until

LABELS = {"DCOS_SERVICE_NAME": "group/app", "DCOS_SERVICE_SCHEME": "http", "DCOS_SERVICE_PORT_INDEX": "0"}


def app(port: int, **labels: str) -> dict[str, Any]:
    task = {"id": "t", "host": "127.0.0.1", "ports": [port], "state": "TASK_RUNNING"}
    return {"id": "/app", "labels": {**LABELS, **labels}, "tasks": [task]}


def framework(name: str, url: str | None) -> dict[str, Any]:
    return {"id": f"id-{name}", "name": name, "webui_url": url, "active": True}


def summary(*frameworks: dict[str, Any], **agents: int) -> dict[str, Any]:
    slaves = [{"id": name, "pid": f"slave(1)@127.0.0.1:{port}"} for name, port in agents.items()]
    return {"frameworks": list(frameworks), "slaves": slaves}


def test_services_are_found_by_labels_then_frameworks_then_dns(tmp_path: Path) -> None:
    async def main() -> None:
        page = {"/": "page", "/deep/x": "deep", "/ui/": "based", "/service/group/app/x": "kept"}
        master_says: dict[str, Any] = {}
        marathon_says: dict[str, Any] = {}
        dns_says: dict[str, Any] = {}
        async with (
            answering(page) as server,
            answering(master_says) as master,
            answering(marathon_says) as marathon,
            answering(dns_says) as dns,
            door(tmp_path, masters=(master.port,), marathons=(marathon.port,), mesos_dns=dns.port) as port,
        ):
            url = f"http://127.0.0.1:{server.port}"
            master_says["/master/state-summary"] = summary(
                framework("calico", f"{url}/"), framework("based", f"{url}/ui"), framework("etcd", ""),
                framework("gone", ""), framework("bare", None), framework("group/deep", url),
            )  # fmt: skip
            marathon_says["/v2/apps"] = {"apps": [app(server.port)]}
            record = {"service": "x", "host": "h", "ip": "127.0.0.1", "port": str(server.port)}
            dns_says["/v1/services/_etcd._tcp.marathon.mesos."] = [record]
            dns_says["/v1/services/_gone._tcp.marathon.mesos."] = [{"service": "", "host": "", "ip": "", "port": ""}]

            async def said(path: str) -> tuple[int, bytes]:
                reply = await ask(port, path)
                return reply.status, reply.body

            missing = (404, b"404 Not Found: service not found.\n")
            assert await said("/service/group/app/deep/x") == (200, b'"deep"')
            assert await said("/service/app.group/") == (200, b'"page"')
            assert await said("/service/calico/") == await said("/service/id-calico/") == (200, b'"page"')
            assert await said("/service/based/") == (200, b'"based"')
            assert await said("/service/group/deep/") == (200, b'"page"')
            assert await said("/service/etcd/") == (200, b'"page"')
            for path in ("/service/gone/", "/service/bare/", "/service/other/x", "/service/group/"):
                assert await said(path) == missing, path
            dns_says["/v1/services/_etcd._tcp.marathon.mesos."] = (500, "", b"")
            assert await said("/service/etcd/") == (503, b"503 Service Unavailable: MesosDNS request has failed\n")

    on_the_loop(main)


def test_a_service_is_there_with_its_first_request_and_moves_with_its_task(tmp_path: Path) -> None:
    async def main() -> None:
        says: dict[str, Any] = {"/v2/apps": {"apps": []}, "/master/state-summary": summary()}
        async with (
            answering(says) as cluster,
            answering({"/": "old", "/service/group/app/": "kept"}) as old,
            answering({"/": "new"}) as new,
            door(tmp_path, masters=(cluster.port,), marathons=(cluster.port,)) as port,
        ):
            assert (await ask(port, "/service/group/app/")).status == 404
            says["/v2/apps"] = {"apps": [app(old.port)]}

            async def body() -> bytes:
                return (await ask(port, "/service/group/app/")).body

            async def is_old() -> bool:
                return await body() == b'"old"'

            async def is_new() -> bool:
                return await body() == b'"new"'

            await until(is_old)
            says["/v2/apps"] = {"apps": [app(new.port)]}
            await until(is_new)
            says["/v2/apps"] = {"apps": [app(old.port, DCOS_SERVICE_REWRITE_REQUEST_URLS="false")]}

            async def is_kept() -> bool:
                return await body() == b'"kept"'

            await until(is_kept)

    on_the_loop(main)


def test_a_server_that_has_gone_is_looked_for_anew_within_one_request(tmp_path: Path) -> None:
    async def main() -> None:
        says: dict[str, Any] = {"/master/state-summary": summary()}
        async with (
            answering(says) as cluster,
            answering({"/": "new"}) as new,
            door(tmp_path, masters=(cluster.port,), marathons=(cluster.port,)) as port,
        ):
            says["/v2/apps"] = {"apps": [app(free_port())]}
            assert (await ask(port, "/service/group/app/")).status == 502
            says["/v2/apps"] = {"apps": [app(new.port)]}

            async def found() -> bool:
                return (await ask(port, "/service/group/app/")).status == 200

            await until(found)

    on_the_loop(main)


def test_without_marathon_frameworks_still_have_their_pages(tmp_path: Path) -> None:
    async def main() -> None:
        says: dict[str, Any] = {}
        async with (
            answering({"/": "page"}) as server,
            answering(says) as master,
            door(tmp_path, masters=(master.port,), marathons=(free_port(),)) as port,
        ):
            says["/master/state-summary"] = summary(framework("calico", f"http://127.0.0.1:{server.port}/"))
            assert (await ask(port, "/service/calico/")).body == b'"page"'
            other = await ask(port, "/service/other/")
            assert (other.status, other.body) == (503, b"503 Service Unavailable: invalid Marathon svcapps cache\n")

    on_the_loop(main)


@pytest.mark.parametrize("bad", [(500, "", b""), b"{", {"frameworks": 3}])
def test_without_a_state_nothing_is_guessed(tmp_path: Path, bad: Any) -> None:
    async def main() -> None:
        says: dict[str, Any] = {"/v2/apps": {"apps": []}, "/master/state-summary": bad}
        async with (
            answering(says) as cluster,
            door(tmp_path, masters=(cluster.port,), marathons=(cluster.port,)) as port,
        ):
            service, agent = await ask(port, "/service/x/"), await ask(port, "/agent/S0/state")
            assert (service.status, service.body) == (503, b"503 Service Unavailable: invalid Mesos state cache\n")
            assert (agent.status, agent.body) == (503, b"503 Service Unavailable: cache state is invalid\n")

    on_the_loop(main)


def test_agents_are_found_by_their_ids(tmp_path: Path) -> None:
    async def main() -> None:
        says: dict[str, Any] = {}
        async with (
            answering({"/state": {"id": "S0"}}) as agent,
            answering(says) as master,
            door(tmp_path, masters=(master.port,)) as port,
        ):
            says["/master/state-summary"] = summary(**{"a-S0": agent.port})
            assert (
                (await ask(port, "/agent/a-S0/state")).json
                == (await ask(port, "/slave/a-S0/state")).json
                == {"id": "S0"}
            )
            unknown = await ask(port, "/agent/a-S1/state")
            assert (unknown.status, unknown.body) == (404, b"404 Not Found: agent `a-S1` unknown.\n")

    on_the_loop(main)


def test_the_leading_master_is_followed(tmp_path: Path) -> None:
    async def main() -> None:
        leading: list[int] = []

        def redirect() -> dict[str, Any]:
            return {"/master/redirect": (307, f"Location: //127.0.0.1:{leading[0]}\r\n", b"")}

        one_says: dict[str, Any] = {"/who": "one"}
        two_says: dict[str, Any] = {"/who": "two"}
        async with (
            answering(one_says) as one,
            answering(two_says) as two,
            door(tmp_path, masters=(one.port, two.port)) as port,
        ):
            leading.append(one.port)
            one_says |= redirect()
            two_says |= redirect()
            assert (await ask(port, "/mesos/who")).body == b'"one"'
            leading[0] = two.port
            one_says |= redirect()
            two_says |= redirect()

            async def is_two() -> bool:
                return (await ask(port, "/mesos/who")).body == b'"two"'

            await until(is_two)

    on_the_loop(main)


def test_without_a_leader_the_request_is_refused_with_the_reason(tmp_path: Path) -> None:
    async def main() -> None:
        async with door(tmp_path, masters=(free_port(), free_port())) as port:
            reply = await ask(port, "/mesos/master/state")
            assert reply.status == 503
            assert reply.body.startswith(b"503 Service Unavailable: no leading master: ")

    on_the_loop(main)


def test_another_marathon_answers_when_one_is_away(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            answering({"/v2/info": {"name": "marathon"}}) as marathon,
            door(tmp_path, marathons=(free_port(), marathon.port)) as port,
        ):
            for path in ("/marathon/v2/info", "/service/marathon/v2/info"):
                assert (await ask(port, path)).json == {"name": "marathon"}
                posted = await ask(port, path, method="POST", body=b"{}")
                assert posted.status == 200

    on_the_loop(main)


def test_the_door_has_a_name_of_its_own_with_marathon(tmp_path: Path) -> None:
    async def main() -> None:
        says: dict[str, Any] = {"/v2/apps": {"apps": []}, "/master/state-summary": summary(), "/v2/info": 1}
        async with (
            answering(says) as cluster,
            door(tmp_path, masters=(cluster.port,), marathons=(cluster.port,), marathon_user=("door", "a:b")) as port,
        ):
            assert (await ask(port, "/service/x/")).status == 404
            given = {
                first.split(" ")[1].partition("?")[0]: fields.get("authorization") for first, fields in cluster.asked
            }
            assert given == {"/v2/apps": "Basic ZG9vcjphOmI=", "/master/state-summary": None}
            await ask(port, "/marathon/v2/info")
            assert "authorization" not in cluster.asked[-1][1]

    on_the_loop(main)


def test_a_cluster_without_a_part_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with door(tmp_path) as port:
            assert (await ask(port, "/capabilities")).json == {"capabilities": []}
            for path, word in (
                ("/package/search", b"package"),
                ("/mesos_dns/v1/x", b"Mesos-DNS"),
                ("/net/x", b"network"),
            ):
                reply = await ask(port, path)
                assert reply.status == 404
                assert word in reply.body
            assert (await ask(port, "/marathon/v2/apps")).body == b"503 Service Unavailable: no Marathon is known\n"

    on_the_loop(main)


def test_packages_are_asked_for_at_their_own_paths(tmp_path: Path) -> None:
    async def main() -> None:
        says = {"/package/search": 1, "/capabilities": 2, "/service/describe": 3}
        async with answering(says) as packages, door(tmp_path, packages=packages.port) as port:
            for path, wanted in (("/package/search", 1), ("/capabilities", 2), ("/cosmos/service/describe", 3)):
                assert (await ask(port, path, method="POST", body=b"{}")).json == wanted

    on_the_loop(main)


def test_what_the_cluster_is_and_how_it_fares(tmp_path: Path) -> None:
    async def main() -> None:
        says: dict[str, Any] = {
            "/v2/apps": {"apps": [{"id": "/a", "instances": 1, "tasksRunning": 1}]},
            "/master/state-summary": summary(S0=5051),
            "/v1/version": {},
        }
        async with (
            answering(says) as all_of_it,
            door(
                tmp_path,
                masters=(all_of_it.port,),
                marathons=(all_of_it.port,),
                mesos_dns=all_of_it.port,
                net=free_port(),
            ) as port,
        ):
            assert (await ask(port, "/metadata")).fields["date"].endswith(" GMT")
            assert (await ask(port, "/metadata")).json == {"PUBLIC_IPV4": "127.0.0.1", "CLUSTER_ID": "c-1"}
            assert (await ask(port, "/dcos-metadata/dcos-version.json")).json["version"] == "1.9.2"
            config = (await ask(port, "/dcos-metadata/ui-config.json")).json
            assert config["uiConfiguration"]["plugins"]["mesos"]["logging-strategy"] == "logrotate"
            assert (await ask(port, "/pkgpanda/active.buildinfo.full.json", method="HEAD")).status == 200
            assert (await ask(port, "/ca/dcos-ca.crt")).status == 404
            assert (await ask(port, "/acs/api/v1/auth/providers")).json == {}

            health = (await ask(port, "/system/health/v1")).json
            units = {unit["id"]: unit["health"] for unit in health["units"]}
            assert units["dcos-mesos-master.service"] == units["dcos-marathon.service"] == 0
            assert units["dcos-net.service"] == 1
            assert (await ask(port, "/system/health/v1/units/dcos-net.service")).json["output"] != ""
            assert (await ask(port, "/system/health/v1/units/no.service")).status == 404
            nodes = (await ask(port, "/system/health/v1/nodes")).json["nodes"]
            assert [node["role"] for node in nodes] == ["master", "agent"]
            assert (await ask(port, "/system/health/v1/nodes/127.0.0.1/units")).json["units"] == health["units"]
            assert (await ask(port, "/system/health/v1/nodes/10.9.9.9")).status == 404

            board = (await ask(port, "/door/board")).json
            assert board["services"] == [{"name": "/a", "state": "good", "text": "1 of 1 running", "link": ""}]
            for path in ("/", "/login", "/door/static/tortie.css", "/door/assets/door.js"):
                assert (await ask(port, path)).status == 200
            for path in ("/acs/api/v1/users", "/door/none", "/system/health/v2"):
                assert (await ask(port, path)).status == 404
            wrong = await ask(port, "/metadata", method="DELETE")
            assert (wrong.status, wrong.fields["allow"]) == (405, "GET, HEAD")
            page = await ask(port, "/service/other/", lines="Accept: text/html\r\n")
            assert (page.status, page.fields["content-type"]) == (404, "text/html; charset=utf-8")
            assert b"service not found." in page.body

    on_the_loop(main)
