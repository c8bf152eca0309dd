"""What decided about a packet, as the kernel tells it: the prefix of a log rule's message, and back. Pure.

The form is Felix's: `DPI0|NAME` is a Deny by the policy NAME, ingress, rule 0; a profile has R in the second place,
a staged policy S; `DPI|TIER` is the end of a tier, `DRI` that no profile allowed it, `DFE|WHY` one of the table's own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tortie.policy.values import Action, Direction

HitKind = Literal["policy", "staged", "profile", "tier", "no profile", "fixed"]
"""Whose rule it was: of a policy, a staged one, a profile; or the end of a tier, of the profiles; or the table's."""

LONGEST = 50
ENDS = 10
PLAIN = re.compile(r"[A-Za-z0-9_.:/-]+( [A-Za-z0-9_.:/-]+)*")
ODD = re.compile(r"[^A-Za-z0-9_.:/-]")
FORM = re.compile(r"([ADP])([PRSF])([IE])(\d*)(?:\|(.*))?", re.DOTALL)
OWNERS: dict[HitKind, str] = {
    "policy": "P",
    "staged": "S",
    "profile": "R",
    "tier": "P",
    "no profile": "R",
    "fixed": "F",
}
LETTERS: dict[str, Action] = {"A": "Allow", "D": "Deny", "P": "Pass"}
DIRECTIONS: dict[str, Direction] = {"I": "ingress", "E": "egress"}
SPOOFED, FORWARDED, TO_HOST = "spoofed source", "forwarded", "to its host"


@dataclass(frozen=True, slots=True)
class Hit:
    """`name`: of the policy or profile, of the tier, or why. `rule`: its place in its list, from 0."""

    action: Action
    kind: HitKind
    direction: Direction
    name: str = ""
    rule: int | None = None


def prefix_of(hit: Hit) -> str:
    """At most 63 bytes; a name that does not fit, or is not plain, is shortened."""
    number = "" if hit.rule is None else str(hit.rule)
    name = f"|{short(hit.name)}" if hit.name else ""
    return f"{hit.action[0]}{OWNERS[hit.kind]}{hit.direction[0].upper()}{number}{name}"


def parse_prefix(text: str) -> Hit | None:
    """None: not one of ours. Names are as short as they came."""
    found = FORM.fullmatch(text)
    if found is None:
        return None
    action, owner, way, number, name = found.groups(default="")
    kind: HitKind
    if number:
        kinds: dict[str, HitKind] = {"P": "policy", "R": "profile", "S": "staged"}
        if owner not in kinds or not name:
            return None
        kind = kinds[owner]
    else:
        ends: dict[str, HitKind] = {"P": "tier", "R": "no profile", "F": "fixed"}
        if owner not in ends or bool(name) != (owner != "R"):
            return None
        kind = ends[owner]
    return Hit(LETTERS[action], kind, DIRECTIONS[way], name, int(number) if number else None)


def short(name: str) -> str:
    """The name itself where it fits; else its beginning, a digest of it, and its end."""
    if len(name) <= LONGEST and PLAIN.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{ODD.sub('-', name[:ENDS])}~{digest}_{ODD.sub('-', name[-ENDS:])}"


def plain(text: str) -> str:
    """A text that a rule may carry in quotes."""
    return re.sub(r'[^ -~]|"', "?", text)


def full_name(found: str, known: Iterable[str]) -> str:
    """The one of the known names that was shortened to this; what is not among them stays as it is."""
    return next((name for name in known if short(name) == found), found) if "~" in found else found
