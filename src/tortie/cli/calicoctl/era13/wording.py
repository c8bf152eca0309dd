"""How calicoctl 1.3 words several problems of one resource."""

from __future__ import annotations

from collections.abc import Sequence


def worded(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return "error with the following fields:\n" + "\n".join(f"-  {problem}" for problem in problems)
