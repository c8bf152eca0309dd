"""The lab's own little internet as one process: image registry and artifact server.

`python -m tortie.lab.services --address 172.24.197.2 --state DIR [--artifact URL=FILE]...`
Writes the authority's certificate to DIR/authority/ca.crt, prints one line `ready ...` on standard output when every
port is open, serves until SIGTERM.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tortie.base.errors import TortieError
from tortie.lab import artifacts, registry
from tortie.lab.documents import DOCUMENTS, FILES
from tortie.lab.fileserver import FileServer
from tortie.lab.images import images, save

RAW = "https://raw.githubusercontent.com/projectcalico/calico/master/demos/docker/"
STARS_FILES = ("stars.json", "calico-stars-resources.json")
RELEASES = "https://github.com/projectcalico/{}/releases/download/{}/calicoctl"
CALICOCTL = (("calico-containers", "v0.19.0"), ("calicoctl", "v1.3.0"), ("calico-containers", "v1.3.0"))
"""The projects that a version was published by; each copy is fixed to its version's grammar."""


def builtin_artifacts() -> dict[str, Path]:
    """Address to file of what the documents download."""
    copies = {RELEASES.format(*of): FILES / "downloads" / f"calicoctl-{of[1]}" for of in CALICOCTL}
    return {**{RAW + name: FILES / name for name in STARS_FILES}, **copies}


def main(argv: Sequence[str] | None = None) -> int:
    """0 after SIGTERM or SIGINT; 1 with one line on standard error when a port or file cannot be used."""
    options = _parser().parse_args(argv)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        servers = start(options)
    except TortieError as error:
        print(f"lab services: {error}", file=sys.stderr)
        return 1
    print(f"ready registry={servers[0].server_port} ca={options.state / 'authority' / 'ca.crt'}", flush=True)
    ended.wait()
    for server in servers:
        server.shutdown()
        server.server_close()
    return 0


def start(options: argparse.Namespace) -> list[FileServer]:
    """Make what is missing, open every port, serve; on a failure nothing stays open."""
    made = images(DOCUMENTS[options.document].images, options.images or options.state / "images")
    if options.archives:
        save(made, options.archives)
    catalog = registry.catalog(made)
    pairs = {**builtin_artifacts(), **dict(options.artifact)}
    files = artifacts.mapping(pairs)
    hosts = sorted({*artifacts.HOSTS, *(host for host, _ in files)})
    tls = artifacts.tls_context(artifacts.authority(options.state / "authority", hosts))
    plan = [
        (options.registry_port, registry.handler(catalog), None),
        (options.http_port, artifacts.handler(files), None),
        (options.https_port, artifacts.handler(files), tls),
    ]
    servers: list[FileServer] = []
    try:
        for port, answer, context in plan:
            servers.append(FileServer(options.address, port, answer, _log, context))
    except TortieError:
        for server in servers:
            server.server_close()
        raise
    for server in servers:
        server.start()
    return servers


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tortie.lab.services", description="Image registry and artifacts of a lab.")
    parser.add_argument("--address", default="0.0.0.0")
    parser.add_argument("--registry-port", type=int, default=5000)
    parser.add_argument("--http-port", type=int, default=80)
    parser.add_argument("--https-port", type=int, default=443)
    parser.add_argument("--state", type=Path, required=True, help="directory for images and the authority")
    parser.add_argument("--images", type=Path, help="directory of the image cache, when labs share one")
    parser.add_argument("--archives", type=Path, help="directory for the images as archives, for agents without Docker")
    parser.add_argument("--document", choices=DOCUMENTS, default="stars", help="whose images the registry has")
    parser.add_argument("--artifact", type=_pair, action="append", default=[], metavar="URL=FILE")
    return parser


def _pair(text: str) -> tuple[str, Path]:
    url, equals, path = text.partition("=")
    if not equals or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not URL=FILE")
    return url, Path(path)


def _log(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
