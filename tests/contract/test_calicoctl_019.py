"""calicoctl in the 0.19 grammar on a real store: what the documents type and must see, and every wrong way in."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tortie.cli.calicoctl.era019.environment import session
from tortie.cli.calicoctl.era019.main import run
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec, name_of
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, Rule
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Put

Calicoctl = Callable[[str], tuple[int, str]]

NO_NETWORK = (
    "You are referencing a Docker network (typo) that does not exist.  "
    "Create the network first and then update this profile rule to reference it.\n"
)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"TORTIE_STORE": f"sqlite://{tmp_path}/store", "ETCD_AUTHORITY": "172.24.197.101:2379"}


@pytest.fixture
def client(environ: dict[str, str]) -> Client:
    return Client(open_store(environ["TORTIE_STORE"]))


@pytest.fixture
def calicoctl(environ: dict[str, str], client: Client, capsys: pytest.CaptureFixture[str]) -> Calicoctl:
    def call(line: str) -> tuple[int, str]:
        code = run(line.split(), environ)
        told = capsys.readouterr()
        return code, told.out or told.err

    return call


def networks(client: Client, *names: str) -> None:
    """As the Docker driver leaves them."""
    from tortie.model.v0.profile import fresh_profile

    for name in names:
        value = json.dumps({"name": name, "subnet": None, "options": {}, "labels": {}}).encode()
        client.datastore.commit([Put(f"/tortie/v1/docker/networks/{name}", value)])
        client.create(fresh_profile(name))


def test_the_commands_of_the_stars_document(calicoctl: Calicoctl, client: Client) -> None:
    networks(client, "management-ui", "client", "backend", "frontend")
    assert calicoctl("profile management-ui rule show") == (
        0,
        "Inbound rules:\n   1 allow from tag management-ui\nOutbound rules:\n   1 allow\n",
    )
    for line in (
        "profile management-ui rule remove inbound allow from tag management-ui",
        "profile management-ui rule add inbound allow tcp to ports 9001",
        "profile client rule add inbound allow tcp from tag management-ui to ports 9000",
        "profile backend rule add inbound allow tcp from tag management-ui to ports 9000",
        "profile frontend rule add inbound allow tcp from tag management-ui to ports 9000",
        "profile frontend rule add inbound allow tcp from tag client to ports 9001",
        "profile backend rule add inbound allow tcp from tag frontend to ports 9001",
    ):
        assert calicoctl(line) == (0, "")
    assert calicoctl("profile management-ui rule show") == (
        0,
        "Inbound rules:\n   1 allow tcp to ports 9001\nOutbound rules:\n   1 allow\n",
    )
    assert calicoctl("profile frontend rule show") == (
        0,
        "Inbound rules:\n"
        "   1 allow from tag frontend\n"
        "   2 allow tcp from tag management-ui to ports 9000\n"
        "   3 allow tcp from tag client to ports 9001\n"
        "Outbound rules:\n"
        "   1 allow\n",
    )


def test_the_commands_of_the_hello_document(calicoctl: Calicoctl, client: Client) -> None:
    """walkthroughs.md 3.3, steps 5 and 6."""
    networks(client, "frontend-net", "database-net")
    for line in (
        "profile frontend-net rule remove inbound allow from tag frontend-net",
        "profile frontend-net rule add inbound allow tcp from cidr 172.24.197.201/32 to ports 80",
        "profile frontend-net rule remove outbound allow",
        "profile frontend-net rule add outbound allow tcp to ports 6379 tag database-net",
        "profile database-net rule remove inbound allow from tag database-net",
        "profile database-net rule add inbound allow tcp from tag frontend-net to ports 6379",
        "profile database-net rule remove outbound allow",
    ):
        assert calicoctl(line) == (0, "")
    assert calicoctl("profile frontend-net rule show") == (
        0,
        "Inbound rules:\n   1 allow tcp from cidr 172.24.197.201/32 to ports 80\n"
        "Outbound rules:\n   1 allow tcp to ports 6379 tag database-net\n",
    )
    assert calicoctl("profile database-net rule show") == (
        0,
        "Inbound rules:\n   1 allow tcp from tag frontend-net to ports 6379\nOutbound rules:\n",
    )


def test_profiles_come_and_go(calicoctl: Calicoctl, client: Client) -> None:
    assert calicoctl("profile add web") == (0, "Created profile web\n")
    assert calicoctl("profile add web") == (0, "Profile web already exists.\n")
    assert calicoctl("profile show") == (0, "+------+\n| Name |\n+------+\n| web  |\n+------+\n")
    spec = WorkloadEndpointSpec(
        node="host-a", orchestrator="libnetwork", workload="libnetwork", endpoint="e1", profiles=("web",)
    )
    own = Metadata(name=name_of(spec), namespace="libnetwork")
    client.apply(Resource(kind=WORKLOAD_ENDPOINT, metadata=own, spec=spec))
    assert calicoctl("profile remove web") == (
        0,
        "Cannot remove profile - profile in use by endpoint(s).\n"
        "Use the '--no-check' flag to remove the profile anyway.\n",
    )
    calicoctl("profile add alone")
    assert calicoctl("profile show --detailed")[1].splitlines() == [
        "+-------+--------+-----------------+-------------+-------------+--------+",
        "|  Name |  Host  | Orchestrator ID | Workload ID | Endpoint ID | State  |",
        "+-------+--------+-----------------+-------------+-------------+--------+",
        "| alone |  None  |       None      |     None    |     None    |  None  |",
        "|  web  | host-a |    libnetwork   |  libnetwork |      e1     | active |",
        "+-------+--------+-----------------+-------------+-------------+--------+",
    ]
    assert calicoctl("profile remove web --no-check") == (0, "Deleted profile web\n")
    assert calicoctl("profile remove web") == (0, "Profile web not found.\n")


def test_tags(calicoctl: Calicoctl, client: Client) -> None:
    calicoctl("profile add web")
    assert calicoctl("profile web tag add extra") == (0, "Tag extra added to profile web\n")
    assert calicoctl("profile web tag show") == (0, "web\nextra\n")
    assert client.get(PROFILE, "web").spec.labels_to_apply == {"web": "", "extra": ""}
    assert calicoctl("profile web tag remove extra") == (0, "Tag extra removed from profile web\n")
    assert calicoctl("profile web tag remove extra") == (1, "Tag extra is not on profile web\n")
    calicoctl("profile web tag remove web")
    assert calicoctl("profile web tag show") == (0, "")
    labelled = ProfileSpec(labels_to_apply={"tier": "front"})
    client.apply(Resource(kind=PROFILE, metadata=Metadata(name="web"), spec=labelled))
    assert calicoctl("profile web tag add tier")[0] == 1
    assert client.get(PROFILE, "web").spec == labelled


def test_places_of_rules(calicoctl: Calicoctl) -> None:
    calicoctl("profile add web")
    assert calicoctl("profile web rule add inbound --at=1 deny from tag bad") == (0, "")
    assert calicoctl("profile web rule add inbound deny from tag bad") == (0, "Rule already present, skipping.\n")
    assert calicoctl("profile web rule add inbound --at 9 allow udp") == (0, "Position 9 is out-of-range.\n")
    assert calicoctl("profile web rule add inbound --at=0 allow tcp") == (0, "Position 0 is out-of-range.\n")
    assert calicoctl("profile web rule show")[1].splitlines()[:5] == [
        "Inbound rules:",
        "   1 deny from tag bad",
        "   2 allow from tag web",
        "   3 allow tcp",
        "   4 allow udp",
    ]
    assert calicoctl("profile web rule remove inbound --at=5") == (0, "Rule position out-of-range.\n")
    assert calicoctl("profile web rule remove inbound --at=0") == (0, "Rule position out-of-range.\n")
    assert calicoctl("profile web rule remove inbound --at=2") == (0, "")
    assert calicoctl("profile web rule remove inbound allow from tag web") == (1, "Rule not found.\n")
    assert calicoctl("profile web rule remove outbound allow") == (0, "")
    assert calicoctl("profile web rule show")[1].splitlines()[-1] == "Outbound rules:"
    assert calicoctl("profile web rule add inbound --at=x allow")[0] == 1


def test_a_rule_of_another_program_is_known_as_the_same_tag(calicoctl: Calicoctl, client: Client) -> None:
    spec = ProfileSpec(ingress=(Rule(action="Allow", source=EntityRule(selector="has(web)")),))
    client.create(Resource(kind=PROFILE, metadata=Metadata(name="web"), spec=spec))
    assert calicoctl("profile web rule show")[1].splitlines()[1] == "   1 allow from tag web"
    assert calicoctl("profile web rule add inbound allow from tag web") == (0, "Rule already present, skipping.\n")
    assert calicoctl("profile web rule remove inbound allow from tag web") == (0, "")


def test_fields_of_a_newer_program_survive_a_change(calicoctl: Calicoctl, client: Client) -> None:
    value = (
        b'{"kind":"Profile","apiVersion":"projectcalico.org/v3","metadata":{"name":"web","finalizers":["x"]},'
        b'"spec":{"ingress":[{"action":"Allow","http":{"methods":["GET"]}}],"later":{"a":[1]}},"status":{"b":2}}'
    )
    client.datastore.commit([Put(PROFILE.key("web"), value)])
    assert calicoctl("profile web rule add inbound allow") == (0, "")
    kv = client.datastore.get(PROFILE.key("web"))
    assert kv is not None
    after = json.loads(kv.value)
    assert after["metadata"]["finalizers"] == ["x"]
    assert after["spec"]["later"] == {"a": [1]}
    assert after["spec"]["ingress"] == [{"action": "Allow", "http": {"methods": ["GET"]}}, {"action": "Allow"}]
    assert after["status"] == {"b": 2}


def test_rules_as_json_there_and_back(
    calicoctl: Calicoctl, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    calicoctl("profile add web")
    calicoctl("profile web rule add inbound allow tcp to ports 80,8000:8010")
    code, text = calicoctl("profile web rule json")
    assert code == 0
    assert text.startswith('{\n  "id": "web",\n  "inbound_rules": [\n    {\n')
    assert text.endswith("\n}\n\n")

    def update(document: object) -> tuple[int, str]:
        text = document if isinstance(document, str) else json.dumps(document)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        return calicoctl("profile web rule update")

    assert update(text) == (0, "Successfully updated rules on profile web\n")
    assert calicoctl("profile web rule json") == (0, text)
    assert update({"id": "db"}) == (1, 'Rules JSON "id"=db doesn\'t match profile name web.\n')
    assert update("{")[0] == 1
    assert update("[]") == (1, "The rules are no JSON object\n")
    assert update({"id": "web", "inbound_rules": [{"action": "x"}, 1], "outbound_rules": {}, "more": 1}) == (
        1,
        "unknown key 'more'\n"
        "inbound_rules, rule 1: action 'x' is none of allow, deny, log, next-tier\n"
        "inbound_rules, rule 2: not an object\n"
        "outbound_rules is not a list\n",
    )
    assert calicoctl("profile web rule json") == (0, text)
    assert update({"id": "web", "inbound_rules": [], "outbound_rules": []})[0] == 0
    assert calicoctl("profile web rule show") == (0, "Inbound rules:\nOutbound rules:\n")


def test_a_tag_that_is_no_network_is_refused_on_a_network_s_profile(calicoctl: Calicoctl, client: Client) -> None:
    networks(client, "frontend", "client")
    before = client.get(PROFILE, "frontend")
    assert calicoctl("profile frontend rule add inbound allow tcp from tag typo to ports 80") == (1, NO_NETWORK)
    assert calicoctl("profile frontend tag add typo") == (1, NO_NETWORK)
    assert client.get(PROFILE, "frontend") == before
    assert calicoctl("profile frontend rule add inbound allow from tag client") == (0, "")
    calicoctl("profile add plain")
    calicoctl("profile plain tag add blue")
    assert calicoctl("profile plain rule add inbound allow from tag typo") == (0, "")
    assert calicoctl("profile frontend rule add inbound allow from tag blue") == (0, "")
    assert calicoctl("profile frontend rule remove inbound allow from tag typo") == (1, "Rule not found.\n")


@pytest.mark.parametrize("words", ["rule show", "rule json", "tag show", "tag add a", "rule add inbound allow"])
def test_an_unknown_profile(calicoctl: Calicoctl, words: str) -> None:
    assert calicoctl(f"profile nope {words}") == (1, "Profile nope not found.\n")


@pytest.mark.parametrize(
    "line",
    [
        "profile",
        "profile show extra",
        "profile show --no-check",
        "profile show --detailed=1",
        "profile web",
        "profile web rule",
        "profile web rule add",
        "profile web rule add sideways allow",
        "profile web rule add inbound",
        "profile web rule add inbound allow to tag a from tag b",
        "profile web rule add inbound --at allow",
        "profile web rule remove inbound",
        "profile web rule remove inbound --at=1 allow",
        "profile web rule show --at=1",
        "profile web tag add",
        "profile web label show",
        "profile web rule add inbound --unknown allow",
        "pool show --ipv4 --ipv6",
        "pool enlarge 10.0.0.0/8",
        "endpoint list",
    ],
)
def test_words_that_do_not_fit_show_the_usage(calicoctl: Calicoctl, line: str) -> None:
    code, text = calicoctl(line)
    assert code == 1
    assert text.startswith("Usage:\n  calicoctl ")


def test_values_that_cannot_be_right_are_all_told(calicoctl: Calicoctl) -> None:
    assert calicoctl("profile w/b rule add inbound allow tcp from tag a$b cidr x to ports 99999") == (
        1,
        "Profile names must be < 40 character long and can only contain numbers, letters, dots, dashes and "
        "underscores.\n"
        "Tags names can only contain numbers, letters, dots, dashes and underscores.\n"
        "Invalid CIDR specified.\n"
        "Invalid SRCPORTS or DSTPORTS specified.\n"
        "Port (99999) out-of-range.\n",
    )
    assert calicoctl("profile web tag add a/b")[1].startswith("Tags names")


def test_help_and_unknown_commands(calicoctl: Calicoctl) -> None:
    assert calicoctl("")[0] == 1
    assert calicoctl("--help")[0] == 0
    assert calicoctl("nonsense")[1].startswith("Usage:")
    assert calicoctl("profile --help")[0] == 0
    assert calicoctl("version")[1].endswith("(grammar 0.19)\n")


def test_pools_and_endpoints(calicoctl: Calicoctl, client: Client) -> None:
    pool = IPPoolSpec(cidr="192.168.0.0/16", nat_outgoing=True, ipip_mode="Always")
    client.apply(Resource(kind=IP_POOL, metadata=Metadata(name="p"), spec=pool))
    assert calicoctl("pool show --ipv4")[1].splitlines() == [
        "+----------------+-------------------+",
        "|   IPv4 CIDR    |      Options      |",
        "+----------------+-------------------+",
        "| 192.168.0.0/16 | ipip,nat-outgoing |",
        "+----------------+-------------------+",
    ]
    for number in (1, 2):
        spec = WorkloadEndpointSpec(
            node="host-a",
            orchestrator="libnetwork",
            workload="libnetwork",
            endpoint=f"e{number}",
            ip_networks=(f"192.168.0.{number}/32",),
            profiles=("web", "db"),
            mac="ee:ee:ee:ee:ee:ee",
        )
        own = Metadata(name=name_of(spec), namespace="x")
        client.apply(Resource(kind=WORKLOAD_ENDPOINT, metadata=own, spec=spec))
    assert calicoctl("endpoint show")[1].splitlines()[3] == (
        "|  host-a  |    libnetwork   |          1          |          2          |"
    )
    lines = calicoctl("endpoint show --detailed --endpoint=e2")[1].splitlines()
    assert len(lines) == 5
    assert " ".join(lines[3].split()) == (
        "| host-a | libnetwork | libnetwork | e2 | 192.168.0.2/32 | ee:ee:ee:ee:ee:ee | web,db | active |"
    )


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"ETCD_AUTHORITY": "host"}, "Invalid ETCD_AUTHORITY"),
        ({"ETCD_AUTHORITY": "http://host:2379"}, "Invalid ETCD_AUTHORITY"),
        ({"ETCD_SCHEME": "ftp"}, "Invalid ETCD_SCHEME"),
        ({"ETCD_ENDPOINTS": "host:2379"}, "Invalid ETCD_ENDPOINTS"),
        ({"ETCD_ENDPOINTS": "http://a:1,https://b:2"}, "Invalid ETCD_ENDPOINTS"),
        ({"ETCD_KEY_FILE": "/x"}, "Invalid ETCD_KEY_FILE or ETCD_CERT_FILE"),
        ({"ETCD_SCHEME": "https"}, "Invalid ETCD_CA_CERT_FILE"),
        ({"ETCD_ENDPOINTS": "https://a:1", "ETCD_CA_CERT_FILE": "/none"}, "Invalid ETCD_CA_CERT_FILE"),
    ],
)
def test_variables_that_could_name_no_etcd_are_refused(
    calicoctl: Calicoctl, environ: dict[str, str], variables: dict[str, str], told: str
) -> None:
    environ.update(variables)
    code, text = calicoctl("profile show")
    assert (code, text.partition(".")[0]) == (1, told)


def test_variables_in_order_have_no_effect_but_are_spoken_of(environ: dict[str, str], calicoctl: Calicoctl) -> None:
    environ.update({"ETCD_ENDPOINTS": "http://a:1,http://b:2", "ETCD_AUTHORITY": "ignored"})
    assert calicoctl("profile show")[0] == 0
    store = environ["TORTIE_STORE"]
    note = f"http://a:1,http://b:2 has no effect here: this host's network store is {store}"
    assert session(environ).configured().note == note
    assert session({"TORTIE_STORE": "sqlite:///x"}).configured().note is None


def test_a_host_without_a_store_is_told_so_and_gets_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profile", "show"], {"TORTIE_STORE": f"sqlite://{tmp_path}/absent"}) == 1
    assert "there is none" in capsys.readouterr().out.replace("\n", " ")
    assert not (tmp_path / "absent").exists()


def test_rules_added_at_the_same_time_all_arrive(environ: dict[str, str], client: Client) -> None:
    run(["profile", "add", "web"], environ)
    lines = [["profile", "web", "rule", "add", "inbound", "allow", "tcp", "to", "ports", str(n)] for n in range(1, 21)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda line: run(line, environ), lines)) == [0] * 20
    ports = [rule.destination.ports for rule in client.get(PROFILE, "web").spec.ingress[1:]]
    assert sorted(ports) == [(n,) for n in range(1, 21)]


def test_pools_are_added_and_removed(calicoctl: Calicoctl, client: Client) -> None:
    """calico-model.md 1.4"""
    assert calicoctl("pool add 10.1.0.0/16 --nat-outgoing") == (0, "")
    assert calicoctl("pool add 10.1.0.0/16 --ipip") == (0, "")
    assert [(p.spec.cidr, p.spec.ipip_mode, p.spec.nat_outgoing) for p in client.list(IP_POOL).items] == [
        ("10.1.0.0/16", "Always", False)
    ]
    assert calicoctl("pool add 10.1.2.0/24")[0] == 1
    assert calicoctl("pool add 10.1/16") == (1, "Invalid CIDR specified 10.1/16\n")
    assert calicoctl("pool add 10.2.0.0/27")[0] == 1
    assert calicoctl("pool add fd00::/64 --ipip") == (1, "IP in IP not supported for IPv6 pools\n")
    assert calicoctl("pool range add 10.4.0.9 10.4.0.1") == (1, "START_IP must be a smaller ip address than END_IP\n")
    assert calicoctl("pool range add 10.4.0.0 10.4.2.255") == (0, "")
    assert sorted(p.spec.cidr for p in client.list(IP_POOL).items)[1:] == ["10.4.0.0/23", "10.4.2.0/24"]
    assert calicoctl("pool remove 10.1.0.0/16") == (
        0,
        "Disabling IP Pool\nRemoving IPAM configuration for pool\nDeleted IP Pool\n",
    )
    assert calicoctl("pool remove 10.1.0.0/16") == (1, "10.1.0.0/16 is not a configured pool.\n")


def test_one_address(calicoctl: Calicoctl, client: Client) -> None:
    """calico-model.md 1.4"""
    assert calicoctl("ipam info 10.1.0.1") == (0, "IP 10.1.0.1 is not currently assigned\n")
    assert calicoctl("ipam release 10.1.0.1") == (1, "Failed to release address\n")
    assert calicoctl("ipam release nonsense")[0] == 1
    assert calicoctl("ipam show")[0] == 1


def test_profiles_of_an_endpoint(calicoctl: Calicoctl, client: Client) -> None:
    """calico-model.md 1.3"""
    for name in ("a", "b"):
        calicoctl(f"profile add {name}")
    spec = WorkloadEndpointSpec(node="h", orchestrator="libnetwork", workload="libnetwork", endpoint="e1")
    client.create(
        Resource(
            kind=WORKLOAD_ENDPOINT, metadata=Metadata(name="h-libnetwork-libnetwork-e1", namespace="default"), spec=spec
        )
    )
    assert calicoctl("endpoint e1 profile show") == (0, "Endpoint has no profiles associated with it.\n")
    assert calicoctl("endpoint e1 profile append a b") == (0, "Profile(s) a, b appended.\n")
    assert calicoctl("endpoint e1 profile append a") == (1, "Profile a is already in endpoint profile list\n")
    assert calicoctl("endpoint e1 profile append c") == (1, "Profile with name c was not found.\n")
    assert calicoctl("endpoint e1 profile append") == (0, "No profile specified.\n")
    assert calicoctl("endpoint e1 profile remove a") == (0, "Profile(s) a removed.\n")
    assert calicoctl("endpoint e1 profile remove a") == (1, "Profile a is not in endpoint profile list.\n")
    assert calicoctl("endpoint e1 profile set a b") == (0, "Profile(s) set to a, b.\n")
    assert calicoctl("endpoint e1 profile set") == (0, "Removed all profiles from endpoint.\n")
    assert calicoctl("endpoint e1 profile set a a")[0] == 1
    assert calicoctl("endpoint e2 profile show") == (1, "Endpoint e2 is unknown to Calico.\n")
    assert calicoctl("endpoint e1 profile show --host=other") == (1, "Endpoint e1 is unknown to Calico.\n")


def test_the_program_as_a_process(environ: dict[str, str], client: Client) -> None:
    def call(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tortie.cli.calicoctl.main", *words]
        variables = {"PYTHONPATH": ":".join(sys.path), **environ, **more}
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)

    assert call("profile", "add", "web").stdout == "Created profile web\n"
    refused = call("profile", "show", CALICOCTL_GRAMMAR="7")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "calicoctl: CALICOCTL_GRAMMAR=7: no such grammar; known: 0.19, 1.3, 3\n"
    fixed = call("profile", "show", CALICOCTL_GRAMMAR="1.3")
    assert fixed.returncode == 1
    assert fixed.stdout.startswith("Invalid option: 'calicoctl profile show'.")
