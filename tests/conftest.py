"""What all tiers share: a test that cannot run here says why (`-ra` prints every skip with its reason)."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from tests.support.scheduling import Tiers, ordered

# How long a loaded machine takes says nothing about the code. The same examples on every run: a change is judged by
# what it changes. `--hypothesis-profile=search` looks for new ones.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("search", settings.get_profile("any machine"), derandomize=False)
settings.load_profile("any machine")

# Everything that tests talk to is on this machine: a proxy that leads out of it is not asked.
for name in ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy"):
    for variable in (name, name.upper()):
        os.environ.pop(variable, None)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Tiers:
    return Tiers(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items[:] = ordered(items)
    if os.geteuid() == 0:
        return
    for item in items:
        if any(mark in item.keywords for mark in ("root", "docker", "lab")):
            item.add_marker(pytest.mark.skip(reason="needs root: network namespaces, nftables"))
