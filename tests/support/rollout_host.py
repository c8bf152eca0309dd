"""A directory that stands for a host of a rollout: its files, a service manager, a node that answers."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import marshal
import os
import signal
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.support.unix_server import answering
from tests.support.waiting import PATIENCE
from tortie.packages.rollout.hand import bytecode
from tortie.packages.rollout.hand.artefact import DIGITS, tag

MODULE = "lib/product.py"
NODE, AGENT = "calico-node.service", "mesos.service"
UNIT_FILE = f"/etc/systemd/system/{NODE}"
_SYSTEMCTL = """\
#!/bin/sh
cd "$(dirname "$0")/units" || exit 9
verb=$1; shift
pid() { cat "$1.pid" 2>/dev/null; }
alive() { [ -n "$(pid "$1")" ] && kill -0 "$(pid "$1")" 2>/dev/null; }
# Whoever is killed between a start and its trace leaves that to the next, or to who reads the trace.
trace() { p=$(pid "$1"); [ -z "$p" ] || grep -qsx "$1 $p" ../restarts || echo "$1 $p" >> ../restarts; }
end() { trace "$1"; alive "$1" && kill -9 "$(pid "$1")"; rm -f "$1.pid"; }
case $verb in
  is-active) if alive "$1"; then echo active; else echo inactive; exit 3; fi ;;
  is-enabled) if [ -e "$1.enabled" ]; then echo enabled; else echo disabled; exit 1; fi ;;
  show) echo "MainPID=$(pid "$2" || echo 0)" ;;
  enable) touch "$1.enabled" ;;
  disable) rm -f "$1.enabled" ;;
  stop) end "$1" ;;
  start|restart)
    if [ $verb = start ] && alive "$1"; then exit 0; fi
    if [ -e refuse ]; then echo "the unit does not start" >&2; exit 1; fi
    end "$1"; env -i setsid sleep 600 >/dev/null 2>&1 </dev/null & echo $! > "$1.new"; mv "$1.new" "$1.pid"
    trace "$1" ;;
  daemon-reload|reset-failed) ;;
  *) echo "what is $verb?" >&2; exit 1 ;;
esac
"""
_PROGRAM = """\
#!/bin/sh
cd "$(dirname "$0")/../../../../.." || exit 9
case " $* " in *" --force "*) ;; *) if [ -e endpoints ]; then echo "tortie: 1 endpoint is here" >&2; exit 4; fi ;; esac
case " $* " in *" --dry-run "*) ;; *) if [ -e late ]; then echo "tortie: 1 endpoint came" >&2; exit 4; fi ;; esac
case " $* " in *" --dry-run "*) ;; *) echo "$@" >> uninstalled; cat notes 2>/dev/null; echo removed something ;; esac
exit 0
"""


def artefact(mark: str) -> tuple[str, bytes]:
    """(name, packed) of a product of two files. `tortie node uninstall` writes down that it was called, and refuses
    while the host has endpoints."""
    data = _tar({"bin/tortie": _PROGRAM.encode(), MODULE: _source(mark)})
    return hashlib.sha256(data).hexdigest()[:DIGITS], gzip.compress(data, mtime=0)


def byte_code(mark: str, files: Mapping[str, bytes] | None = None) -> tuple[dict[str, Any], bytes]:
    """(what a request says of it, packed) of the product's byte code, or of what else comes in its place."""
    source = _source(mark)
    made = {bytecode.path_of(MODULE): bytecode.header(source) + marshal.dumps(compile(source, MODULE, "exec"))}
    packed = gzip.compress(_tar(made if files is None else files), mtime=0)
    digest = hashlib.sha256(packed).hexdigest()
    return {"magic": bytecode.MAGIC, "size": len(packed), "digest": digest}, packed


def _source(mark: str) -> bytes:
    return f"MARK = {mark!r}\n".encode()


def _tar(files: Mapping[str, bytes]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return plain.getvalue()


def want(name: str, conf: str = "NODENAME=a1\n", *, agent: str = "", settle: float = 0.0) -> dict[str, Any]:
    def file(text: str, mode: int = 0o644) -> dict[str, Any]:
        return {"text": text, "mode": mode}

    return {
        "artefact": {"name": name, "tag": tag()},
        "files": {
            "configuration": {"/etc/tortie/node.conf": file(conf), "/etc/calico/calicoctl.cfg": file("x\n")},
            "cni": {"/opt/cni/bin/calico": file("#!/bin/sh\n", 0o755)},
            "node": {UNIT_FILE: file("[Service]\n")},
        },
        "agent": agent,
        "node": {"unit": NODE, "socket": "/run/tortie/node.sock"},
        "settle": settle,
        "patience": PATIENCE,
    }


class Box:
    """`answers`: what its node says."""

    def __init__(self, folder: Path) -> None:
        self.root, self.systemctl = folder / "root", folder / "systemctl"
        self.answers: dict[str, tuple[int, Any]] = {"/readiness": (204, None)}
        self.say({"a": "up", "b": "down"})
        (folder / "units").mkdir()
        for made in ("etc", "opt", "run/tortie", "var/lib"):
            (self.root / made).mkdir(parents=True)
        self.systemctl.write_text(_SYSTEMCTL)
        self.systemctl.chmod(0o755)
        self._units = folder / "units"

    def say(self, endpoints: Mapping[str, str]) -> None:
        """The state of each endpoint from now on."""
        self.answers["/status"] = (200, {"endpoints": {name: {"state": state} for name, state in endpoints.items()}})

    def request(self, do: str, step: str, want: dict[str, Any], plan: str = "p1") -> dict[str, Any]:
        where = {"root": str(self.root), "systemctl": str(self.systemctl)}
        return {"do": do, "step": step, "plan": plan, "want": want, **where}

    def restarts(self) -> list[str]:
        path = self._units.parent / "restarts"
        traced = path.read_text().splitlines() if path.exists() else []
        running = [f"{file.stem} {file.read_text().strip()}" for file in sorted(self._units.glob("*.pid"))]
        return [line.split()[0] for line in (*traced, *(line for line in running if line not in traced))]

    def beside(self, name: str) -> Path:
        """A file beside the host's own: `endpoints` (there are some), `late` (they come once the
        node has ended), `uninstalled` (what was called), `notes`."""
        return self._units.parent / name

    def refuse_restarts(self, refuse: bool) -> None:
        if refuse:
            (self._units / "refuse").touch()
        else:
            (self._units / "refuse").unlink()

    def tree(self) -> dict[str, Any]:
        """Every file, folder and link, with what it holds; units, too. Byte code and sockets are left out."""
        found: dict[str, Any] = {"enabled": sorted(path.name for path in self._units.glob("*.enabled"))}
        found["active"] = sorted(path.name for path in self._units.glob("*.pid"))
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if path.is_socket() or "__pycache__" in name:
                continue
            if path.is_symlink():
                found[name] = os.readlink(path)
            else:
                found[name] = (path.read_bytes(), path.stat().st_mode) if path.is_file() else None
        return found

    def close(self) -> None:
        for path in self._units.glob("*.pid"):
            with contextlib.suppress(ProcessLookupError, ValueError):
                os.kill(int(path.read_text()), signal.SIGKILL)


@contextlib.contextmanager
def box() -> Iterator[Box]:
    """In a folder with a short name: a socket's path is 107 characters long at most."""
    with tempfile.TemporaryDirectory(prefix="roll") as folder:
        made = Box(Path(folder))
        with answering(made.root / "run/tortie/node.sock", made.answers):
            try:
                yield made
            finally:
                made.close()
