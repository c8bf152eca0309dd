"""What goes wrong with addresses, in the words that the original's drivers used."""

from __future__ import annotations

from collections.abc import Sequence

from tortie.base.errors import Conflict, Invalid, Unavailable


class AddressTaken(Conflict):
    def __init__(self, address: str) -> None:
        super().__init__(f"The address {address} is already in use")


class OutsidePools(Invalid):
    def __init__(self, address: str) -> None:
        super().__init__(f"The address {address} is not in one of the configured Calico IP pools")


class UnknownSubnet(Invalid):
    """`--subnet` names no pool."""

    def __init__(self) -> None:
        super().__init__("The requested subnet must match the CIDR of a configured Calico IP Pool.")


class PoolGone(Invalid):
    """The pool that a network was made with is deleted or disabled."""

    def __init__(self) -> None:
        super().__init__(
            "The network references a Calico pool which has been deleted. "
            "Please re-instate the Calico pool before using the network."
        )


class NoPool(Unavailable):
    """No pool may serve this node; `notes` say why one was passed over."""

    def __init__(self, node: str, notes: Sequence[str] = ()) -> None:
        reasons = f" ({'; '.join(notes)})" if notes else ""
        super().__init__(f"no configured Calico pools for node {node}{reasons}")


class Exhausted(Unavailable):
    def __init__(self) -> None:
        super().__init__("There are no available IP addresses in the configured Calico IP pools")


class BlockLimit(Unavailable):
    def __init__(self, limit: int) -> None:
        super().__init__(f"cannot allocate new block due to per host block limit: {limit}")


class HandleMismatch(Conflict):
    def __init__(self, address: str, wanted: str, found: str | None) -> None:
        super().__init__(f"The address {address} belongs to handle {found or 'none'}, not to {wanted}")


class StaleRelease(Conflict):
    """The address was taken back and given anew since the caller learned of it."""

    def __init__(self, address: str, wanted: int, found: int) -> None:
        super().__init__(f"The address {address} was given under sequence number {found}, not {wanted}")
