"""Benchmarks: what one run compares, and how small a run may be."""

from __future__ import annotations

import os

QUICK = "TORTIE_BENCH_QUICK"


def quick() -> bool:
    """Whether to take small sizes and few repetitions: it says whether a benchmark works, and little of the product.
    Of the environment, for benchmarks start processes of their own."""
    return bool(os.environ.get(QUICK))
