"""The fetcher against a real web server, plain and with a certificate."""

from __future__ import annotations

import gzip
import os
import ssl
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anyio
import pytest

from tortie.base.errors import Invalid, TortieError, Unavailable
from tortie.mesos.agent.fetcher import Fetcher, basename
from tortie.mesos.agent.sandbox_files import appending
from tortie.wire import mesos as wire


class Quiet(SimpleHTTPRequestHandler):
    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test's output is for failures."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plain files, archives of them, and a certificate for localhost."""
    root = tmp_path_factory.mktemp("files")
    (root / "data.txt").write_text("data")
    with tarfile.open(root / "pack.tar.gz", "w:gz") as tar:
        tar.add(root / "data.txt", "inside/data.txt")
    with zipfile.ZipFile(root / "pack.zip", "w") as packed:
        packed.writestr("zipped.txt", "data")
    (root / "one.gz").write_bytes(gzip.compress(b"data"))
    (root / "broken.zip").write_bytes(b"no zip")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(root / "key.pem")]
    made = ["openssl", "req", "-x509", *key, "-out", str(root / "cert.pem"), "-days", "2", *subject]
    subprocess.run(made, check=True, capture_output=True)
    return root


def serving(root: Path, context: ssl.SSLContext | None = None) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"{'https' if context else 'http'}://localhost:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def http(files: Path) -> Iterator[str]:
    yield from serving(files)


@pytest.fixture
def https(files: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "cert.pem", files / "key.pem")
    yield from serving(files, context)


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., Path]:
    """Fetches one URI and returns the sandbox."""
    fetcher = Fetcher(tmp_path / "cache", cache_limit=10)
    sandbox = tmp_path / "sandbox"
    sandbox.mkdir()

    def run(value: str, **options: object) -> Path:
        uri = wire.convert({"value": value, **options}, wire.URI)
        anyio.run(fetcher.fetch, uri, sandbox, "root", lambda _: None)
        return sandbox

    return run


def names(sandbox: Path) -> list[str]:
    return sorted(str(p.relative_to(sandbox)) for p in sandbox.rglob("*") if p.is_file())


def test_a_file_over_http_is_named_after_the_path_without_its_query(fetch: Callable[..., Path], http: str) -> None:
    sandbox = fetch(f"{http}/data.txt?version=3")
    assert (sandbox / "data.txt").read_text() == "data"
    assert names(fetch(f"{http}/data.txt", output_file="a/b.txt")) == ["a/b.txt", "data.txt"]


def test_archives_are_unpacked_and_kept(fetch: Callable[..., Path], http: str) -> None:
    assert names(fetch(f"{http}/pack.tar.gz")) == ["inside/data.txt", "pack.tar.gz"]
    assert "zipped.txt" in names(fetch(f"{http}/pack.zip"))
    assert (fetch(f"{http}/one.gz") / "one").read_bytes() == b"data"


def test_a_link_that_an_archive_brings_leads_nobody_out_of_the_sandbox(
    fetch: Callable[..., Path], files: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "host").write_text("the host's")
    with tarfile.open(tmp_path / "links.tar", "w") as archive:
        for name, target in (("folder", outside), ("data.txt", outside / "host"), ("one", outside / "host")):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, str(target)
            archive.addfile(link)
    with tarfile.open(tmp_path / "through.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("folder/x"))
    with zipfile.ZipFile(tmp_path / "through.zip", "w") as zipped:
        zipped.writestr("folder/x", "x")
    sandbox = fetch(str(tmp_path / "links.tar"))
    assert (sandbox / "folder").is_symlink()
    for value, options in (
        (str(files / "data.txt"), {"output_file": "folder/x"}),
        (str(tmp_path / "through.tar"), {}),
        (str(tmp_path / "through.zip"), {}),
    ):
        with pytest.raises(Invalid, match="leads out of the sandbox"):
            fetch(value, **options)
    fetch(str(files / "data.txt"))
    fetch(str(files / "one.gz"))
    assert (sandbox / "data.txt").read_text() == "data"
    assert (sandbox / "one").read_text() == "data"
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("host", "the host's")]


def test_what_a_task_puts_in_place_of_its_output_is_not_written_through(tmp_path: Path) -> None:
    sandbox, host = tmp_path / "sandbox", tmp_path / "host"
    sandbox.mkdir()
    host.write_text("the host's")
    (sandbox / "stdout").symlink_to(host)
    os.mkfifo(sandbox / "stderr")
    for name in ("stdout", "stderr", "stdout"):
        with appending(sandbox, name) as file:
            file.write(f"{name}\n".encode())
    assert (host.read_text(), (sandbox / "stdout").read_text()) == ("the host's", "stdout\nstdout\n")
    assert (sandbox / "stderr").read_text() == "stderr\n"
    (sandbox / "stderr").unlink()
    (sandbox / "stderr").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        appending(sandbox, "stderr")


def test_an_executable_is_not_unpacked_nor_is_what_must_not_be(fetch: Callable[..., Path], http: str) -> None:
    sandbox = fetch(f"{http}/pack.tar.gz", executable=True)
    assert (sandbox / "pack.tar.gz").stat().st_mode & 0o111 == 0o111
    assert names(fetch(f"{http}/pack.zip", extract=False)) == ["pack.tar.gz", "pack.zip"]


def test_the_systems_authorities_decide_about_https(
    fetch: Callable[..., Path], https: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable, match="certificate verify failed"):
        fetch(f"{https}/data.txt")
    monkeypatch.setenv("SSL_CERT_FILE", str(files / "cert.pem"))
    assert names(fetch(f"{https}/data.txt")) == ["data.txt"]


def test_the_cache_is_asked_first_and_stays_within_its_limit(
    fetch: Callable[..., Path], http: str, tmp_path: Path
) -> None:
    Quiet.asked.clear()
    fetch(f"{http}/data.txt", cache=True)
    fetch(f"{http}/data.txt", cache=True)
    assert Quiet.asked == ["/data.txt"]
    fetch(f"{http}/pack.zip", cache=True)
    kept = [p.name.partition("-")[2] for p in (tmp_path / "cache").glob("*/*")]
    assert kept == ["pack.zip"]


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ("{http}/none", Unavailable, "HTTP return code 404"),
        ("{http}/broken.zip", Unavailable, "Failed to extract"),
        ("http://127.0.0.1:1/x", Unavailable, "Error downloading"),
        ("http://[bad/x", Invalid, "is no URI"),
        ("file:///no/such/file", Unavailable, "No such file"),
        ("relative/file", Invalid, "is relative"),
        ("hdfs://h/x", Invalid, "scheme 'hdfs' is not supported"),
        ("{http}/", Invalid, "gives no file name"),
    ],
)
def test_what_cannot_be_had_says_why(
    fetch: Callable[..., Path], http: str, value: str, error: type[TortieError], text: str
) -> None:
    with pytest.raises(error, match=text):
        fetch(value.format(http=http) if "{http}" in value else value)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", ".."])
def test_an_output_file_stays_in_the_sandbox(name: str) -> None:
    with pytest.raises(Invalid):
        basename(wire.URI(value="http://h/x", output_file=name))
