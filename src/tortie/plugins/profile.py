"""What every plug-in says of a network that a person made: its profile, and the notes on its endpoints. Pure."""

from __future__ import annotations

import logging
import re

from tortie.base.errors import Conflict, Invalid
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, Rule
from tortie.store.client import Client
from tortie.store.port import Datastore

log = logging.getLogger("plugins")

HANDLE_ANNOTATION = "org.tortie/ipam-handle"
NETWORK_ANNOTATION = "org.tortie/network"
_NETWORK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def check_network_name(network: str, noun: str = "network") -> None:
    """Runtimes take nearly any text; profiles, labels and selectors do not. Invalid says which names will do."""
    if not _NETWORK_NAME.fullmatch(network):
        raise Invalid(
            f"{noun} {network!r}: the name is also that of a profile and a label: at most 63 letters, digits, "
            "'.', '_' and '-', the first a letter or digit"
        )


def network_profile(network: str) -> Resource[ProfileSpec]:
    """A new network's profile: its members reach each other and everything outside, nobody else reaches them."""
    return Resource(
        kind=PROFILE,
        metadata=Metadata(name=network),
        spec=ProfileSpec(
            ingress=(Rule(action="Allow", source=EntityRule(selector=f"{network} == ''")),),
            egress=(Rule(action="Allow"),),
            labels_to_apply={network: ""},
        ),
    )


def ensure_profile(datastore: Datastore, profile: Resource[ProfileSpec]) -> None:
    """A profile that is there stays as it is: its rules are the user's. It blocks."""
    if datastore.get(profile.key) is None:
        try:
            Client(datastore).create(profile)
        except Conflict:
            log.debug("profile %s was made by another host", profile.name)
