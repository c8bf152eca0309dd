"""calicoctl in the 3 grammar on a real store (calico-model.md 3.6, 5.2 and the traps of 9.1)."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tortie.cli.calicoctl.main import run
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.network_policy import NETWORK_POLICY
from tortie.model.kinds.tier import TIER
from tortie.store.client import Client
from tortie.store.open import open_store

Calicoctl = Callable[..., tuple[int, str, str]]

HEAD = "apiVersion: projectcalico.org/v3\n"
POLICY = HEAD + "kind: NetworkPolicy\nmetadata: {name: web, namespace: shop}\nspec: {selector: a == 'b', order: 10}\n"
POOL = HEAD + "kind: IPPool\nmetadata: {name: pool-a}\nspec: {cidr: 10.65.0.0/16, natOutgoing: true}\n"


def tier(name: str, order: int = 5) -> str:
    return HEAD + f"kind: Tier\nmetadata: {{name: {name}}}\nspec: {{order: {order}}}\n"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"TORTIE_STORE": f"sqlite://{tmp_path}/store", "CALICOCTL_GRAMMAR": "3"}


@pytest.fixture
def client(environ: dict[str, str]) -> Client:
    return Client(open_store(environ["TORTIE_STORE"]))


@pytest.fixture
def calicoctl(environ: dict[str, str], client: Client, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Calicoctl:
    def call(line: str | list[str], text: str | None = None) -> tuple[int, str, str]:
        if text is not None:
            (tmp_path / "file.yaml").write_text(text)
        words = line.split() if isinstance(line, str) else line
        code = run("calicoctl", [str(tmp_path / w) if w.endswith((".yaml", ".dir")) else w for w in words], environ)
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_create_apply_replace_delete(calicoctl: Calicoctl, client: Client) -> None:
    assert calicoctl("create -f file.yaml", POLICY) == (0, "Successfully created 1 'NetworkPolicy' resource(s)\n", "")
    taken = "resource already exists: NetworkPolicy(shop/web) with error: <nil>"
    assert calicoctl("create -f file.yaml") == (1, "", f"failed to create 'NetworkPolicy' resource: [{taken}]\n")
    assert calicoctl("create -f file.yaml --skip-exists")[0] == 0
    uid = client.get(NETWORK_POLICY, "web", "shop").metadata.uid
    labelled = POLICY.replace("namespace: shop", "namespace: shop, labels: {x: y}")
    assert calicoctl("apply -f file.yaml", labelled) == (
        0,
        "Successfully applied 1 'NetworkPolicy' resource(s)\n",
        "",
    )
    there = client.get(NETWORK_POLICY, "web", "shop").metadata
    assert (there.uid, there.labels["x"]) == (uid, "y")  # 9.1 trap 11
    assert calicoctl("delete np web -n shop") == (0, "Successfully deleted 1 'NetworkPolicy' resource(s)\n", "")
    missing = "resource does not exist: NetworkPolicy(shop/web) with error: <nil>"
    assert calicoctl("delete np web -n shop") == (1, "", f"Failed to delete 'NetworkPolicy' resource: [{missing}]\n")
    assert calicoctl("delete np web -n shop -s")[0] == 0
    assert calicoctl("replace -f file.yaml") == (1, "", f"failed to replace 'NetworkPolicy' resource: [{missing}]\n")


def test_every_write_initialises_the_store(calicoctl: Calicoctl, client: Client) -> None:
    calicoctl("create -f file.yaml", POOL)
    info = client.get(CLUSTER_INFORMATION, "default")
    assert info.spec.datastore_ready
    assert {item.name for item in client.list(TIER).items} == {"default", "kube-admin", "kube-baseline"}
    calicoctl("apply -f file.yaml", POOL)
    assert client.get(CLUSTER_INFORMATION, "default").spec.cluster_guid == info.spec.cluster_guid


def test_it_goes_on_after_an_error_and_names_all(calicoctl: Calicoctl, client: Client) -> None:
    calicoctl("create -f file.yaml", tier("b"))
    code, out, err = calicoctl("create -f file.yaml", "---\n".join((tier("a"), tier("b"), tier("c"))))
    assert (code, out) == (1, "Partial success: created the first 2 out of 3 'Tier' resources:\n")
    assert err == "hit error: [resource already exists: Tier(b) with error: <nil>]\n"
    assert client.find(TIER, "c")


def test_nothing_is_written_while_one_is_wrong(calicoctl: Calicoctl, client: Client) -> None:
    bad = HEAD + "kind: NetworkPolicy\nmetadata: {name: web}\nspec: {selector: 'a ==', order: 10}\n"
    code, out, err = calicoctl("apply -f file.yaml", tier("a") + "---\n" + bad)
    assert (code, out) == (1, "")
    assert err.startswith("failed to apply any resources: [error with field")
    assert client.find(TIER, "a") is None


def test_stale_revisions(calicoctl: Calicoctl, client: Client) -> None:
    """9.1 trap 12: with a resourceVersion the compare is strict; create refuses one."""
    calicoctl("create -f file.yaml", tier("a"))
    shown = calicoctl("get tier a -o yaml")[1]
    assert calicoctl("replace -f file.yaml", shown)[0] == 0
    code, _, err = calicoctl("replace -f file.yaml", shown)
    assert (code, err) == (1, "failed to replace 'Tier' resource: [update conflict: Tier(a)]\n")
    code, _, err = calicoctl("create -f file.yaml", shown.replace("name: a", "name: z"))
    assert code == 1
    assert "Metadata.ResourceVersion" in err
    assert client.find(TIER, "z") is None


def test_get(calicoctl: Calicoctl) -> None:
    calicoctl("create -f file.yaml", POLICY)
    assert calicoctl("get np -A") == (0, "NAMESPACE   NAME   TIER      \nshop        web    default   \n\n", "")
    assert calicoctl("get policies -n shop -o wide")[1].split("\n")[0].split() == [
        "NAMESPACE",
        "NAME",
        "TIER",
        "ORDER",
        "SELECTOR",
    ]
    assert calicoctl("get np") == (0, "NAME   TIER   \n\n", "")
    assert calicoctl("get np web -n shop -o name") == (0, "networkpolicies/web\n", "")
    one = yaml.safe_load(calicoctl("get np web -n shop -o yaml")[1])
    assert (one["kind"], one["metadata"]["name"]) == ("NetworkPolicy", "web")
    exported = yaml.safe_load(calicoctl("get np web -n shop -o yaml --export")[1])
    assert not {"uid", "resourceVersion", "creationTimestamp", "namespace"} & exported["metadata"].keys()
    many = json.loads(calicoctl("get np -A -o json")[1])
    assert (many["kind"], len(many["items"])) == ("NetworkPolicyList", 1)
    missing = "resource does not exist: NetworkPolicy(shop/none) with error: <nil>"
    code, out, err = calicoctl("get np web none -n shop")
    assert (code, "web" in out, err) == (1, True, f"failed to get resources: {missing}\n")
    template = "go-template={{range .items}}{{.metadata.name}} {{.ObjectMeta.Namespace}}{{end}}"
    assert calicoctl(["get", "np", "-A", "-o", template]) == (0, "web shop", "")
    assert calicoctl("get np -n shop -o custom-columns=name,order") == (0, "NAME   ORDER   \nweb    10      \n\n", "")


def test_profiles_end_with_the_built_in_one(calicoctl: Calicoctl) -> None:
    """5.2: listing profiles always appends it."""
    assert calicoctl("get profiles")[1].split() == ["NAME", "projectcalico-default-allow"]
    assert calicoctl("get profile projectcalico-default-allow")[0] == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("get things", "resource type 'things' is not supported"),
        ("get np -n a -A", "cannot use both --namespace and --all-namespaces"),
        ("get tier -n a", "Tier is not namespaced"),
        ("get np -o xml", "unrecognized output format 'xml'"),
        ("get np -o custom-columns=Q", "Unknown heading Q"),
        ("patch tier a -p {} -t json", "not implemented"),
        ("patch tier a -p nonsense", "the patch is no JSON"),
        ("datastore migrate export", "not supported"),
        ("get", "get needs a KIND"),
        ("fly", "unknown command"),
        ("create", "needs --filename"),
        ("get np --colour", "unknown option --colour"),
        ("ipam show --ip=300.0.0.1", "invalid IP address"),
        ("create -f absent.yaml", "cannot read"),
    ],
)
def test_bad_words(calicoctl: Calicoctl, line: str, said: str) -> None:
    code, out, err = calicoctl(line)
    assert (code, out) == (1, "")
    assert said in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "error parsing"),
        ("kind: Tier\n", "needs apiVersion and kind"),
        (tier("a").replace("Tier", "Thing"), "unknown resource type"),
        (
            tier("a").replace("order", "ordr"),
            "field in document is not recognized or is in the wrong location: spec.ordr",
        ),
        (tier("a").replace("name: a", "name: a, namespace: b"), "namespace should not be specified"),
        (tier("a").replace("name: a", "generateName: a"), "generateName"),
        (tier("a").replace("5", "many"), "spec"),
        (tier("a").replace("spec: {order: 5}", "spec: [1]"), "spec"),
        (tier("a").replace("{name: a}", "[]"), "metadata"),
        ("&a [*a]", ""),
        ("- 1\n- two\n", "expected a resource"),
        ("[" * 5000, "error parsing"),
    ],
)
def test_bad_files(calicoctl: Calicoctl, client: Client, text: str, said: str) -> None:
    code, out, err = calicoctl("apply -f file.yaml", text)
    assert (code, out) == (1, "")
    assert said in err
    assert err.startswith("failed to ")
    assert not client.list(TIER).items


def test_mixed_files_and_nothing(calicoctl: Calicoctl, environ: dict[str, str]) -> None:
    assert calicoctl("apply -f file.yaml", "") == (0, "No resources specified\n", "")
    del environ["CALICOCTL_GRAMMAR"]
    mixed = tier("a") + "---\napiVersion: v1\nkind: profile\nmetadata: {name: p}\n"
    code, _, err = calicoctl("apply -f file.yaml", mixed)
    assert code == 1
    assert "cannot be mixed" in err


def test_directories_and_standard_input(
    calicoctl: Calicoctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    folder = tmp_path / "x.dir"
    (folder / "deeper").mkdir(parents=True)
    (folder / "a.yaml").write_text(tier("a"))
    (folder / "b.json").write_text(json.dumps(yaml.safe_load(tier("b"))))
    (folder / "notes.txt").write_text("not a resource")
    (folder / "deeper" / "c.yml").write_text(tier("c"))
    assert calicoctl("create -f x.dir")[1] == "Successfully created 2 'Tier' resource(s)\n"
    assert calicoctl("apply -R -f x.dir")[1] == "Successfully applied 3 'Tier' resource(s)\n"
    del environ["CALICOCTL_GRAMMAR"]
    typed = io.TextIOWrapper(io.BytesIO(tier("d").encode()))
    monkeypatch.setattr(sys, "stdin", typed)
    assert calicoctl("create -f -")[1] == "Successfully created 1 'Tier' resource(s)\n"


def test_what_is_no_text_is_an_error(
    calicoctl: Calicoctl, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    """Looking for the grammar read standard input already: the command must see the same bytes, not an empty file."""
    del environ["CALICOCTL_GRAMMAR"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\x00binary")))
    assert calicoctl("apply -f -") == (
        1,
        "",
        "failed to execute command: standard input: not a text file: byte 0 is no UTF-8\n",
    )


def test_lists(calicoctl: Calicoctl) -> None:
    calicoctl("create -f file.yaml", tier("a") + "---\n" + tier("b"))
    listed = calicoctl("get tiers -o yaml --export")[1]
    # 3.2: built-in tiers cannot be deleted.
    code, out, err = calicoctl("delete -f file.yaml", listed)
    assert (code, out) == (1, "Partial success: deleted the first 2 out of 5 'Tier' resources:\n")
    assert err.count("Cannot delete") == 3
    assert "operation delete is not supported on default: Cannot delete default tier" in err


def test_patch_and_label(calicoctl: Calicoctl, client: Client) -> None:
    calicoctl("create -f file.yaml", tier("a"))
    assert calicoctl(["patch", "tier", "a", "-p", '{"spec": {"order": 7}}']) == (
        0,
        "Successfully patched 1 'Tier' resource\n",
        "",
    )
    assert client.get(TIER, "a").spec.order == 7
    code, _, err = calicoctl(["patch", "tier", "a", "-p", '{"metadata": {"name": "b"}}'])
    assert code == 1
    assert "cannot change" in err
    assert calicoctl("label tier a x=1")[1] == "Successfully set label x on Tier a\n"
    code, _, err = calicoctl("label tier a x=2")
    assert (code, err) == (
        1,
        "failed to update label of Tier a, key x is already present. please use '--overwrite' to set a new value\n",
    )
    assert calicoctl("label tier a x=2 --overwrite")[1] == "Successfully updated label x on Tier a\n"
    assert calicoctl("label tier a x --remove")[1] == "Successfully removed label x from Tier a\n"
    assert calicoctl("label tier a x --remove")[0] == 1
    assert calicoctl("label tier none x=1")[2].endswith("resource does not exist: Tier(none) with error: <nil>\n")


def test_pools_keep_their_range_and_do_not_overlap(calicoctl: Calicoctl, client: Client) -> None:
    calicoctl("create -f file.yaml", POOL)
    assert "cannot be modified" in calicoctl("apply -f file.yaml", POOL.replace("10.65.0.0/16", "10.66.0.0/16"))[2]
    assert "overlaps with IPPool(pool-a)" in calicoctl("create -f file.yaml", POOL.replace("pool-a", "pool-b"))[2]
    assert [pool.name for pool in client.list(IP_POOL).items] == ["pool-a"]


def test_ipam(calicoctl: Calicoctl, client: Client, tmp_path: Path) -> None:
    from tortie.ipam.allocator import Allocator

    calicoctl("create -f file.yaml", POOL)
    node = HEAD + "kind: Node\nmetadata: {name: host-a}\nspec: {bgp: {ipv4Address: 192.0.2.11/24}}\n"
    assert calicoctl("create -f file.yaml", node)[0] == 0
    address = Allocator(client.datastore, "host-a").auto_assign("handle-1", {"pod": "web"}, now=1.0)
    shown = calicoctl("ipam show --show-blocks")[1]
    assert "| IP Pool  | 10.65.0.0/16" in shown
    assert "1 (2%)" in shown
    assert calicoctl(f"ipam show --ip={address}")[1].startswith(f"IP {address} is in use\n")
    assert calicoctl("ipam show --ip=10.65.9.9") == (0, "10.65.9.9 is not assigned\n", "")
    assert calicoctl("ipam check")[1].endswith("Check complete; found 1 problems.\n")  # no endpoint has it
    assert calicoctl(f"ipam release --ip={address}") == (0, f"Successfully released IP address {address}\n", "")
    assert calicoctl(f"ipam release --ip={address}")[0] == 1
    assert calicoctl("ipam configure --strictaffinity=true") == (0, "Successfully set StrictAffinity to: true\n", "")
    assert "StrictAffinity" in calicoctl("ipam show --show-configuration")[1]
    assert calicoctl("ipam configure --strictaffinity=maybe")[0] == 1
    assert calicoctl("ipam split 3 --name=pool-a")[0] == 1
    assert "locked" in calicoctl("ipam split 4 --name=pool-a")[2]
    assert calicoctl("datastore migrate lock") == (0, "Datastore locked.\n", "")
    assert calicoctl("ipam split 4 --name=pool-a")[0] == 0
    assert calicoctl("datastore migrate unlock") == (0, "Datastore unlocked.\n", "")
    assert len(client.list(IP_POOL).items) == 4


def test_convert(calicoctl: Calicoctl) -> None:
    """7.1"""
    v1 = (
        "apiVersion: v1\nkind: policy\nmetadata: {name: Web/App}\nspec: {ingress: [{action: pass, source: {tag: t}}]}\n"
    )
    made = yaml.safe_load(calicoctl("convert -f file.yaml", v1)[1])
    assert made["kind"] == GLOBAL_NETWORK_POLICY.name
    assert made["metadata"]["name"].startswith("web-app-")
    assert made["spec"]["ingress"][0]["action"] == "Pass"
    assert made["spec"]["ingress"][0]["source"] == {"selector": "t == ''"}
    assert calicoctl("convert -f file.yaml", "apiVersion: v1\nkind: x\n")[0] == 1


def test_version_and_completion(calicoctl: Calicoctl, environ: dict[str, str]) -> None:
    calicoctl("create -f file.yaml", tier("alpha"))
    assert calicoctl("version")[1].startswith("Client Version:    tortie")
    assert "complete -o default" in calicoctl("completion bash")[1]
    assert calicoctl("completion words -- get tier al")[1] == "alpha\n"
    assert "networkpolicies" in calicoctl("completion words -- get netw")[1]
    assert calicoctl("completion tcsh")[0] == 1
    environ["TORTIE_STORE"] = "sqlite:///nowhere/at/all"
    code, out, _ = calicoctl("get tiers")
    assert (code, out.startswith("Failed to create Calico API client: ")) == (1, True)


@pytest.mark.parametrize(
    ("grammar", "words"),
    [("3", "get profiles"), ("1.3", "get policy"), ("0.19", "profile show"), ("0.19", "bgp peer show")],
)
def test_a_command_imports_what_it_uses(environ: dict[str, str], client: Client, grammar: str, words: str) -> None:
    """It starts in the time of its imports: nothing heavy, and of the kinds only those that it reads."""
    heavy = ["typing_extensions", "pathlib", "urllib", "yaml", "json", "click", "http", "ssl", "asyncio", "logging"]
    others = [f"tortie.model.kinds.{name}" for name in ("felix_configuration", "calico_node_status", "live_migration")]
    code = f"""
import atexit, sys
before = set(sys.modules)  # what this installation of Python imports by itself
looked_for = set({[*heavy, *others]!r})
atexit.register(lambda: print(sorted(looked_for & set(sys.modules) - before), file=sys.stderr))
from tortie.cli.calicoctl.main import main
sys.argv = ['calicoctl', *{words.split()!r}]
main()
"""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environ, "CALICOCTL_GRAMMAR": grammar},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "[]\n"), ran.stdout


def test_configuration_files(calicoctl: Calicoctl, environ: dict[str, str], tmp_path: Path) -> None:
    assert calicoctl("get tiers -c /no/such/file.cfg")[:2] == (
        1,
        "Failed to create Calico API client: Error reading config file: /no/such/file.cfg\n",
    )
    for text, said in (
        ("kind: Other\n", "expected kind"),
        ("apiVersion: v1\nkind: CalicoAPIConfig\nspec: {colour: red}\n", "unknown field spec.colour"),
    ):
        (tmp_path / "c.yaml").write_text(text)
        code, out, _ = calicoctl("get tiers -c c.yaml")
        assert code == 1
        assert said in out
    del environ["TORTIE_STORE"]
    for spec, said in (("datastoreType: kubernetes", "kubernetes"), ("etcdEndpoints: 'ftp://a:1'", "etcdEndpoints")):
        (tmp_path / "c.yaml").write_text(HEAD + f"kind: CalicoAPIConfig\nspec: {{{spec}}}\n")
        code, out, _ = calicoctl("get tiers -c c.yaml")
        assert code == 1
        assert said in out
