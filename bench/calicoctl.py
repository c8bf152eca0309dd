"""Short commands of the three grammars from start to end: performance row 36."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.support.etcd_server import ETCD, etcd

from bench._starting import figures
from tortie.model.v0.profile import fresh_profile
from tortie.store.client import Client
from tortie.store.open import open_store

COMMANDS = {
    "3": ("get profile", "get profile web -o yaml", "get globalnetworkpolicies"),
    "1.3": ("get profile", "get profile -o yaml"),
    "0.19": ("profile web rule show", "profile show"),
}


def run() -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as directory:
        found = _on("sqlite", f"sqlite://{directory}/store")
        if ETCD is None:
            return [*found, ("etcd", "not on this machine (package etcd-server)")]
        with etcd(Path(directory) / "etcd") as server:
            return [*found, *_on("etcd", server.url)]


def _on(store: str, url: str) -> list[tuple[str, str]]:
    Client(open_store(url)).create(fresh_profile("web"))
    program = shutil.which("calicoctl", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or "calicoctl"
    lines: dict[str, tuple[list[str], dict[str, str]]] = {}
    for grammar, commands in COMMANDS.items():
        variables = {"CALICOCTL_GRAMMAR": grammar, "TORTIE_STORE": url}
        lines |= {f"calicoctl {words} ({grammar})": ([program, *words.split()], variables) for words in commands}
    return [(f"{store}: {name}", figure) for name, figure in figures(lines)]
