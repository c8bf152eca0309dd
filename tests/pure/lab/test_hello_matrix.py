"""The wanted matrix of the Hello document, row by row of the reference's table; and what nslookup's answers say."""

from __future__ import annotations

import pytest

from tortie.lab.walks.hello import LAUNCH, PROBING, RESTRICTED, STORY, parsed, policy
from tortie.lab.walks.matrix import Party, Probe, Seen, cells, wanted

HTTP, REDIS, SSH, PING = Probe("tcp", 80), Probe("tcp", 6379), Probe("tcp", 22), Probe("icmp")
UDP53, TCP53, MARATHON, UDP80 = Probe("udp", 53), Probe("tcp", 53), Probe("tcp", 8080), Probe("udp", 80)
OPEN, REFUSED, DROPPED = Seen.OPEN, Seen.REFUSED, Seen.DROPPED


def host(name: str, address: str) -> Party:
    return Party(name, "host", name, address)


P, X, M = host("public-1", "172.24.197.201"), host("laptop", "172.24.197.10"), host("master", "172.24.197.101")
H, O = host("agent-1", "172.24.197.102"), host("agent-2", "172.24.197.103")  # noqa: E741  the reference's letters
F = Party("frontend-net-1", "app", "agent-1", "192.168.0.1", "frontend-net", frozenset({HTTP}))
F2 = Party("frontend-net-2", "app", "agent-2", "192.168.1.1", "frontend-net", frozenset({HTTP}))
DB = Party("database-net", "app", "agent-1", "192.168.0.2", "database-net", frozenset({REDIS}))
RESOLVER = Party("its resolver", "host", "agent-1", "198.51.100.1", None, frozenset({UDP53, TCP53}), own=True)


@pytest.mark.parametrize(
    ("source", "destination", "probe", "seen"),
    [
        (P, F, HTTP, OPEN),
        *((P, F, probe, DROPPED) for probe in (REDIS, SSH, UDP80, PING)),
        *((source, F, probe, DROPPED) for source in (O, M, X) for probe in (HTTP, UDP80, PING)),
        (H, F, HTTP, OPEN),
        (H, F, SSH, REFUSED),
        (H, DB, REDIS, OPEN),
        (H, DB, PING, OPEN),
        *((source, DB, REDIS, DROPPED) for source in (P, O, X)),
        (F, DB, REDIS, OPEN),
        (F2, DB, REDIS, OPEN),
        (F, DB, HTTP, DROPPED),
        (F, DB, PING, DROPPED),
        *((F, F2, probe, DROPPED) for probe in (HTTP, PING)),
        *((F, other, probe, DROPPED) for other in (M, O, X, P) for probe in (MARATHON, UDP53, TCP53, PING)),
        (F, H, UDP53, REFUSED),
        (F, H, TCP53, DROPPED),
        (F, H, PING, DROPPED),
        (F, RESOLVER, UDP53, OPEN),
        (F, RESOLVER, TCP53, DROPPED),
        *((DB, other, probe, DROPPED) for other in (F, F2, M, O) for probe in (HTTP, PING)),
        (DB, RESOLVER, UDP53, OPEN),
        (DB, H, UDP53, REFUSED),
        (DB, H, TCP53, DROPPED),
    ],
)
def test_a_row_of_the_table(source: Party, destination: Party, probe: Probe, seen: Seen) -> None:
    assert wanted(RESTRICTED, source, destination, probe) is seen


def test_hosts_do_not_try_each_other_and_each_container_its_own_resolver_only() -> None:
    everybody = [F, F2, DB, P, H]
    listed = cells(RESTRICTED, everybody, [*everybody, RESOLVER], PROBING)
    pairs = {(cell.source.name, cell.destination.name) for cell in listed}
    assert not {(a, b) for a, b in pairs if {a, b} <= {"public-1", "agent-1"}}
    assert {a for a, b in pairs if b == "its resolver"} == {"frontend-net-1", "database-net"}
    assert {cell.probe for cell in listed if cell.destination is H} == set(PROBING.to_hosts)


def test_the_matrix_of_the_document_is_also_found_by_the_step_that_it_stands_behind() -> None:
    assert STORY.aliases["6"] in STORY.stages
    assert STORY.end == "12"
    assert LAUNCH.format("database") == "dcos marathon app add database.json"


def test_the_policy_is_typed_as_the_document_prints_it() -> None:
    assert policy("frontend-net") == [
        "calicoctl profile frontend-net rule remove inbound allow from tag frontend-net",
        "calicoctl profile frontend-net rule add inbound allow tcp from cidr 172.24.197.201/32 to ports 80",
        "calicoctl profile frontend-net rule remove outbound allow",
        "calicoctl profile frontend-net rule add outbound allow tcp to ports 6379 tag database-net",
    ]
    assert [line.partition(" rule ")[2] for line in policy("database-net")] == [
        "remove inbound allow from tag database-net",
        "add inbound allow tcp from tag frontend-net to ports 6379",
        "remove outbound allow",
    ]


@pytest.mark.parametrize(
    ("printed", "addresses"),
    [
        (
            "Server:\t\t198.51.100.1\nAddress:\t198.51.100.1#53\n\nName:\ta.mesos\nAddress: 192.168.0.0\n",
            ["192.168.0.0"],
        ),
        (
            "Server:\t\t198.51.100.1\nAddress:\t198.51.100.1#53\n\nName:\tf.mesos\nAddress: 192.168.0.2\n"
            "Name:\tf.mesos\nAddress: 192.168.0.1\n",
            ["192.168.0.1", "192.168.0.2"],
        ),
        ("Server:\t\t198.51.100.1\nAddress:\t198.51.100.1#53\n\n** server can't find f.mesos: NXDOMAIN\n", []),
        ("", []),
    ],
)
def test_an_answer_as_nslookup_prints_it(printed: str, addresses: list[str]) -> None:
    assert parsed(printed) == addresses
