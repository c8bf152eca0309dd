"""What flow records cost: packets and new conversations with and without them, in ratios of one run.

Two hosts of one store, of which one keeps records. Needs root, iperf3, taskset; in namespaces of its own.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.kernel.netlab import Lab, inside, own_tag, until

from bench._paths import MEASURES, Measure, Unanswered, Way, measure, ratios
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.resource import Metadata, Resource

CASES = ("with flow records", "without")
OPEN = {
    **{
        what: MEASURES[what]
        for what in ("TCP stream", "packet of 64 bytes", "first packet of a flow", "TCP conversation")
    },
    "packet that nobody answers": Measure("ns", make=Unanswered, batch=Unanswered.packets),
}
SHUT = {"packet that is refused": Measure("ns", make=Unanswered, batch=Unanswered.packets)}


def run() -> list[tuple[str, str]]:
    """(what was measured, the figure) pairs."""
    with tempfile.TemporaryDirectory() as directory:
        lab = Lab(Path(directory))
        try:
            open_, shut = _ways(lab)
            for way in open_.values():
                way.check()
            todo = [*((open_, *one) for one in OPEN.items()), *((shut, *one) for one in SHUT.items())]
            return [row for ways, what, how in todo for row in ratios(measure(ways, how), what, how.unit, [CASES])]
        finally:
            lab.close()


def _ways(lab: Lab) -> tuple[dict[str, Way], dict[str, Way]]:
    """In each case: to one that may be reached, and to one that may not."""
    spec = FelixConfigurationSpec(flow_logs="Enabled")
    lab.client.apply(Resource(kind=FELIX_CONFIGURATION, metadata=Metadata(name="node.on"), spec=spec))
    lab.profile("n", own_tag("n"))
    lab.profile("m", own_tag("m"))
    open_, shut = {}, {}
    for name, title, net in (("on", CASES[0], 1), ("off", CASES[1], 2)):
        host = lab.host(name, f"10.9.1.{net}")
        one, two = (host.container(f"{name}{i}", f"10.65.{net}.{i}", "n") for i in (1, 2))
        three = host.container(f"{name}3", f"10.65.{net}.3", "m")
        until(lambda netns=host.netns, want=name == "on": _tells(netns) is want)  # type: ignore[misc]
        open_[title] = Way(one.netns, two.netns, two.address, three.address)
        shut[title] = Way(one.netns, three.netns, three.address)
    return open_, shut


def _tells(netns: str) -> bool:
    return "group 80" in inside(netns, "nft", "list", "table", "inet", "tortie", check=False)
