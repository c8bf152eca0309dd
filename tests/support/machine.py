"""What a machine may lack: tests that need it are skipped with the reason."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from tortie.plugins.compiled import find_compiler


def _kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])


def _refused(*command: str) -> str:
    """Why this machine does not run it; nothing when it does."""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return ran.stderr.strip() or f"exit {ran.returncode}" if ran.returncode else ""


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


needs_ownership = pytest.mark.skipif(
    _kernel() < (6, 9),
    reason=f"needs tables that one process owns and leaves behind: Linux 6.9, this is {platform.release()}",
)

needs_ipv6 = pytest.mark.skipif(not Path("/proc/sys/net/ipv6").exists(), reason="needs a kernel with IPv6")

_no_vxlan = (
    _refused("unshare", "--net", "ip", "link", "add", "v", "type", "vxlan", "id", "7", "dstport", "4789")
    if os.geteuid() == 0
    else ""
)
needs_vxlan = pytest.mark.skipif(bool(_no_vxlan), reason=f"needs a kernel with VXLAN: {_no_vxlan}")

needs_oci_runtime = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("runc", "crun")), reason="needs an OCI runtime: runc or crun"
)

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="needs a C compiler")

needs_iptables_nft = pytest.mark.skipif(
    "nf_tables" not in _said("iptables", "--version"), reason="needs iptables that writes nftables (iptables-nft)"
)

_no_user_namespace = _refused("unshare", "--user", "true") if os.geteuid() == 0 else ""
needs_user_namespaces = pytest.mark.skipif(
    bool(_no_user_namespace), reason=f"needs user namespaces: {_no_user_namespace}"
)

_no_podman = "" if all(map(shutil.which, ("podman", "runc"))) else "podman or runc"
needs_podman = pytest.mark.skipif(bool(_no_podman), reason=f"this machine has no {_no_podman}")

_no_containerd = "" if all(map(shutil.which, ("containerd", "ctr", "runc"))) else "containerd, ctr or runc"
needs_containerd = pytest.mark.skipif(bool(_no_containerd), reason=f"this machine has no {_no_containerd}")
