"""Parts of a lab's hosts that need no host: ports led on, files put in place, what the store holds first."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, wait_until

from tortie.lab import root
from tortie.lab.files import File
from tortie.lab.network import write_defaults
from tortie.lab.plan import Options
from tortie.model.kinds.ip_reservation import IP_RESERVATION
from tortie.store.client import Client
from tortie.store.open import open_store

FORWARD = [sys.executable, "-m", "tortie.lab.forward"]


def test_a_port_of_localhost_leads_to_another_place() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as there:
        process = subprocess.Popen(
            [*FORWARD, f"127.0.0.1:{port}=127.0.0.1:{there.getsockname()[1]}"], stderr=subprocess.DEVNULL
        )
        try:
            ends: list[socket.socket] = []

            def connected() -> bool:
                try:
                    ends.append(socket.create_connection(("127.0.0.1", port), PATIENCE))
                except OSError:
                    return False
                return True

            wait_until(connected, message="the forwarder")
            there.settimeout(PATIENCE)
            carried, _ = there.accept()
            carried.settimeout(PATIENCE)
            ends[0].sendall(b"meow")
            assert carried.recv(99) == b"meow"
            carried.close()
            assert ends[0].recv(99) == b""
            ends[0].close()
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("name", ["stars", ""])
def test_a_page_without_its_socket_is_told(name: str) -> None:
    ran = subprocess.run(
        [*FORWARD, f"{name}=127.0.0.1:1"], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (ran.returncode, ran.stderr.startswith("lab forward: no listening socket for")) == (1, True)


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = [*FORWARD, f"127.0.0.1:{taken.getsockname()[1]}=127.0.0.1:1"]
        ran = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("lab forward: ")
    assert len(ran.stderr.splitlines()) == 1


def test_private_files_lie_in_folders_that_are_private_too(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root\n")
    before = os.umask(0o022)
    try:
        root.put(
            tmp_path,
            [
                File("/root/.ssh/key", "secret\n", 0o600),
                File("/etc/passwd", "core\n", append=True),
                File("/opt/networks/"),
                File("/opt/script", "#!/bin/sh\n", 0o755),
            ],
        )
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("root/.ssh", "root/.ssh/key", "opt")}
    assert modes == {"root/.ssh": 0o700, "root/.ssh/key": 0o600, "opt": 0o755}
    assert (tmp_path / "etc/passwd").read_text() == "root\ncore\n"
    assert (tmp_path / "opt/networks").is_dir()
    assert os.access(tmp_path / "opt/script", os.X_OK)


@pytest.mark.parametrize(("document", "kept"), [("net-modules", ["192.168.255.254/32"]), ("environments", [])])
def test_the_second_resolver_s_address_is_nobody_else_s(tmp_path: Path, document: str, kept: list[str]) -> None:
    datastore = open_store(f"sqlite://{tmp_path}/store")
    try:
        write_defaults(datastore, Options(document=document))
        found = Client(datastore).list(IP_RESERVATION)
        assert [cidr for resource in found.items for cidr in resource.spec.reserved_cidrs] == kept
    finally:
        datastore.close()


SLOW_TO_NOTE = """
import os, sys, time
from pathlib import Path
from tortie.lab import boot, state
file = Path(sys.argv[1])
def slow(path, pid):
    time.sleep(0.5)
    path.write_text(str(pid))
state.note_pid = slow
boot._become_process_1(file)
os.write(boot.READY_FD, b"+" if file.exists() else b"-")
"""


def test_a_host_s_process_1_goes_on_once_it_is_noted(tmp_path: Path) -> None:
    """It takes a new root, which becomes that of the one who notes it, too: a late note found no place there."""
    ran = subprocess.run([sys.executable, "-c", SLOW_TO_NOTE, str(tmp_path / "pid")], timeout=PATIENCE, check=False)
    assert ran.returncode == 0
