"""Labels and annotations of endpoints out of any text that a runtime gives. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tortie.model.kinds.workload_endpoint import TASK_ANNOTATION, TASK_NAME_ANNOTATION
from tortie.wire.labels import MESOS_TASK, MESOS_TASK_NAME


def task_notes(told: Mapping[str, Any]) -> dict[str, str]:
    """The task that a container of a Mesos agent is, as annotations; empty for any other container.

    `told`: the container's labels, or what a network's plug-in is told under `args`.
    """
    known = {TASK_ANNOTATION: MESOS_TASK, TASK_NAME_ANNOTATION: MESOS_TASK_NAME}
    found = {note: told.get(label) for note, label in known.items()}
    return {note: text for note, text in found.items() if isinstance(text, str) and text}


def label_key(text: str) -> str:
    """As Calico makes a label's key of any text: slashes to dots, what no label may hold to dashes, runs to one dot."""
    return _clean(text) or "-"


def label_value(text: str) -> str:
    return _clean(text)


def _clean(text: str) -> str:
    plain = re.sub(r"[^-_.a-zA-Z0-9]", "-", text.replace("/", "."))
    return re.sub(r"[-.]*\.[-.]*", ".", plain).strip("-_.")[:63].rstrip("-_.")
