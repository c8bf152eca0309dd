"""Who speaks BGP with whom, and what the daemon is told and tells."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from tortie.dataplane.bgp import Bgp, Session, Speaker, Speakers, address_and_port, number, protocol, seconds
from tortie.dataplane.bgp_status import sessions
from tortie.dataplane.render.bird import Announced, configuration
from tortie.dataplane.routes import PoolWay
from tortie.model.kinds.bgp_configuration import BGPConfigurationSpec, Community, PrefixAdvertisement
from tortie.model.kinds.bgp_filter import BGPFilterSpec, Communities, FilterRule, PrefixLength
from tortie.model.kinds.bgp_peer import BGPPassword, BGPPeerSpec, SecretKey

NODES = {
    "h1": Speaker("10.9.0.1/24", labels={"rack": "a"}),
    "h2": Speaker("10.9.0.2/24", labels={"rack": "a"}),
    "h3": Speaker("10.9.0.3/24", as_number=65003, labels={"rack": "b"}),
}
PASSWORD = BGPPassword(secret_key_ref=SecretKey(name="bgp", key="tor"))


def speakers(node: str = "h1", **nodes: Speaker) -> Speakers:
    made = Speakers(node)
    for name, speaker in {**NODES, **nodes}.items():
        made.set_node(name, speaker)
    return made


def planned(made: Speakers, secrets: dict[tuple[str, str], str] | None = None) -> Bgp:
    found = made.plan(secrets or {})
    assert found is not None
    return found


def by_address(made: Speakers) -> dict[str, Session]:
    return {session.address: session for session in planned(made).sessions}


def text(made: Speakers, announced: Announced | None = None) -> str:
    return configuration(planned(made, {("bgp", "tor"): "s3cret"}), announced or Announced([], []), "/x/log").text


def test_the_mesh_joins_all_nodes_and_exactly_one_of_two_calls() -> None:
    one, two = by_address(speakers("h1")), by_address(speakers("h2"))
    assert [(s.name, s.as_number) for s in one.values()] == [("Mesh_10_9_0_2", 64512), ("Mesh_10_9_0_3", 65003)]
    assert one["10.9.0.2"].passive != two["10.9.0.1"].passive
    assert one["10.9.0.2"].internal
    assert not one["10.9.0.3"].internal


def test_without_an_address_of_its_own_a_node_has_no_bgp() -> None:
    assert Speakers("h1").plan({}) is None
    assert speakers(h1=Speaker()).plan({}) is None


def test_a_mesh_that_is_switched_off_and_reflectors_leave_it() -> None:
    made = speakers(h3=Speaker("10.9.0.3/24", cluster="1.0.0.1"))
    assert list(by_address(made)) == ["10.9.0.2"]
    assert by_address(speakers("h3", h3=Speaker("10.9.0.3/24", cluster="1.0.0.1"))) == {}
    made.set_config("default", BGPConfigurationSpec(node_to_node_mesh_enabled=False))
    assert by_address(made) == {}


def test_a_reflector_has_the_other_nodes_as_clients_from_both_sides() -> None:
    reflector = Speaker("10.9.0.2/24", cluster="1.0.0.1", labels={"reflector": "yes"})
    peering = BGPPeerSpec(node_selector="all()", peer_selector="has(reflector)")
    seen = {}
    for node in ("h1", "h2"):
        made = speakers(node, h2=reflector)
        made.set_config("default", BGPConfigurationSpec(node_to_node_mesh_enabled=False))
        made.set_peer("reflectors", peering)
        seen[node] = by_address(made)
    assert list(seen["h1"]) == ["10.9.0.2"]
    assert seen["h1"]["10.9.0.2"].client_of == ""
    assert seen["h2"]["10.9.0.1"].client_of == "1.0.0.1"
    assert seen["h2"]["10.9.0.3"].client_of == ""  # another AS: nothing to reflect
    assert seen["h1"]["10.9.0.2"].passive != seen["h2"]["10.9.0.1"].passive


SIX = {
    "h1": Speaker("10.9.0.1/24", "fd09::1/64"),
    "h2": Speaker("10.9.0.2/24", "fd09::2/64", cluster="1.0.0.1", labels={"reflector": "yes"}),
    "h3": Speaker("10.9.0.3/24"),
}


def test_each_family_has_sessions_of_its_own_between_those_that_have_both() -> None:
    made = speakers("h1", **SIX | {"h2": Speaker("10.9.0.2/24", "fd09::2/64")})
    assert set(by_address(made)) == {"10.9.0.2", "fd09::2", "10.9.0.3"}
    other = by_address(speakers("h2", **SIX | {"h2": Speaker("10.9.0.2/24", "fd09::2/64")}))
    assert by_address(made)["fd09::2"].source == "fd09::1"
    assert by_address(made)["fd09::2"].passive != other["fd09::1"].passive


def test_a_reflector_and_its_client_find_each_other_by_ipv6_too() -> None:
    seen = {}
    for node in ("h1", "h2"):
        made = speakers(node, **SIX)
        made.set_config("default", BGPConfigurationSpec(node_to_node_mesh_enabled=False))
        made.set_peer("reflectors", BGPPeerSpec(node_selector="all()", peer_selector="has(reflector)"))
        seen[node] = by_address(made)
    assert set(seen["h1"]) == {"10.9.0.2", "fd09::2"}
    assert seen["h2"]["fd09::1"].client_of == "1.0.0.1"
    for mine, theirs in (("10.9.0.2", "10.9.0.1"), ("fd09::2", "fd09::1")):
        assert seen["h1"][mine].passive != seen["h2"][theirs].passive


def test_the_daemon_is_told_of_each_family_what_is_of_it() -> None:
    pools = [PoolWay(ip_network("10.65.0.0/16")), PoolWay(ip_network("fd65::/64"))]
    pools += [PoolWay(ip_network("fd66::/64"), "vxlan", "CrossSubnet")]
    announced = Announced([ip_network("10.65.0.0/26"), ip_network("fd65::40/122"), ip_network("fd65::80/128")], pools)
    found = text(speakers("h1", **SIX), announced)
    four, six = (found[found.index(f"protocol static blocks{version}") :].split("}")[0] for version in (4, 6))
    assert ("route 10.65.0.0/26 blackhole;" in four, "fd65" in four) == (True, False)
    assert ("route fd65::40/122 blackhole;" in six, "fd65::80" in six) == (True, False)
    told = found[found.index("function announce6") :]
    order = [
        "if net = fd65::40/122 then accept;",
        "if net ~ fd65::40/122 then reject;",
        "if net ~ fd65::/64 then accept;",
    ]
    assert [told.index(line) for line in order] == sorted(told.index(line) for line in order)
    assert "if net ~ fd66::/64 then reject;" in found[found.index("filter to_kernel6") :]
    # The agent's own ways win in both families: of IPv6 they have the metric 1024.
    assert "merge paths on; metric 2048;" in found[found.index("protocol kernel kernel6") :]
    assert "metric" not in found[found.index("protocol kernel kernel4") : found.index("protocol static blocks6")]
    assert "protocol bgp Mesh_fd09__2" not in found
    assert "local fd09::1 as 64512;" not in found
    mesh = text(speakers("h1", **SIX | {"h2": Speaker("10.9.0.2/24", "fd09::2/64")}))
    session = mesh[mesh.index("protocol bgp Mesh_fd09__2") :]
    assert session.index("local fd09::1 as 64512;") < session.index("neighbor fd09::2 as 64512;")
    assert "ipv6 {" in session.split("protocol bgp", 2)[1]


def test_a_peer_is_global_for_one_node_or_for_those_chosen() -> None:
    made = speakers()
    made.set_peer("global", BGPPeerSpec(peer_ip="10.9.0.254", as_number="1.10"))
    made.set_peer("mine", BGPPeerSpec(node="h1", peer_ip="10.9.0.253:1790", as_number=65001))
    made.set_peer("others", BGPPeerSpec(node="h2", peer_ip="10.9.0.252", as_number=65001))
    made.set_peer("rack", BGPPeerSpec(node_selector="rack == 'b'", peer_ip="10.9.0.251", as_number=65001))
    names = {s.address: (s.name, s.as_number) for s in planned(made).sessions if not s.name.startswith("Mesh")}
    assert names == {
        "10.9.0.254": ("Global_10_9_0_254", 65546),
        "10.9.0.253": ("Node_10_9_0_253_port_1790", 65001),
    }


def test_a_peer_with_the_address_of_a_node_takes_the_place_of_the_mesh() -> None:
    made = speakers()
    made.set_peer("p", BGPPeerSpec(peer_ip="10.9.0.2", as_number=64512, keepalive_time="20s"))
    session = by_address(made)["10.9.0.2"]
    assert (session.name, session.keepalive_seconds) == ("Global_10_9_0_2", 20)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (BGPPeerSpec(peer_ip="10.9.0.1", as_number=1), "this node's own address"),
        (BGPPeerSpec(peer_ip="fd00::1", as_number=1), "no address of the family"),
        (BGPPeerSpec(peer_ip="fe80::9%eth0", as_number=1), "an address of one link"),
        (BGPPeerSpec(peer_ip="10.9.0.9", as_number=1, reachable_by="fd09::9"), "not of the family"),
        (BGPPeerSpec(peer_ip="10.9.0.9", as_number=1, filters=("gone",)), "no BGPFilter gone"),
        (BGPPeerSpec(peer_ip="10.9.0.9", as_number=1, password=PASSWORD), "no secret bgp, key tor"),
        (BGPPeerSpec(peer_ip="10.9.0.9"), "asNumber is missing"),
        (BGPPeerSpec(peer_ip="10.9.0.9", as_number=1, max_restart_time="soon"), "no duration"),
        (BGPPeerSpec(local_workload_selector="all()", as_number=1), "localWorkloadSelector"),
    ],
)
def test_what_cannot_be_is_left_out_and_told(spec: BGPPeerSpec, said: str) -> None:
    made = speakers()
    made.set_peer("bad", spec)
    found = planned(made)
    assert [said in problem and "BGPPeer bad" in problem for problem in found.problems] == [True]
    assert all(session.name.startswith("Mesh") for session in found.sessions)


@pytest.mark.parametrize("password", ['a"b', "a\nb", "", "x" * 256])
def test_a_password_that_would_leave_its_quotes_is_none(password: str) -> None:
    made = speakers()
    made.set_peer("p", BGPPeerSpec(peer_ip="10.9.0.9", as_number=1, password=PASSWORD))
    found = planned(made, {("bgp", "tor"): password})
    assert "1 to 255 characters" in found.problems[0]
    assert made.secrets() == {("bgp", "tor")}


def test_two_nodes_with_one_address_are_told() -> None:
    found = planned(speakers(twin=Speaker("10.9.0.1/24")))
    assert found.problems == ("node twin has this node's address 10.9.0.1",)


def test_every_change_and_nothing_else_counts_as_a_new_version() -> None:
    made = speakers()
    before = made.version
    made.set_node("h2", NODES["h2"])
    made.set_peer("none", None)
    assert made.version == before
    made.set_node("h2", None)
    assert made.version == before + 1


def test_blocks_are_told_whole_and_borrowed_addresses_alone() -> None:
    pools = [PoolWay(ip_network("10.65.0.0/16")), PoolWay(ip_network("10.66.0.0/16"), "vxlan", "Always")]
    blocks = [ip_network("10.65.0.0/26"), ip_network("10.65.9.9/32")]
    found = text(speakers(), Announced(blocks, pools, [ip_network("10.67.0.0/16")]))
    order = [
        "if net ~ 10.67.0.0/16 then reject;",
        "if net = 10.65.0.0/26 then accept;",
        "if net ~ 10.65.0.0/26 then reject;",
        "if net ~ 10.65.0.0/16 then accept;",
    ]
    assert [found.index(line) for line in order] == sorted(found.index(line) for line in order)
    assert "route 10.65.0.0/26 blackhole;" in found
    # A blackhole of one address would hide the workload that has it.
    assert "10.65.9.9" not in found


def test_what_the_agent_routes_itself_stays_out_of_birds_hands() -> None:
    found = text(speakers(), Announced([], [PoolWay(ip_network("10.66.0.0/16"), "vxlan", "Always")]))
    kernel = found[found.index("filter to_kernel4") :]
    assert kernel.index("if source != RTS_BGP then reject;") < kernel.index("if net ~ 10.66.0.0/16 then reject;")


def test_settings_of_a_session_are_written_out() -> None:
    made = speakers()
    made.set_peer(
        "p",
        BGPPeerSpec(
            peer_ip="10.9.0.254:1790",
            as_number=65001,
            password=PASSWORD,
            max_restart_time="2m",
            keepalive_time="20s",
            ttl_security=2,
            num_allowed_local_as_numbers=3,
            next_hop_mode="Keep",
            reachable_by="10.9.0.253",
        ),
    )
    found = text(made)
    for line in (
        "neighbor 10.9.0.254 port 1790 as 65001;",
        'password "s3cret";',
        "graceful restart time 120;",
        "keepalive time 20;",
        "multihop 2; ttl security on;",
        "allow local as 3;",
        "next hop keep;",
        "route 10.9.0.254/32 via 10.9.0.253;",
    ):
        assert line in found


def test_filters_come_before_our_own_words_and_speak_of_their_sessions() -> None:
    made = speakers()
    rules = (
        FilterRule(
            action="Reject",
            cidr="10.65.0.0/16",
            match_operator="In",
            prefix_length=PrefixLength(min=20),
            peer_type="eBGP",
        ),
        FilterRule(action="Accept", communities=Communities(values=("1:2:3",)), as_path_prefix=(65009,)),
        FilterRule(action="Accept", operations=({"addCommunity": {"value": "65000:1"}},)),
    )
    made.set_filter("my-filter", BGPFilterSpec(export_v4=rules))
    made.set_peer("p", BGPPeerSpec(peer_ip="10.9.0.254", as_number=65001, filters=("my-filter",)))
    found = text(made)
    assert "if (net ~ [ 10.65.0.0/16{20,32} ]) && !same_as then { reject; }" in found
    assert "if ((1, 2, 3) ~ bgp_large_community) && (bgp_path ~ [= 65009 * =]) then { accept; }" in found
    assert "bgp_community.add((65000, 1)); accept;" in found
    assert "export filter { 'bgp_my-filter_exportV4'(false); announce4(false); reject; };" in found


def test_a_filter_of_ipv6_is_asked_by_the_sessions_of_ipv6() -> None:
    made = speakers("h1", **SIX)
    narrow = FilterRule(action="Reject", cidr="fd65::/64", match_operator="In", prefix_length=PrefixLength(min=123))
    made.set_filter("six", BGPFilterSpec(export_v6=(narrow,)))
    for name, address in (("four", "10.9.0.254"), ("six", "fd09::254")):
        made.set_peer(name, BGPPeerSpec(peer_ip=address, as_number=65001, filters=("six",)))
    found = text(made)
    assert "if (net ~ [ fd65::/64{123,128} ]) then { reject; }" in found
    sessions_of = {part.split(" ")[0]: part for part in found.split("protocol bgp ")[1:]}
    assert "'bgp_six_exportV6'(false); announce6(false);" in sessions_of["Global_fd09__254"]
    assert "'bgp_six_exportV4'(false); announce4(false);" in sessions_of["Global_10_9_0_254"]


@pytest.mark.parametrize(
    "rule",
    [
        FilterRule(action="Accept", priority=1),
        FilterRule(action="Accept", operations=({"setPriority": {"value": 1}},)),
        FilterRule(action="Accept", communities=Communities(values=("1:x",))),
        FilterRule(action="Accept", interface='eth0" then accept'),
    ],
)
def test_a_filter_that_bird_cannot_be_told_takes_its_sessions_along_and_no_other(rule: FilterRule) -> None:
    made = speakers()
    made.set_filter("f", BGPFilterSpec(import_v4=(rule,)))
    made.set_peer("p", BGPPeerSpec(peer_ip="10.9.0.254", as_number=65001, filters=("f",)))
    found = configuration(planned(made), Announced([], []), "/x/log")
    assert ["BGPFilter f" in problem for problem in found.problems] == [True]
    assert "bgp_f" not in found.text
    assert "10.9.0.254" not in found.text
    assert "protocol bgp Mesh_10_9_0_2" in found.text


def test_prefixes_are_told_with_their_communities() -> None:
    made = speakers()
    advertised = (PrefixAdvertisement(cidr="10.65.0.0/24", communities=("c", "65000:9")),)
    made.set_config(
        "default",
        BGPConfigurationSpec(communities=(Community(name="c", value="65000:7"),), prefix_advertisements=advertised),
    )
    assert "bgp_community.add((65000, 7)); bgp_community.add((65000, 9));" in text(made)


def test_small_words() -> None:
    assert [number(value) for value in (None, "", 64512, "65000", "1.10")] == [0, 0, 64512, 65000, 65546]
    assert [seconds(value) for value in (None, "90s", "2m", "1h1m1s")] == [0, 90, 120, 3661]
    assert address_and_port("10.0.0.1") == ("10.0.0.1", 179)
    assert address_and_port("[fd00::1]:1790") == ("fd00::1", 1790)
    with pytest.raises(ValueError, match="does not appear"):
        address_and_port("nobody")
    assert protocol("Mesh", "fd00::2") == "Mesh_fd00__2"


def test_the_daemons_table_is_read_back() -> None:
    said = [
        "2002-Name       Proto      Table      State  Since         Info",
        "1002-device1    Device     ---        up     14:57:06      ",
        " Mesh_172_24_197_101 BGP        ---        up     14:57:07      Established   ",
        " Global_fd00__2_port_1790 BGP  ---  start 2026-11-20 Active        Socket: Connection refused",
        " Other_1 BGP --- up 14:57:07 Established",
        "0000 ",
    ]
    found = sessions(said)
    assert [tuple(state) for state in found] == [
        ("172.24.197.101", "node-to-node mesh", "up", "14:57:07", "Established"),
        ("fd00::2", "global", "start", "2026-11-20", "Active Socket: Connection refused"),
    ]
    assert [state.version for state in found] == [4, 6]
