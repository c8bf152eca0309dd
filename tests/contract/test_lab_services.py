"""The lab's little internet as it runs: image, registry and artifacts over real sockets."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import ssl
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.waiting import PATIENCE

from tortie.lab import artifacts, registry
from tortie.lab.documents import STARS_IMAGES
from tortie.lab.fileserver import FileServer
from tortie.lab.image import Image, docker_archive, make
from tortie.lab.images import STAR
from tortie.lab.services import RAW, builtin_artifacts


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return make(STAR, tmp_path_factory.mktemp("images"))


@dataclass(frozen=True)
class Ports:
    registry: int
    http: int
    https: int
    made: artifacts.Authority


@pytest.fixture(scope="module")
def ports(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    made = artifacts.authority(tmp_path_factory.mktemp("state") / "authority")
    catalog = registry.catalog(dict.fromkeys(STARS_IMAGES, image))
    files = artifacts.handler(artifacts.mapping(builtin_artifacts()))
    logged: list[str] = []
    servers = [
        FileServer("127.0.0.1", 0, registry.handler(catalog), logged.append, None),
        FileServer("127.0.0.1", 0, files, logged.append, None),
        FileServer("127.0.0.1", 0, files, logged.append, artifacts.tls_context(made)),
    ]
    for server in servers:
        server.start()
    yield Ports(servers[0].server_port, servers[1].server_port, servers[2].server_port, made)
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_same_files_give_the_same_bytes(image: Image, tmp_path: Path) -> None:
    again = make(STAR, tmp_path)
    assert again.digest == image.digest
    assert again.layer.read_bytes() == image.layer.read_bytes()
    made = again.layer.stat().st_mtime_ns
    assert make(STAR, tmp_path).layer.stat().st_mtime_ns == made, "made once, then taken from the cache"
    assert image.layer.stat().st_size < 30_000_000


def test_the_layer_holds_what_the_demo_names(image: Image) -> None:
    with tarfile.open(image.layer) as tar:
        members = {member.name: member for member in tar.getmembers()}
    for name in ("star/target/debug/star-probe", "star/target/debug/star-collect", "usr/bin/sleep", "usr/bin/cat"):
        assert members[name].isfile()
        assert members[name].mode & 0o111
    assert {members[name].linkname for name in ("usr/bin/star-probe", "bin", "usr/bin/sh")} == {
        "/star/target/debug/star-probe",
        "usr/bin",
        "bash",
    }
    assert "star/lib/tortie/web/static/tortie.css" in members
    assert "star/lib/tortie/stars/assets/index.html" in members
    assert not any("site-packages" in name or "dist-packages" in name for name in members)
    assert {(member.uid, member.gid, member.mtime) for member in members.values()} == {(0, 0, 1451606400)}


@pytest.mark.root
def test_the_programs_run_with_nothing_but_the_image(image: Image, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xzf", image.layer, "-C", tmp_path], check=True, timeout=PATIENCE)
    for words in (
        ["star-probe", "--help"],
        ["/star/target/debug/star-collect", "--help"],
        ["/bin/sh", "-c", "ls / && cat /etc/nsswitch.conf && exec sleep 0"],
        ["python3", "-c", "import urllib.request, http.server, json, subprocess, encodings.idna"],
        ["getent", "hosts", "localhost"],
        ["curl", "--version"],
        ["ping", "-V"],
    ):
        done = subprocess.run(
            ["chroot", tmp_path, *words], capture_output=True, text=True, timeout=PATIENCE, check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stderr)


def test_the_archive_is_what_docker_load_reads(image: Image, tmp_path: Path) -> None:
    out = tmp_path / "star.tar"
    docker_archive(image, ["calico/star:v0.5.0"], out)
    with tarfile.open(out) as tar:
        table = json.load(tar.extractfile("manifest.json") or pytest.fail("no manifest"))
        config = json.load(tar.extractfile(table[0]["Config"]) or pytest.fail("no config"))
        layer = (tar.extractfile(table[0]["Layers"][0]) or pytest.fail("no layer")).read()
    assert table[0]["RepoTags"] == ["calico/star:v0.5.0"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert config["config"]["Entrypoint"] == ["star-probe"]
    assert config["config"]["WorkingDir"] == "/star"


def test_a_pull_finds_every_blob_by_its_digest(ports: Ports) -> None:
    client = http.client.HTTPConnection("127.0.0.1", ports.registry, timeout=PATIENCE)
    client.request("HEAD", "/v2/calico/star/manifests/v0.5.0")
    head = client.getresponse()
    assert (head.status, head.read()) == (200, b"")
    client.request("GET", f"/v2/calico/star/manifests/{head.headers['Docker-Content-Digest']}")
    reply = client.getresponse()
    body = reply.read()
    assert reply.headers["Docker-Content-Digest"] == f"sha256:{hashlib.sha256(body).hexdigest()}"
    manifest = json.loads(body)
    for blob in (manifest["config"], *manifest["layers"]):
        client.request("GET", f"/v2/calico/star/blobs/{blob['digest']}")
        content = client.getresponse().read()
        assert len(content) == blob["size"]
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == blob["digest"]
    assert gzip.decompress(content)
    client.request("GET", "/v2/library/nginx/manifests/latest")
    missing = client.getresponse()
    assert (missing.status, json.loads(missing.read())["errors"][0]["code"]) == (404, "NAME_UNKNOWN")
    client.close()


def fetch(ports: Ports, host: str, trust: ssl.SSLContext) -> tuple[int, bytes]:
    """GET of the resources file at `host` over TLS, with the name checked against the certificate."""
    import socket

    path = (RAW + "calico-stars-resources.json").partition("raw.githubusercontent.com")[2]
    with (
        socket.create_connection(("127.0.0.1", ports.https), timeout=PATIENCE) as plain,
        trust.wrap_socket(plain, server_hostname=host) as secure,
    ):
        client = http.client.HTTPConnection(host)
        client.sock = secure
        client.request("GET", path)
        reply = client.getresponse()
        return reply.status, reply.read()


def test_artifacts_come_over_tls_under_the_labs_authority_only(ports: Ports) -> None:
    trust = ssl.create_default_context(cafile=str(ports.made.ca))
    status, body = fetch(ports, "raw.githubusercontent.com", trust)
    assert (status, [row["id"] for row in json.loads(body)]) == (200, ["C", "F", "B"])
    assert fetch(ports, "github.com", trust)[0] == 404
    with pytest.raises(ssl.SSLCertVerificationError):
        fetch(ports, "example.org", trust)
    with pytest.raises(ssl.SSLCertVerificationError):
        fetch(ports, "github.com", ssl.create_default_context())


def test_the_authority_is_made_once_for_the_same_names(tmp_path: Path) -> None:
    first = artifacts.authority(tmp_path / "a", ["one.example"])
    content = first.certificate.read_bytes()
    assert artifacts.authority(tmp_path / "a", ["one.example"]).certificate.read_bytes() == content
    assert artifacts.authority(tmp_path / "a", ["two.example"]).certificate.read_bytes() != content
    assert (tmp_path / "a" / "server.key").stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_process_says_when_it_is_ready_and_why_it_is_not(image: Image, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tortie.lab.services", "--address=127.0.0.1", f"--state={tmp_path}"]
    command += [f"--images={image.layer.parent.parent}", "--http-port=0", "--https-port=0"]
    process = subprocess.Popen([*command, "--registry-port=0"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready registry=")
        port = line.split()[1].partition("=")[2]
        second = subprocess.run(
            [*command, f"--registry-port={port}"], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert (second.returncode, second.stdout) == (1, "")
        assert f"cannot listen on 127.0.0.1:{port}" in second.stderr
        bad = [*command, "--registry-port=0", "--artifact=https://github.com/x=/nonexistent"]
        third = subprocess.run(bad, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert (third.returncode, third.stderr) == (
            1, "lab services: artifact https://github.com/x: /nonexistent is no file\n",
        )  # fmt: skip
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0
        process.communicate()
