"""What the rules mean: label index, resolved policy, changes, verdicts. Pure.

For people who test policy in their own programs (docs/design/policy.md): `World`, `Service`, `matrix`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tortie.policy.matrices import Matrix, matrix
    from tortie.policy.verdict import Packet, Step, Verdict
    from tortie.policy.world import Conversation, Service, World

__all__ = ["Conversation", "Matrix", "Packet", "Service", "Step", "Verdict", "World", "matrix"]

PUBLIC = {
    "Conversation": "world",
    "Matrix": "matrices",
    "Packet": "verdict",
    "Service": "world",
    "Step": "verdict",
    "Verdict": "verdict",
    "World": "world",
    "matrix": "matrices",
}


def __getattr__(name: str) -> Any:
    """Nothing is imported before it is asked for: commands that need one part start without the others."""
    import importlib

    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{PUBLIC[name]}"), name)
