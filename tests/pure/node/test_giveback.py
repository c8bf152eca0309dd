"""What a host gets back, and what stays because somebody else has changed or needs it."""

from __future__ import annotations

import pytest

from tortie.node.giveback import (
    FORWARD,
    FORWARD6,
    REDIRECTS,
    Back,
    File,
    Record,
    Setting,
    asked_for,
    back,
    dotted,
    fate,
    sides,
)

ACCT = "net/netfilter/nf_conntrack_acct"
ETH0, ETH1 = "net/ipv4/conf/eth0/forwarding", "net/ipv4/conf/eth1/forwarding"
FORWARDING = Setting("0", "1", {ETH0: ("0", "1"), ETH1: ("1", "1"), REDIRECTS: ("0", "0")})


def given(setting: Setting, now: dict[str, str], *interfaces: str, name: str = FORWARD, file: str = "") -> Back:
    configured = {name: file} if file else {}
    return back(name, setting, now, ("all", "default", "eth0", "eth1", *interfaces), configured)


def test_what_the_kernel_changes_beside_is_part_of_it() -> None:
    assert sides(FORWARD, "1", ["all", "default", "eth0"]) == {
        "net/ipv4/conf/default/forwarding": "1",
        ETH0: "1",
        REDIRECTS: "0",
    }
    assert sides(FORWARD, "0", [])[REDIRECTS] == "1"
    assert sides(FORWARD6, "1", ["all", "eth0"]) == {"net/ipv6/conf/eth0/forwarding": "1"}
    assert sides(ACCT, "1", ["eth0"]) == {}


def test_a_setting_is_given_back_with_what_hangs_on_it() -> None:
    """Also what the kernel would only change on the way back: eth1 forwarded before, and nothing was redirected."""
    now = {FORWARD: "1", ETH0: "1", ETH1: "1", REDIRECTS: "0"}
    assert given(FORWARDING, now).writes == {FORWARD: "0", ETH0: "0", ETH1: "1", REDIRECTS: "0"}


def test_what_somebody_changed_beside_it_stays_as_he_made_it() -> None:
    now = {FORWARD: "1", ETH0: "1", ETH1: "0", REDIRECTS: "1"}
    assert given(FORWARDING, now).writes == {FORWARD: "0", ETH0: "0", ETH1: "0", REDIRECTS: "1"}


def test_an_interface_that_is_gone_needs_nothing() -> None:
    assert given(FORWARDING, {FORWARD: "1", ETH0: "1"}).writes == {FORWARD: "0", ETH0: "0"}
    assert given(Setting("1", "2"), {}, name="net/ipv6/conf/eth9/accept_ra") == Back()


def test_cut_short_it_goes_on_where_nobody_could_tell_any_more() -> None:
    half = Setting("0", "1", FORWARDING.sides, giving={ETH0: "0", ETH1: "1"})
    for value in ("0", "1"):
        assert given(half, {FORWARD: value, ETH0: "0", ETH1: "0"}).writes == {FORWARD: "0", ETH0: "0", ETH1: "1"}
    assert given(half, {FORWARD: "0", ETH1: "0"}).writes == {FORWARD: "0", ETH1: "1"}


def test_who_has_it_as_before_already_needs_nothing() -> None:
    assert given(FORWARDING, {FORWARD: "0", ETH0: "0"}) == Back()


def test_what_somebody_changed_is_left_and_said() -> None:
    found = given(Setting("1", "2"), {ACCT: "0"}, name=ACCT)
    assert (found.writes, found.left) == ({}, "somebody has changed it: it was 1, the node had made it 2")


def test_what_the_host_asks_for_itself_is_left() -> None:
    assert given(FORWARDING, {FORWARD: "1"}, file="/etc/sysctl.d/9.conf").left == "/etc/sysctl.d/9.conf asks for it"


@pytest.mark.parametrize("bridge", ["docker0", "br-0123456789ab", "podman0", "cni-podman0", "cni0", "virbr0", "lxdbr0"])
def test_it_goes_on_forwarding_for_guests_that_came_later(bridge: str) -> None:
    left = given(FORWARDING, {FORWARD: "1"}, bridge).left
    assert left == f"{bridge} is here, whose guests need it; when it goes: sysctl -w net.ipv4.ip_forward=0"
    before = Setting("0", "1", {f"net/ipv4/conf/{bridge}/forwarding": ("0", "1")})
    assert given(before, {FORWARD: "1"}, bridge).writes == {FORWARD: "0"}
    assert given(Setting("0", "1"), {ACCT: "1"}, bridge, name=ACCT).writes == {ACCT: "0"}


@pytest.mark.parametrize("other", ["eth2", "br0", "br-lan", "vxlan.calico", "cali0123", "bond0"])
def test_nobody_else_keeps_it_forwarding(other: str) -> None:
    assert given(FORWARDING, {FORWARD: "1"}, other).left == ""


def test_files_become_what_they_were_or_stay_with_who_changed_them() -> None:
    assert fate(File("", "a"), "a", None) == "remove"
    assert fate(File("kept", "a"), "a", "b") == "restore"
    assert fate(File("kept", "a"), None, "b") == "restore"
    assert fate(File("", "a"), None, None) == "gone"
    assert fate(File("kept", "a"), "b", "b") == "gone"
    assert fate(File("kept"), "b", "b") == "gone"
    assert fate(File("kept", "a"), "c", "b") == "leave"
    assert fate(File(""), "b", None) == "leave"


def test_the_last_file_that_names_a_setting_counts() -> None:
    settings = {FORWARD: Setting("0", "1"), ACCT: Setting("0", "1")}
    texts = {
        "a": "# net.ipv4.ip_forward=0\nnet.ipv4.ip_forward = 1\n-net/netfilter/nf_conntrack_acct=1\n",
        "b": "net.ipv4.conf.all.forwarding=1\n; x\nnothing\n",
        "c": "net.netfilter.nf_conntrack_acct = 0\n",
    }
    assert asked_for(texts, settings) == {FORWARD: "b"}
    assert asked_for({}, settings) == {}


def test_settings_and_links_belong_to_a_boot_and_a_namespace() -> None:
    record = Record("boot 1", {ACCT: Setting("0", "1")}, ("tunl0",), ("/opt/cni",))
    assert record.at("boot 1") is record
    assert record.at("boot 2") == Record("boot 2", {}, (), ("/opt/cni",))


def test_names_as_people_write_them() -> None:
    assert dotted(FORWARD) == "net.ipv4.ip_forward"
    assert dotted("net/ipv6/conf/eth0.7/accept_ra") == "net.ipv6.conf.eth0/7.accept_ra"
