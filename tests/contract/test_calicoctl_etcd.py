"""Every grammar of calicoctl on a real etcd with certificates on both sides and passwords: how it is told where the
store is and who asks (calico-model.md 1.1, 2.5, 3.6), by configuration files of both kinds and by variables."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.etcd_server import ETCD, EtcdServer, etcd, user
from tests.support.tls import Authority, authority

from tortie.cli.calicoctl import configuration
from tortie.store.open import CONFIGURED, DEFAULT

pytestmark = [
    pytest.mark.skipif(ETCD is None, reason="no etcd on this machine (package etcd-server)"),
    pytest.mark.skipif(
        any(map(os.path.exists, (CONFIGURED, configuration.PATH, DEFAULT.removeprefix("sqlite://")))),
        reason="this machine has a store of its own, which would be taken",
    ),
]

READ = {"0.19": ["profile", "show"], "1.3": ["get", "profile"], "3": ["get", "profile"]}
PASSWORD = "of: root"


@dataclass(frozen=True)
class Secured:
    endpoint: str
    tls: Authority


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    tls = authority(tmp_path_factory.mktemp("tls"), "/O=test")
    with etcd(tmp_path_factory.mktemp("etcd"), tls=tls) as server:
        with_password(server)
        found = Secured(f"https://127.0.0.1:{server.client}", tls)
        made = run("0.19", ["profile", "add", "web"], variables(found))
        assert made.stdout == "Created profile web\n", made.stdout + made.stderr
        yield found


def with_password(server: EtcdServer) -> None:
    user(server, "root", PASSWORD, ["root"])
    server.call("/v3/auth/enable", {})


def variables(to: Secured, prefix: str = "") -> dict[str, str]:
    found = {
        "ETCD_ENDPOINTS": to.endpoint,
        "ETCD_USERNAME": "root",
        "ETCD_PASSWORD": PASSWORD,
        "ETCD_CA_CERT_FILE": str(to.tls.ca),
        "ETCD_CERT_FILE": str(to.tls.cert),
        "ETCD_KEY_FILE": str(to.tls.key),
    }
    return {prefix + name: value for name, value in found.items()}


def run(grammar: str, words: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    own = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "tortie.cli.calicoctl.main", *words],
        env={**own, "CALICOCTL_GRAMMAR": grammar, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def configured(grammar: str, to: Secured, path: Path, **changes: str) -> list[str]:
    """`-c` and a file of the grammar's kind."""
    head = {
        "1.3": "apiVersion: v1\nkind: calicoApiConfig\n",
        "3": "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\n",
    }
    spec = {
        "datastoreType": {"1.3": "etcdv2", "3": "etcdv3"}[grammar],
        "etcdEndpoints": to.endpoint,
        "etcdUsername": "root",
        "etcdPassword": PASSWORD,
        "etcdCACertFile": str(to.tls.ca),
        "etcdCertFile": str(to.tls.cert),
        "etcdKeyFile": str(to.tls.key),
        **changes,
    }
    lines = [f"  {name}: '{value}'\n" for name, value in spec.items() if value]
    path.write_text(head[grammar] + "metadata:\nspec:\n" + "".join(lines))
    return ["-c", str(path)]


@pytest.mark.parametrize("grammar", READ)
def test_by_variables(secured: Secured, grammar: str) -> None:
    ran = run(grammar, READ[grammar], variables(secured))
    assert (ran.returncode, "web" in ran.stdout, ran.stderr) == (0, True, "")


@pytest.mark.parametrize("grammar", ["1.3", "3"])
def test_by_variables_with_a_prefix(secured: Secured, grammar: str) -> None:
    ran = run(grammar, READ[grammar], variables(secured, "CALICO_"))
    assert (ran.returncode, "web" in ran.stdout, ran.stderr) == (0, True, "")


def test_by_authority_and_scheme(secured: Secured) -> None:
    environ = variables(secured)
    environ["ETCD_AUTHORITY"] = environ.pop("ETCD_ENDPOINTS").removeprefix("https://")
    environ["ETCD_SCHEME"] = "https"
    for grammar, words in READ.items():
        ran = run(grammar, words, environ)
        assert (ran.returncode, "web" in ran.stdout, ran.stderr) == (0, True, ""), grammar


@pytest.mark.parametrize("grammar", ["1.3", "3"])
def test_by_a_file_of_its_kind_whatever_the_variables_say(secured: Secured, grammar: str, tmp_path: Path) -> None:
    words = [*READ[grammar], *configured(grammar, secured, tmp_path / "cfg")]
    ran = run(grammar, words, {"ETCD_ENDPOINTS": "http://127.0.0.1:1", "ETCD_USERNAME": "x", "ETCD_PASSWORD": "y"})
    assert (ran.returncode, "web" in ran.stdout, ran.stderr) == (0, True, "")
    # Without a copy fixed to a grammar the kind of the file tells which it is.
    ran = run("", words, {})
    assert ran.returncode == 0
    assert ("projectcalico-default-allow" in ran.stdout) == (grammar == "3")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"etcdPassword": "wrong"}, "authentication failed, invalid user ID or password"),
        ({"etcdPassword": ""}, "go together"),
        ({"etcdPassword": "", "etcdUsername": ""}, "permission denied"),
        ({"etcdUsername": ""}, "etcdPassword without etcdUsername"),
        ({"etcdCACertFile": ""}, "certificate"),
        ({"etcdCACertFile": "/nowhere"}, "/nowhere cannot be read"),
        ({"etcdCertFile": ""}, "etcdKeyFile and etcdCertFile must be given together"),
        ({"etcdCertFile": "", "etcdKeyFile": ""}, ""),
        ({"etcdEndpoints": "https://127.0.0.1:1"}, "Connection refused"),
        ({"etcdEndpoints": "http://a:1,https://b:2"}, "all of one scheme"),
        ({"etcdCert": "-----BEGIN"}, "etcdCert inline is not supported"),
    ],
)
@pytest.mark.parametrize("grammar", ["1.3", "3"])
def test_what_keeps_it_out(secured: Secured, tmp_path: Path, grammar: str, change: dict[str, str], told: str) -> None:
    """Exit 1, the reason, and never the password."""
    ran = run(grammar, [*READ[grammar], *configured(grammar, secured, tmp_path / "cfg", **change)], {})
    said = ran.stdout + ran.stderr
    assert (ran.returncode, told in said) == (1, True), said
    assert PASSWORD not in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ETCD_PASSWORD": "wrong"}, "authentication failed"),
        ({"ETCD_KEY_FILE": ""}, "Invalid ETCD_KEY_FILE or ETCD_CERT_FILE."),
        ({"ETCD_CA_CERT_FILE": ""}, "Invalid ETCD_CA_CERT_FILE."),
        ({"ETCD_ENDPOINTS": "https://127.0.0.1:1"}, "Connection refused"),
    ],
)
def test_what_keeps_0_19_out(secured: Secured, change: dict[str, str], told: str) -> None:
    ran = run("0.19", READ["0.19"], {**variables(secured), **change})
    said = " ".join(ran.stdout.split())
    assert (ran.returncode, told in said, ran.stderr) == (1, True, ""), said
    assert PASSWORD not in said


def test_a_certificate_with_a_common_name_beside_passwords(tmp_path: Path) -> None:
    """etcd itself refuses the two together through its gateway: said as what can be done about it."""
    tls = authority(tmp_path / "tls")
    with etcd(tmp_path / "etcd", tls=tls) as server:
        with_password(server)
        to = Secured(f"https://127.0.0.1:{server.client}", tls)
        ran = run("3", READ["3"], variables(to))
    assert (ran.returncode, "takes no client certificate that has a common name" in ran.stdout) == (1, True), ran.stdout
