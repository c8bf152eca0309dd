"""The registry's and the artifact server's answers, without a socket."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tortie.base.errors import Invalid
from tortie.lab import artifacts, registry
from tortie.lab.documents import STARS_IMAGES
from tortie.lab.image import MANIFEST_TYPE, Image

CONFIG = b'{"os": "linux"}'
CONFIG_DIGEST = f"sha256:{hashlib.sha256(CONFIG).hexdigest()}"
LAYER_DIGEST = f"sha256:{'0' * 64}"
MANIFEST = json.dumps({"config": {"digest": CONFIG_DIGEST}, "layers": [{"digest": LAYER_DIGEST}]}).encode()
IMAGE = Image(MANIFEST, CONFIG, Path("/layer"))
CATALOG = registry.catalog(dict.fromkeys(STARS_IMAGES, IMAGE))


def test_the_version_check() -> None:
    reply = registry.answer(CATALOG, "GET", "/v2/")
    assert (reply.status, reply.headers["Docker-Distribution-Api-Version"]) == (200, "registry/2.0")


@pytest.mark.parametrize("name", STARS_IMAGES)
def test_a_manifest_by_tag_and_by_digest(name: str) -> None:
    repository, _, tag = name.partition(":")
    for reference in (tag, IMAGE.digest):
        reply = registry.answer(CATALOG, "HEAD", f"/v2/{repository}/manifests/{reference}?ns=docker.io")
        assert (reply.status, reply.body, reply.content_type) == (200, MANIFEST, MANIFEST_TYPE)
        assert reply.headers["Docker-Content-Digest"] == IMAGE.digest


def test_blobs_by_digest() -> None:
    assert registry.answer(CATALOG, "GET", f"/v2/calico/star/blobs/{CONFIG_DIGEST}").body == CONFIG
    assert registry.answer(CATALOG, "GET", f"/v2/calico/star/blobs/{LAYER_DIGEST}").body == Path("/layer")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/library/nginx/manifests/latest", "NAME_UNKNOWN"),
        ("/v2/calico/star/manifests/latest", "MANIFEST_UNKNOWN"),
        ("/v2/mesosphere/star/manifests/v0.5.0", "MANIFEST_UNKNOWN"),
        ("/v2/calico/star/blobs/sha256:1", "BLOB_UNKNOWN"),
        ("/v2/_catalog", "UNSUPPORTED"),
        ("/v1/search", "UNSUPPORTED"),
        ("/v2/calico/star/blobs/../../../etc/passwd", "UNSUPPORTED"),
    ],
)
def test_what_is_not_there_is_404_in_the_registrys_json(path: str, code: str) -> None:
    reply = registry.answer(CATALOG, "GET", path)
    assert reply.status == 404
    assert isinstance(reply.body, bytes)
    assert [error["code"] for error in json.loads(reply.body)["errors"]] == [code] or code == "UNSUPPORTED"


def test_it_is_read_only() -> None:
    assert registry.answer(CATALOG, "PUT", "/v2/calico/star/manifests/v0.5.0").status == 405
    assert registry.answer(CATALOG, "POST", "/v2/calico/star/blobs/uploads/").status == 405


def test_artifacts_by_host_and_path(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("{}")
    table = artifacts.mapping({"https://Raw.example/x%20y/a.json": file})
    assert artifacts.answer(table, "GET", "raw.example", "/x%20y/a.json?token=1").body == file
    assert artifacts.answer(table, "GET", "other.example", "/x%20y/a.json").status == 404
    assert artifacts.answer(table, "GET", "raw.example", "/a.json").status == 404
    assert artifacts.answer(table, "POST", "raw.example", "/x%20y/a.json").status == 405


@pytest.mark.parametrize("url", ["ftp://a/b", "https:///b", "https://a", "a/b", "https://a/b?c"])
def test_an_address_that_is_none_is_refused(url: str, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.touch()
    with pytest.raises(Invalid, match="artifact"):
        artifacts.mapping({url: file})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no file"):
        artifacts.mapping({"https://a/b": tmp_path / "none"})
