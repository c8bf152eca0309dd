"""libnftables, in process, by ctypes: rule text as one transaction."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import socket

from tortie.base.errors import Unavailable

NAMES = ("libnftables.so.1", "libnftables.so")


def _load() -> ctypes.CDLL:
    for name in NAMES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        for call in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
            getattr(library, call).argtypes = [ctypes.c_void_p]
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        for call in ("nft_ctx_get_error_buffer", "nft_ctx_get_output_buffer"):
            getattr(library, call).argtypes = [ctypes.c_void_p]
            getattr(library, call).restype = ctypes.c_char_p
        return library
    raise Unavailable(f"{NAMES[0]} is not installed (package libnftables1)")


def _netlink_fds() -> set[int]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(int(name))
    return found


class Nft:
    """One libnftables context. `sock` is a duplicate of the context's own netlink socket, None if it keeps none:
    what is sent on it counts as sent by the context, so both are the owner of an owned table."""

    def __init__(self) -> None:
        self._library = _load()
        before = _netlink_fds()
        self._context = self._library.nft_ctx_new(0)
        if not self._context:
            raise Unavailable("libnftables: no context")
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)
        opened = _netlink_fds() - before
        if not opened:
            self.run("list tables")
            opened = _netlink_fds() - before
        self.sock = socket.socket(fileno=os.dup(opened.pop())) if len(opened) == 1 else None

    def run(self, text: str) -> str:
        """What the commands print; Unavailable with nft's own message when they were refused (none was applied)."""
        code = self._library.nft_run_cmd_from_buffer(self._context, text.encode())
        if code:
            reason = (self._library.nft_ctx_get_error_buffer(self._context) or b"").decode(errors="replace").strip()
            raise Unavailable(f"nft: {reason or 'refused without a reason'}")
        return (self._library.nft_ctx_get_output_buffer(self._context) or b"").decode(errors="replace")
