"""The images that a lab's registry gives out, by the names that documents type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tortie import __version__
from tortie.base import distributions
from tortie.lab.documents import STARS_IMAGES
from tortie.lab.image import Image, docker_archive, make
from tortie.lab.image_files import Recipe

# No nslookup: Debian's brings 40 MB of libraries; getent asks the same resolver.
_SHELL = ("echo", "env", "true", "date", "head", "tail", "grep", "id", "kill", "uname", "touch", "rm", "mkdir", "tr")
_TEXT_AND_NETWORK = ("wc", "cut", "sed", "hostname", "ip", "ping", "curl", "wget", "getent")
TOOLS = _SHELL + _TEXT_AND_NETWORK
NEEDED = ("bash", "sleep", "cat", "ls")
# What our programs use, and what a person who types python3 in a container would miss first.
MODULES = (
    "encodings.idna",
    "encodings.latin_1",
    "encodings.ascii",
    "encodings.utf_8",
    "argparse",
    "http.client",
    "http.server",
    "json.tool",
    "shutil",
    "site",
    "subprocess",
    "textwrap",
    "traceback",
    "urllib.request",
    "zlib",
)

_LAUNCHER = """#!/usr/bin/python3 -IS
import sys

sys.path.insert(0, "/{folder}/lib")
from tortie.{module} import main

sys.exit(main())
"""

STAR = Recipe(
    name="star",
    needed=NEEDED,
    tools=TOOLS,
    modules=("tortie.stars.probe", "tortie.stars.collect", *MODULES),
    source=(("stars", "*.py"), ("stars/assets", "*"), ("web/static", "*")),
    source_at="star/lib",
    files={
        "star/target/debug/star-probe": _LAUNCHER.format(folder="star", module="stars.probe"),
        "star/target/debug/star-collect": _LAUNCHER.format(folder="star", module="stars.collect"),
    },
    links={
        "usr/bin/star-probe": "/star/target/debug/star-probe",
        "usr/bin/star-collect": "/star/target/debug/star-collect",
    },
    config={"Entrypoint": ["star-probe"], "WorkingDir": "/star"},
)
HELLO = Recipe(
    name="hello",
    needed=NEEDED,
    tools=TOOLS,
    modules=("tortie.hello.app", *MODULES),
    source=(("hello", "*.py"), ("web/static", "tortie.css"), ("web/static", "cat.svg")),
    source_at="hello/lib",
    files={"hello/app.py": _LAUNCHER.format(folder="hello", module="hello.app")},
    config={"Cmd": ["/hello/app.py"], "WorkingDir": "/hello", "ExposedPorts": {"80/tcp": {}}},
)

_REDIS_ENTRY = """#!/bin/bash
# Options alone are the server's. A server in a container is asked from other hosts: it takes their connections.
case ${1:-} in -* | '') set -- redis-server "$@" ;; esac
[ "$1" = redis-server ] && set -- "$@" --protected-mode no
exec "$@"
"""
REDIS = Recipe(
    name="redis",
    needed=(*NEEDED, "redis-server"),
    tools=("redis-cli", "redis-benchmark", *TOOLS),
    files={"usr/bin/redis-entry": _REDIS_ENTRY},
    folders=("data",),
    config={
        "Entrypoint": ["redis-entry"],
        "Cmd": ["redis-server"],
        "WorkingDir": "/data",
        "ExposedPorts": {"6379/tcp": {}},
    },
)

_BALANCER_ENTRY = """#!/bin/bash
# marathon-lb's own words: the way of hearing of changes first, then options. PORTS, which Marathon sets, is needed.
[ -n "${PORTS:-}" ] || { echo 'marathon-lb: PORTS is not set' >&2; exit 1; }
case ${1:-} in
sse | poll) ;;
*) echo "marathon-lb: ${1:-nothing} given: expected sse or poll, then options" >&2; exit 1 ;;
esac
exec /usr/bin/python3 -I -c 'import sys
sys.path[:0] = ["/opt/tortie/lib"]
sys.argv[0] = "tortie"
from tortie.cli.main import main
main()' lb "$@"
"""
BALANCER = Recipe(
    name="marathon-lb",
    needed=(*NEEDED, "haproxy"),
    tools=("openssl", *TOOLS),
    packages=("aiohttp", "click", "httptools", "msgspec", "starlette", "uvicorn", "uvloop"),
    source=(("", "py.typed"), ("base", "**/*"), ("lb", "**/*"), ("web", "**/*"), ("wire", "**/*"), ("cli", "*.py")),
    source_at="opt/tortie/lib",
    files={"marathon-lb/run": _BALANCER_ENTRY},
    folders=("var/lib/tortie", "etc/ssl/certs"),
    config={"Entrypoint": ["/marathon-lb/run"], "Cmd": ["sse"], "WorkingDir": "/marathon-lb"},
)

_NGINX = """user root;
worker_processes 1;
daemon off;
pid /run/nginx.pid;
error_log stderr notice;
events { worker_connections 256; }
http {
    include mime.types;
    access_log /dev/stdout;
    server {
        listen 80;
        root /usr/share/nginx/html;
        index index.html;
    }
}
"""
_WELCOME = "<!doctype html><title>Welcome to nginx!</title><h1>Welcome to nginx!</h1>\n"
NGINX = Recipe(
    name="nginx",
    needed=(*NEEDED, "nginx"),
    tools=TOOLS,
    files={
        "etc/nginx/nginx.conf": _NGINX,
        "etc/nginx/mime.types": "types { text/html html; text/plain txt; }\n",
        "usr/share/nginx/html/index.html": _WELCOME,
    },
    folders=("var/lib/nginx", "var/log/nginx"),
    config={
        "Cmd": ["nginx"],
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGQUIT",
    },
)
NET_TOOLS = Recipe(
    name="net-tools",
    needed=(*NEEDED, "ifconfig", "ping", "curl", "dig", "nc"),
    tools=("nslookup", "host", "netstat", "arp", "route", "ss", "tcpdump", "ps", *TOOLS),
    config={"Cmd": ["bash"]},
)
DATABASE = Recipe(
    name="h2",
    needed=NEEDED,
    tools=TOOLS,
    modules=("tortie.hello.database", "sqlite3", *MODULES),
    source=(("hello", "*.py"), ("web/static", "tortie.css"), ("web/static", "cat.svg")),
    source_at="h2/lib",
    files={"h2/database.py": _LAUNCHER.format(folder="h2", module="hello.database")},
    config={"Cmd": ["/h2/database.py"], "WorkingDir": "/h2", "ExposedPorts": {"1521/tcp": {}, "81/tcp": {}}},
)

_TORTIE_ENTRY = """#!/bin/bash
# An app without words of its own, as the packages' are listed in the documents, has them in its environment.
[ $# -gt 0 ] || set -- ${TORTIE_ARGS:-}
exec /usr/bin/python3 -I -c 'import sys
sys.path[:0] = ["/opt/tortie/lib"]
sys.argv[0] = "tortie"
from tortie.cli.main import main
main()' "$@"
"""
_METADATA, _METADATA_TEXT = distributions.metadata(__version__)
TORTIE = Recipe(
    name="tortie",
    needed=(*NEEDED, "chroot"),
    tools=("openssl", "ssh", "etcd", "etcdctl", *TOOLS),
    packages=distributions.REQUIRED,
    source=(("", "**/*"),),
    source_at="opt/tortie/lib",
    files={"usr/bin/tortie": _TORTIE_ENTRY, f"opt/tortie/lib/{_METADATA}": _METADATA_TEXT},
    folders=("etc/tortie", "var/lib/tortie/store"),
    config={"Entrypoint": ["tortie"], "WorkingDir": "/root"},
)
"""The whole product: what the packages etcd and calico run their frameworks in, and etcd its members."""

NAMES: Mapping[str, Recipe] = {
    **dict.fromkeys(STARS_IMAGES, STAR),
    "calico/hello-dcos:v0.1.0": HELLO,
    "library/redis:latest": REDIS,
    "mesosphere/marathon-lb:v1.2.1": BALANCER,
    "tortie/tortie:0.1.0": TORTIE,
    "library/nginx:alpine": NGINX,
    "donch/net-tools:latest": NET_TOOLS,
    "oscarfonts/h2:latest": DATABASE,
}
"""By the name that an engine asks for: a name without a slash has `library/` before it."""


def save(made: Mapping[str, Image], folder: Path) -> None:
    """Each image as `FOLDER/REPOSITORY:TAG.tar`, as Mesos's own containerizer looks for the names that apps have."""
    first: dict[str, Path] = {}
    for name, image in made.items():
        path = folder / f"{name.removeprefix('library/')}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}")
        beside.unlink(missing_ok=True)
        if image.digest in first:
            beside.hardlink_to(first[image.digest])
        else:
            docker_archive(image, [other for other in made if made[other].digest == image.digest], beside)
        first[image.digest] = beside.replace(path)  # nobody finds half of it, or none while it is made anew


def images(names: Iterable[str], cache: Path) -> dict[str, Image]:
    """The images of these names, each made once. Unavailable when the machine lacks what one needs."""
    made: dict[str, Image] = {}
    for name in names:
        recipe = NAMES[name]
        if recipe.name not in made:
            made[recipe.name] = make(recipe, cache)
    return {name: made[NAMES[name].name] for name in names}
