"""The tables of `dcos`, as document 004 and the original printed them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.dcos_cluster import AGENT, FRAMEWORK, agent, state, task

from tortie.cli.dcos import marathon_tables, tables
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.state import nodes
from tortie.cli.dcos.table import shorten, table

DOCUMENT_004 = """\
ID                         MEM  CPUS  TASKS  HEALTH  DEPLOYMENT  WAITING  CONTAINER  CMD
/calico-install-framework  512  0.2    1/1    1/1       ---      False      DOCKER   None
/database                  128  0.3    1/1    ---       ---      False      MESOS    None
/database2                 128  0.3    1/1    ---       ---      False      MESOS    None
/etcd                      128  0.2    1/1    1/1       ---      False      DOCKER   None
/frontend                   64  0.1    1/1    ---       ---      False      MESOS    None
/frontend2                  64  0.1    1/1    ---       ---      False      MESOS    None
/tester                     64  0.1    1/1    ---       ---      False      MESOS    ifconfig && sleep 4h
/tester2                    64  0.1    1/1    ---       ---      False      MESOS    ifconfig && sleep 4h"""


def app(name: str, mem: Any = 64, cpus: Any = 0.1, kind: str | None = "MESOS", **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "mem": mem,
        "cpus": cpus,
        "instances": 1,
        "tasksRunning": 1,
        "tasksHealthy": 1,
        "healthChecks": [],
        "deployments": [],
        "container": {"type": kind} if kind else None,
        "cmd": None,
        "args": None,
        **more,
    }


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_app_list_is_that_of_the_document() -> None:
    checked = {"healthChecks": [{"protocol": "HTTP"}]}
    apps = [
        *(app(f"/tester{n}", cmd="ifconfig && sleep 4h") for n in ("2", "")),
        *(app(f"/frontend{n}") for n in ("2", "")),
        *(app(f"/database{n}", 128, 0.3) for n in ("2", "")),
        app("/etcd", 128, 0.2, "DOCKER", **checked),
        app("/calico-install-framework", 512, 0.2, "DOCKER", **checked),
    ]
    drawn = marathon_tables.app_table(apps, [], [])
    assert lines(drawn) == DOCUMENT_004.splitlines()
    assert {len(line) for line in drawn.splitlines()} == {len(drawn.splitlines()[0])}, "padded to the end"


def test_an_app_that_changes_and_waits() -> None:
    plan = {
        "id": "plan-1",
        "currentActions": [
            {"action": "ScaleApplication", "app": "/a"},
            {"action": "RestartApplication", "app": "/b"},
            {"action": "KillAllOldTasksOf", "app": "/a"},
        ],
    }
    queue = [
        {"app": {"id": "/a"}, "delay": {"overdue": True}},
        {"app": {"id": "/b"}, "delay": {"overdue": False, "timeLeftSeconds": 9}},
    ]
    apps = [
        app("/a", 16.5, deployments=[{"id": "plan-1"}, {"id": "gone"}], kind=None, args=["sleep", "9"]),
        app("/b", 32, deployments=[{"id": "plan-1"}], instances=3, cmd="x " * 40),
    ]
    drawn = lines(marathon_tables.app_table(apps, [plan], queue))
    assert drawn == [
        "ID  MEM   CPUS  TASKS  HEALTH       DEPLOYMENT      WAITING  CONTAINER  CMD",
        "/a  16.5  0.1    1/1    ---    (scale, kill-tasks)  True       mesos    ['sleep', '9']",
        "/b   32   0.1    1/3    ---          restart        False      MESOS    " + "x " * 15 + "x...",
    ]


def test_an_app_of_a_marathon_that_leaves_fields_out_is_shown() -> None:
    drawn = lines(marathon_tables.app_table([{"id": "/a", "mem": 1, "instances": 2}], [], []))
    assert drawn[1].split() == ["/a", "1", "N/A", "N/A", "---", "---", "False", "mesos", "None"]


def test_tasks_with_hosts_users_and_states() -> None:
    shown = state(
        task("tester2.891c8da1", state="TASK_RUNNING"),
        task("b.1", state="TASK_STAGING", slave_id="gone"),
        task("a.1", state="TASK_FAILED"),
    )
    drawn = lines(tables.task_table(shown["frameworks"][0]["tasks"], shown))
    assert drawn == [
        "NAME     HOST        USER  STATE  ID                MESOS ID",
        f"a        10.0.1.190  root    F    a.1               {AGENT}",
        "b        N/A         root    S    b.1               gone",
        f"tester2  10.0.1.190  root    R    tester2.891c8da1  {AGENT}",
    ]
    assert lines(tables.task_table([], shown)) == ["NAME  HOST  USER  STATE  ID  MESOS ID"]


def test_nodes_with_the_leading_master_known_by_its_address() -> None:
    masters = [{"host": "master.mesos.", "ip": "172.24.197.101"}, {"host": "master.mesos.", "ip": "172.24.197.109"}]
    found = nodes(masters, state(), {"slaves": [agent("S2", "10.0.1.2")]})
    drawn = lines(tables.node_table(found, ["RACK:attributes.rack", "active"]))
    assert drawn == [
        "   HOSTNAME          IP            ID     TYPE             RACK  ACTIVE",
        "   10.0.1.2       10.0.1.2         S2     agent             r1    N/A",
        "master.mesos.  172.24.197.101  master-id  master (leader)  N/A    N/A",
        "master.mesos.  172.24.197.109     N/A     master           N/A    N/A",
    ]
    with pytest.raises(DcosError, match=r'Field "attributes\.nothing" is invalid'):
        tables.check_fields([agent()], ["X:attributes.nothing"])


def test_services() -> None:
    drawn = lines(tables.service_table(state(task("a.1"))["frameworks"]))
    assert drawn == [
        "NAME           HOST       ACTIVE  TASKS  CPU  MEM  DISK  ID",
        f"marathon  172.24.197.101   True     1    0.6  128   0    {FRAMEWORK}",
    ]


def test_deployments_groups_and_marathons_tasks() -> None:
    plan = {
        "id": "p1",
        "affectedApps": ["/a", "/b"],
        "affectedPods": [],
        "currentStep": 2,
        "totalSteps": 3,
        "currentActions": [
            {"action": "ScaleApplication", "app": "/a"},
            {"action": "StartApplication", "app": "/b"},
        ],
    }
    assert lines(marathon_tables.deployment_table([plan])) == [
        "APP  POD  ACTION    PROGRESS  ID",
        "/a   -    scale /a    1/3     p1",
        "/b        start /b",
    ]
    inner = {"id": "/g/inner", "apps": [{}, {}], "groups": []}
    assert lines(marathon_tables.group_table([{"id": "/g", "apps": [{}], "groups": [inner]}])) == [
        "ID        APPS",
        "/g         3",
        "/g/inner   2",
    ]
    one = {"appId": "/a", "host": "h", "id": "a.1", "startedAt": "2017-07-18T22:00:33.000Z"}
    sick = {**one, "id": "a.2", "startedAt": None, "healthCheckResults": [{"alive": False}]}
    drawn = lines(marathon_tables.task_table([one, sick]))
    assert drawn[0].split() == ["APP", "HEALTHY", "STARTED", "HOST", "ID"]
    assert [line.split()[1] for line in drawn[1:]] == ["False", "True"]


def test_why_an_app_waits() -> None:
    summary = [{"reason": "InsufficientCpus", "declined": 3, "processed": 4}]
    entry = {
        "app": {"id": "/a", "cpus": 8, "mem": 64, "disk": 0, "constraints": [], "ports": [10000]},
        "count": 2,
        "since": "2017-07-18T22:00:33.000Z",
        "delay": {"overdue": True},
        "processedOffersSummary": {
            "processedOffersCount": 4,
            "unusedOffersCount": 4,
            "rejectSummaryLastOffers": summary,
        },
        "lastUnusedOffers": [
            {"offer": {"hostname": "h1"}, "reason": ["InsufficientCpus"], "timestamp": "2017-07-18T22:00:34.000Z"}
        ],
    }
    assert lines(marathon_tables.summary_table(entry)) == [
        "RESOURCE     REQUESTED  MATCHED  PERCENTAGE",
        "ROLE         [*]        0 / 0    ---",
        "CONSTRAINTS  []         0 / 0    ---",
        "CPUS         8          1 / 4    25.00%",
        "MEM          64         0 / 0    ---",
        "DISK         0          0 / 0    ---",
        "PORTS        [10000]    0 / 0    ---",
    ]
    assert lines(marathon_tables.details_table(entry)) == [
        "HOSTNAME  ROLE  CONSTRAINTS  CPUS  MEM  DISK  PORTS  RECEIVED",
        "h1         ok        ok       -     ok   ok     ok   2017-07-18T22:00:34.000Z",
    ]
    assert lines(marathon_tables.queue_table([entry]))[1].split()[:4] == ["/a", "2017-07-18T22:00:33.000Z", "2", "True"]


def test_pods_and_their_containers() -> None:
    pod = {
        "id": "/p",
        "spec": {"version": "v", "containers": [{"name": "b"}, {"name": "a"}]},
        "instances": [1, 2],
        "status": "STABLE",
        "statusSince": "now",
    }
    assert lines(marathon_tables.pod_table([pod], [])) == [
        "ID+TASKS  INSTANCES  VERSION  STATUS  STATUS SINCE  WAITING",
        "/p            2      v        STABLE  now           False",
        " |-a",
        " |-b",
    ]


def test_files_as_ls_shows_them() -> None:
    files = [
        {"path": "/s/stdout", "mode": "-rw-r--r--", "nlink": 1, "uid": "root", "gid": "root", "size": 7, "mtime": 0.5},
        {"path": "/s/a/", "mode": "drwxr-xr-x", "nlink": 12, "uid": "nobody", "gid": "root", "size": 4096, "mtime": 0},
    ]
    drawn = lines(tables.file_table(files))
    assert drawn[0].split()[:5] == ["drwxr-xr-x", "12", "nobody", "root", "4096"]
    assert drawn[1].startswith("-rw-r--r--   1    root  root     7  ")
    assert [line.split()[-1] for line in drawn] == ["a", "stdout"]


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("short", 35, "short"),
        ("two  blanks\nand a line", 35, "two blanks and a line"),
        ("word " * 10, 12, "word word..."),
        ("x" * 40, 10, "xxxxxxx..."),
        ("", 5, ""),
    ],
)
def test_cut_after_a_word(text: str, limit: int, shown: str) -> None:
    assert shorten(text, limit) == shown


def test_an_odd_blank_goes_left_of_even_texts_and_right_of_odd_ones() -> None:
    assert table(("AAA", "BB"), [("ab", "x"), ("a", "y")]).splitlines() == ["AAA  BB  ", " ab  x   ", " a   y   "]
