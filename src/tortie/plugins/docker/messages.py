"""What the engine posts to a driver, as values. Absent fields take the value that the protocol gives them."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid
from tortie.model.codec import UNREADABLE


class RequestPool(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    address_space: str = ""
    pool: str = ""
    sub_pool: str = ""
    options: dict[str, Any] | None = None
    v6: bool = False


class ReleasePool(msgspec.Struct, frozen=True, kw_only=True):
    pool_id: str = msgspec.field(name="PoolID")


class RequestAddress(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    pool_id: str = msgspec.field(name="PoolID")
    address: str = ""
    options: dict[str, Any] | None = None


class ReleaseAddress(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    pool_id: str = msgspec.field(default="", name="PoolID")
    address: str


class AddressData(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One subnet of a network as IPAM answered it."""

    address_space: str = ""
    pool: str = ""
    gateway: str = ""
    aux_addresses: dict[str, str] | None = None


class CreateNetwork(msgspec.Struct, frozen=True, kw_only=True):
    network_id: str = msgspec.field(name="NetworkID")
    options: dict[str, Any] | None = msgspec.field(default=None, name="Options")
    ipv4: tuple[AddressData, ...] | None = msgspec.field(default=None, name="IPv4Data")
    ipv6: tuple[AddressData, ...] | None = msgspec.field(default=None, name="IPv6Data")


class DeleteNetwork(msgspec.Struct, frozen=True, kw_only=True):
    network_id: str = msgspec.field(name="NetworkID")


class Interface(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    address: str = ""
    address_ipv6: str = msgspec.field(default="", name="AddressIPv6")
    mac_address: str = ""


class OfEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The ids that every call about an endpoint carries."""

    network_id: str = msgspec.field(name="NetworkID")
    endpoint_id: str = msgspec.field(name="EndpointID")


class CreateEndpoint(OfEndpoint, frozen=True, kw_only=True):
    interface: Interface | None = msgspec.field(default=None, name="Interface")


class Join(OfEndpoint, frozen=True, kw_only=True):
    sandbox_key: str = msgspec.field(default="", name="SandboxKey")


class Discover(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    discovery_type: int = 0


M = TypeVar("M", bound=msgspec.Struct)

_ENDPOINT_ID = re.compile(r"[0-9a-f]{12,64}")


def parse(kind: type[M], body: bytes) -> M:
    """The message in `body`. Invalid when it is empty, no JSON, lacks a field or names an impossible endpoint.

    After a connection that broke in mid-call the engine repeats the call with an empty body: that must do nothing.
    """
    if not body:
        raise Invalid(f"empty body: {kind.__name__} has arguments")
    try:
        message = msgspec.json.decode(body, type=ready(kind))
    except UNREADABLE as error:
        raise Invalid(f"{kind.__name__}: {error}") from error
    if isinstance(message, OfEndpoint) and not _ENDPOINT_ID.fullmatch(message.endpoint_id):
        raise Invalid(f"{kind.__name__}: {message.endpoint_id!r} is not an endpoint id")
    return message
