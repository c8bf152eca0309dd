"""`tortie node` that cannot start the process which owns the nftables socket, until SIGUSR1."""

import errno
import signal
import sys

from tortie.cli.node import node
from tortie.dataplane.kernel.table import KernelTable

if __name__ == "__main__":
    usual = KernelTable._start

    def refuse(self: KernelTable) -> None:
        raise OSError(errno.ENOENT, "no such program")

    def allow(*_: object) -> None:
        KernelTable._start = usual  # type: ignore[method-assign]

    KernelTable._start = refuse  # type: ignore[method-assign]
    signal.signal(signal.SIGUSR1, allow)
    node(sys.argv[1:])
