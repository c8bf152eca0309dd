"""Flow records of a real agent, from real packets: who decided, by which rule, and what it costs to be flooded."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.kernel.netlab import Container, Host, Lab, inside, until
from tests.kernel.test_node_kernel import in_thread
from tests.support.waiting import PATIENCE

from tortie.cli.calicoctl import unix_http
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.staged_global_network_policy import (
    STAGED_GLOBAL_NETWORK_POLICY,
    StagedGlobalNetworkPolicySpec,
)
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, Rule

pytestmark = pytest.mark.root

ALLOW = Rule(action="Allow")
PAGE = b"x" * 5000
Flow = dict[str, Any]


class Net:
    """One host: `client`, `server` with policies, `open` with a profile only, `bare` with a profile that allows
    nothing in."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.host: Host = lab.host("one", "10.90.0.1")
        lab.profile("all", ALLOW)
        lab.profile("shut")
        self.client = self.host.container("client", "10.91.0.1", "all")
        self.server = self.host.container("server", "10.91.0.2", "server")
        self.open = self.host.container("open", "10.91.0.3", "all")
        self.bare = self.host.container("bare", "10.91.0.4", "shut")

    def flows(self, **parameters: str) -> list[Flow]:
        answer = self.host.ask(f"/flows?{urlencode(parameters)}")
        found: list[Flow] = json.loads(answer or "{}").get("items", [])
        return found

    def flow(self, **wanted: Any) -> Flow:
        """The flow with these fields, as soon as it is there; of several intervals the latest."""

        def found() -> list[Flow]:
            return [flow for flow in self.flows() if all(flow[name] == value for name, value in wanted.items())]

        listed: list[Flow] = until(found, message=lambda: f"{wanted} in {self.flows()}; {self.host.story()}")
        return max(listed, key=lambda flow: flow["end_time"])


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    lab = Lab(Path(tmp_path_factory.mktemp("flows")))
    try:
        flow_logs(lab, "Enabled")
        lab.profile("server", ALLOW)
        found = Net(lab)
        policies(lab)
        for told in ('DPI1|GlobalNetworkPolicy/guard"', 'DSI0|StagedGlobalNetworkPolicy/next"'):
            until(partial(tells, found.host, told), message=found.host.story)
        yield found
    finally:
        lab.close()


def flow_logs(lab: Lab, value: Any) -> None:
    spec = FelixConfigurationSpec(flow_logs=value)
    lab.client.apply(Resource(kind=FELIX_CONFIGURATION, metadata=Metadata(name="node.one"), spec=spec))


def policies(lab: Lab) -> None:
    """About `server`: tcp 8000 by rule 2, 8001 refused by rule 1, 8002 passed on to its profile, udp 8100 by rule 4,
    else the end."""

    def tcp(action: Any, port: int) -> Rule:
        return Rule(action=action, protocol="TCP", destination=EntityRule(ports=(port,)))

    udp = Rule(action="Allow", protocol="UDP", destination=EntityRule(ports=(8100,)))
    spec = GlobalNetworkPolicySpec(
        selector="has(server)",
        types=("Ingress",),
        ingress=(tcp("Deny", 1), tcp("Deny", 8001), tcp("Allow", 8000), tcp("Pass", 8002), udp),
    )
    lab.client.apply(Resource(kind=GLOBAL_NETWORK_POLICY, metadata=Metadata(name="guard"), spec=spec))
    staged = StagedGlobalNetworkPolicySpec(
        selector="has(server)", types=("Ingress",), order=1, ingress=(tcp("Deny", 8000),)
    )
    lab.client.apply(Resource(kind=STAGED_GLOBAL_NETWORK_POLICY, metadata=Metadata(name="next"), spec=staged))


def tells(host: Host, text: str) -> bool:
    return text in table(host)


def table(host: Host) -> str:
    return inside(host.netns, "nft", "list", "table", "inet", "tortie", check=False)


def speak(source: Container, destination: Container, port: int) -> None:
    """One conversation over TCP that carries PAGE back, to its end."""
    listeners: list[socket.socket] = []

    def listen() -> None:
        listeners.append(socket.create_server(("0.0.0.0", port)))

    in_thread(destination.netns, listen).join()

    def serve() -> None:
        with listeners[0] as listener:
            peer, _ = listener.accept()
            with peer:
                peer.sendall(PAGE)

    def ask() -> None:
        with socket.create_connection((destination.address, port), PATIENCE) as sock:
            while sock.recv(1 << 16):
                pass

    serving = in_thread(destination.netns, serve)
    in_thread(source.netns, ask).join()
    serving.join()


def knock(source: Container, address: str, port: int, times: int = 1, spoofed: str = "") -> None:
    """Datagrams to nobody; with a source of its own making if told so."""

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            if spoofed:
                sock.setsockopt(socket.SOL_IP, 19, 1)  # IP_TRANSPARENT
                sock.bind((spoofed, 0))
            for _ in range(times):
                sock.sendto(b"x", (address, port))

    in_thread(source.netns, send).join()


def syn(source: Container, destination: Container, port: int) -> None:
    """Begin to connect and let it be."""

    def send() -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex((destination.address, port))

    in_thread(source.netns, send).join()


def decided(flow: Flow) -> tuple[str, str, str, int]:
    """Kind, tier, name and rule of what decided."""
    hit = flow["policies"]["enforced"][-1]
    return hit["kind"], hit["tier"], hit["name"], hit["rule_index"]


def test_allowed_on_both_sides_with_what_went_over(net: Net) -> None:
    speak(net.client, net.server, 8000)
    wanted = {"source_name": "one-libnetwork-libnetwork-client", "dest_name": "one-libnetwork-libnetwork-server"}
    for reporter, by in (
        ("Src", ("Profile", "__PROFILE__", "all", 0)),
        ("Dst", ("GlobalNetworkPolicy", "default", "guard", 2)),
    ):
        flow = net.flow(**wanted, dest_port=8000, reporter=reporter)
        assert (flow["action"], flow["protocol"], flow["num_connections_started"]) == ("Allow", "tcp", 1)
        assert decided(flow) == by
        assert flow["dest_namespace"] == "libnetwork"
    staged = net.flow(dest_port=8000, reporter="Dst")["policies"]["pending"]
    assert [(hit["kind"], hit["name"], hit["action"]) for hit in staged] == [
        ("StagedGlobalNetworkPolicy", "next", "Deny")
    ]
    for reporter, way in (("Src", "bytes_in"), ("Dst", "bytes_out")):
        until(lambda r=reporter, w=way: net.flow(dest_port=8000, reporter=r)[w] > len(PAGE), message=net.flows)  # type: ignore[misc]


def test_denied_by_a_rule_of_a_policy(net: Net) -> None:
    syn(net.client, net.server, 8001)
    flow = net.flow(dest_port=8001, reporter="Dst")
    assert (flow["action"], decided(flow)) == ("Deny", ("GlobalNetworkPolicy", "default", "guard", 1))
    assert net.flow(dest_port=8001, reporter="Src")["action"] == "Allow"
    # The question of `tortie flows --denied` leaves the other side out.
    asked = json.dumps({"actions": ["Deny"], "dest_ports": [{"value": 8001}]})
    assert [flow["reporter"] for flow in net.flows(filters=asked)] == ["Dst"]


def test_passed_on_to_a_profile(net: Net) -> None:
    speak(net.client, net.server, 8002)
    flow = net.flow(dest_port=8002, reporter="Dst")
    hits = [(hit["kind"], hit["name"], hit["action"], hit["rule_index"]) for hit in flow["policies"]["enforced"]]
    assert hits == [("GlobalNetworkPolicy", "guard", "Pass", 3), ("Profile", "server", "Allow", 0)]


def test_denied_at_the_end_of_a_tier_and_of_the_profiles(net: Net) -> None:
    knock(net.client, net.server.address, 9100)
    flow = net.flow(dest_port=9100, reporter="Dst")
    assert decided(flow) == ("EndOfTier", "default", "", -1)
    assert flow["policies"]["enforced"][-1]["trigger"]["name"] == "guard"
    knock(net.client, net.bare.address, 9101)
    assert decided(net.flow(dest_port=9101, reporter="Dst")) == ("Profile", "__PROFILE__", "shut", -1)


def test_a_stream_that_nobody_answers_is_told_once_and_counted_whole(net: Net) -> None:
    def packets(line: str) -> int:
        (found,) = re.findall(rf"^\s*{line} counter packets (\d+)", table(net.host), re.MULTILINE)
        return int(found)

    knock(net.client, net.server.address, 8100, times=200)
    until(lambda: packets("ct status confirmed udp dport 8100") + packets("udp dport 8100") == 200)
    # Those of the first instant may be on their way at the same time.
    assert 0 < packets("udp dport 8100") < 50
    until(lambda: net.flow(dest_port=8100, reporter="Dst")["packets_in"] == 200, message=net.flows)
    flow = net.flow(dest_port=8100, reporter="Dst")
    assert (flow["num_connections_started"], decided(flow)) == (1, ("GlobalNetworkPolicy", "default", "guard", 4))


def test_a_source_that_is_not_its_own(net: Net) -> None:
    knock(net.client, net.open.address, 9200, spoofed="10.91.0.77")
    flow = net.flow(dest_port=9200)
    assert (flow["action"], flow["reporter"], decided(flow)) == ("Deny", "Src", ("Fixed", "", "spoofed source", -1))
    assert (flow["source_type"], flow["source_name"]) == ("Network", "pvt")


def test_a_flood_is_told_in_part_and_costs_no_memory(net: Net) -> None:
    knock(net.client, net.bare.address, 9300, times=20_000)
    assert 0 < net.flow(dest_port=9300, reporter="Dst")["packets_in"] < 20_000

    def overflown() -> Any:
        # How many of a scan are told depends on what was told just before.
        scan(net.client, net.open.address, range(20_000, 25_000))
        return net.host.status()["flows"]["overflown"]

    until(overflown, message=net.host.story)
    # The ports that were not told apart are one flow, and the next conversation of somebody else has its own.
    assert net.flow(dest_port=0, dest_name="one-libnetwork-libnetwork-open", reporter="Src", protocol="udp")

    def told() -> list[Flow]:
        # So soon after a flood a single packet may be one of those that are not read.
        knock(net.server, net.bare.address, 9301)
        return [flow for flow in net.flows() if (flow["dest_port"], flow["reporter"]) == (9301, "Dst")]

    assert until(told, message=net.host.story)[0]["action"] == "Deny"


def scan(source: Container, address: str, ports: Sequence[int]) -> None:
    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for port in ports:
                sock.sendto(b"x", (address, port))

    in_thread(source.netns, send).join()


def test_none_are_kept_where_they_are_disabled(net: Net) -> None:
    assert "group 80" in table(net.host)
    flow_logs(net.lab, None)
    until(lambda: "group 80" not in table(net.host), message=lambda: table(net.host))
    until(lambda: net.host.status()["flows"]["reason"].startswith("flowLogs is Disabled"), message=net.host.story)
    speak(net.client, net.server, 8000)
    flow_logs(net.lab, "Enabled")
    until(lambda: "group 80" in table(net.host), message=lambda: table(net.host))
    until(lambda: net.host.status()["flows"]["reason"] == "", message=net.host.story)
    knock(net.client, net.bare.address, 9400)
    assert net.flow(dest_port=9400, reporter="Dst")["action"] == "Deny"


def test_the_stream_tells_what_comes(net: Net) -> None:
    seen: list[Flow] = []

    def read() -> None:
        for data in unix_http.events(str(net.host.socket), "/flows?watch=true"):
            seen.append(json.loads(data))
            if seen[-1]["dest_port"] == 9500:
                return

    reading = threading.Thread(target=read, daemon=True)
    reading.start()

    def told() -> bool:
        knock(net.client, net.bare.address, 9500)
        return not reading.is_alive()

    until(told, message=lambda: f"{seen}; {net.host.story()}")
    assert seen[-1]["source_name"] == "one-libnetwork-libnetwork-client"


def test_what_rules_have_counted(net: Net) -> None:
    def counted(query: str) -> dict[int, int]:
        items = json.loads(net.host.ask(f"/counters?{query}") or "{}")["items"]
        assert {item["direction"] for item in items if item["packets"]} <= {"ingress", "egress"}
        return {item["rule"]: item["packets"] for item in items if item["direction"] == "ingress"}

    before = counted("policy=GlobalNetworkPolicy/guard")
    assert sorted(before) == [0, 1, 2, 3, 4]
    speak(net.client, net.server, 8000)
    after = counted("policy=GlobalNetworkPolicy/guard&profile=all")
    assert after[2] > before[2]
    assert counted("policy=GlobalNetworkPolicy/none") == {}
    for query in ("", "?colour=red", "?policy="):
        assert "needed" in json.loads(net.host.ask(f"/counters{query}") or "{}")["reasons"][0]


def test_questions_that_cannot_be_answered(net: Net) -> None:
    for query, said in (
        ("startTimeGte=x", "seconds"),
        ("sortBy=Size", "SourceName"),
        ("filters=%7B%22a%22:1%7D", "unknown field"),
        ("watch=maybe", "true or false"),
        ("colour=red", "unknown parameter"),
    ):
        (reason,) = json.loads(net.host.ask(f"/flows?{query}") or "{}")["reasons"]
        assert said in reason
    assert "SourceName" in (net.host.ask("/flows-filter-hints?type=Nose") or "")
    names = json.loads(net.host.ask("/flows-filter-hints?type=DestName") or "{}")["items"]
    assert {"value": "one-libnetwork-libnetwork-bare"} in names
