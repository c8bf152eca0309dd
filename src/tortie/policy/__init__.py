"""What the rules mean: label index, resolved policy, changes, verdicts, answers. Pure, but for `files` and `live`.

For people who test policy in their own programs (docs/policy-in-ci.md): `load`, `Case`, `World`, `matrix`, `changes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tortie.policy.assertions import Assertion, Broken, check
    from tortie.policy.files import Case, load
    from tortie.policy.matrices import Matrix, Table, matrix, table
    from tortie.policy.path import Answer
    from tortie.policy.verdict import Packet, Step, Verdict
    from tortie.policy.whatif import Changes, changes
    from tortie.policy.world import Conversation, Service, World

__all__ = [
    "Answer",
    "Assertion",
    "Broken",
    "Case",
    "Changes",
    "Conversation",
    "Matrix",
    "Packet",
    "Service",
    "Step",
    "Table",
    "Verdict",
    "World",
    "changes",
    "check",
    "load",
    "matrix",
    "table",
]

PUBLIC = {
    "Answer": "path",
    "Assertion": "assertions",
    "Broken": "assertions",
    "Case": "files",
    "Changes": "whatif",
    "Conversation": "world",
    "Matrix": "matrices",
    "Packet": "verdict",
    "Service": "world",
    "Step": "verdict",
    "Table": "matrices",
    "Verdict": "verdict",
    "World": "world",
    "changes": "whatif",
    "check": "assertions",
    "load": "files",
    "matrix": "matrices",
    "table": "matrices",
}


def __getattr__(name: str) -> Any:
    """Nothing is imported before it is asked for: commands that need one part start without the others."""
    import importlib

    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{PUBLIC[name]}"), name)
