"""The network of a store that has none: by the package calico in a lab and elsewhere, by nodes, by several at once."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from tests.support.agent_hosts import HostsMaster, roller
from tests.support.etcd_server import ETCD, etcd
from tests.support.ports import free_port
from tests.support.rollout_host import box
from tests.support.waiting import until

from tortie.base.errors import Invalid
from tortie.cli import first_network, node_config
from tortie.cli.node import node
from tortie.cli.packages import packages
from tortie.lab import first as lab
from tortie.lab.plan import Options
from tortie.model.ipam import CONFIG_KEY
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE
from tortie.model.resource import Metadata, Resource
from tortie.node.bootstrap import write_defaults, write_node
from tortie.node.first import AS_EVER, First
from tortie.packages.apps import app_of
from tortie.packages.sources import BUILT_IN, built_in
from tortie.packages.universe import Repository, Universe
from tortie.store.client import Client
from tortie.store.open import open_store


def installed(site: dict[str, Any], given: dict[str, Any] | None = None) -> First:
    """What the framework's command makes of the app that the package makes of its options."""
    found = Universe([(Repository("Tortie", BUILT_IN), built_in())]).find("calico")
    assert found is not None
    return commanded(app_of(found, given or {}, site=site.get("calico", {}))["env"])


def commanded(variables: dict[str, str]) -> First:
    made: list[First] = []

    @click.command()
    @first_network.options
    def command(**given: Any) -> None:
        made.append(first_network.first(given))

    done = CliRunner().invoke(command, [], env=variables)
    if done.exception is not None:
        raise done.exception
    return made[0]


@pytest.mark.parametrize("routing", ["direct", "vxlan"])
def test_in_a_lab_the_package_makes_the_lab_s_network_without_being_asked(routing: str) -> None:
    options = Options(routing=routing)
    assert installed(lab.package_defaults(options)) == lab.first(options)


def test_elsewhere_it_makes_what_nodes_make_and_hosts_serve_their_containers() -> None:
    usual = replace(AS_EVER, endpoint_to_host="Return", host_services="Enabled", flow_logs="Disabled")
    assert installed({}) == usual
    asked = {"Network": {"pool-cidr": "10.65.0.0/16", "vxlan-mode": "Never", "ipip-mode": "Always", "ip-cooldown": 5}}
    wanted = replace(usual, cidr="10.65.0.0/16", vxlan_mode="Never", ipip_mode="Always", cooldown=5)
    assert installed({}, asked) == wanted
    assert installed(lab.package_defaults(Options()), {"Network": {"nat-outgoing": True}}).nat_outgoing


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"CALICO_IPV4POOL_CIDR": "nonsense"}, "the first network: spec.cidr: "),
        ({"CALICO_IPV4POOL_BLOCK_SIZE": "33"}, "the first network: spec.blockSize: "),
        ({"CALICO_IPV4POOL_IPIP": "Always"}, "the first network: spec.vxlanMode: cannot be set together with ipipMode"),
        ({"TORTIE_FIRST_IP_COOLDOWN": "1201"}, "the first network: spec.ipCooldownSeconds: "),
    ],
)
def test_what_no_store_would_take_is_refused_before_anything_begins(variables: dict[str, str], said: str) -> None:
    with pytest.raises(Invalid) as caught:
        commanded(variables)
    assert str(caught.value).startswith(said)


def test_node_conf_knows_them_by_their_variables() -> None:
    text = "CALICO_IPV4POOL_CIDR=10.65.0.0/16\nCALICO_IPV4POOL_NAT_OUTGOING=false\n"
    assert node_config.read(text, "node.conf") == {"pool_cidr": "10.65.0.0/16", "pool_nat_outgoing": "false"}
    assert set(first_network.VARIABLES.values()) <= {str(option.name) for option in node.commands["run"].params}


@pytest.mark.parametrize("wrong", ["nonsense", "{", '{"calico": 5}', "/no/such/file"])
def test_defaults_of_a_cluster_that_are_none_are_refused(wrong: str) -> None:
    done = CliRunner().invoke(packages, ["run", "--defaults", wrong])
    assert (done.exit_code, "Invalid value for '--defaults'" in done.output) == (2, True)


def test_defaults_of_a_package_that_there_is_not_end_the_service(
    tmp_path: Path,
) -> None:
    words = ["--listen", f"127.0.0.1:{free_port()}", "--store", f"sqlite://{tmp_path}/store"]
    done = CliRunner().invoke(packages, ["run", *words, "--defaults", '{"calico": {}, "calcio": {}, "etcd": {}}'])
    assert isinstance(done.exception, Invalid)
    assert str(done.exception) == "--defaults: there is no package calcio; did you mean calico?"


def test_nodes_that_start_at_once_make_one_of_each(tmp_path: Path) -> None:
    together = threading.Barrier(8)
    first = replace(AS_EVER, cooldown=30, nat_outgoing=False)

    def begin(number: int) -> list[str]:
        client = Client(open_store(f"sqlite://{tmp_path}/store"))
        together.wait()
        created = write_defaults(client, first=first)
        write_node(client, f"n{number}", f"10.0.0.{number + 1}/24")
        return created

    with ThreadPoolExecutor(8) as pool:
        created = [name for names in pool.map(begin, range(8)) for name in names]
    assert sorted(created) == [
        "ClusterInformation default",
        "FelixConfiguration default",
        "IPAM settings",
        "IPPool default-ipv4-ippool",
    ]
    client = Client(open_store(f"sqlite://{tmp_path}/store"))
    assert [pool.spec.nat_outgoing for pool in client.list(IP_POOL).items] == [False]
    assert len(client.list(NODE).items) == 8


@pytest.mark.skipif(ETCD is None, reason="etcd is not installed")
@pytest.mark.parametrize("before", [False, True], ids=["an empty store", "an operator's"])
def test_the_framework_writes_it_before_the_first_node_and_over_nothing(tmp_path: Path, before: bool) -> None:
    first = lab.first(Options())

    async def story(url: str, port: int) -> None:
        with ExitStack() as stack:
            master = HostsMaster(tmp_path / "tasks", {"a1": stack.enter_context(box())})
            master.members = [("127.0.0.1", port)]
            pools: list[Any] = []
            master.before = lambda _host, task: pools.append((task.info["name"], named(url)))
            await master.start()
            try:
                async with roller(tmp_path, master, first=first) as live:
                    await live.state("done")
                    await until(lambda: master.live() == [])
            finally:
                await master.stop()
        applied = [found for name, found in pools if name.startswith("calico-apply")]
        assert set(map(tuple, applied)) == {("mine",) if before else ("default-ipv4-ippool",)}

    with etcd(tmp_path / "etcd") as server:
        client = Client(open_store(server.url))
        if before:
            client.create(Resource(kind=IP_POOL, metadata=Metadata(name="mine"), spec=IPPoolSpec(cidr="10.65.0.0/16")))
            spec = FelixConfigurationSpec(host_services="Disabled")
            client.create(Resource(kind=FELIX_CONFIGURATION, metadata=Metadata(name="default"), spec=spec))
        asyncio.run(story(server.url, server.client))
        felix = client.get(FELIX_CONFIGURATION, "default").spec
        assert felix.host_services == ("Disabled" if before else "Enabled")
        assert felix.default_endpoint_to_host_action == (None if before else "Return")
        if not before:
            (pool,) = client.list(IP_POOL).items
            assert (pool.spec.nat_outgoing, pool.spec.vxlan_mode, pool.spec.block_size) == (False, "Never", 26)
            kept = client.datastore.get(CONFIG_KEY)
            assert kept is not None
            assert b'"ipCooldownSeconds":30' in kept.value


def named(url: str) -> tuple[str, ...]:
    return tuple(pool.name for pool in Client(open_store(url)).list(IP_POOL).items)
