"""`tortie why`, `matrix`, `whatif` and the assertions of `calicoctl` as programs: files, a real store, exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.stars_files import files, inbound, profile

from tortie.cli import main as program
from tortie.cli.calicoctl.main import run as calicoctl
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY
from tortie.model.kinds.profile import PROFILE
from tortie.store.client import Client
from tortie.store.open import open_store

Run = Callable[..., tuple[int, str, str]]
V3 = "apiVersion: projectcalico.org/v3\n"
ASSERTION = (
    "apiVersion: tortie/v1\nkind: Assertion\nmetadata: {name: order}\n"
    "spec: {from: frontend == '', to: backend, ports: [tcp/9000]}\n"
)
CLOSED = V3 + "kind: GlobalNetworkPolicy\nmetadata: {name: shut}\nspec: {selector: backend == '', types: [Ingress]}\n"


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the Stars files after step 9b, and no store."""
    monkeypatch.setenv("TORTIE_STORE", f"sqlite://{tmp_path}/store")
    monkeypatch.setenv("CALICOCTL_GRAMMAR", "3")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stars.yaml").write_text(files("9b"))
    (tmp_path / "closed.yaml").write_text(CLOSED)
    return tmp_path


@pytest.fixture
def tortie(where: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(line: str, typed: str | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tortie", *line.split(" ")])
        if typed is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            program.main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return call


@pytest.fixture
def store(where: Path) -> Client:
    """A store that holds the Stars files: each in the form that calicoctl writes."""
    client = Client(open_store(os.environ["TORTIE_STORE"]))
    from tortie.policy.reading import Reader

    for resource in Reader().read([("stars", files("9b"))]).resources.values():
        client.create(resource)
    return client


def test_why_on_files_alone(tortie: Run) -> None:
    code, out, err = tortie("why client frontend tcp/9000 -f stars.yaml")
    assert (code, err, out.split("  ")[0]) == (0, "", "ALLOWED")
    code, out, err = tortie("why client backend tcp/9000 -f stars.yaml")
    assert (code, err, out.split("  ")[0]) == (1, "", "DENIED")
    code, out, _ = tortie("why 192.0.2.1 management-ui tcp/9001 -f stars.yaml --json")
    assert (code, json.loads(out)["allowed"]) == (0, True)
    assert tortie("why client frontend tcp/9000 -f -", files("9b"))[0] == 0


def test_directories_and_several_files(tortie: Run, where: Path) -> None:
    (where / "d").mkdir()
    (where / "d" / "stars.yaml").write_text(files("9b"))
    (where / "d" / "README.txt").write_text("no resource")
    assert tortie("why frontend backend tcp/9000 -f d")[0] == 0
    assert tortie("why frontend backend tcp/9000 -f d -f closed.yaml")[0] == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "why client frontend tcp/9000 -f stars.yaml --counters",
            "--counters is about what the kernel has counted: it does not go with -f",
        ),
        ("why client frontend tcp -f stars.yaml", "'tcp': tcp needs a port, as in tcp/80"),
        ("why client frontend tpc/80 -f stars.yaml", "'tpc' is no protocol; did you mean tcp?"),
        ("why cleint frontend tcp/1 -f stars.yaml", "no endpoint is called 'cleint'; did you mean client?"),
        ("why a b tcp/1 -f stars.yaml", "no endpoint is called 'b'"),
        ("why host:x client tcp/1 -f stars.yaml", "no host is called 'x'"),
        ("why client frontend tcp/1 -f none.yaml", "cannot read none.yaml"),
        ("why client frontend", "Missing argument"),
        ("matrix -f stars.yaml --port tcp/0 --port x", "--port 'x': 'x' is no protocol"),
        ("matrix -f stars.yaml --json --csv", "--csv and --json do not go together"),
        ("whatif", "whatif needs -f FILE"),
        ("whatif -f closed.yaml --base none.yaml", "cannot read none.yaml"),
    ],
)
def test_mistakes_exit_2_and_say_what_is_wrong(tortie: Run, line: str, said: str) -> None:
    code, out, err = tortie(line)
    assert (code, out) == (2, "")
    assert said in err


def test_the_faults_of_all_files_are_told_at_once(tortie: Run, where: Path) -> None:
    (where / "one.yaml").write_text(
        CLOSED.replace("backend ==", "backend =") + "---\n" + CLOSED.replace("Ingress", "In")
    )
    (where / "two.yaml").write_bytes(b"\xff\xfe\x00")
    (where / "three.yaml").write_text(
        "a: &a [*a, *a]\n---\n" + ASSERTION.replace("frontend", "1").replace("ports", "port")
    )
    for line in ("matrix", "why a b tcp/1", "whatif --base stars.yaml"):
        code, out, err = tortie(f"{line} -f one.yaml -f two.yaml -f none.yaml -f three.yaml")
        assert (code, out) == (2, "")
        for said in ("one.yaml, document 1", "one.yaml, document 2", "two.yaml: not a text", "none.yaml", "three.yaml"):
            assert said in err, err


def test_an_ambiguous_name_lists_who_is_meant(tortie: Run, where: Path) -> None:
    (where / "two.yaml").write_text(files("9b").replace("workload: client", "workload: frontend"))
    code, _, err = tortie("why frontend backend tcp/1 -f two.yaml")
    assert code == 2
    named = "default/agent--1-docker-frontend-eth0, default/agent--2-docker-frontend-eth0"
    assert f"'frontend' is more than one endpoint: {named}" in err


@pytest.mark.parametrize(
    "line", ["why client backend tcp/1", "matrix", "whatif -f closed.yaml", "matrix --live -f stars.yaml"]
)
def test_a_store_that_is_away_exits_5(tortie: Run, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = tortie(line)
    assert (code, out) == (5, "")
    assert "there is none" in err
    monkeypatch.setenv("TORTIE_STORE", "etcd://127.0.0.1:1")
    code, out, err = tortie(line)
    assert (code, out) == (5, "")
    assert "127.0.0.1:1" in err


def test_an_address_of_a_store_that_is_none_is_a_mistake(tortie: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORTIE_STORE", "mysql://x")
    assert tortie("matrix")[0] == 2


def test_the_store_is_asked_without_files_and_with_live(tortie: Run, store: Client) -> None:
    assert tortie("why frontend backend tcp/9000")[0] == 0
    assert tortie("why frontend backend tcp/9000 --live -f closed.yaml")[0] == 1
    code, _, err = tortie("why frontend backend tcp/9000 -f closed.yaml")
    assert code == 2, "with -f alone the store is not read"
    assert "there is no endpoint at all" in err
    assert len(store.list(PROFILE).items) == 4


def test_what_cannot_be_read_closes_and_is_said(tortie: Run, store: Client, where: Path) -> None:
    """As on every host: what a policy forbids that nobody here can read is not known."""
    from tortie.store.port import Put

    key = GLOBAL_NETWORK_POLICY.key("shut")
    assert tortie("why client frontend tcp/9000")[0] == 0
    for value in (b"{not json", b'{"metadata": {"name": "shut"}, "spec": {"selector": "all( ="}}'):
        store.datastore.commit([Put(key, value)])
        code, out, err = tortie("why client frontend tcp/9000")
        assert code == 1
        assert "GlobalNetworkPolicy/shut cannot be read" in out
        assert f"tortie: {key} cannot be read: " in err
    # Written anew it can be read: what it says then is what counts.
    assert tortie("why frontend backend tcp/9000 --live -f closed.yaml")[0] == 1
    assert tortie("why client frontend tcp/9000 --live -f closed.yaml")[0] == 0
    code, out, _ = tortie("whatif -f closed.yaml")
    assert (code, out.splitlines()[0]) == (3, "would be allowed from now on:")


def test_matrix(tortie: Run, store: Client) -> None:
    code, out, err = tortie("matrix")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "in each cell: tcp/9000, tcp/9001"
    assert tortie("matrix -f stars.yaml") == (0, out, "")
    rows = list(csv.DictReader(io.StringIO(tortie("matrix --port icmp --port udp/53 --csv")[1])))
    assert {row["service"] for row in rows} == {"icmp", "udp/53"}
    assert len(rows) == 2 * (5 * 4)
    data = json.loads(tortie("matrix --port tcp/9000 --json")[1])
    assert data["services"] == ["tcp/9000"]
    assert [group["name"] for group in data["groups"]][-1] == "anywhere else"


def test_a_policy_that_names_no_port_is_asked_about_tcp_80(tortie: Run, where: Path) -> None:
    (where / "open.yaml").write_text(files("3"))
    assert tortie("matrix -f open.yaml")[1].startswith("in each cell: tcp/80\n")


def test_whatif_against_the_store(tortie: Run, store: Client) -> None:
    before = [(kv.key, kv.revision) for kv in store.datastore.list("/").items]
    code, out, err = tortie("whatif -f closed.yaml")
    assert (code, err) == (3, "")
    assert out.startswith("would no longer be allowed:\n  - frontend -> backend  tcp/9000-9001\n")
    assert tortie("whatif -f stars.yaml") == (0, "no change in who may speak to whom\n", "")
    assert [(kv.key, kv.revision) for kv in store.datastore.list("/").items] == before, "nothing is written"


def test_whatif_on_files(tortie: Run, where: Path) -> None:
    (where / "empty.yaml").write_text("# nothing\n")
    assert tortie("whatif -f empty.yaml --base stars.yaml")[0] == 0
    data = json.loads(tortie("whatif -f closed.yaml --base stars.yaml --json")[1])
    assert [(c["change"], [m["name"] for m in c["from"]], c["services"]) for c in data["changes"]] == [
        ("loses", ["frontend"], ["tcp/9000-9001"]),
        ("loses", ["management-ui"], ["tcp/9000"]),
    ]
    code, out, _ = tortie("whatif --remove closed.yaml --base stars.yaml --base closed.yaml")
    assert (code, out.splitlines()[0]) == (3, "would be allowed from now on:")


def test_whatif_and_assertions(tortie: Run, where: Path) -> None:
    (where / "assert.yaml").write_text(ASSERTION)
    code, out, _ = tortie("whatif -f assert.yaml --base stars.yaml")
    assert (code, out.splitlines()[-1]) == (0, "1 of 1 assertions hold")
    code, out, _ = tortie("whatif -f closed.yaml --base stars.yaml --base assert.yaml")
    assert code == 4
    assert "0 of 1 assertions hold\nassertion order is broken (assert.yaml): frontend ==" in out
    assert "frontend cannot reach backend on tcp/9000" in out
    data = json.loads(tortie("whatif -f closed.yaml -f assert.yaml --base stars.yaml --json")[1])
    assert data["assertions"]["broken"][0]["assertion"] == "order"


def test_whatif_conflicts_exit_4(tortie: Run, store: Client, where: Path) -> None:
    (where / "stale.yaml").write_text(V3 + "kind: Profile\nmetadata: {name: client, resourceVersion: '1000000'}\n")
    code, _, err = tortie("whatif -f stale.yaml")
    assert code == 4
    assert "stale.yaml: Profile client is at revision" in err
    assert tortie("whatif --remove closed.yaml")[0] == 4


def test_no_colour_where_nobody_looks_and_colour_where_it_is_asked_for(
    tortie: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b" not in tortie("why client backend tcp/9000 -f stars.yaml")[1]
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    assert "\x1b[31m" in tortie("why client backend tcp/9000 -f stars.yaml")[1]


def test_a_reader_that_goes_away_is_no_fault(where: Path) -> None:
    script = "import sys; sys.argv[0] = 'tortie'; from tortie.cli.main import main; main()"
    words = [sys.executable, "-c", script, "matrix", "-f", "stars.yaml", "--csv"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=where, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


def test_a_lab_that_there_is_not(tortie: Run) -> None:
    if os.geteuid() != 0:
        pytest.skip("a lab's store is root's")
    code, _, err = tortie("why client frontend tcp/1 --name no-such-lab")
    assert code == 3
    assert "no-such-lab" in err


# calicoctl


@pytest.fixture
def ctl(where: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(line: str, text: str = "") -> tuple[int, str, str]:
        (where / "file.yaml").write_text(text)
        capsys.readouterr()
        code = calicoctl("calicoctl", line.split(" "), dict(os.environ))
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


@pytest.mark.parametrize("word", ["apply", "create", "replace"])
def test_calicoctl_refuses_what_breaks_an_assertion_and_writes_nothing(ctl: Run, store: Client, word: str) -> None:
    there = V3 + "kind: Profile\nmetadata: {name: backend}\nspec: {ingress: [], egress: [{action: Allow}]}\n"
    text = (CLOSED if word != "replace" else there) + "---\n" + ASSERTION
    before = store.datastore.list("/").revision
    code, out, err = ctl(f"{word} -f file.yaml", text)
    assert (code, out) == (1, "")
    assert err.startswith("failed to execute command: nothing was changed\nassertion order is broken: frontend ==")
    assert "frontend cannot reach backend on tcp/9000" in err
    assert store.datastore.list("/").revision == before


def test_calicoctl_applies_what_keeps_them_and_stores_no_assertion(ctl: Run, store: Client) -> None:
    opened = CLOSED.replace("[Ingress]}", "[Ingress], ingress: [{action: Allow, protocol: TCP}]}")
    assert ctl("apply -f file.yaml", ASSERTION + "---\n" + opened) == (
        0, "Successfully applied 1 'GlobalNetworkPolicy' resource(s)\n", "",
    )  # fmt: skip
    assert not [kv.key for kv in store.datastore.list("/").items if b"Assertion" in kv.value or "ssertion" in kv.key]


def test_calicoctl_names_the_faults_of_assertions_before_it_asks_the_store(ctl: Run) -> None:
    code, _, err = ctl("apply -f file.yaml", CLOSED + "---\n" + ASSERTION.replace("from:", "form:"))
    assert code == 1
    assert "assertion order: unknown field form; did you mean from?" in err
    assert ctl("validate -f file.yaml", CLOSED + "---\n" + ASSERTION)[0] == 0
    assert ctl("validate -f file.yaml", CLOSED + "---\n" + ASSERTION.replace("9000", "x"))[0] == 1


def test_the_profile_of_a_step_is_a_change_from_the_one_before(tortie: Run, where: Path) -> None:
    """Step 9b of the Stars document, asked before it is typed: two edges, one port."""
    (where / "before.yaml").write_text(files("9a"))
    (where / "typed.yaml").write_text("---\n".join(profile(n, inbound("9b")[n]) for n in ("frontend", "backend")))
    code, out, _ = tortie("whatif -f typed.yaml --base before.yaml")
    assert code == 3
    assert [line for line in out.splitlines() if line.startswith("  +")] == [
        "  + client -> frontend  tcp/9000",
        "  + frontend -> backend  tcp/9000",
    ]
