"""Mesos-DNS's vectors for labels and hashes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.dns import labels


@pytest.mark.parametrize(
    ("task_id", "expected"),
    [
        ("test", "iffe9"),
        ("liquor-store.b8db9f73-562f-11e4-a088-c20493233aa5", "4dfjd"),
        ("car-store.43758382-562f-11e4-a088-c20493233aa5", "zinaz"),
        ("tester2.891c8da1-6cf0-11e7-a59c-060dbac461cc", "ourng"),
        ("task-1", "yuqzm"),
    ],
)
def test_the_hash_of_a_task_id(task_id: str, expected: str) -> None:
    assert labels.task_hash(task_id) == expected


@pytest.mark.parametrize(
    ("name", "strict", "expected"),
    [
        ("r29f.dev.angrypigs", False, "r29f-dev-angrypigs"),
        ("4abc123", False, "4abc123"),
        ("4abc123", True, "abc123"),
        ("hello" + "-" * 58 + "f", False, "hellof"),
        ("", False, ""),
        ("---", False, ""),
    ],
)
def test_a_task_name_becomes_one_label(name: str, strict: bool, expected: str) -> None:
    assert labels.label(name, strict=strict) == expected


def test_a_framework_name_keeps_its_dots() -> None:
    assert labels.domain("pod_123$abc.marathon-0.6.0-dev.mesos") == "pod-123abc.marathon-0.6.0-dev.mesos"
    mixed = labels.domain("chronos with a space AND MIXED CASE-2.0.1", strict=True)
    assert mixed.split(".")[0] == "chronoswithaspaceandmixe"
    assert labels.domain("a..b.") == "a.b"


@given(st.text(max_size=120))
def test_every_text_gives_a_label_that_the_dns_can_carry(text: str) -> None:
    label = labels.label(text)
    assert label == "" or re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", label)


def test_the_tail_of_an_agent_id() -> None:
    assert labels.agent_tail("29e81d88-0000-S12") == "s12"
