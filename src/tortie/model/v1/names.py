"""Names of the v1 form as v3 names, as the public converter makes them; the original is kept in an annotation."""

from __future__ import annotations

import hashlib
import re
from ipaddress import ip_address

from tortie.model import checks
from tortie.model.resource import Metadata

ANNOTATION = "tortie/v1-name"


def v3_name(original: str, *, dots: bool = True, marked: bool = True) -> str:
    """`marked`: a changed name ends with a hash of the original, so that two that become alike stay apart."""
    name = re.sub(r"[^-a-z0-9.]", "-", original.lower().replace("/", "."))
    name = re.sub(r"[-.]*\.[-.]*", ".", name).strip("-.")
    if not dots:
        name = name.replace(".", "-")
    if name == original or not marked:
        return name
    mark = hashlib.sha1(original.encode(), usedforsecurity=False).hexdigest()[:8]
    return f"{name}-{mark}" if name else mark


def policy_name(original: str) -> str:
    return v3_name(original, dots=False)


def node_name(original: str) -> str:
    return v3_name(original, marked=False)


def profile_name(original: str) -> str:
    """One name in all grammars: what a profile may be called here stays."""
    if original.startswith("k8s_ns."):
        return "kns." + original.removeprefix("k8s_ns.")
    return original if re.fullmatch(checks.LOOSE_NAME, original) else v3_name(original)


def address_name(text: str) -> str:
    return re.sub("[.:/]", "-", ip_address(text).exploded)


def pool_name(cidr: str) -> str:
    return re.sub("[.:/]+", "-", cidr).strip("-")


def remembered(name: str, original: str) -> Metadata:
    return Metadata(name=name, annotations={} if name == original else {ANNOTATION: original})


def original_of(metadata: Metadata) -> str:
    return metadata.annotations.get(ANNOTATION, metadata.name)
