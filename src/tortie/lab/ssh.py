"""The keys of a lab in which people go from host to host: made once a lab, opened by nobody else's.

`core` is root by another name there, as the documents' shells need no sudo for the store of one machine. The master has
the laptop's key as well: a way through it works without an ssh-agent, too.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tortie.base.errors import Unavailable
from tortie.lab.daemons import SSHD_CONFIG
from tortie.lab.files import File
from tortie.lab.plan import PATH, Host

SERVERS, CLIENTS = ("master", "agent", "public"), ("outside", "master")
USER = "core"
HOST_KEY = "/etc/ssh/lab_host_key"
_CONFIG_TEXT = f"""\
HostKey {HOST_KEY}
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
AcceptEnv LANG LC_* TERM
SetEnv PATH={PATH}
Subsystem sftp internal-sftp
"""


def keys(hosts: Sequence[Host], folder: Path) -> dict[str, Any]:
    """One key for who comes, one for each host that takes them in. Unavailable without ssh-keygen."""
    folder.mkdir(mode=0o700)
    servers = {host.name: _pair(folder / host.name) for host in hosts if host.role in SERVERS}
    known = [f"{host.name},{host.address} {servers[host.name]['public']}" for host in hosts if host.name in servers]
    return {"client": _pair(folder / "client"), "servers": servers, "known": "".join(known)}


def _pair(path: Path) -> dict[str, str]:
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{USER}@{path.name}", "-f", str(path)]
    try:
        ran = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    except OSError as error:
        raise Unavailable(f"ssh-keygen: {error.strerror}: the package openssh-client brings it") from error
    if ran.returncode != 0:
        raise Unavailable(f"ssh-keygen: {ran.stderr.strip()}")
    return {"private": path.read_text(), "public": Path(f"{path}.pub").read_text()}


def of_host(host: Host, made: Mapping[str, Any] | None) -> list[File]:
    """What a host has of them; nothing where the document needs none. `made`: what `keys` gave."""
    if made is None:
        return []
    found: list[File] = []
    if host.role in SERVERS:
        found += [
            File("/etc/passwd", f"{USER}:x:0:0:{USER}:/root:/bin/bash\n", append=True),
            File(SSHD_CONFIG, _CONFIG_TEXT),
            File(HOST_KEY, made["servers"][host.name]["private"], 0o600),
            File("/root/.ssh/authorized_keys", made["client"]["public"], 0o600),
        ]
    if host.role in CLIENTS:
        found += [
            File("/root/.ssh/id_ed25519", made["client"]["private"], 0o600),
            File("/root/.ssh/id_ed25519.pub", made["client"]["public"]),
            File("/etc/ssh/ssh_known_hosts", made["known"]),
        ]
    return found
