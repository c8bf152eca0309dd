"""A read-only image registry of five routes, so that `docker pull` of the documents' images works as typed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from tortie.lab.fileserver import Reply
from tortie.lab.image import MANIFEST_TYPE, Image

_PATH = re.compile(r"/v2/(?P<name>[a-z0-9._/-]+)/(?P<kind>manifests|blobs)/(?P<reference>[^/]+)")
_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}


@dataclass(frozen=True, slots=True)
class Catalog:
    """What the registry gives out: manifests by name and tag or digest, blobs by name and digest."""

    manifests: Mapping[tuple[str, str], bytes] = field(default_factory=dict)
    blobs: Mapping[tuple[str, str], bytes | Path] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.manifests)


def catalog(images: Mapping[str, Image]) -> Catalog:
    """From `name:tag` to image; one image may have many names."""
    manifests: dict[tuple[str, str], bytes] = {}
    blobs: dict[tuple[str, str], bytes | Path] = {}
    for full_name, image in images.items():
        name, _, tag = full_name.rpartition(":")
        manifests[name, tag] = manifests[name, image.digest] = image.manifest
        blobs.update(((name, digest), blob) for digest, blob in image.blobs().items())
    return Catalog(manifests, blobs)


def answer(known: Catalog, method: str, path: str) -> Reply:
    """The reply to one request; anything that is not there is an error in the registry's own JSON."""
    if method not in ("GET", "HEAD"):
        return _error(405, "UNSUPPORTED", "this registry is read-only")
    path = unquote(path.partition("?")[0])
    if path in ("/v2", "/v2/"):
        return Reply(200, b"{}", "application/json", _VERSION)
    match = _PATH.fullmatch(path)
    if match is None:
        return _error(404, "UNSUPPORTED", "no such route")
    name, reference = match["name"], match["reference"]
    if name not in known.names:
        return _error(404, "NAME_UNKNOWN", f"repository {name} is not known to this registry", {"name": name})
    if match["kind"] == "manifests":
        manifest = known.manifests.get((name, reference))
        if manifest is None:
            return _error(404, "MANIFEST_UNKNOWN", f"{name} has no tag or digest {reference}", {"Tag": reference})
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        return Reply(200, manifest, MANIFEST_TYPE, _content(digest))
    blob = known.blobs.get((name, reference))
    if blob is None:
        return _error(404, "BLOB_UNKNOWN", f"{name} has no blob {reference}", {"digest": reference})
    return Reply(200, blob, "application/octet-stream", _content(reference))


def handler(known: Catalog) -> Callable[[str, str, str], Reply]:
    """For `fileserver.serve`: the host that a client names plays no part."""
    return lambda method, _host, path: answer(known, method, path)


def _content(digest: str) -> dict[str, str]:
    return {**_VERSION, "Docker-Content-Digest": digest, "ETag": f'"{digest}"'}


def _error(status: int, code: str, message: str, detail: Mapping[str, str] | None = None) -> Reply:
    body = {"errors": [{"code": code, "message": message, "detail": detail or {}}]}
    return Reply(status, json.dumps(body).encode() + b"\n", "application/json", _VERSION)
