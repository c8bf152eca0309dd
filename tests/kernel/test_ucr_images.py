"""Images unpacked as layers for overlayfs: what an image says, and what no image may do."""

from __future__ import annotations

import os
import stat
import subprocess
import tarfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.support.image_archives import Entry, config_of, layout, saved, special, tar

from tortie.base.errors import Invalid, NotFound, TortieError
from tortie.cli.image import image
from tortie.mesos.agent.ucr.images import Images, parse_reference

pytestmark = pytest.mark.root

BASE: list[Entry] = [
    ("etc", None),
    ("etc/name", b"below"),
    ("etc/gone", b"x"),
    ("var/old/file", b"x"),
    ("bin/tool", b"#!/bin/sh\n"),
    special("bin/same", tarfile.LNKTYPE, "bin/tool"),
    special("sbin", tarfile.SYMTYPE, "bin"),
    special("null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
    special("pipe", tarfile.FIFOTYPE, mode=0o600),
]
ABOVE: list[Entry] = [
    ("etc/name", b"above"),
    ("etc/.wh.gone", b""),
    ("var/old", None),
    ("var/old/.wh..wh..opq", b""),
    ("var/old/new", b"y"),
]


def images(tmp_path: Path) -> Images:
    return Images([tmp_path / "images"], tmp_path / "store")


def merged(layers: Sequence[Path], tmp_path: Path) -> dict[str, bytes]:
    """Every file as overlayfs shows it."""
    target, upper, work = (tmp_path / name for name in ("merged", "upper", "work"))
    for folder in (target, upper, work):
        folder.mkdir()
    lower = ":".join(map(str, reversed(layers)))
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(target)], check=True)
    try:
        found = {}
        for path in sorted(target.rglob("*")):
            if path.is_file() and not path.is_symlink():
                found[str(path.relative_to(target))] = path.read_bytes()
        return found
    finally:
        subprocess.run(["umount", str(target)], check=True)


@pytest.mark.parametrize("kind", ["save", "layout", "layout in a tar"])
def test_layers_show_what_the_image_holds(tmp_path: Path, kind: str) -> None:
    layers = [tar(BASE), tar(ABOVE)]
    config = {"Env": ["A=b"], "Entrypoint": ["/bin/tool"], "Cmd": None, "WorkingDir": "/etc", "Unknown": 1}
    if kind == "save":
        saved(tmp_path / "images" / "team" / "web:v1.tar", layers, config)
    else:
        made = layout(tmp_path / "images" / "team" / "web:v1", layers, config)
        if kind != "layout":
            subprocess.run(["tar", "-C", str(made), "-cf", f"{made}.tar", "."], check=True)
            subprocess.run(["rm", "-r", str(made)], check=True)
    ready = images(tmp_path).get("team/web:v1")
    assert (ready.config.env, ready.config.entrypoint, ready.config.working_dir) == (("A=b",), ("/bin/tool",), "/etc")
    assert merged(ready.layers, tmp_path) == {
        "bin/same": b"#!/bin/sh\n",
        "bin/tool": b"#!/bin/sh\n",
        "etc/name": b"above",
        "var/old/new": b"y",
    }
    first = ready.layers[0]
    assert os.readlink(first / "sbin") == "bin"
    assert (first / "bin/same").stat().st_ino == (first / "bin/tool").stat().st_ino
    assert stat.S_ISFIFO((first / "pipe").stat().st_mode)
    device = (first / "null").stat()
    assert (stat.S_ISCHR(device.st_mode), device.st_rdev) == (True, os.makedev(1, 3))
    assert images(tmp_path).get("team/web:v1").layers == ready.layers


HOSTILE: list[tuple[str, list[Entry]]] = [
    ("leads out", [("../outside", b"x")]),
    ("leads out", [("a/../../outside", b"x")]),
    ("lies behind", [special("a", tarfile.SYMTYPE, "/tmp"), ("a/outside", b"x")]),
    ("lies behind", [special("a", tarfile.SYMTYPE, "../.."), ("a/outside", b"x")]),
    ("lies behind", [special("a", tarfile.SYMTYPE, "/etc"), ("a/.wh.passwd", b"")]),
    ("leads out", [special("a", tarfile.LNKTYPE, "../../etc/passwd")]),
    ("lies behind", [special("a", tarfile.SYMTYPE, "/etc"), special("b", tarfile.LNKTYPE, "a/passwd")]),
    ("not in the layer", [special("b", tarfile.LNKTYPE, "etc/passwd")]),
    ("unknown kind", [special("b", b"Z")]),
]


@pytest.mark.parametrize(("words", "entries"), HOSTILE)
def test_no_layer_writes_or_reads_beside_its_folder(tmp_path: Path, words: str, entries: list[Entry]) -> None:
    saved(tmp_path / "images" / "bad:latest.tar", [tar(entries)])
    with pytest.raises(Invalid, match=words):
        images(tmp_path).get("bad")
    assert sorted(os.listdir(tmp_path)) == ["images", "store"]
    assert os.listdir(tmp_path / "store" / "layers") == []


def test_absolute_names_lie_in_the_image(tmp_path: Path) -> None:
    saved(
        tmp_path / "images" / "x:latest.tar", [tar([("/etc/hosts", b"ours"), special("/l", tarfile.SYMTYPE, "/etc")])]
    )
    (layer,) = images(tmp_path).get("x").layers
    assert (layer / "etc/hosts").read_bytes() == b"ours"


def broken(tmp_path: Path, kind: str) -> bytes:
    layer = tar(BASE)
    if kind == "digest":
        config = config_of([tar(ABOVE)])
    elif kind == "count":
        config = config_of([layer, layer])
    elif kind == "no digest":
        config = config_of([layer]).replace(b"sha256:", b"md5:")
    else:
        config = config_of([layer])
    cut = layer[: len(layer) // 2] if kind == "cut" else layer
    zstd = b"\x28\xb5\x2f\xfd" + layer if kind == "zstd" else cut
    manifest = b'[{"Config":"c.json","Layers":["l.tar"]}]'
    return tar([("c.json", b"{" if kind == "config" else config), ("l.tar", zstd), ("manifest.json", manifest)])


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("digest", "its digest is not"),
        ("count", "names 2 layers, the manifest 1"),
        ("no digest", "no sha256 digest"),
        ("cut", "broken tar|its digest"),
        ("zstd", "zstd"),
        ("config", "c.json"),
    ],
)
def test_broken_archives_say_what_is_wrong(tmp_path: Path, kind: str, words: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x:latest.tar").write_bytes(broken(tmp_path, kind))
    with pytest.raises(Invalid, match=words):
        images(tmp_path).get("x:latest")


@pytest.mark.parametrize("content", [b"", b"rubbish" * 200, tar([("a", b"b")]), tar([("manifest.json", b"[]")])])
def test_what_is_no_image(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x:latest.tar").write_bytes(content)
    with pytest.raises(Invalid):
        images(tmp_path).get("x")


def test_an_unknown_image_and_names_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"image nginx:alpine: no nginx:alpine\.tar in"):
        images(tmp_path).get("nginx:alpine")
    for name in ("", "../x", "a//b", "x:", "x@sha256:00", "/etc/passwd"):
        with pytest.raises(Invalid):
            parse_reference(name)
    assert str(parse_reference("registry:5000/team/app")) == "registry:5000/team/app:latest"


def test_many_at_once_unpack_each_layer_once(tmp_path: Path) -> None:
    layer = tar([*BASE, ("large", b"x" * 5_000_000)])
    for number in range(4):
        saved(tmp_path / "images" / f"x{number}:latest.tar", [layer])
    ours, found = images(tmp_path), []

    def get(number: int) -> None:
        found.append(ours.get(f"x{number}").layers)

    threads = [threading.Thread(target=get, args=(number % 4,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({tuple(layers) for layers in found}) == 1
    assert len(os.listdir(tmp_path / "store" / "layers")) == 1


def test_what_was_left_half_done_is_cleared(tmp_path: Path) -> None:
    ours: Any = images(tmp_path)
    (tmp_path / "store" / "layers" / ".half" / "etc").mkdir(parents=True)
    ours.clear()
    assert os.listdir(tmp_path / "store" / "layers") == []


@pytest.mark.parametrize("kind", ["save", "layout", "folder"])
def test_an_import_is_an_image_again(tmp_path: Path, kind: str) -> None:
    layers, config = [tar(BASE), tar(ABOVE)], {"Env": ["A=b"], "Cmd": ["/bin/tool"]}
    source = tmp_path / "source"
    if kind == "save":
        saved(source, layers, config)
    elif kind == "layout":
        layout(source, layers, config)
    else:
        (source / "etc").mkdir(parents=True)
        (source / "etc" / "name").write_text("above")
        (source / "bin").symlink_to("etc")
    words = ["import", str(source), "team/web:v1", "--dir", str(tmp_path / "images"), "--no-docker"]
    asked = ["--env", "C=d", "--entrypoint", '["/entry"]', "--workdir", "/srv"]
    done = CliRunner().invoke(image, [*words, *asked], catch_exceptions=False)
    assert done.output.startswith(f"team/web:v1: {1 if kind == 'folder' else 2} layers, ")
    ready = images(tmp_path).get("team/web:v1")
    assert ready.config.entrypoint == ("/entry",)
    assert ready.config.working_dir == "/srv"
    assert ready.config.env == (("C=d",) if kind == "folder" else ("A=b", "C=d"))
    assert merged(ready.layers, tmp_path)["etc/name"] == b"above"
    assert sorted(os.listdir(tmp_path / "images" / "team")) == ["web:v1.tar"]


def test_what_cannot_be_imported_leaves_nothing(tmp_path: Path) -> None:
    hostile = saved(tmp_path / "hostile.tar", [tar(HOSTILE[0][1])])
    (tmp_path / "empty").mkdir()
    for source, words in (
        (hostile, "leads out"),
        (tmp_path / "empty", "neither an image's layout nor a root folder"),
        (tmp_path / "nothing", "No such file"),
    ):
        done = CliRunner().invoke(image, ["import", str(source), "x", "--dir", str(tmp_path / "images"), "--no-docker"])
        assert isinstance(done.exception, TortieError)
        assert words in str(done.exception)
        assert os.listdir(tmp_path / "images") == []
    for option in (("--cmd", "ls"), ("--cmd", '"ls"'), ("--env", "A"), ("--entrypoint", "[1]")):
        done = CliRunner().invoke(image, ["import", str(hostile), "x", *option])
        assert isinstance(done.exception, Invalid)
