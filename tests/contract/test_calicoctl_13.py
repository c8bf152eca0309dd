"""calicoctl in the 1.3 grammar on a real store (calico-model.md chapter 2; the environments document's commands)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tortie.cli.calicoctl.main import run
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY
from tortie.model.kinds.profile import PROFILE
from tortie.store.client import Client
from tortie.store.open import open_store

Calicoctl = Callable[..., tuple[int, str]]

PROFILE_FILE = """\
apiVersion: v1
kind: profile
metadata:
  name: calico
  tags: [calico]
spec:
  egress: [{action: allow}]
  ingress: [{action: allow, source: {tag: calico}}]
"""
# calico-model.md 2.1: always an array, keys in alphabetical order, empty sides printed.
SHOWN = """\
- apiVersion: v1
  kind: profile
  metadata:
    name: calico
    tags:
    - calico
  spec:
    egress:
    - action: allow
      destination: {}
      source: {}
    ingress:
    - action: allow
      destination: {}
      source:
        tag: calico
"""


def policy(name: str, ingress: str = "[{action: allow, protocol: tcp, destination: {ports: [80]}}]") -> str:
    return (
        f"apiVersion: v1\nkind: policy\nmetadata: {{name: {name}}}\n"
        f"spec:\n  order: 100\n  selector: group == 'development'\n"
        f"  ingress: {ingress}\n  egress: [{{action: allow}}]\n"
    )


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"TORTIE_STORE": f"sqlite://{tmp_path}/store"}


@pytest.fixture
def client(environ: dict[str, str]) -> Client:
    return Client(open_store(environ["TORTIE_STORE"]))


@pytest.fixture
def calicoctl(environ: dict[str, str], client: Client, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Calicoctl:
    def call(line: str | list[str], text: str | None = None) -> tuple[int, str]:
        if text is not None:
            (tmp_path / "file.yaml").write_text(text)
        words = [
            str(tmp_path / word) if word.endswith(".yaml") else word
            for word in (line.split() if isinstance(line, str) else line)
        ]
        code = run("calicoctl-v1.3.0", words, environ)
        told = capsys.readouterr()
        assert told.err == "", "2.2: everything on standard output"
        return code, told.out

    return call


def test_the_commands_of_the_environments_document(calicoctl: Calicoctl, client: Client) -> None:
    """walkthroughs.md 3.5, steps 9 and 10."""
    assert calicoctl("create -f file.yaml", PROFILE_FILE) == (0, "Successfully created 1 'profile' resource(s)\n")
    code, shown = calicoctl("get profile -o yaml")
    assert (code, shown) == (0, SHOWN)
    edited = shown[: shown.index("    ingress:")] + "    ingress:\n"
    assert calicoctl("replace -f file.yaml", edited) == (0, "Successfully replaced 1 'profile' resource(s)\n")
    assert client.get(PROFILE, "calico").spec.ingress == ()
    assert len(client.get(PROFILE, "calico").spec.egress) == 1

    created = (0, "Successfully created 1 'policy' resource(s)\n")
    taken = "resource already exists: Policy(name=allow-dev-tester-database)\n"
    pings = "[{action: allow, icmp: {type: 8}}]"
    assert calicoctl("create -f file.yaml", policy("allow-dev-frontend-database")) == created
    assert calicoctl("create -f file.yaml", policy("allow-dev-tester-database")) == created
    assert calicoctl("create -f file.yaml", policy("allow-dev-pings", pings)) == created
    assert calicoctl("create -f file.yaml", policy("allow-dev-tester-database")) == (
        1,
        f"Failed to create 'policy' resource: {taken}",
    )
    assert calicoctl("create -f file.yaml", policy("allow-dev-tester-frontend")) == created
    assert calicoctl("create -f file.yaml", PROFILE_FILE) == (
        1,
        "Failed to create 'profile' resource: resource already exists: Profile(name=calico)\n",
    )
    # 7.1 and walkthroughs.md 3.5, contradiction 2: ICMP fields without a protocol never mean everything.
    stored = client.get(GLOBAL_NETWORK_POLICY, "allow-dev-pings").spec
    assert [rule.protocol for rule in stored.ingress] == ["ICMP", "ICMPv6"]
    assert stored.types == ("Ingress", "Egress")
    assert "icmp:\n        type: 8" in calicoctl("get policy allow-dev-pings -o yaml")[1]


def test_an_unreplaced_placeholder_is_a_parse_error(calicoctl: Calicoctl, client: Client) -> None:
    text = policy("lan", "[{action: allow, source: {net: <your-lan-CIDR>}}]")
    code, told = calicoctl("create -f file.yaml", text)
    assert code == 1
    assert told.startswith("Failed to execute command: ")
    assert "your-lan-CIDR" in told
    assert not client.list(GLOBAL_NETWORK_POLICY).items


def test_what_is_missing_is_an_empty_list(calicoctl: Calicoctl) -> None:
    """2.1: get NAME of a missing object: exit 0; 2.3: a table ends with an empty line."""
    assert calicoctl("get policy nothing -o yaml") == (0, "[]\n")
    assert calicoctl("get policy nothing -o json") == (0, "[]\n")
    assert calicoctl("get pol nothing") == (0, "NAME   \n\n")


def test_tables(calicoctl: Calicoctl) -> None:
    calicoctl("create -f file.yaml", policy("web").replace("  order: 100\n", ""))
    calicoctl("create -f file.yaml", PROFILE_FILE)
    assert calicoctl("get policies -o wide") == (
        0,
        "NAME   ORDER   SELECTOR                   \nweb    <nil>   group == 'development'   \n\n".replace(
            "SELECTOR                   ", "SELECTOR                 "
        ),
    )
    assert calicoctl("get profile -o custom-columns=tags")[1] == "TAGS     \ncalico   \n\n"
    assert calicoctl("get profile -o custom-columns=X") == (
        1,
        "Failed to execute command: Unknown heading X, valid values are: NAME, TAGS\n",
    )
    assert calicoctl(["get", "profile", "-o", "go-template={{range .}}{{.metadata.name}};{{end}}"]) == (0, "calico;")


def test_part_of_a_list(calicoctl: Calicoctl, client: Client) -> None:
    """2.2: processing stops at the first error, earlier ones stay; --skip-exists counts as success."""

    def item(name: str) -> str:
        return f"{{apiVersion: v1, kind: policy, metadata: {{name: {name}}}, spec: {{}}}}"

    listed = f"[{item('a')}, {item('b')}]"
    assert calicoctl("create -f file.yaml", f"[{item('b')}]")[0] == 0
    assert calicoctl("create -f file.yaml", f"[{item('a')}, {item('b')}, {item('c')}]") == (
        1,
        "Partial success: created the first 1 out of 3 'policy' resources:\n"
        "Hit error: resource already exists: Policy(name=b)\n",
    )
    assert [p.name for p in client.list(GLOBAL_NETWORK_POLICY).items] == ["a", "b"]
    assert calicoctl("create --skip-exists -f file.yaml", listed) == (
        0,
        "Successfully created 2 'policy' resource(s)\n",
    )
    assert calicoctl("create -f file.yaml", listed)[1].startswith("Failed to create any 'policy' resources: ")
    mixed = f"[{item('z')}, {{apiVersion: v1, kind: profile, metadata: {{name: p}}, spec: {{}}}}]"
    assert calicoctl("apply -f file.yaml", mixed) == (0, "Successfully applied 2 resource(s)\n")


def test_delete(calicoctl: Calicoctl) -> None:
    calicoctl("create -f file.yaml", PROFILE_FILE)
    assert calicoctl("delete profile calico") == (0, "Successfully deleted 1 'profile' resource(s)\n")
    assert calicoctl("delete profile calico") == (
        1,
        "Failed to delete 'profile' resource: resource does not exist: Profile(name=calico)\n",
    )
    assert calicoctl("delete profile calico -s")[0] == 0
    code, told = calicoctl("delete wep eth0 --orchestrator=cni --workload=w")
    assert code == 1
    assert "insufficient identifiers, missing 'node'" in told


def test_nothing_is_written_while_one_is_wrong(calicoctl: Calicoctl, client: Client) -> None:
    good = "{apiVersion: v1, kind: profile, metadata: {name: good}, spec: {}}"
    bad = "{apiVersion: v1, kind: policy, metadata: {name: bad, colour: red}, spec: {ordr: 1}}"
    code, told = calicoctl("create -f file.yaml", f"[{good}, {bad}]")
    assert code == 1
    assert "unknown field metadata.colour" in told
    assert "unknown field spec.ordr" in told
    assert not client.list(PROFILE).items


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "No resources specified in file"),
        ("[]", "No resources specified in file"),
        ("a: [", "error parsing"),
        ("\x00\x01", "error parsing"),
        ("apiVersion: v1\nkind: thing\nmetadata: {}\n", "Unknown resource type (thing)"),
        ("hello", "expected a resource"),
        (PROFILE_FILE + "---\n" + PROFILE_FILE, "more than one document"),
        (PROFILE_FILE.replace("action: allow", "action: Permit", 1), "error with field Action = 'Permit'"),
        (PROFILE_FILE.replace("  name: calico", "  name: calico\n  name: other"), "given twice"),
        (PROFILE_FILE.replace("name: calico", "name: ''"), "insufficient identifiers, missing 'name'"),
    ],
)
def test_bad_files(calicoctl: Calicoctl, text: str, said: str) -> None:
    code, told = calicoctl("create -f file.yaml", text)
    assert code == 1
    assert told.startswith("Failed to execute command: ")
    assert said in told


def test_bad_words(calicoctl: Calicoctl) -> None:
    assert calicoctl("convert -f x") == (
        1,
        "Invalid option: 'calicoctl convert -f x'. Use flag '--help' to read about a specific subcommand.\n",
    )
    assert calicoctl("get gnp")[1] == "Failed to execute command: resource type 'gnp' is not supported\n"
    assert calicoctl("get")[0] == calicoctl("create")[0] == 1
    assert "cannot read" in calicoctl("create -f absent.yaml")[1]


FORMS = {
    "bgpPeer": """\
- apiVersion: v1
  kind: bgpPeer
  metadata:
    peerIP: 10.0.0.1
    scope: global
  spec:
    asNumber: 64513
""",
    "hostEndpoint": """\
- apiVersion: v1
  kind: hostEndpoint
  metadata:
    labels:
      role: edge
    name: eth0
    node: host-a
  spec:
    interfaceName: eth0
""",
    "ipPool": """\
- apiVersion: v1
  kind: ipPool
  metadata:
    cidr: 10.1.0.0/16
  spec:
    nat-outgoing: true
""",
    "node": """\
- apiVersion: v1
  kind: node
  metadata:
    name: host-a
  spec:
    bgp:
      asNumber: 64512
      ipv4Address: 10.2.0.1/24
""",
    "workloadEndpoint": """\
- apiVersion: v1
  kind: workloadEndpoint
  metadata:
    name: eth0
    node: host-a
    orchestrator: cni
    workload: web-1
  spec:
    interfaceName: cali0
    ipNetworks:
    - 10.1.0.5/32
    mac: 0a:00:00:00:00:01
    profiles:
    - web
""",
}


@pytest.mark.parametrize("kind", FORMS)
def test_a_resource_comes_back_as_it_went(calicoctl: Calicoctl, kind: str) -> None:
    """2.4"""
    text = FORMS[kind]
    assert calicoctl("create -f file.yaml", text) == (0, f"Successfully created 1 '{kind}' resource(s)\n")
    assert calicoctl(f"get {kind} -o yaml") == (0, text)
    assert calicoctl("apply -f file.yaml", text)[0] == 0
    assert calicoctl(f"get {kind}s -o yaml") == (0, text)
    assert calicoctl("create -f file.yaml", text)[1].startswith(f"Failed to create '{kind}' resource: resource already")
    assert calicoctl("delete -f file.yaml", text) == (0, f"Successfully deleted 1 '{kind}' resource(s)\n")
    assert calicoctl(f"get {kind} -o yaml") == (0, "[]\n")


def test_what_v1_cannot_say_is_hidden_and_not_lost(
    calicoctl: Calicoctl, client: Client, environ: dict[str, str]
) -> None:
    calicoctl("create -f file.yaml", policy("web"))
    there = client.get(GLOBAL_NETWORK_POLICY, "web")

    client.update(replace(there, spec=msgspec.structs.replace(there.spec, types=("Ingress",))))
    assert calicoctl("get policy -o yaml") == (0, "[]\n")
    code, told = calicoctl("replace -f file.yaml", policy("web"))
    assert code == 1
    assert "would lose that" in told
    assert client.get(GLOBAL_NETWORK_POLICY, "web").spec.types == ("Ingress",)


def test_settings(calicoctl: Calicoctl) -> None:
    """2.5"""
    assert calicoctl("config get asNumber") == (0, "64512 (unset)\n")
    assert calicoctl("config set asNumber 65001") == (0, "")
    assert calicoctl("config get asNumber") == (0, "65001\n")
    assert calicoctl("config set nodeToNodeMesh off") == (0, "")
    assert calicoctl("config get nodetonodemesh") == (0, "off\n")
    assert calicoctl("config unset asNumber") == (0, "")
    assert calicoctl("config get asNumber") == (0, "64512 (unset)\n")
    for line in ("config set asNumber many", "config set colour red", "config get asNumber --node=x"):
        code, told = calicoctl(line)
        assert code == 1
        assert told.startswith("Error executing command: ")
    assert calicoctl("config set asNumber")[0] == 1


def test_a_store_that_is_away(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("calicoctl-1.3", ["get", "profile"], environ) == 1
    assert capsys.readouterr().out.startswith("Failed to create Calico API client: ")
