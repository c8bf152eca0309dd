"""`dcos` and a cluster that speaks TLS with an authority of its own."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.dcos_cluster import PATIENT, Answer, Dcos, DcosCluster, command, serving, state, task
from tests.support.tls import Authority, authority
from tests.support.waiting import PATIENCE

STATE = "/mesos/master/state.json"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def cluster(known: Authority) -> Iterator[DcosCluster]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(known.cert, known.key)
    with serving(DcosCluster(), context) as made:
        made.answers = {
            STATE: state(task("web.1")),
            "/metadata": {"CLUSTER_ID": "x"},
            "/pkgpanda/active.buildinfo.full.json": {},
            "/ca/dcos-ca.crt": Answer(known.ca.read_bytes()),
        }
        yield made


@pytest.fixture
def dcos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dcos:
    return command(tmp_path, monkeypatch)


def test_who_is_believed(dcos: Dcos, cluster: DcosCluster, known: Authority) -> None:
    stranger = dcos("task", DCOS_URL=cluster.url)
    assert (stranger.code, stranger.out) == (1, "")
    assert stranger.err.startswith(
        "An SSL error occurred. To configure your SSL settings, please run: `dcos config set"
    )
    assert "web.1" in dcos("task", DCOS_URL=cluster.url, DCOS_SSL_VERIFY=str(known.ca)).out
    assert "web.1" in dcos("task", DCOS_URL=cluster.url, DCOS_SSL_VERIFY="false").out
    assert "no certificates in [/nowhere]" in dcos("task", DCOS_URL=cluster.url, DCOS_SSL_VERIFY="/nowhere").err
    assert dcos("task", DCOS_URL=cluster.url, DCOS_SSL_VERIFY="True").code == 1


def test_the_authority_of_a_new_cluster_is_shown_and_kept(dcos: Dcos, cluster: DcosCluster, known: Authority) -> None:
    done = dcos(f"cluster setup {cluster.url}", typed="what?\nyes\n")
    assert done.code == 0, done.err
    der = ssl.PEM_cert_to_DER_cert(known.ca.read_text())
    shown = subprocess.run(["openssl", "dgst", "-sha256", "-r"], input=der, capture_output=True, check=True).stdout
    assert done.err.splitlines()[1].replace(":", "").lower() == shown.decode().split()[0]
    assert "'what?' is not a valid response." in done.err
    kept = Path(dcos("config show core.ssl_verify").out.strip())
    assert (kept.name, kept.read_text()) == ("dcos_ca.crt", known.ca.read_text())
    assert "web.1" in dcos("task").out


def test_an_authority_that_nobody_believes_leaves_nothing(dcos: Dcos, cluster: DcosCluster, tmp_path: Path) -> None:
    for typed in ("no\n", ""):
        refused = dcos(f"cluster setup {cluster.url}", typed=typed)
        assert (refused.code, "An SSL error occurred." in refused.err) == (1, True)
    cluster.answers["/ca/dcos-ca.crt"] = Answer(b"no certificate")
    assert "The CA certificate of the cluster cannot be read" in dcos(f"cluster setup {cluster.url}").err
    cluster.answers["/ca/dcos-ca.crt"] = Answer(b"", 500)
    assert dcos(f"cluster setup {cluster.url}").err.startswith("Error downloading CA certificate from cluster.")
    assert not (tmp_path / "dcos").exists()


@pytest.mark.parametrize(
    ("option", "verify"), [("--no-check", "dcos_ca.crt"), ("--insecure", "false"), ("--ca-certs={ca}", "ca.pem")]
)
def test_a_setup_without_questions(
    dcos: Dcos, cluster: DcosCluster, known: Authority, option: str, verify: str
) -> None:
    done = dcos(f"cluster setup {option.format(ca=known.ca)} {cluster.url}")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert dcos("config show core.ssl_verify").out.strip().endswith(verify)
    assert "web.1" in dcos("task").out


def test_from_a_plain_door_to_one_with_tls(cluster: DcosCluster, known: Authority, tmp_path: Path) -> None:
    """In a program that had no need of TLS when it began."""
    with serving(DcosCluster()) as plain:
        plain.answers[STATE] = Answer(b"", 307, {"Location": cluster.url + STATE})
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        ran = subprocess.run(
            [sys.executable, "-m", "tortie.cli.dcos.main", "task"],
            env={**kept, **PATIENT, "HOME": str(tmp_path), "DCOS_URL": plain.url, "DCOS_SSL_VERIFY": str(known.ca)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert (ran.returncode, "web.1" in ran.stdout) == (0, True), ran.stderr
