"""A real etcd on loopback, in a directory of its own, for one test or one module."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port
from tests.support.tls import Authority
from tests.support.waiting import PATIENCE
from tortie.base.errors import TortieError
from tortie.store.etcd.address import parse
from tortie.store.etcd.channel import Channel
from tortie.store.etcd.wire import Nothing

ETCD = shutil.which("etcd", path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/local/bin")


class EtcdServer:
    """`url` has no credentials; `more` are further command-line options."""

    def __init__(self, directory: Path, *more: str, tls: Authority | None = None, fsync: bool = False) -> None:
        assert ETCD is not None
        self.directory = directory
        self.client, self.peer = free_port(), free_port()
        self.tls = tls
        scheme = "https" if tls else "http"
        at, peer = f"{scheme}://127.0.0.1:{self.client}", f"http://127.0.0.1:{self.peer}"
        self.argv = [
            ETCD,
            *("--name", "test", "--data-dir", str(directory / "data"), "--logger", "zap", "--log-level", "warn"),
            *("--listen-client-urls", at, "--advertise-client-urls", at),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"test={peer}"),
            *(() if fsync else ("--unsafe-no-fsync",)),
            *more,
        ]
        if tls:
            self.argv += ["--cert-file", str(tls.cert), "--key-file", str(tls.key)]
            self.argv += ["--trusted-ca-file", str(tls.ca), "--client-cert-auth"]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        if self.tls:
            return f"etcds://127.0.0.1:{self.client}?ca={self.tls.ca}&cert={self.tls.cert}&key={self.tls.key}"
        return f"etcd://127.0.0.1:{self.client}"

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.call("/v3/maintenance/status", {})
                return
            except TortieError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"etcd: {error}: {(self.directory / 'log').read_text()[-2000:]}") from error
                time.sleep(0.02)

    def call(self, path: str, message: dict[str, object], environ: dict[str, str] | None = None) -> None:
        """An order that is no part of the port: compaction, users."""
        channel = Channel(parse(self.url), environ or {})
        try:
            channel.call(path, message, Nothing)
        finally:
            channel.close()

    def compact(self, revision: int) -> None:
        self.call("/v3/kv/compaction", {"revision": str(revision), "physical": True})

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def etcd(directory: Path, *more: str, tls: Authority | None = None, fsync: bool = False) -> Iterator[EtcdServer]:
    server = EtcdServer(directory, *more, tls=tls, fsync=fsync)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def user(server: EtcdServer, name: str, password: str, roles: Sequence[str] = ()) -> None:
    server.call("/v3/auth/user/add", {"name": name, "password": password})
    for role in roles:
        server.call("/v3/auth/user/grant", {"user": name, "role": role})


def wipe(server: EtcdServer) -> None:
    """Remove every key."""
    server.call("/v3/kv/deleterange", {"key": "AA==", "range_end": "AA=="})
