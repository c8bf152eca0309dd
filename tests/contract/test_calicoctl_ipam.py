"""`calicoctl ipam` in its three grammars, on both stores (calico-model.md 1.4, 2.5, 3.6, 6)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support import stores
from tests.support.stores import BACKENDS, Url

from tortie.cli.calicoctl.main import run
from tortie.ipam.allocator import Allocator
from tortie.ipam.audit import Audit
from tortie.model.ipam import affinity_key, block_key, handle_key, parse_block
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION, ClusterInformationSpec
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.ip_reservation import IP_RESERVATION, IPReservationSpec
from tortie.model.kinds.kube_controllers_configuration import (
    KUBE_CONTROLLERS_CONFIGURATION,
    Controllers,
    KubeControllersConfigurationSpec,
    NodeController,
)
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.resource import Metadata, Resource
from tortie.plugins.docker.holdings import Holdings
from tortie.plugins.docker.names import endpoint_resource
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Drop, Put

NOW = 1_800_000_000.0
Calicoctl = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Url]:
    with stores.backend(request.param, tmp_path_factory.mktemp("etcd")) as url:
        yield url


@pytest.fixture
def environ(backend: Url, tmp_path: Path) -> dict[str, str]:
    return {"TORTIE_STORE": backend(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/no-engine"}


@pytest.fixture
def client(environ: dict[str, str]) -> Iterator[Client]:
    store = open_store(environ["TORTIE_STORE"])
    found = Client(store)
    for name in ("host-a", "host-b"):
        found.create(Resource(kind=NODE, metadata=Metadata(name=name), spec=NodeSpec()))
    found.create(
        Resource(kind=IP_POOL, metadata=Metadata(name="pool"), spec=IPPoolSpec(cidr="10.65.0.0/24", block_size=28))
    )
    spec = ClusterInformationSpec(cluster_guid="f" * 32, datastore_ready=True)
    found.create(Resource(kind=CLUSTER_INFORMATION, metadata=Metadata(name="default"), spec=spec))
    yield found
    store.close()


@pytest.fixture
def calicoctl(environ: dict[str, str], client: Client, capsys: pytest.CaptureFixture[str]) -> Calicoctl:
    def call(line: str, grammar: str = "3") -> tuple[int, str, str]:
        code = run("calicoctl", line.split(), {**environ, "CALICOCTL_GRAMMAR": grammar})
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def running(client: Client, node: str, endpoint_id: str) -> str:
    """A container with an address, as the Docker driver leaves it."""
    holdings = Holdings(client.datastore, node)
    stored = holdings.open(NOW)
    address = str(Allocator(client.datastore, node).auto_assign(f"libnetwork.{endpoint_id}", {}, now=NOW))
    fields: dict[str, Any] = {"network": "n", "mac": "02:00:00:00:00:01", "container": "", "labels": {}}
    resource = endpoint_resource(node=node, endpoint_id=endpoint_id, address=address, **fields)
    client.create(resource)
    holdings.step(stored, msgspec.structs.replace(stored.holding, endpoint=endpoint_id, address=address))
    return address


def lock(client: Client, locked: bool = True) -> None:
    info = client.get(CLUSTER_INFORMATION, "default")
    client.update(replace(info, spec=msgspec.structs.replace(info.spec, datastore_ready=not locked)))


def grace(client: Client, text: str) -> None:
    spec = KubeControllersConfigurationSpec(controllers=Controllers(node=NodeController(leak_grace_period=text)))
    client.apply(Resource(kind=KUBE_CONTROLLERS_CONFIGURATION, metadata=Metadata(name="default"), spec=spec))


def test_3_6_show_draws_pools_blocks_and_percentages(calicoctl: Calicoctl, client: Client) -> None:
    spec = IPReservationSpec(reserved_cidrs=("10.65.0.0/28",))
    client.create(Resource(kind=IP_RESERVATION, metadata=Metadata(name="r"), spec=spec))
    six = IPPoolSpec(cidr="fd00:10::/64", block_size=122)
    client.create(Resource(kind=IP_POOL, metadata=Metadata(name="six"), spec=six))
    Allocator(client.datastore, "host-a").assign("10.65.0.17", "h", {}, now=NOW)
    assert calicoctl("ipam show") == (
        0,
        "+----------+--------------+------------+------------+--------------+-------------------+\n"
        "| GROUPING |     CIDR     | IPS TOTAL  | IPS IN USE | IPS RESERVED |      IPS FREE     |\n"
        "+----------+--------------+------------+------------+--------------+-------------------+\n"
        "| IP Pool  | 10.65.0.0/24 |        256 | 1 (0%)     | 16 (6%)      | 239 (93%)         |\n"
        "| IP Pool  | fd00:10::/64 | 1.8447e+19 | 0 (0%)     | 0 (0%)       | 1.8447e+19 (100%) |\n"
        "+----------+--------------+------------+------------+--------------+-------------------+\n",
        "",
    )
    assert "| Block    | 10.65.0.16/28 |         16 | 1 (6%)" in calicoctl("ipam show --show-blocks")[1]


def test_3_6_show_borrowed_and_one_address(calicoctl: Calicoctl, client: Client) -> None:
    a, b = Allocator(client.datastore, "host-a"), Allocator(client.datastore, "host-b")
    a.assign("10.65.0.17", "mine", {}, now=NOW)
    b.assign("10.65.0.18", "theirs", {"pod": "web", "namespace": "shop"}, now=NOW)
    assert calicoctl("ipam show --show-borrowed")[1].splitlines()[1:4] == [
        "|     IP     | BORROWING-NODE |     BLOCK     | BLOCK OWNER | TYPE | ALLOCATED-TO |",
        "+------------+----------------+---------------+-------------+------+--------------+",
        "| 10.65.0.18 | host-b         | 10.65.0.16/28 | host-a      | pod  | shop/web     |",
    ]
    assert calicoctl("ipam show --ip=10.65.0.18") == (
        0,
        "IP 10.65.0.18 is in use\nHandle ID: theirs\nActive Owner Attributes:\n  namespace: shop\n  node: host-b\n"
        "  pod: web\n  timestamp: 2027-01-15 08:00:00 +0000 UTC\n",
        "",
    )
    a.assign("10.65.0.19", None, {"node": ""}, now=NOW)
    assert "Handle ID: <none>\n" in calicoctl("ipam show --ip=10.65.0.19")[1]
    assert "Note: found 1 IP allocations without an explicit node" in calicoctl("ipam show --show-borrowed")[1]
    assert calicoctl("ipam show --ip=10.65.0.20") == (0, "10.65.0.20 is not assigned\n", "")


def test_1_4_and_2_5_info_show_and_release_of_one_address(calicoctl: Calicoctl, client: Client) -> None:
    a = Allocator(client.datastore, "host-a")
    a.assign("10.65.0.17", "h", {"type": "docker"}, now=NOW)
    known = {"node": "host-a", "timestamp": "2027-01-15 08:00:00 +0000 UTC", "type": "docker"}
    assert calicoctl("ipam info 10.65.0.17", "0.19") == (0, f"{known}\n", "")
    assert calicoctl("ipam info 10.65.0.18", "0.19")[:2] == (0, "IP 10.65.0.18 is not currently assigned\n")
    lines = "".join(f"{name}: {value}\n" for name, value in known.items())
    assert calicoctl("ipam show --ip=10.65.0.17", "1.3") == (0, lines, "")
    assert calicoctl("ipam show --ip=10.65.0.18", "1.3")[0] == 1
    assert calicoctl("ipam release 10.65.0.17", "0.19")[:2] == (0, "Address successfully released\n")
    assert calicoctl("ipam release 10.65.0.17", "0.19")[:2] == (1, "Failed to release address\n")
    a.assign("10.65.0.17", "h", {}, now=NOW)
    released = "Successfully released IP address 10.65.0.17\n"
    assert calicoctl("ipam release --ip=10.65.0.17", "1.3") == (0, released, "")
    assert calicoctl("ipam release --ip=10.65.0.17", "1.3")[:2] == (1, "IP address 10.65.0.17 is not assigned\n")
    a.assign("10.65.0.17", "h", {}, now=NOW)
    assert calicoctl("ipam release --ip=10.65.0.17") == (0, released, "")
    assert calicoctl("ipam release --ip=10.65.0.17")[0] == 1
    for grammar, line in (("0.19", "ipam info x"), ("1.3", "ipam show --ip=x"), ("3", "ipam release --ip=x")):
        assert calicoctl(line, grammar)[0] == 1


def test_3_6_check_counts_what_does_not_add_up(calicoctl: Calicoctl, client: Client) -> None:
    store, a = client.datastore, Allocator(client.datastore, "host-a")
    used = running(client, "host-a", "e1")
    clean = calicoctl("ipam check --show-problem-ips")
    assert clean == (
        0,
        "Checking IPAM for inconsistencies...\n\n"
        "Loading all IPAM blocks...\nFound 1 IPAM blocks.\n"
        f" IPAM block {ip_network(f'{used}/28', strict=False)} affinity=host:host-a:\n"
        "IPAM blocks record 1 allocations.\n\n"
        "Loading all IPAM pools...\n  10.65.0.0/24\nFound 1 active IP pools.\n\n"
        "Loading all nodes.\nFound 0 node tunnel IPs.\n\n"
        "Loading all workload endpoints.\nFound 1 workload IPs.\nWorkloads and nodes are using 1 IPs.\n"
        "Plug-ins keep 0 further IPs.\n\n"
        "Loading all handles\nLooking for top (up to 20) nodes by allocations...\n  host-a has 1 allocations\n"
        "Node with most allocations has 1; median is 1\n\n"
        "Scanning for IPs that are allocated but not actually in use...\n"
        "Found 0 IPs that are allocated in IPAM but not actually in use.\n"
        "Scanning for IPs that are in use by a workload or node but not allocated in IPAM...\n"
        "Found 0 in-use IPs that are not in active IP pools.\n"
        "Found 0 in-use IPs that are in active IP pools but have no corresponding IPAM allocation.\n\n"
        "Scanning for IPAM handles with no matching IPs...\n"
        "Found 0 handles with no matching IPs (and 1 handles with matches).\n"
        "Scanning for IPs with missing handle...\n"
        "Found 0 handles mentioned in blocks with no matching handle resource.\n"
        "Found 0 blocks, claims and counts that do not add up.\n"
        "Check complete; found 0 problems.\n",
        "",
    )
    leaked = a.auto_assign("libnetwork.leaked", {}, now=NOW)
    pending = Holdings(store, "host-b").open(NOW)
    Allocator(store, "host-b").auto_assign(pending.holding.handle, {}, now=NOW)
    store.commit([Put(handle_key("idle"), b'{"block":{"10.65.0.0/28":1},"deleted":false}')])
    store.commit([Drop(handle_key("libnetwork.e1"))])
    lost = running(client, "host-b", "e2")
    a.release(lost, now=NOW)
    block = ip_network(f"{lost}/28", strict=False)
    store.commit([Drop(affinity_key("host-b", block))])
    code, out, _ = calicoctl("ipam check --show-all-ips")
    assert code == 0
    for line in (
        f"  {leaked} leaked; attrs Main:libnetwork.leaked Extra:node=host-a,timestamp=2027-01-15 08:00:00 +0000 UTC",
        f"  {used} belongs to Workload(libnetwork/host--a-libnetwork-libnetwork-e1)",
        f"  {lost} in use by Workload(libnetwork/host--b-libnetwork-libnetwork-e2) and in active IPAM pool but has no "
        "IPAM allocation.",
        "  idle doesn't have any active IPs.",
        "  libnetwork.e1 is in use in a block but doesn't exist.",
        f"  claim: block {block} belongs to node host-b, which does not claim it",
        "Plug-ins keep 1 further IPs.",
        "Found 1 blocks, claims and counts that do not add up.",
        "Check complete; found 5 problems.",
    ):
        assert line in out.splitlines()


def test_check_repairs_what_two_looks_agree_on_and_no_address_of_a_living_host(
    calicoctl: Calicoctl, client: Client
) -> None:
    store, a, b = client.datastore, Allocator(client.datastore, "host-a"), Allocator(client.datastore, "host-b")
    alive = {running(client, "host-a", "e1"), running(client, "host-b", "e2")}
    a.auto_assign("libnetwork.leaked", {}, now=NOW - 1e7)
    alive.add(str(b.auto_assign("cni.of-another-plug-in", {}, now=NOW - 1e7)))
    store.commit([Put(handle_key("idle"), b'{"block":{"10.65.0.0/28":1},"deleted":false}')])
    code, out, err = calicoctl("ipam check --repair")
    assert (code, err) == (0, "")
    assert "  mended leak: handle libnetwork.leaked" in out
    assert out.endswith("Repaired 2 problems; 0 left.\n")
    assert {str(a.address) for a in Audit(store).books().allocations()} == alive
    assert calicoctl("ipam check --repair")[1].endswith("Repaired 0 problems; 0 left.\n")
    client.delete(IP_POOL, "pool")
    code, out, err = calicoctl("ipam check --repair")
    assert (code, err) == (1, "2 problems are left\n")
    assert "  left outside-pools: block" in out


def test_an_engine_that_does_not_answer_counts_as_all_alive(
    calicoctl: Calicoctl, client: Client, environ: dict[str, str], tmp_path: Path
) -> None:
    Allocator(client.datastore, "host-a").auto_assign("libnetwork.leaked", {}, now=NOW - 1e7)
    (tmp_path / "no-engine").touch()
    code, out, _ = calicoctl("ipam check --repair")
    assert code == 0
    assert "docker does not answer: all its addresses count as alive" in out
    assert "Check complete; found 0 problems." in out
    assert out.endswith("Repaired 0 problems; 0 left.\n")


def test_6_4_the_grace_of_a_repair(calicoctl: Calicoctl, client: Client) -> None:
    Allocator(client.datastore, "host-a").auto_assign("libnetwork.leaked", {}, now=NOW)  # in the store's future
    grace(client, "1000000h")
    assert calicoctl("ipam check --repair")[1].endswith("Repaired 0 problems; 0 left.\n")
    assert len(list(Audit(client.datastore).books().allocations())) == 1


def test_3_6_release_from_reports_takes_what_all_of_them_call_leaked(
    calicoctl: Calicoctl, client: Client, tmp_path: Path
) -> None:
    store, a = client.datastore, Allocator(client.datastore, "host-a")
    used = running(client, "host-a", "e1")
    kept = str(a.auto_assign("cni.kept", {}, now=NOW))
    leaked = str(a.auto_assign("cni.leaked", {}, now=NOW))
    again = str(a.auto_assign("cni.again", {}, now=NOW))
    store.commit([Put(handle_key("idle"), b'{"block":{},"deleted":false}')])
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    lock(client)
    assert calicoctl(f"ipam check -o {one}")[0] == 0
    report = json.loads(one.read_text())
    assert list(report)[:5] == [
        "version",
        "clusterGUID",
        "datastoreLocked",
        "clusterInformationRevision",
        "clusterType",
    ]
    assert report["datastoreLocked"] is True
    assert [handle["ID"] for handle in report["leakedHandles"]] == ["idle"]
    (told,) = report["allocations"][leaked]
    cidr = ip_network(f"{leaked}/28", strict=False)
    kv = store.get(block_key(cidr))
    assert kv is not None
    numbers = parse_block(kv.value, kv.key).sequence_number_for_allocation
    assert told == {
        "ip": leaked,
        "handle": "cni.leaked",
        "sequenceNumber": numbers[str(int(ip_network(leaked)[0]) - int(cidr[0]))],
        "node": "host-a",
        "creationTimestamp": "2027-01-15 08:00:00 +0000 UTC",
        "inUse": False,
        "owners": None,
    }
    assert report["allocations"][used][0]["inUse"] is True
    # Between the two reports one address comes into use, and one is given anew to the same handle.
    a.release(again, now=NOW)
    a.assign(again, "cni.again", {}, now=NOW)
    report = json.loads(one.read_text())
    report["allocations"][kept][0]["inUse"] = True
    two.write_text(json.dumps(report))
    code, out, err = calicoctl(f"ipam release --from-report={one},{two}")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Releasing 2 old IPs...",
        next(line for line in out.splitlines() if "is not released" in line),
        "Released 1 IPs successfully",
        "Deleting 1 handles...",
        "Released 1 handles; 0 skipped; 0 errors.",
        "You may now unlock the data store.",
    ]
    assert {str(a.address) for a in Audit(store).books().allocations()} == {used, kept, again}
    code, out, _ = calicoctl(f"ipam release --from-report={one} --from-report={two}")
    assert "1 addresses marked as leaked in the report had already been cleaned up." in out
    assert "Released 0 handles; 1 skipped; 0 errors." in out


def test_3_6_reports_that_are_refused(calicoctl: Calicoctl, client: Client, tmp_path: Path) -> None:
    leaked = Allocator(client.datastore, "host-a").auto_assign("cni.leaked", {}, now=NOW)
    path = tmp_path / "report.json"
    assert calicoctl(f"ipam check -o {path}")[0] == 0
    assert "data store is not locked" in calicoctl(f"ipam release --from-report={path}")[2]
    report = json.loads(path.read_text())
    for changes, force, said in (
        ({"clusterGUID": "0" * 32}, " --force", "mismatched cluster GUID"),
        ({"version": "v0.0.1"}, "", "produced using a different version (v0.0.1)"),
        ({"clusterInformationRevision": "1"}, " --force", "all stale"),
        ({"clusterGUID": None}, " --force", "not a report of ipam check"),
        ({"allocations": {"10.65.0.0": {}}}, " --force", "not a report of ipam check"),
    ):
        path.write_text(json.dumps({**report, **changes}))
        code, out, err = calicoctl(f"ipam release --from-report={path}{force}")
        assert (code, out) == (1, "")
        assert said in err
    for text in ("", "[]", "\x00", "{"):
        path.write_text(text)
        assert "not a report of ipam check" in calicoctl(f"ipam release --from-report={path} --force")[2]
    assert calicoctl(f"ipam release --from-report={tmp_path}/absent --force")[0] == 1
    assert calicoctl(f"ipam check -o {tmp_path}/absent/report")[0] == 1
    path.write_text(json.dumps(report))
    assert [str(a.address) for a in Audit(client.datastore).books().allocations()] == [str(leaked)]
    out = calicoctl(f"ipam release --from-report={path} --force")[1]
    assert out.startswith("WARNING: Data store is not locked. Ignoring due to --force option\nReleasing 1 old IPs...\n")
    assert not list(Audit(client.datastore).books().allocations())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ipam configure", "at least one configuration option must be specified"),
        ("ipam configure --strictaffinity=yes", "Use true or false to set strictaffinity"),
        ("ipam configure --max-blocks-per-host=-1", "invalid value for maxblockhost. Use a valid number"),
        ("ipam configure --max-blocks-per-host=3", "MaxBlocksPerHost requires StrictAffinity to be enabled"),
        ("ipam configure --ip-cooldown-seconds=1201", "IPCooldownSeconds must be between 0 and 1200: 1201"),
        ("ipam configure --kubevirt-ip-persistence=on", "Use Enabled or Disabled"),
        ("ipam split two --name=pool", "two is not a valid number"),
        ("ipam split 3 --name=pool", "power of two"),
        ("ipam split 2", "no name or CIDR provided"),
        ("ipam split 2 --name=absent", "IPPool absent does not exist"),
        ("ipam split 32 --name=pool", "smaller than a /28 block"),
        ("ipam show more", "unexpected word"),
        ("ipam fly", "unknown command ipam fly"),
        ("ipam release", "ipam release needs --ip or --from-report"),
    ],
)
def test_3_6_words_that_cannot_be_right(calicoctl: Calicoctl, client: Client, line: str, said: str) -> None:
    lock(client)
    code, out, err = calicoctl(line)
    assert (code, out) == (1, "")
    assert said in err


def test_3_6_configure_and_split(calicoctl: Calicoctl, client: Client) -> None:
    assert calicoctl("ipam configure --strictaffinity=T --max-blocks-per-host=4 --kubevirt-ip-persistence=Enabled") == (
        0,
        "Successfully set StrictAffinity to: true\nSuccessfully set MaxBlocksPerHost to: 4\n"
        "Successfully set KubeVirtVMAddressPersistence to: Enabled\n",
        "",
    )
    assert calicoctl("ipam configure --ip-cooldown-seconds 30")[1] == "Successfully set IPCooldownSeconds to: 30\n"
    assert calicoctl("ipam show --show-configuration")[1].splitlines()[3:-1] == [
        "| StrictAffinity               | true    |",
        "| AutoAllocateBlocks           | true    |",
        "| MaxBlocksPerHost             |       4 |",
        "| KubeVirtVMAddressPersistence | Enabled |",
        "| IPCooldownSeconds            |      30 |",
    ]
    assert "must be locked" in calicoctl("ipam split 2 --name=pool")[2]
    lock(client)
    assert calicoctl("ipam split 2 --cidr=10.65.0.0/24") == (
        0,
        "IP Pool pool was successfully split into 2 smaller pools.\n"
        "Created split-pool-0 with CIDR 10.65.0.0/25.\nCreated split-pool-1 with CIDR 10.65.0.128/25.\n"
        "Please refer to the documentation for final steps.\n",
        "",
    )
    assert sorted(pool.spec.cidr for pool in client.list(IP_POOL).items) == ["10.65.0.0/25", "10.65.0.128/25"]


@pytest.mark.parametrize(("grammar", "line"), [("3", "delete node host-a"), ("1.3", "delete node host-a")])
def test_2_4_deleting_a_node_frees_what_it_held(calicoctl: Calicoctl, client: Client, grammar: str, line: str) -> None:
    running(client, "host-a", "e1")
    kept = running(client, "host-b", "e2")
    assert calicoctl(line, grammar)[0] == 0
    assert [str(a.address) for a in Audit(client.datastore).books().allocations()] == [kept]
    assert Holdings(client.datastore, "host-a").all() == []
    assert len(Holdings(client.datastore, "host-b").all()) == 1
    assert calicoctl("ipam check")[1].endswith("Check complete; found 0 problems.\n")


@pytest.mark.parametrize(
    ("grammar", "line"),
    [("3", "delete ippool pool"), ("1.3", "delete ippool 10.65.0.0/24"), ("0.19", "pool remove 10.65.0.0/24")],
)
def test_3_4_deleting_a_pool_releases_the_claims_in_it(
    calicoctl: Calicoctl, client: Client, grammar: str, line: str
) -> None:
    client.delete(IP_POOL, "pool")  # the 1.3 grammar knows no other block size than 26
    client.create(Resource(kind=IP_POOL, metadata=Metadata(name="pool"), spec=IPPoolSpec(cidr="10.65.0.0/24")))
    kept = running(client, "host-a", "e1")
    Allocator(client.datastore, "host-b").auto_assign("cni.1", {}, now=NOW)
    Allocator(client.datastore, "host-b").release_by_handle("cni.1", now=NOW)
    assert calicoctl(line, grammar)[0] == 0
    books = Audit(client.datastore).books()
    assert (len(books.blocks), books.claims) == (1, {})
    assert [str(a.address) for a in books.allocations()] == [kept]
