"""What a node writes to the store at its start, and how it refuses to start."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from tortie.base.errors import Invalid
from tortie.cli.node import node
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE
from tortie.model.resource import Metadata, Resource
from tortie.node.bootstrap import write_defaults, write_node
from tortie.store.client import Client
from tortie.store.open import open_store


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(open_store(f"sqlite://{tmp_path}"))


def test_what_is_absent_is_made_once(client: Client) -> None:
    assert len(write_defaults(client)) == 3
    guid = client.get(CLUSTER_INFORMATION, "default").spec.cluster_guid
    assert write_defaults(client) == []
    assert client.get(CLUSTER_INFORMATION, "default").spec.cluster_guid == guid


def test_what_is_there_is_left(client: Client) -> None:
    spec = FelixConfigurationSpec(host_services="Enabled")
    client.create(Resource(kind=FELIX_CONFIGURATION, metadata=Metadata(name="default"), spec=spec))
    client.create(Resource(kind=IP_POOL, metadata=Metadata(name="mine"), spec=IPPoolSpec(cidr="10.65.0.0/16")))
    write_defaults(client)
    assert client.get(FELIX_CONFIGURATION, "default").spec.host_services == "Enabled"
    assert [pool.name for pool in client.list(IP_POOL).items] == ["mine"]


def test_a_node_keeps_what_others_wrote_into_it(client: Client) -> None:
    write_node(client, "h1", "10.9.0.1/24")
    found = client.get(NODE, "h1")
    assert found.spec.bgp is not None
    bgp = msgspec.structs.replace(found.spec.bgp, as_number=64512)
    client.apply(Resource(kind=NODE, metadata=found.metadata, spec=msgspec.structs.replace(found.spec, bgp=bgp)))
    write_node(client, "h1", "10.9.0.7/24")
    spec = client.get(NODE, "h1").spec
    assert spec.bgp is not None
    assert (spec.bgp.ipv4_address, spec.bgp.as_number) == ("10.9.0.7/24", 64512)
    assert [a.address for a in spec.addresses if a.type == "CalicoNodeIP"] == ["10.9.0.7/24"]
    before = client.get(NODE, "h1").revision
    write_node(client, "h1", "10.9.0.7/24")
    assert client.get(NODE, "h1").revision == before


@pytest.mark.parametrize(
    ("first", "then", "left"),
    [
        ("fd09::1/64", "fd09::7/64", "fd09::7/64"),
        ("fd09::1/64", None, "fd09::1/64"),
        ("fd09::1/64", "", None),
        (None, None, None),
    ],
)
def test_an_ipv6_address_stays_until_another_or_none_is_given(
    client: Client, first: str | None, then: str | None, left: str | None
) -> None:
    write_node(client, "h1", "10.9.0.1/24", first)
    write_node(client, "h1", "10.9.0.1/24", then)
    spec = client.get(NODE, "h1").spec
    assert spec.bgp is not None
    assert spec.bgp.ipv6_address == left
    assert [a.address for a in spec.addresses] == ["10.9.0.1/24", *filter(None, [left])]


@pytest.mark.root
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--address", "10.9.0.1"], "mask"),
        (["--address", "10.9.0.1/33"], "not an IPv4 address"),
        (["--address", "fd00::1/64"], "not an IPv4 address"),
        (["--address", "10.9.0.1/24", "--hostname", "a/b"], "slashes"),
        (["--address", "10.9.0.1/24", "--address6", "fe80::1/64"], "--address6 fe80::1/64 is an address of one link"),
        (["--address", "10.9.0.1/24", "--address6", "fd09::1"], "mask"),
        (["--address", "10.9.0.1/24", "--address6", "10.9.0.1/24"], "not an IPv6 address"),
        (["--address", "10.9.0.1", "--address6", "::1/64"], "not an address of one host"),
        (["--address", "10.9.0.1/24", "--address6", "autodetect", "--ip6-autodetection-method", "x"], "unknown way"),
        (
            ["--address", "10.9.0.1/24", "--address6", "autodetect", "--ip6-autodetection-method", "interface=^none$"],
            "no IPv6 address of this host by interface=^none$",
        ),
        (["--address", "10.9.0.1/24", "--store", "redis://x"], "unknown kind"),
    ],
)
def test_a_start_that_cannot_work_is_refused(tmp_path: Path, options: list[str], words: str) -> None:
    own = ["--socket", str(tmp_path / "n.sock"), "--state", str(tmp_path / "state")]
    result = CliRunner().invoke(node, ["run", "--no-docker", *own, *options])
    assert result.exit_code != 0
    assert isinstance(result.exception, Invalid)
    assert words in str(result.exception)
