"""How the roller's hand gets to a host: a Python there reads it from its standard input and keeps nothing of it."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tortie.base.errors import TortieError, Unavailable
from tortie.packages.rollout.hand.main import CUT_OFF

SECONDS = 900.0
TRANSPORT_FAILED = 255
BEGIN = """\
import os, sys
size = int(sys.argv[1])
data = sys.stdin.buffer.read(size)
if len(data) < size:
    print("the request was cut off", file=sys.stderr)
    sys.exit(75)
hand = os.memfd_create("hand")
while data: data = data[os.write(hand, data):]
sys.path.insert(0, "/proc/self/fd/%d" % hand)
from tortie.packages.rollout.hand.main import main
main(sys.stdin.buffer)
"""


class StepFailed(TortieError):
    """The host was reached, and says why it could not be done."""


class Reach(Protocol):
    def ask(self, request: Mapping[str, Any], payload: bytes = b"") -> dict[str, Any]:
        """The hand's answer. StepFailed with its reason; Unavailable when the host is out of reach."""
        ...


class Ssh(msgspec.Struct, frozen=True, omit_defaults=True, rename="kebab", forbid_unknown_fields=True):
    """OpenSSH's client with the user's own configuration and agent. A host key that it does not know is refused."""

    address: str = ""
    user: str = ""
    port: int | None = None
    identity: str = ""
    options: tuple[str, ...] = ()
    sudo: bool = False
    python: str = "/usr/bin/python3"

    def ask(self, request: Mapping[str, Any], payload: bytes = b"") -> dict[str, Any]:
        inside = [*(["sudo", "-n"] if self.sudo else []), self.python, "-I", "-B", "-c", BEGIN, str(len(hand()))]
        return asked(self.address, [*self._words(), shlex.join(inside)], request, payload)

    def _words(self) -> list[str]:
        words = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=10"]
        words += [word for option in self.options for word in ("-o", option)]
        words += ["-p", str(self.port)] if self.port else []
        words += ["-i", self.identity] if self.identity else []
        words += ["-l", self.user] if self.user else []
        return [*words, "--", self.address]


@cache
def hand() -> bytes:
    """The hand's modules as a zip file that Python imports from."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for package in ("tortie", "tortie/packages", "tortie/packages/rollout"):
            archive.writestr(f"{package}/__init__.py", "")
        for file in sorted(resources.files("tortie.packages.rollout.hand").iterdir(), key=lambda file: file.name):
            if Path(file.name).suffix == ".py":
                archive.writestr(f"tortie/packages/rollout/hand/{file.name}", file.read_text())
    return packed.getvalue()


def given(request: Mapping[str, Any], payload: bytes) -> bytes:
    """What the hand reads: itself, the request, what goes with it."""
    return hand() + json.dumps({**request, "payload": len(payload)}).encode() + b"\n" + payload


def asked(where: str, argv: Sequence[str], request: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
    """What the hand answers that this command starts."""
    try:
        done = subprocess.run(argv, input=given(request, payload), capture_output=True, timeout=SECONDS, check=False)
    except OSError as error:
        raise Unavailable(f"{argv[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{where}: no answer within {SECONDS:g} s") from error
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode == TRANSPORT_FAILED or done.returncode < 0:
        raise Unavailable(f"{where}: {said or f'{argv[0]} ended with {done.returncode}'}")
    return understood(where, done.returncode, done.stdout, said)


def understood(where: str, code: int, out: str | bytes, said: str) -> dict[str, Any]:
    """The answer of a hand that has ended. StepFailed when it says why it could not, or nothing that can be read;
    Unavailable when the request did not reach it whole: it has done nothing."""
    if code == CUT_OFF:
        raise Unavailable(f"{where}: {said[-500:]}")
    try:
        answer: dict[str, Any] = json.loads(out)
    except ValueError as error:
        raise StepFailed(f"{where}: {said[-500:] or f'exit {code}, without an answer'}") from error
    if "error" in answer:
        raise StepFailed(answer["error"])
    return answer
