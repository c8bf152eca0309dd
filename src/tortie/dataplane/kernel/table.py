"""The agent's side of the nftables child: start it, ask it, notice its death and changes by others."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Sequence
from contextlib import ExitStack

import msgspec

from tortie.base.errors import Unavailable
from tortie.dataplane.kernel import protocol
from tortie.dataplane.steps import Refusal, Step
from tortie.dataplane.want import Have

ANSWER_SECONDS = 120.0


class KernelTable:
    """Blocking calls, one at a time, from any thread. After Unavailable the kernel's state is unknown: `open` again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self.notices: socket.socket | None = None
        self._decoder: msgspec.msgpack.Decoder[protocol.Reply] = msgspec.msgpack.Decoder(protocol.Reply)

    def open(self, *, owner: bool, closed: Sequence[Step], batch_bytes: int = protocol.BATCH_BYTES) -> protocol.Opened:
        """Start the child (again) and take the table. `notices` becomes readable when others change it."""
        self.close()
        try:
            self._start()
        except OSError as error:
            raise Unavailable(f"nftables child: it cannot be started: {error}") from error
        try:
            reply = self._ask(protocol.Open(owner, closed, batch_bytes))
        except Unavailable:
            self.close()  # a child without the table is no use: the next attempt asks for it again
            raise
        if not isinstance(reply, protocol.Opened):
            raise Unavailable(f"nftables child: unexpected answer {reply!r}")
        return reply

    def _start(self) -> None:
        with ExitStack() as undo:
            pairs = [undo.enter_context(end) for _ in range(2) for end in socket.socketpair()]
            requests, theirs, notices, their_notices = pairs
            numbers = (theirs.fileno(), their_notices.fileno())
            self._child = subprocess.Popen(
                [sys.executable, "-m", "tortie.dataplane.kernel.child", *map(str, numbers)],
                pass_fds=numbers,
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            undo.pop_all()
        theirs.close()
        their_notices.close()
        notices.setblocking(False)
        requests.settimeout(ANSWER_SECONDS)
        self._requests, self.notices = requests, notices

    def read(self, names: Collection[str] | None = None) -> Have:
        """What is there; elements only of the sets `names`, where they are given."""
        reply = self._ask(protocol.Read(None if names is None else list(names)))
        if not isinstance(reply, protocol.State):
            raise Unavailable(f"nftables child: unexpected answer {reply!r}")
        return Have(reply.sets, reply.chains, reply.elements)

    def apply(self, commit: Sequence[Step], prepare: Sequence[Step] = ()) -> Sequence[Refusal]:
        """One transaction; what the kernel refused, and then nothing was applied. `prepare`: what makes only things
        that nothing refers to yet, and may go ahead."""
        reply = self._ask(protocol.Apply(prepare, commit))
        return reply.refusals if isinstance(reply, protocol.Rejected) else ()

    def _ask(self, request: protocol.Request) -> protocol.Reply:
        with self._lock:
            if self._requests is None:
                raise Unavailable("nftables child: not started")
            try:
                protocol.send(self._requests, request)
                reply = self._decoder.decode(protocol.receive(self._requests))
            except OSError as error:
                self._drop()
                raise Unavailable(f"nftables child: {error or type(error).__name__}") from error
            except Unavailable:
                self._drop()
                raise
        if isinstance(reply, protocol.Failed):
            raise Unavailable(reply.reason)
        return reply

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def close(self) -> None:
        """End the child; the table stays in the kernel as it is."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        for sock in (self._requests, self.notices):
            if sock is not None:
                sock.close()
        self._requests = self.notices = None
        if self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(2.0)
            if self._child.poll() is None:
                self._child.kill()
                self._child.wait()
            self._child = None
