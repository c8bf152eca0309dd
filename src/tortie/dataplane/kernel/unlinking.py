"""Taking a container's pair of interfaces away."""

from __future__ import annotations

import errno
import select
import socket
from concurrent.futures import ThreadPoolExecutor

from tortie.dataplane.kernel.netlink import NETLINK_ROUTE, Message, Overrun, attributes, open_socket, receive
from tortie.dataplane.kernel.rtnl import DELLINK, LINK_GROUP
from tortie.dataplane.kernel.sandbox import IFLA_IFNAME, SECONDS, ask, deletion, open_rtnl


def unlink(name: str) -> None:
    """Removes a pair by its host's end; none of that name is fine.

    It returns as soon as the kernel has told everybody that the interface is gone: closed, without a name, no packet on
    its way. The call itself lasts twice as long, until what is left has been freed.
    """
    with open_socket(NETLINK_ROUTE, [LINK_GROUP]) as told:
        ours, theirs = socket.socketpair()
        thread = ThreadPoolExecutor(1, "unlink")
        deleting = thread.submit(_unlink, name)
        thread.shutdown(wait=False)
        deleting.add_done_callback(lambda _: theirs.close())
        with ours:
            if _is_told(name, told, ours):
                return
        deleting.result()


def _unlink(name: str) -> None:
    with open_rtnl() as host:
        ask(host, [deletion(name)], f"interface {name}", fine=(errno.ENODEV,))


def _is_told(name: str, told: socket.socket, over: socket.socket) -> bool:
    """Whether the kernel has said that the interface is gone; False when all is `over`, or what it said was lost."""
    while over not in select.select([told, over], [], [])[0]:
        try:
            if any(_is_end_of(name, found) for found in receive(told, SECONDS)):
                return True
        except Overrun:
            return False
    return False


def _is_end_of(name: str, found: Message) -> bool:
    """Whether the kernel says that this interface is no more; what it says of a bridge's port is another matter."""
    if found.kind != DELLINK or found.body[0] != socket.AF_UNSPEC:
        return False
    return dict(attributes(found.body[16:])).get(IFLA_IFNAME, b"").rstrip(b"\0") == name.encode()
