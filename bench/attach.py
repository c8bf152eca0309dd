"""What it costs to give a container its network: `docker run` on a Calico network against `--net=none`, same engine."""

from __future__ import annotations

import statistics
import time

from tests.support.docker_node import NodeHost, two_hosts

ROUNDS = 12


def _one(host: NodeHost, network: str) -> float:
    start = time.perf_counter()
    host.docker("run", "--rm", f"--net={network}", host.image, "/bin/true")
    return time.perf_counter() - start


def run() -> list[tuple[str, str]]:
    with two_hosts() as (host, _, _, _):
        for network in ("none", "blue"):
            _one(host, network)
        pairs = [(_one(host, "none"), _one(host, "blue")) for _ in range(ROUNDS)]
        start = time.perf_counter()
        host.docker("network", "create", "--driver", "calico", "--ipam-driver", "calico", "bench")
        made = time.perf_counter() - start
    none, blue = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(with_net / without for without, with_net in pairs)
    return [
        ("docker run --rm, --net=none (median)", f"{none * 1000:.0f} ms"),
        ("docker run --rm on a Calico network (median)", f"{blue * 1000:.0f} ms"),
        ("ratio of neighbouring runs (median)", f"{ratio:.2f}"),
        ("added by attach and detach (difference of medians)", f"{(blue - none) * 1000:.0f} ms"),
        ("docker network create", f"{made * 1000:.0f} ms"),
    ]
