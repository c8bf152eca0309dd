"""Tasks that fit nowhere, or only here: host ports, roles and constraints, with the queue's reasons."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.support.marathon_live import Live, marathon, sleeper
from tests.support.scheduler_master import Agent, SchedulerMaster
from tests.support.waiting import until

from tortie.marathon.brain import Options

PORTS = (9000, 9099)


def probe(name: str) -> dict[str, Any]:
    return sleeper(name, ports=[9000], requirePorts=True, constraints=[])


async def waiting(live: Live, *apps: str) -> dict[str, dict[str, Any]]:
    """The queue's entries, once it holds these apps and has seen an offer of every agent for each."""
    found: dict[str, dict[str, Any]] = {}

    async def known() -> bool:
        listed = (await live.call("GET", "/v2/queue?embed=lastUnusedOffers")).body["queue"]
        found.clear()
        found.update({entry["app"]["id"]: entry for entry in listed})
        seen = [len(entry["lastUnusedOffers"]) for entry in found.values()]
        return sorted(found) == sorted(apps) and set(seen) <= {len(live.master.agents)}

    await until(known, message=lambda: f"{apps} in the queue, there is {found}")
    return found


def funnel(entry: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Reason to (processed, declined), of those that turned an offer away."""
    found = entry["processedOffersSummary"]["rejectSummaryLastOffers"]
    return {line["reason"]: (line["processed"], line["declined"]) for line in found if line["declined"]}


def test_four_probes_of_one_host_port_on_two_agents(tmp_path: Path) -> None:
    """Two run, two wait and the queue says why; a forced delete ends it all; a port that gets free is taken."""

    async def story() -> None:
        master = SchedulerMaster([Agent(f"A{n}", f"172.24.197.10{n}", ports=PORTS) for n in (2, 3)])
        await master.start()
        async with marathon(tmp_path, master) as live:
            names = ["probe-a", "probe-b", "probe-c", "probe-d"]
            body = {"id": "/before", "apps": [probe(name) for name in names]}

            def run() -> set[str]:
                return {f"/before/{task.info['name'].partition('.')[0]}" for task in master.live()}

            assert (await live.call("PUT", "/v2/groups", body)).status == 200
            await until(lambda: len(run()) == 2)
            others = [f"/before/{name}" for name in names if f"/before/{name}" not in run()]
            entries = await waiting(live, *others)
            assert [funnel(entry) for entry in entries.values()] == [{"InsufficientPorts": (2, 2)}] * 2
            assert {task.agent.id for task in master.live()} == {"A2", "A3"}
            assert entries[others[0]]["delay"] == {"timeLeftSeconds": 0, "overdue": True}
            assert [o["reason"] for o in entries[others[0]]["lastUnusedOffers"]] == [["InsufficientPorts"]] * 2
            tasks = (await live.call("GET", "/v2/tasks")).body["tasks"]
            assert [task["ports"] for task in tasks] == [[9000], [9000]]

            (hanging,) = (await live.call("GET", "/v2/deployments")).body
            refused = await live.call("DELETE", "/v2/groups/before")
            assert (refused.status, refused.body["deployments"]) == (409, [{"id": hanging["id"]}])
            assert (await live.call("DELETE", "/v2/groups/before?force=true")).status == 200
            await live.settled()
            assert master.live() == []
            assert (await live.call("GET", "/v2/queue")).body["queue"] == []
            assert (await live.call("GET", "/v2/groups/before")).status == 404

            await live.call("PUT", "/v2/groups", body)
            await until(lambda: len(run()) == 2)
            first, second = sorted(run())
            await live.call("DELETE", f"/v2/apps/{first}")
            await until(lambda: first not in run() and len(run()) == 2)
            await waiting(live, *[f"/before/{n}" for n in names if f"/before/{n}" not in {first, *run()}])
            assert second in run()
        await master.stop()

    asyncio.run(story())


def test_public_agents_serve_only_who_asks_for_their_role(tmp_path: Path) -> None:
    async def story() -> None:
        master = SchedulerMaster([Agent("A1", "172.24.197.102"), Agent("P1", "172.24.197.201", role="slave_public")])
        await master.start()
        async with marathon(tmp_path, master, options=Options(min_revive_seconds=0.05)) as live:
            await live.call("POST", "/v2/apps", sleeper("inner", instances=2))
            await live.call("POST", "/v2/apps", sleeper("outer", acceptedResourceRoles=["slave_public"]))
            both = {"acceptedResourceRoles": ["*", "slave_public"], "constraints": [["hostname", "UNIQUE"]]}
            await live.call("POST", "/v2/apps", sleeper("any", instances=2, **both))
            await live.settled()
            placed = {name: {t.agent.id for t in master.live(name)} for name in ("inner", "outer", "any")}
            assert placed == {"inner": {"A1"}, "outer": {"P1"}, "any": {"A1", "P1"}}
            await live.call("POST", "/v2/apps", sleeper("nowhere", acceptedResourceRoles=["nobody"]))
            found = (await waiting(live, "/nowhere"))["/nowhere"]
            assert funnel(found)["UnfulfilledRole"] == (2, 2)
            roles = {r["role"] for offer in found["lastUnusedOffers"] for r in offer["offer"]["resources"]}
            assert roles == {"*", "slave_public"}
        await master.stop()

    asyncio.run(story())


def test_constraints_that_no_agent_meets_are_named(tmp_path: Path) -> None:
    async def story() -> None:
        async with marathon(tmp_path) as live:
            constraints = [["hostname", "UNIQUE"]]
            await live.call("POST", "/v2/apps", sleeper("each", instances=3, constraints=constraints))
            await until(lambda: len(live.master.live()) == 2)
            entry = (await waiting(live, "/each"))["/each"]
            assert (entry["count"], funnel(entry)) == (1, {"UnfulfilledConstraint": (2, 2)})
            assert len((await live.call("GET", "/v2/deployments")).body) == 1
            settled = await live.call("PUT", "/v2/apps/each", {"instances": 2}, params={"force": "true"})
            assert settled.status == 200
            await live.settled()

    asyncio.run(story())
