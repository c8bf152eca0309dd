"""What the node writes down of a host: once, before the change, and never in the way of a change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tortie.base.errors import Unavailable
from tortie.dataplane.kernel import sysctl
from tortie.node import before
from tortie.node.before import Before, Files, restore
from tortie.node.giveback import FORWARD, REDIRECTS, File, Setting, fate
from tortie.plugins.install import place

ACCT, RADIO = "net/netfilter/nf_conntrack_acct", "net/ipv6/conf/eth0/accept_ra"
ETH0 = "net/ipv4/conf/eth0/forwarding"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a host whose settings are files."""
    for name, value in {FORWARD: "0", REDIRECTS: "1", ETH0: "0", ACCT: "0", RADIO: "1"}.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    monkeypatch.setattr(sysctl, "ROOT", tmp_path / "sys")
    return tmp_path / "state"


def test_what_was_there_first_counts_and_what_is_so_already_is_nobody_s(state: Path) -> None:
    host = Before(state)
    assert host.write({FORWARD: "1", ACCT: "0"}) == {}
    assert sysctl.text(FORWARD) == "1"
    noted = {FORWARD: Setting("0", "1", {ETH0: ("0", "1"), REDIRECTS: ("1", "0")})}
    assert host.record().settings == noted
    sysctl.write({FORWARD: "2", ETH0: "1"})
    assert Before(state).write({FORWARD: "1"}) == {}
    assert host.record().settings == noted


def test_a_setting_is_changed_only_where_it_is_as_expected(state: Path) -> None:
    host = Before(state)
    assert host.change(RADIO, "0", "2") == host.change("net/none", "0", "2") == {}
    assert host.record().settings == {}
    assert host.change(RADIO, "1", "2") == {}
    assert host.record().settings == {RADIO: Setting("1", "2")}


def test_another_boot_begins_anew(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Before(state)
    host.write({ACCT: "1"})
    host.take("tunl0")
    host.folders([state / "a/b/file"])
    assert host.record().links == ("tunl0",)
    monkeypatch.setattr(before, "world", lambda: "after a boot")
    assert (host.record().settings, host.record().links) == ({}, ())
    assert host.record().folders == (f"{state}/a", f"{state}/a/b")


@pytest.mark.parametrize("broken", [b"", b"{", b'{"settings": 7}', b"\xff"])
def test_a_record_that_cannot_be_read_keeps_nobody_from_working(
    state: Path, broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    state.mkdir()
    (state / "host.json").write_bytes(broken)
    host = Before(state)
    assert host.write({ACCT: "1", FORWARD: "1"}) == {}
    assert host.write({RADIO: "2"}) == {}
    assert sysctl.text(ACCT) == sysctl.text(FORWARD) == "1"
    assert len([one for one in caplog.messages if "is not written down" in one]) == 1
    with pytest.raises(Unavailable, match="once it is moved away"):
        host.record()
    assert (state / "host.json").read_bytes() == broken


def test_a_record_that_cannot_be_written_neither(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    state.write_text("a file where a folder should be")
    assert Before(state).write({ACCT: "1"}) == {}
    assert sysctl.text(ACCT) == "1"
    assert "is not written down" in caplog.text
    with pytest.raises(Unavailable):
        Files(state).keep([state.parent / "plugin"])


def test_a_file_that_was_there_is_kept_once(state: Path) -> None:
    theirs, fresh = state.parent / "bin/calico", state.parent / "other/tortie"
    theirs.parent.mkdir()
    theirs.write_text("theirs")
    theirs.chmod(0o750)
    files = Files(state)
    files.keep([theirs, fresh])
    (kept, nothing) = files.record().files.values()
    assert (Path(kept.kept).read_text(), os.stat(kept.kept).st_mode & 0o777, kept.ours) == ("theirs", 0o750, "")
    assert nothing == File()
    assert files.record().folders == (str(fresh.parent),)
    theirs.write_text("ours")
    files.placed(theirs)
    files.keep([theirs, fresh])
    assert Path(files.record().files[str(theirs)].kept).read_text() == "theirs"
    assert files.record().files[str(theirs)].ours == before.digest(theirs)
    assert before.digest(fresh) is None


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_a_link_that_was_there_is_given_back_as_a_link(state: Path, there: bool) -> None:
    theirs = state.parent / "bin/calico"
    theirs.parent.mkdir()
    theirs.symlink_to("../lib/calico")
    (state.parent / "lib").mkdir()
    (state.parent / "lib/calico").write_text("theirs")
    files = Files(state)
    files.keep([theirs])
    if not there:
        (state.parent / "lib/calico").unlink()
    assert files.record().files == {str(theirs): File(link="../lib/calico")}
    place(theirs, b"ours", 0o755)
    files.placed(theirs)
    (file,) = files.record().files.values()
    assert fate(file, before.digest(theirs), before.digest_before(file)) == "restore"
    restore(file, theirs)
    restore(file, theirs)
    assert theirs.readlink() == Path("../lib/calico")
    assert fate(file, before.digest(theirs), before.digest_before(file)) == "gone"
    assert there == (theirs.exists() and theirs.read_text() == "theirs")
    theirs.unlink()
    theirs.symlink_to("../lib/another")
    assert fate(file, before.digest(theirs), before.digest_before(file)) == "leave"
    assert sorted(path.name for path in theirs.parent.iterdir()) == ["calico"]
