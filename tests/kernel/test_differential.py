"""The kernel against `policy.verdict`: random policies, real packets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.differential.compare import Comparison
from tests.differential.net import Net
from tests.kernel.netlab import Lab

pytestmark = pytest.mark.root

ROUNDS = 40


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    lab = Lab(Path(tmp_path_factory.mktemp("differential")))
    found = Net(lab)
    try:
        found.build()
        yield found
    finally:
        lab.close()


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_kernel_does_what_the_verdict_says(net: Net, seed: int) -> None:
    comparison = Comparison(net, seed)
    try:
        for _ in range(ROUNDS):
            comparison.round()
    finally:
        comparison.close()
    print(comparison.tally)
    assert 0 < comparison.tally.allowed < comparison.tally.packets
