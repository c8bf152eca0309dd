"""Whole command lines of calicoctl's grammars, on a store of their own."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.draw import Draw
from tortie.cli.calicoctl.main import run
from tortie.store.open import open_store

GRAMMARS = ("0.19", "1.3", "3")
# Nothing here reaches the host: no node, container, diagnostics or reports.
LINES: dict[str, tuple[str, ...]] = {
    "0.19": (
        "profile show --detailed", "profile add a", "profile remove a", "profile remove a --no-check",
        "profile a tag show", "profile a tag add t", "profile a tag remove t", "profile a rule show",
        "profile a rule json", "profile a rule update",
        "profile a rule add inbound --at=1 allow tcp from ports 1:2 tag t cidr 10.0.0.0/8 to ports 80,443",
        "profile a rule remove outbound --at=1", "profile a rule remove inbound allow from tag a",
        "endpoint show --detailed --host=h", "endpoint e profile append a b", "endpoint e profile set",
        "endpoint e profile show", "pool add 10.0.0.0/16 --nat-outgoing", "pool show --ipv4",
        "pool range add 10.1.0.0 10.1.255.255 --ipip", "ipam info 10.0.0.1", "ipam release 10.0.0.1", "version",
    ),
    "1.3": (
        "create -f - --skip-exists", "apply -f -", "replace -f -", "delete -f - -s", "get -f - -o yaml",
        "get policy -o wide", "get profile a -o json", "get pool -o custom-columns=CIDR,NAT", "get wep --node=h",
        "get bgpPeer --scope=node -o go-template={{range .}}{{.metadata.peerIP}}{{end}}", "delete policy a -s",
        "config get asNumber", "config set asNumber 64513", "config set logLevel info --node=h", "config unset ipip",
        "ipam show --ip=10.0.0.1", "ipam release --ip=10.0.0.1", "version",
    ),
    "3": (
        "create -f - --skip-exists", "apply -f - -n x", "replace -f -", "delete -f - -s", "validate -f -",
        "convert -f -",
        "get gnp -o wide", "get np -A -o yaml", "get profile a -o json --export", "get pool -o custom-columns=NAME",
        "get tier -o go-template={{range .items}}{{.metadata.name}}{{end}}", "get nodes -o name", "get wep a b -n x",
        "patch tier a -p {\"spec\":{\"order\":1}}", "patch gnp a -p {\"metadata\":{\"labels\":{\"a\":null}}}",
        "label tier a k=v --overwrite", "label profile a k --remove", "delete tier a b -s", "delete pool a",
        "ipam show --show-blocks", "ipam show --ip=10.0.0.1", "ipam release --ip=10.0.0.1", "ipam show --show-borrowed",
        "ipam configure --strictaffinity=true --max-blocks-per-host=3", "ipam split 2 --name=a", "version",
        "datastore migrate lock", "datastore migrate unlock", "completion bash",
    ),
}  # fmt: skip


@functools.cache
def place() -> str:
    """The address of a store that lives as long as this process."""
    directory = tempfile.TemporaryDirectory(prefix="fuzz-")
    kept.append(directory)
    url = f"sqlite://{directory.name}/store"
    open_store(url).close()
    return url


kept: list[tempfile.TemporaryDirectory[str]] = []


def line(draw: Draw, known: tuple[str, ...]) -> list[str]:
    """A line that is right, with a few of its words changed, lost, doubled or of another line."""
    words = str(draw.of(known)).split()
    for _ in range(draw.below(4)):
        at = draw.below(len(words) + 1)
        change = draw.below(4)
        other = draw.text() if draw.below(2) else draw.of(str(draw.of(known)).split())
        words[at : at + (change != 1)] = [] if change == 0 else [str(other)]
    # An argument of a process holds no NUL, and none of these lines may write a file.
    return [word.replace("\0", "") for word in words if not word.startswith(("-R", "--rec"))]


def manifest(draw: Draw, data: bytes) -> bytes:
    """What stands on standard input: a rule file of 0.19 now and then, else the bytes as they are."""
    return b'{"id":"a","inbound_rules":[],"outbound_rules":[' + data + b"]}" if draw.below(4) == 3 else data


def command(grammar: str, words: list[str], typed: bytes) -> int:
    """The exit code of one command line; what it says goes nowhere."""
    environ = {"TORTIE_STORE": place(), "CALICOCTL_GRAMMAR": grammar}
    with away(typed):
        return run("calicoctl", words, environ)


@contextlib.contextmanager
def away(typed: bytes) -> Iterator[None]:
    """In a directory of its own, with these bytes on standard input."""
    before, there = sys.stdin, os.getcwd()
    sys.stdin = io.TextIOWrapper(io.BytesIO(typed))
    os.chdir(Path(place().removeprefix("sqlite://")).parent)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        os.chdir(there)
        sys.stdin = before
