"""The images of the environments document: each runs with nothing else, and an agent finds its archive."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, wait_until

from tortie.hello.database import MOST_LINE, Database
from tortie.lab.image import make
from tortie.lab.image_files import Recipe
from tortie.lab.images import DATABASE, NAMES, NET_TOOLS, NGINX, STAR, save
from tortie.mesos.agent.ucr.images import Images

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
NEEDED = {program for recipe in (NGINX, NET_TOOLS) for program in recipe.needed}
LACKING = sorted(program for program in NEEDED if shutil.which(program) is None)
pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(LACKING), reason=f"this machine has no {', '.join(LACKING)}"),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


def unpacked(recipe: Recipe, cache: Path) -> Path:
    image = make(recipe, cache)
    at = cache / f"unpacked-{recipe.name}"
    at.mkdir(exist_ok=True)
    subprocess.run(["tar", "-xzf", image.layer, "-C", at], check=True, timeout=PATIENCE)
    return at


def alone(root: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run in the image, in a network and with a /proc of its own; nothing of it stays."""
    ready = f"mount --rbind /dev {root}/dev && mount -t proc proc {root}/proc && ip link set lo up"
    return subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "--propagation", "private", "bash", "-c",
         f'{ready} && exec chroot {root} bash -c "$0"', script],
        capture_output=True, text=True, timeout=2 * PATIENCE, check=False, env=ENVIRONMENT,
    )  # fmt: skip


def test_the_web_server_serves_a_page_and_ends_when_told(cache: Path) -> None:
    command = " ".join(NGINX.config["Cmd"])
    asked = "curl -sS --retry 60 --retry-delay 1 --retry-connrefused -i http://127.0.0.1/"
    ran = alone(unpacked(NGINX, cache), f"{command} & {asked}; kill -QUIT $!; wait $!; echo ended $?")
    assert "HTTP/1.1 200 OK" in ran.stdout, ran.stdout + ran.stderr
    assert "Welcome to nginx!" in ran.stdout
    assert ran.stdout.endswith("ended 0\n"), ran.stderr


def test_the_tools_of_the_document_work_in_their_box(cache: Path) -> None:
    line = "ifconfig && ping -c 1 127.0.0.1 && curl --version && dig -v && nc -h; ip -br addr"
    ran = alone(unpacked(NET_TOOLS, cache), line)
    assert ran.returncode == 0, ran.stderr
    for said in ("inet 127.0.0.1", "1 received, 0% packet loss", "libcurl", "127.0.0.1/8"):
        assert said in ran.stdout
    assert "DiG" in ran.stderr + ran.stdout


@pytest.fixture
def database(cache: Path) -> Iterator[tuple[int, int]]:
    """Its port and that of its page."""
    port, web = free_port(), free_port()
    words = ["chroot", str(unpacked(DATABASE, cache)), *DATABASE.config["Cmd"], "--port", str(port)]
    process = subprocess.Popen([*words, "--web-port", str(web)], env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: process.poll() is None and listens(port) and listens(web), message="the database")
        yield port, web
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except OSError:
        return False
    return True


def test_the_database_takes_statements_and_shows_its_tables(database: tuple[int, int]) -> None:
    port, web = database
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        file = connection.makefile("rwb")

        def ask(statement: str) -> Any:
            file.write(statement.encode() + b"\n")
            file.flush()
            return json.loads(file.readline())

        assert ask("CREATE TABLE cats (name TEXT)") == {"columns": [], "rows": []}
        assert ask("INSERT INTO cats VALUES ('tortie')") == {"columns": [], "rows": []}
        assert ask("SELECT name FROM cats") == {"columns": ["name"], "rows": [["tortie"]]}
        assert ask("SELEKT") == {"error": 'near "SELEKT": syntax error'}
        assert "not authorized" in ask("ATTACH 'other.db' AS other")["error"]
    with urlopen(f"http://127.0.0.1:{web}/", timeout=PATIENCE) as answer:
        assert answer.read() == b"Database: 1 tables: cats\n"
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(b"x" * MOST_LINE)
        assert "at most" in json.loads(connection.makefile("rb").readline())["error"]


def test_a_statement_cannot_hold_the_database() -> None:
    found = Database(":memory:")
    for refused in ("BEGIN", "SAVEPOINT here", "DETACH main"):
        assert "not authorized" in found.run(refused)["error"]
    assert found.run("SELECT x'00ff', NULL, 1.5")["rows"] == [["00ff", None, 1.5]]
    assert "one statement" in found.run("SELECT 1; SELECT 2")["error"]


def test_an_agent_finds_every_name_in_the_folder_of_archives(cache: Path, tmp_path: Path) -> None:
    names = [name for name, recipe in NAMES.items() if recipe in (NGINX, STAR)]
    made = {name: make(NAMES[name], cache) for name in names}
    save(made, tmp_path / "archives")
    save(made, tmp_path / "archives")  # a lab's services that begin again
    images = Images([tmp_path / "archives"], tmp_path / "store")
    assert images.get("nginx:alpine").config.cmd == ("nginx",)
    stars = [images.get(name) for name in ("calico/star:v0.5.0", "djosborne/star:v0.5.0")]
    assert stars[0].layers == stars[1].layers
    assert stars[0].config.entrypoint == ("star-probe",)
    listed = [path.name for path in (tmp_path / "archives").rglob("*") if path.is_file()]
    assert sorted(listed) == ["nginx:alpine.tar", "star:v0.3.0.tar", "star:v0.5.0.tar", "star:v0.5.0.tar"]
