"""Set-up on machines that cannot do: one clear message each, and nothing changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from tests.support.machine import needs_user_namespaces
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.root
ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout without an environment of its own yet."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def machine(checkout: Path, *instead: tuple[str, str, int], purpose: str = "up") -> subprocess.CompletedProcess[str]:
    """Run set-up on this machine with some files replaced, as nobody else sees it: (path, text, mode)."""
    mounts = []
    for n, (path, text, mode) in enumerate(instead):
        file = checkout / f"instead-{n}"
        file.write_text(text)
        file.chmod(mode)
        mounts.append(f"mount --bind {file} {os.path.realpath(path)}")
    script = " && ".join([*mounts, f"exec bash {checkout}/scripts/setup.sh {purpose}"])
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def refused(ran: subprocess.CompletedProcess[str], checkout: Path, *words: str) -> None:
    assert ran.returncode == 1
    for word in words:
        assert word in ran.stderr
    assert len(ran.stderr.splitlines()) <= 3
    assert not (checkout / ".venv").exists()


@needs_user_namespaces
def test_without_root_it_says_what_to_type(checkout: Path) -> None:
    # In a user namespace without a mapping this process is nobody.
    ran = subprocess.run(
        ["unshare", "--user", "bash", str(checkout / "scripts/setup.sh"), "up"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    refused(ran, checkout, "needs root", f"sudo {checkout}/up")


def test_a_python_that_is_too_old_is_named(checkout: Path) -> None:
    old = '#!/bin/sh\ncase "$1" in -V) echo "Python 3.9.2";; -c) case "$2" in *version_info*) exit 1;; esac;; esac\n'
    ran = machine(checkout, ("/usr/bin/python3", old, 0o755))
    refused(ran, checkout, "/usr/bin/python3 is 3.9.2", "3.11", "Debian 12")


def test_an_unknown_distribution_is_told_what_is_missing(checkout: Path) -> None:
    haproxy = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert haproxy
    ran = machine(checkout, ("/etc/os-release", "ID=plan9\n", 0o644), (haproxy, "", 0o644))
    refused(ran, checkout, "haproxy", "plan9", "Debian 12 and Ubuntu 24.04")


@pytest.mark.parametrize("kind", ["veth", "bridge"])
def test_a_kernel_without_what_hosts_need_is_tried_and_named(checkout: Path, kind: str) -> None:
    ip = f'#!/bin/sh\ncase "$*" in *"type {kind}"*) echo "Error: Unknown device type." >&2; exit 2;; esac\n'
    program = shutil.which("ip", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert program
    ran = machine(checkout, (program, ip, 0o755))
    refused(ran, checkout, f"module {kind}", "Unknown device type")


def test_a_kernel_without_nftables_is_named(checkout: Path) -> None:
    program = shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert program
    ran = machine(checkout, (program, "#!/bin/sh\necho 'Protocol not supported' >&2; exit 1\n", 0o755))
    refused(ran, checkout, "module nf_tables", "Protocol not supported")


def test_an_unknown_purpose_is_refused(checkout: Path) -> None:
    refused(machine(checkout, purpose="party"), checkout, "not party", "./up or ./test")


def test_the_environment_knows_the_checkout_and_its_commands(tmp_path: Path) -> None:
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", tmp_path / "a b"], check=True)
    python = tmp_path / "a b/bin/python"
    for _ in range(2):
        subprocess.run([python, ROOT / "scripts/link.py", ROOT], check=True)
    found = subprocess.run(
        [python, "-c", "import importlib.metadata as m, tortie; print(m.version('tortie'), tortie.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        env={},
        cwd="/",
    ).stdout.split()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert found == [version, str(ROOT / "src/tortie/__init__.py")]
    # A path with a blank in it does not fit into the first line of a script.
    ran = subprocess.run([tmp_path / "a b/bin/star-probe", "--help"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "star-probe" in ran.stdout
