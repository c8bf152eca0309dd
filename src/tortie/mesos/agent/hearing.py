"""Whether the first process of a container can notice its stop signal. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = ("pid", "blocked", "ignored", "caught")
NUMBERS: Mapping[str, int] = {
    "HUP": 1, "INT": 2, "QUIT": 3, "KILL": 9, "USR1": 10, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15,
    "WINCH": 28, "PWR": 30,
}  # fmt: skip


def can_hear(inspect: Mapping[str, Any], top: Mapping[str, Any], signal: str) -> bool:
    """False only when the kernel is certain to throw the signal away.

    `top` is the engine's list of its processes in COLUMNS. The first process of a process namespace has no default
    action: a signal that it neither catches, nor blocks (to fetch it by itself), nor ignores on purpose reaches nobody.
    """
    number = number_of(signal)
    of_its_own = (inspect.get("HostConfig") or {}).get("PidMode") in ("", "private")
    first = str((inspect.get("State") or {}).get("Pid"))
    masks: list[str] = next((row[1:] for row in top.get("Processes") or () if row[0] == first), [])
    if not of_its_own or len(masks) != len(COLUMNS) - 1:
        return True
    return noticed(masks, number)


def number_of(signal: str) -> int:
    """Of `SIGTERM`, `TERM` or `15`; 0 for one that is not known."""
    return int(signal) if signal.isdigit() else NUMBERS.get(signal.removeprefix("SIG"), 0)


def noticed(masks: Sequence[str], number: int) -> bool:
    """Whether the signal is in one of these sets, as the kernel writes them; True when that cannot be told."""
    if not 0 < number < 32:
        return True
    try:
        return any(int(mask.lstrip("<"), 16) >> (number - 1) & 1 for mask in masks)
    except ValueError:
        return True
