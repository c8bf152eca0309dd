"""Small decisions of the lab's edge: what is run, what is brought in, which unit is which daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from tortie.lab.enter import environment, words
from tortie.lab.root import submounts
from tortie.lab.units import daemon_of

MOUNTS = """\
21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 21 0:20 / /proc rw - proc proc rw
23 21 0:21 / /sys rw - sysfs sysfs rw
24 21 254:1 / /usr rw shared:2 - ext4 /dev/vdb rw
25 24 254:3 / /usr/local rw shared:2 - xfs /dev/vdd rw
26 21 254:2 / /home rw,nosuid - btrfs /dev/vdc rw
27 21 0:30 / /run rw - tmpfs tmpfs rw
28 21 254:4 / /var/lib/docker rw - ext4 /dev/vde rw
29 28 0:33 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
30 21 0:31 / /mnt/a\\040b rw - 9p share rw
31 21 254:5 / /var/lib/tortie-labs rw - ext4 /dev/vdf rw
32 21 254:2 / /home rw,nosuid - btrfs /dev/vdc rw
"""


def test_only_real_file_systems_are_brought_in_outermost_first() -> None:
    assert submounts(MOUNTS, Path("/var/lib/tortie-labs")) == ["/usr", "/home", "/usr/local", "/mnt/a b"]


@pytest.mark.parametrize(
    ("typed", "run"),
    [
        (["ls", "-l", "a b"], ["ls", "-l", "a b"]),
        (["ls -l | wc"], ["/bin/bash", "-c", "ls -l | wc"]),
        (["ls"], ["ls"]),
        ([], ["/bin/bash"]),
        (["a\tb"], ["/bin/bash", "-c", "a\tb"]),
    ],
)
def test_several_words_are_run_as_they_are_and_one_with_blanks_by_a_shell(typed: list[str], run: list[str]) -> None:
    assert words(typed) == run


def test_nothing_of_the_caller_reaches_a_host_but_its_terminal() -> None:
    env = environment({"TERM": "xterm", "HTTP_PROXY": "http://x", "PATH": "/evil", "HOME": "/home/me"})
    assert env["TERM"] == "xterm"
    assert env["HOME"] == "/root"
    assert env["PATH"].startswith("/usr/local/sbin:")
    assert "HTTP_PROXY" not in env


@pytest.mark.parametrize(
    ("unit", "daemon"),
    [("docker.service", "dockerd"), ("docker", "dockerd"), ("dcos-mesos-dns", "dns"), ("node", "node"), ("x", "x")],
)
def test_units_that_documents_name_are_our_daemons(unit: str, daemon: str) -> None:
    assert daemon_of(unit) == daemon
