"""Offers: what fits, why not, and the task that comes of it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.marathon_live import management_ui, probe

from tortie.marathon.api.views import show_offer
from tortie.marathon.deploy.instance import Instance
from tortie.marathon.health import target
from tortie.marathon.model.app import App, PortDefinition
from tortie.marathon.model.place import Place
from tortie.marathon.model.read import create, given_fields
from tortie.marathon.model.tree import Tree, tree_problems
from tortie.marathon.offers.constraints import allowed, attribute_text
from tortie.marathon.offers.match import Left, Match, match
from tortie.marathon.offers.task import environment, health_port, task_info
from tortie.wire import mesos


def resource(name: str, value: float, role: str = "*") -> dict[str, Any]:
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}, "role": role}


def ports(*ranges: tuple[int, int], role: str = "*") -> dict[str, Any]:
    pieces = [{"begin": begin, "end": end} for begin, end in ranges]
    return {"name": "ports", "type": "RANGES", "ranges": {"range": pieces}, "role": role}


def offer(*resources: dict[str, Any], host: str = "h1", **attributes: str) -> mesos.Offer:
    ids = {"id": {"value": "O"}, "framework_id": {"value": "F"}, "agent_id": {"value": "A"}}
    found = [{"name": k, "type": "TEXT", "text": {"value": v}} for k, v in attributes.items()]
    return mesos.convert(ids | {"hostname": host, "resources": list(resources), "attributes": found}, mesos.Offer)


def fit(app: App, on: mesos.Offer, roles: frozenset[str] = frozenset({"*"}), others: tuple[Instance, ...] = ()) -> Any:
    return match(app, Left.of(on), others, roles, random.Random(1))


def instance(host: str, **attributes: str) -> Instance:
    return Instance(id=f"a.{host}", app="/a", version="v", agent="A", host=host, attributes=attributes)


def read(body: dict[str, Any], app_id: str = "/a") -> App:
    return create(app_id, given_fields(body, Place(), app_id))


PLAIN = App(id="/a", cmd="x", cpus=1, mem=10)


def test_every_reason_is_named_in_the_order_of_the_funnel() -> None:
    app = App(
        id="/a",
        cmd="x",
        cpus=9,
        mem=10,
        disk=1,
        constraints=(("hostname", "LIKE", "z"),),
        port_definitions=(PortDefinition(),),
    )
    assert fit(app, offer(resource("cpus", 1), resource("mem", 5))) == (
        "UnfulfilledConstraint",
        "InsufficientCpus",
        "InsufficientMemory",
        "InsufficientDisk",
        "InsufficientPorts",
    )
    assert "UnfulfilledRole" in fit(PLAIN, offer(resource("cpus", 9, "r"), resource("mem", 99, "r")))


def test_an_amount_may_come_from_several_roles() -> None:
    on = offer(resource("cpus", 0.6, "r"), resource("cpus", 0.6), resource("mem", 99))
    found = fit(PLAIN, on, frozenset({"*", "r"}))
    assert isinstance(found, Match)
    parts = [(r.role, round(r.scalar.value, 3)) for r in found.resources if r.name == "cpus" and r.scalar]
    assert parts == [("r", 0.6), ("*", 0.4)]


def test_reserved_and_revocable_parts_are_left_alone() -> None:
    reserved = resource("cpus", 4) | {"reservation": {"principal": "p"}}
    revocable = resource("cpus", 4) | {"revocable": {}}
    assert "InsufficientCpus" in fit(PLAIN, offer(reserved, revocable, resource("mem", 99)))


def test_required_ports_are_exactly_those() -> None:
    app = App(
        id="/a",
        cmd="x",
        cpus=0,
        mem=1,
        require_ports=True,
        port_definitions=(PortDefinition(port=31005), PortDefinition(port=0)),
    )
    found = fit(app, offer(resource("mem", 9), ports((31000, 31010))))
    assert isinstance(found, Match)
    assert found.ports[0] == 31005
    assert found.ports[1] != 31005
    assert fit(app, offer(resource("mem", 9), ports((32000, 32010)))) == ("InsufficientPorts",)


@given(
    st.lists(st.tuples(st.integers(31000, 31020), st.integers(0, 5)), min_size=1, max_size=4),
    st.integers(0, 8),
    st.integers(1, 4),
)
def test_tasks_on_one_offer_never_share_a_port(pieces: list[tuple[int, int]], count: int, tasks: int) -> None:
    free: set[int] = set()
    ranges = []
    for begin, length in pieces:
        piece = set(range(begin, begin + length + 1))
        if not piece & free:
            ranges.append((begin, begin + length))
            free |= piece
    app = App(id="/a", cmd="x", cpus=0, mem=1, port_definitions=tuple(PortDefinition() for _ in range(count)))
    left = Left.of(offer(resource("mem", 100), ports(*ranges)))
    used: list[int] = []
    for _ in range(tasks):
        found = match(app, left, (), frozenset({"*"}), random.Random(2))
        if isinstance(found, Match):
            left.take(found)
            used += found.ports
        else:
            assert len(free) - len(used) < count
    assert len(set(used)) == len(used)
    assert set(used) <= free


@pytest.mark.parametrize(
    ("constraint", "others", "holds"),
    [
        (("hostname", "UNIQUE"), ("h1",), False),
        (("hostname", "UNIQUE"), ("h2",), True),
        (("hostname", "CLUSTER", "h1"), (), True),
        (("hostname", "CLUSTER", "h2"), (), False),
        (("hostname", "CLUSTER"), ("h2",), False),
        (("hostname", "CLUSTER"), ("h1",), True),
        (("hostname", "LIKE", "h[12]"), (), True),
        (("hostname", "LIKE", "h"), (), False),
        (("hostname", "UNLIKE", "h1"), (), False),
        (("hostname", "MAX_PER", "2"), ("h1",), True),
        (("hostname", "MAX_PER", "2"), ("h1", "h1"), False),
        (("hostname", "GROUP_BY"), ("h2",), True),
        (("hostname", "GROUP_BY"), ("h1", "h2", "h2"), True),
        (("hostname", "GROUP_BY"), ("h1", "h1", "h2"), False),
        (("hostname", "GROUP_BY", "3"), ("h1", "h2"), False),
        (("rack", "UNIQUE"), (), False),
        (("rack", "UNLIKE", "r1"), (), True),
        (("zone", "LIKE", "z1"), (), True),
        (("zone", "IS", "z1"), (), True),
        (("zone", "IS", "z"), (), False),
        (("rack", "IS", "z1"), (), False),
        (("@hostname", "IS", "h1"), (), True),
        (("@hostname", "UNIQUE"), ("h1",), False),
        (("zone", "GROUP_BY", "2"), ("h2",), True),
        (("rack", "GROUP_BY"), (), False),
        (("rack", "MAX_PER", "1"), (), False),
        (("rack", "CLUSTER"), (), False),
        (("rack", "LIKE", ".*"), (), False),
    ],
)
def test_constraints(constraint: tuple[str, ...], others: tuple[str, ...], holds: bool) -> None:
    assert allowed((constraint,), "h1", {"zone": "z1"}, [instance(host) for host in others]) == holds


@pytest.mark.parametrize(
    ("attribute", "text"),
    [
        ({"type": "TEXT", "text": {"value": "a b"}}, "a b"),
        ({"type": "SCALAR", "scalar": {"value": 3.0}}, "3"),
        ({"type": "SCALAR", "scalar": {"value": 1234567.5}}, "1234567.5"),
        ({"type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 2}, {"begin": 5, "end": 6}]}}, "[1-2,5-6]"),
        ({"type": "SET", "set": {"item": ["a", "b"]}}, "{a,b}"),
    ],
)
def test_attributes_are_compared_as_text(attribute: dict[str, Any], text: str) -> None:
    found = attribute_text(mesos.convert(attribute | {"name": "x"}, mesos.Attribute))
    assert found == text
    shown = show_offer(mesos.convert(msg_of(attribute), mesos.Offer))["attributes"]
    assert shown == [{"name": "x"} | attribute_shown(attribute)]
    assert allowed((("x", "IS", text),), "h1", {"x": found}, ())
    assert allowed((("x", "IS", f"{text}.0"),), "h1", {"x": found}, ()) == (text == "3")


def msg_of(attribute: dict[str, Any]) -> dict[str, Any]:
    ids = {"id": {"value": "O"}, "framework_id": {"value": "F"}, "agent_id": {"value": "A"}, "hostname": "h"}
    return ids | {"attributes": [attribute | {"name": "x"}]}


def attribute_shown(attribute: dict[str, Any]) -> dict[str, Any]:
    """As the queue shows it: the value without the message around it."""
    ((kind, value),) = ((k, v) for k, v in attribute.items() if k != "type")
    return {kind: next(iter(value.values()))}


def test_what_is_reserved_for_a_role_is_used_by_who_accepts_it() -> None:
    public = offer(resource("cpus", 4, "slave_public"), resource("mem", 99, "slave_public"))
    public.resources += offer(ports((31000, 31000), role="slave_public")).resources
    app = App(id="/a", cmd="x", cpus=1, mem=1, port_definitions=(PortDefinition(),))
    assert "UnfulfilledRole" in fit(app, public)
    found = fit(app, public, frozenset({"slave_public"}))
    assert isinstance(found, Match)
    assert {(r.name, r.role) for r in found.resources} == {(n, "slave_public") for n in ("cpus", "mem", "ports")}


def test_the_environment_of_a_task() -> None:
    app = read(
        {"cmd": "x", "ports": [8080, 0], "requirePorts": False, "labels": {"foo-bar": "1"}, "env": {"PORT": "mine"}}
    )
    env = environment(app, "a.1", "h1", (31001, 31002))
    assert (env["PORT"], env["PORT0"], env["PORT1"], env["PORTS"]) == ("mine", "31001", "31002", "31001,31002")
    assert (env["MARATHON_APP_LABELS"], env["MARATHON_APP_LABEL_FOO_BAR"]) == ("FOO_BAR", "1")
    assert (env["HOST"], env["MESOS_TASK_ID"], env["MARATHON_APP_RESOURCE_MEM"]) == ("h1", "a.1", "128.0")
    alone = environment(read({"cmd": "x", "ipAddress": {}}), "a.1", "h1", ())
    assert not [key for key in alone if key.startswith("PORT")]


def task_of(body: dict[str, Any], app_id: str = "/a") -> mesos.TaskInfo:
    on = offer(resource("cpus", 9), resource("mem", 999), ports((31000, 31000), (31002, 31002)))
    app = read(body, app_id)
    found = fit(app, on)
    assert isinstance(found, Match)
    return task_info(app, "a.1", on, found)


def test_a_net_parameter_is_the_network_whatever_network_says() -> None:
    ui = task_of(management_ui(), "/calico-stars/management-ui")
    assert ui.container is not None
    assert ui.container.docker is not None
    assert ui.container.docker.network is None
    assert [(p.key, p.value) for p in ui.container.docker.parameters] == [
        ("net", "management-ui"),
        ("ip", "192.168.255.254"),
        ("label", "MESOS_TASK_ID=a.1"),
    ]
    assert ui.discovery is not None
    assert ui.discovery.ports is not None
    assert [(p.number, p.name) for p in ui.discovery.ports.ports] == [(9001, "http")]
    assert [r.name for r in ui.resources] == ["cpus", "mem"]
    client = task_of(probe("client"), "/calico-stars/client")
    assert client.name == "client.calico-stars"
    assert [r.name for r in client.resources] == ["cpus", "mem", "ports"]


def test_bridge_mappings_become_host_ports() -> None:
    docker = {"image": "i", "network": "BRIDGE", "portMappings": [{"containerPort": 80, "protocol": "udp,tcp"}]}
    task = task_of({"container": {"type": "DOCKER", "docker": docker}})
    assert task.container is not None
    assert task.container.docker is not None
    mapped = [(m.container_port, m.protocol) for m in task.container.docker.port_mappings]
    assert mapped == [(80, "udp"), (80, "tcp")]
    assert task.command is not None
    assert (task.command.shell, task.command.value) == (False, None)


BRIDGE = {"image": "i", "network": "BRIDGE", "portMappings": [{"containerPort": 80}]}
USER = {"image": "i", "network": "USER", "portMappings": [{"containerPort": 80, "hostPort": 0}]}
NET = BRIDGE | {"parameters": [{"key": "net", "value": "frontend"}]}
OWN = {"ipAddress": {"discovery": {"ports": [{"number": 9000, "name": "http", "protocol": "tcp"}]}}}


def on_docker(engine: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"container": {"type": "DOCKER", "docker": engine}, **fields}


@pytest.mark.parametrize(
    ("body", "host", "outside", "inside"),
    [
        ({"cmd": "x"}, "h", 31000, 31000),
        (on_docker({"image": "i"}), "h", 31000, 31000),
        (on_docker(BRIDGE), "h", 31000, 80),
        (on_docker(NET), "10.0.0.9", 80, 80),
        (on_docker(USER, ipAddress={"networkName": "calico"}), "10.0.0.9", 80, 80),
        (on_docker({"image": "i"}, **OWN), "10.0.0.9", 9000, 9000),
        ({"cmd": "x", **OWN}, "10.0.0.9", 9000, 9000),
    ],
)
def test_who_is_asked_for_its_health_and_where(body: dict[str, Any], host: str, outside: int, inside: int) -> None:
    """Marathon asks from its own host, the agent from inside the container's network."""
    for protocol, port in (("HTTP", outside), ("TCP", outside), ("MESOS_HTTP", inside), ("MESOS_TCP", inside)):
        app = read(body | {"healthChecks": [{"protocol": protocol, "portIndex": 0}]}, "/a")
        assert list(tree_problems(Tree().put(app), {"/a": ""})) == []
        task = Instance(id="a.1", app="/a", version="", agent="A", host="h", ports=(31000,), addresses=("10.0.0.9",))
        check = app.health_checks[0]
        assert health_port(app, check, task.ports) == port
        if not check.by_mesos:
            assert target(app, task, health_port(app, check, task.ports)) == (host, port)


def test_a_mapping_that_a_net_parameter_voids_is_announced_with_the_containers_port() -> None:
    for engine, port, scope in ((BRIDGE, 31000, "host"), (NET, 80, "container")):
        task = task_of(on_docker(engine | {"portMappings": [{"containerPort": 80, "name": "web"}]}))
        (found,) = msg(task)["discovery"]["ports"]["ports"]
        assert found["number"] in (port, port + 2) if scope == "host" else found["number"] == port
        assert found["labels"]["labels"] == [{"key": "network-scope", "value": scope}]
        variables = {v["name"]: v["value"] for v in msg(task)["command"]["environment"]["variables"]}
        assert variables["PORT0"] == variables["PORT_80"] == str(found["number"])


def test_an_address_without_a_container_is_a_mesos_container() -> None:
    task = task_of({"cmd": "x", "ipAddress": {"labels": {"app": "a"}, "networkName": "calico"}})
    assert msg(task)["container"] == {
        "type": "MESOS",
        "network_infos": [
            {"ip_addresses": [{}], "name": "calico", "labels": {"labels": [{"key": "app", "value": "a"}]}}
        ],
    }
    image = task_of({"container": {"type": "MESOS", "docker": {"image": "nginx:alpine"}}})
    assert msg(image)["container"]["mesos"]["image"]["docker"]["name"] == "nginx:alpine"


def msg(task: mesos.TaskInfo) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.json.decode(mesos.encode(task))
    return found
