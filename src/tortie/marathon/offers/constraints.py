"""Placement constraints: may an app's next task go to this agent, given where its others are?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from tortie.marathon.deploy.instance import Instance
from tortie.wire.mesos import Attribute


def attribute_text(attribute: Attribute) -> str:
    """The value as constraints compare it: text as it is, `[1-2,5-6]`, `{a,b}`, numbers without trailing zeros."""
    if attribute.text is not None:
        return attribute.text.value
    if attribute.scalar is not None:
        return f"{attribute.scalar.value:g}"
    if attribute.ranges is not None:
        return f"[{','.join(f'{r.begin}-{r.end}' for r in attribute.ranges.range)}]"
    return f"{{{','.join(attribute.set.item if attribute.set else [])}}}"


def allowed(
    constraints: Sequence[tuple[str, ...]], host: str, attributes: Mapping[str, str], others: Sequence[Instance]
) -> bool:
    """Do all constraints hold for an agent, beside the `others` that run (or are about to) under the same config?"""
    return all(_holds(constraint, host, attributes, others) for constraint in constraints)


def _holds(constraint: tuple[str, ...], host: str, attributes: Mapping[str, str], others: Sequence[Instance]) -> bool:
    key, operator = constraint[0], constraint[1]
    argument = constraint[2] if len(constraint) > 2 else ""
    value = host if key == "hostname" else attributes.get(key)
    if value is None:
        return operator == "UNLIKE"
    there = Counter(found for other in others if (found := _value(key, other)) is not None)
    match operator:
        case "UNIQUE":
            return there[value] == 0
        case "CLUSTER":
            return value == argument if argument else set(there) <= {value}
        case "LIKE":
            return re.fullmatch(argument, value) is not None
        case "UNLIKE":
            return re.fullmatch(argument, value) is None
        case "MAX_PER":
            return there[value] < int(argument)
        case _:
            return _balanced(value, there, int(argument or 0))


def _value(key: str, instance: Instance) -> str | None:
    return instance.host if key == "hostname" else instance.attributes.get(key)


def _balanced(value: str, there: Counter[str], groups: int) -> bool:
    """GROUP_BY: a new group, or one of the smallest once there are enough of them."""
    if value not in there:
        return True
    return len(there) >= groups and there[value] == min(there.values())
