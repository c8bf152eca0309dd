"""The images of the Hello document: what is in them runs with nothing else, and what a machine lacks is told."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, wait_until

from tortie.base.errors import Unavailable
from tortie.lab.image import make
from tortie.lab.image_files import Recipe
from tortie.lab.images import BALANCER, HELLO, REDIS, images

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server on this machine")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


def unpacked(recipe: Recipe, cache: Path) -> Path:
    image = make(recipe, cache)
    at = cache / f"unpacked-{recipe.name}"
    at.mkdir(exist_ok=True)
    subprocess.run(["tar", "-xzf", image.layer, "-C", at], check=True, timeout=PATIENCE)
    return at


def inside(root: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["chroot", root, *words], capture_output=True, text=True, timeout=PATIENCE, check=False,
        env={**ENVIRONMENT, **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def balancer(cache: Path) -> Path:
    return unpacked(BALANCER, cache)


@needs_redis
@pytest.mark.root
def test_a_view_is_counted_by_the_two_images_alone(cache: Path) -> None:
    at, port = free_port(), free_port()
    database, app = unpacked(REDIS, cache), unpacked(HELLO, cache)
    assert inside(database, "redis-entry", "redis-server", "--version").stdout.startswith("Redis server v=")
    processes = [
        subprocess.Popen(
            ["chroot", database, "redis-entry", "--port", str(at)], env=ENVIRONMENT, stdout=subprocess.DEVNULL
        ),
        subprocess.Popen(
            ["chroot", app, "/hello/app.py", "--port", str(port), "--redis", f"127.0.0.1:{at}"],
            env=ENVIRONMENT, stderr=subprocess.DEVNULL,
        ),
    ]  # fmt: skip
    try:
        wait_until(lambda: "1 views! Reporting from " in page(port), message=lambda: page(port))
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()


def page(port: int) -> str:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        client.request("GET", "/")
        return client.getresponse().read().decode()
    except OSError as error:
        return str(error)
    finally:
        client.close()


@pytest.mark.root
def test_the_balancer_takes_marathon_lbs_own_words(balancer: Path) -> None:
    words = ("/marathon-lb/run", "sse", "-m", "http://127.0.0.1:1", "--health-check", "--group", "external", "--dry")
    asked = inside(balancer, *words, PORTS="9090")
    assert asked.returncode == 5, "it got as far as asking Marathon"
    assert "tortie: http://127.0.0.1:1" in asked.stderr
    for given, code, said in (
        (words, 1, "PORTS is not set"),
        (("/marathon-lb/run",), 1, "PORTS is not set"),
        (("/marathon-lb/run", "event"), 1, "expected sse or poll"),
        (("/marathon-lb/run", "sse", "--nonsense"), 2, "--nonsense"),
    ):
        ran = inside(balancer, *given, **({} if "PORTS" in said else {"PORTS": "9090"}))
        assert (ran.returncode, said in ran.stderr) == (code, True), ran.stderr
    assert inside(balancer, "haproxy", "-v").returncode == 0


@pytest.mark.root
def test_its_python_has_what_is_imported_late(balancer: Path) -> None:
    late = "tortie.lb.run, uvicorn.protocols.http.httptools_impl, uvloop, ssl, sqlite3, ctypes, multiprocessing.pool"
    script = f"import sys; sys.path.insert(0, '/opt/tortie/lib'); import {late}"
    ran = inside(balancer, "/usr/bin/python3", "-I", "-c", script)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_what_the_machine_lacks_is_told_with_the_image_s_name(tmp_path: Path) -> None:
    bare = Recipe(name="t", needed=("bash", "no-such-program", "nor-this"))
    with pytest.raises(Unavailable, match="t image: this machine has no no-such-program, nor-this"):
        make(bare, tmp_path)
    with pytest.raises(Unavailable, match="the Python package no-such-package is not installed"):
        make(replace(bare, needed=("bash",), packages=("no-such-package",)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_s_words_are_the_image_s_and_old_ones_are_forgotten(tmp_path: Path) -> None:
    small = Recipe(name="t", needed=("true",), folders=("data/x",), config={"Cmd": ["true"]})
    first = make(small, tmp_path)
    assert json.loads(first.config)["config"]["Cmd"] == ["true"]
    long_ago = time.time() - 40 * 86400
    os.utime(first.layer.parent, (long_ago, long_ago))
    assert make(small, tmp_path).digest == first.digest, "from the cache, and in use again"
    other = make(replace(small, config={"Cmd": ["false"]}), tmp_path)
    assert other.digest != first.digest
    assert first.layer.is_file()
    os.utime(first.layer.parent, (long_ago, long_ago))
    make(replace(small, config={}), tmp_path)
    assert not first.layer.exists()
    assert other.layer.is_file()


@needs_redis
def test_names_of_one_image_share_it(cache: Path) -> None:
    names = ("calico/star:v0.5.0", "djosborne/star:v0.5.0", "library/redis:latest")
    made = images(names, cache)
    assert made[names[0]] is made[names[1]]
    assert made[names[0]].digest != made[names[2]].digest
