"""Placement constraints: may an app's next task go to this agent, given where its others are?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from tortie.marathon.deploy.instance import Instance
from tortie.wire.mesos import Attribute

_HOST = ("hostname", "@hostname")
_DECIMAL = re.compile(r"-?\d+\.\d*")


def attribute_text(attribute: Attribute) -> str:
    """The value as constraints compare it: text as it is, `[1-2,5-6]`, `{a,b}`, numbers without trailing zeros."""
    if attribute.text is not None:
        return attribute.text.value
    if attribute.scalar is not None:
        return _decimal(f"{attribute.scalar.value:.3f}")
    if attribute.ranges is not None:
        return f"[{','.join(f'{r.begin}-{r.end}' for r in attribute.ranges.range)}]"
    return f"{{{','.join(attribute.set.item if attribute.set else [])}}}"


def allowed(
    constraints: Sequence[tuple[str, ...]], host: str, attributes: Mapping[str, str], others: Sequence[Instance]
) -> bool:
    """Do all constraints hold for an agent, beside the `others` that run (or are about to) under the same config?"""
    return all(_holds(constraint, host, attributes, others) for constraint in constraints)


def place(key: str, instance: Instance) -> str | None:
    """What an instance's agent has under the key: its host name, or an attribute."""
    return instance.host if key in _HOST else instance.attributes.get(key)


def _holds(constraint: tuple[str, ...], host: str, attributes: Mapping[str, str], others: Sequence[Instance]) -> bool:
    key, operator = constraint[0], constraint[1]
    argument = constraint[2] if len(constraint) > 2 else ""
    value = host if key in _HOST else attributes.get(key)
    if value is None:
        return operator == "UNLIKE"
    match operator:
        case "IS":
            return value in (argument, _decimal(argument))
        case "LIKE":
            return re.fullmatch(argument, value) is not None
        case "UNLIKE":
            return re.fullmatch(argument, value) is None
        case _:
            there = Counter(found for other in others if (found := place(key, other)) is not None)
            return _beside(operator, argument, value, there)


def _beside(operator: str, argument: str, value: str, there: Counter[str]) -> bool:
    """The operators that look at where the others are."""
    match operator:
        case "UNIQUE":
            return there[value] == 0
        case "CLUSTER":
            return value == argument if argument else set(there) <= {value}
        case "MAX_PER":
            return there[value] < int(argument)
        case _:
            return _balanced(value, there, int(argument or 0))


def _decimal(number: str) -> str:
    """Without zeros that say nothing; a text that is no number as it is."""
    return number.rstrip("0").rstrip(".") if _DECIMAL.fullmatch(number) else number


def _balanced(value: str, there: Counter[str], groups: int) -> bool:
    """GROUP_BY: a new group, or one of the smallest once there are enough of them."""
    if value not in there:
        return True
    return len(there) >= groups and there[value] == min(there.values())
