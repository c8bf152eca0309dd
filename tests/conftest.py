"""What all tiers share: a test that cannot run here says why (`-ra` prints every skip with its reason)."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# How long a loaded machine takes says nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if any(mark in item.keywords for mark in ("root", "docker", "lab")):
            item.add_marker(pytest.mark.skip(reason="needs root: network namespaces, nftables"))
