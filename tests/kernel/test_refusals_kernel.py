"""What becomes of a packet that policy refuses: silence, or an answer; and what the kernel's log says of others."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kernel.netlab import Container, Host, Lab, inside, own_tag, until
from tests.kernel.test_node_kernel import in_thread
from tests.support.waiting import PATIENCE

from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT, HostEndpointSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, Rule

pytestmark = pytest.mark.root

OUTSIDE = "10.9.0.9"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def configure(lab: Lab, **fields: Any) -> None:
    spec = FelixConfigurationSpec(**fields)
    lab.client.apply(Resource(kind=FELIX_CONFIGURATION, metadata=Metadata(name="node.h1"), spec=spec))


def table(host: Host) -> str:
    return inside(host.netns, "nft", "list", "table", "inet", "tortie")


def connect(netns: str, address: str, port: int, seconds: float = PATIENCE) -> int:
    """The number of the error, 0 for none."""
    found: list[int] = []

    def ask() -> None:
        with socket.socket() as sock:
            sock.settimeout(seconds)
            try:
                sock.connect((address, port))
            except OSError as error:
                found.append(error.errno or errno.ETIMEDOUT)
            else:
                found.append(0)

    in_thread(netns, ask).join()
    return found[0]


def listen(container: Container, port: int) -> socket.socket:
    found: list[socket.socket] = []
    in_thread(container.netns, lambda: found.append(socket.create_server(("0.0.0.0", port)))).join()
    return found[0]


def test_what_is_rejected_hears_so_at_once_and_what_is_dropped_hears_nothing(lab: Lab) -> None:
    configure(lab, iptables_filter_deny_action="Reject", bpf_enabled=False)
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", own_tag("n"))
    lab.profile("m", own_tag("m"))
    a, b = host.container("a", "10.65.0.1", "n"), host.container("b", "10.65.0.2", "n")
    c = host.container("c", "10.65.0.3", "m")
    with listen(b, 80), listen(c, 80):
        assert connect(a.netns, b.address, 80) == 0
        assert connect(a.netns, c.address, 80) == errno.ECONNREFUSED
        assert host.status()["settings"] == {"problems": [], "ignored": ["bpfEnabled"]}
        configure(lab, iptables_filter_deny_action="Drop")
        until(lambda: "reject" not in table(host), message=host.story)
        assert connect(a.netns, c.address, 80, 0.5) == errno.ETIMEDOUT
        assert connect(a.netns, b.address, 80) == 0


def test_a_host_that_may_not_send_is_refused_in_silence_where_its_workloads_are_rejected(lab: Lab) -> None:
    """A host's own packets to a translated destination are judged where the kernel can answer nobody."""
    configure(lab, nftables_filter_deny_action="Reject")
    outside = lab.plug("out", OUTSIDE)
    host = lab.host("h1", "10.9.0.1")
    lab.profile("all", Rule(action="Allow"))
    a = host.container("a", "10.65.0.1", "all")
    inside(outside, "ip", "route", "add", "10.65.0.0/24", "via", host.address)
    deny = Rule(action="Deny", protocol="TCP", destination=EntityRule(ports=(81,)))
    lab.client.apply(
        Resource(
            kind=GLOBAL_NETWORK_POLICY,
            metadata=Metadata(name="no-81"),
            spec=GlobalNetworkPolicySpec(types=("Egress",), egress=(deny, Rule(action="Allow"))),
        )
    )
    lab.client.apply(
        Resource(
            kind=HOST_ENDPOINT,
            metadata=Metadata(name="h1-eth0"),
            spec=HostEndpointSpec(node="h1", interface_name="eth0"),
        )
    )
    until(lambda: "post_hep" in table(host), message=host.story)
    assert connect(a.netns, OUTSIDE, 81) == errno.ECONNREFUSED
    # Nobody listens: its own answer is a refusal too.
    assert connect(a.netns, OUTSIDE, 82) == errno.ECONNREFUSED
    assert connect(host.netns, OUTSIDE, 81, 0.5) == errno.ETIMEDOUT
    assert connect(host.netns, OUTSIDE, 82) == errno.ECONNREFUSED
    (endpoint,) = host.status()["hostEndpoints"].values()
    assert (endpoint["state"], endpoint["reasons"]) == ("up", [])


def test_a_line_of_the_log_begins_as_it_is_told_to(lab: Lab) -> None:
    configure(lab, log_prefix='seen by %k "%n"')
    host = lab.host("h1", "10.9.0.1")
    lab.profile("noted", Rule(action="Log"), Rule(action="Allow"))
    a = host.container("a", "10.65.0.1", "noted")
    assert 'log prefix "seen by Profile ?noted?: "' in table(host)
    configure(lab)
    until(lambda: 'log prefix "calico-packet: "' in table(host), message=host.story)
    assert host.endpoint(a)["state"] == "up"
