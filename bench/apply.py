"""What one change of the table costs beside N policies: load, a rule, a member, an endpoint, read back; nft beside it.

Each policy has a set of members and a chain of three rules, and is reached from an endpoint of its own; needs root.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from bench import quick
from tortie.dataplane.kernel.codec import canonical_key
from tortie.dataplane.kernel.table import KernelTable
from tortie.dataplane.ledger import Ledger
from tortie.dataplane.render import base
from tortie.dataplane.render.settings import Settings
from tortie.dataplane.steps import AddSet, Members
from tortie.dataplane.want import TABLE, Chain, Have, SetDef

SIZES, QUICK_SIZES = (10, 100, 1000, 10_000), (10, 100)
MEMBERS = 10
REPEATS = 21
ELEMENTS = 100_000
ROWS = {
    "load": "load it, one transaction",
    "rule": "one rule edited",
    "member": "one member put",
    "endpoint": "one endpoint more",
    "read": "read all back",
    "nothing": "plan of no change",
    "rss": "memory of the child at its highest, MB",
    "nft load": "nft -f: load it",
    "nft rule": "nft -f: one rule edited",
}


def run() -> list[tuple[str, str]]:
    """(what was measured, the figure) pairs."""
    sizes = QUICK_SIZES if quick() else SIZES
    found = {size: _inside(str(size)) for size in sizes}
    head = " / ".join(map(str, sizes))
    rows = [
        (f"{text}, N = {head}", " / ".join(_figure(found[n], name) for n in sizes) + ("" if name == "rss" else " ms"))
        for name, text in ROWS.items()
    ]
    large = _inside("elements")
    return [
        *rows,
        (f"{ELEMENTS} addresses in one transaction", f"{large['addresses']:.0f} ms"),
        ("then one address put and dropped", f"{large['address']:.3f} ms"),
        (f"{ELEMENTS} networks in one transaction", f"{large['networks']:.0f} ms"),
        ("then one network put and dropped", f"{large['network']:.3f} ms"),
        (f"the same as ranges of one set: {ELEMENTS} networks in one transaction", f"{large['ranges']:.0f} ms"),
        ("the same as ranges of one set: one network put and dropped", f"{large['range']:.3f} ms"),
        ("all read back", f"{large['read']:.0f} ms"),
    ]


def _figure(found: dict[str, float], name: str) -> str:
    return f"{found[name]:.3g}" if name in found else "-"


def _inside(what: str) -> dict[str, float]:
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "bench.apply", what], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _took(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def _rules(number: int, port: int = 80) -> tuple[str, ...]:
    return (
        f"meta nfproto ipv4 meta l4proto 6 ip saddr @s4_{number} th dport @pl counter accept",
        f"meta nfproto ipv4 meta l4proto 17 ip saddr @s4_{number} th dport {port} counter accept",
        "meta nfproto ipv4 meta l4proto 1 icmp type 8 counter accept",
    )


def _chain(number: int, port: int = 80) -> Chain:
    return Chain(_rules(number, port), uses=frozenset({f"s4_{number}", "pl"}), note=f"policy {number}")


def _address(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def _endpoint(ledger: Ledger, number: int, policy: int) -> None:
    name = f'"cali{number}"'
    ledger.put_chain(f"ki_{number}", Chain((f"jump pi_{policy}", "counter drop"), uses=frozenset({f"pi_{policy}"})))
    ledger.put_element(base.TO, name, f"goto ki_{number}")
    ledger.put_element(base.SOURCES4, f"{name} . {_address(number)}")


def _want(size: int) -> Ledger:
    ledger = Ledger()
    for name, definition in base.LIVE_SETS.items():
        ledger.put_set(name, definition)
    for name, (written, hook) in base.base_chains(Settings()).items():
        ledger.put_chain(name, written.chain(base=hook))
    ledger.put_set("pl", SetDef("inet_service", interval=True, content=("80", "443", "9000-9010")))
    for number in range(size):
        ledger.put_set(f"s4_{number}", SetDef("ipv4_addr"))
        for member in range(MEMBERS):
            ledger.put_element(f"s4_{number}", _address(number * MEMBERS + member))
        ledger.put_chain(f"pi_{number}", _chain(number))
        _endpoint(ledger, number, number)
    return ledger


class _Bench:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.table = ledger, KernelTable()
        self.table.open(owner=True, closed=base.closed_table())

    def learn(self) -> None:
        self.ledger.learn(self.table.read(self.ledger.to_read(content=False)), canonical_key)

    def settle(self) -> None:
        plan = self.ledger.plan()
        refused = self.table.apply(plan.commit, plan.prepare)
        assert not refused, refused
        self.ledger.settled(plan)

    def each(self, change: Callable[[int], object]) -> float:
        def once(number: int) -> None:
            change(number)
            self.settle()

        return statistics.median(_took(lambda n=n: once(n)) for n in range(REPEATS))  # type: ignore[misc]


def _measure(size: int) -> dict[str, float]:
    ledger = _want(size)
    bench = _Bench(ledger)
    bench.learn()
    found = {"load": _took(bench.settle)}
    found["rule"] = bench.each(lambda n: ledger.put_chain("pi_3", _chain(3, 81 + n)))
    found["member"] = bench.each(lambda n: ledger.put_element("s4_3", f"11.0.0.{n}"))
    found["endpoint"] = bench.each(lambda n: _endpoint(ledger, size + n, n % size))
    found["read"] = _took(bench.learn)
    found["nothing"] = bench.each(lambda _: None)
    found["rss"] = _megabytes(bench.table.pid or 0)
    bench.table.close()
    return found | _of_nft(ledger)


def _of_nft(ledger: Ledger) -> dict[str, float]:
    """The same table as text, and one rule of it: what the command needs that everybody has."""
    text = "\n".join(_text(ledger))
    run = ["unshare", "--net", "sh", "-c"]
    script = f'echo $(date +%s%N); nft -f "$1"; echo $(date +%s%N); {_edit()}; date +%s%N'
    path = f"/tmp/bench-apply-{os.getpid()}.nft"
    try:
        with open(path, "w") as file:
            file.write(text)
        done = subprocess.run([*run, script, "sh", path], capture_output=True, text=True, check=True)
    finally:
        os.unlink(path)
    first, second, third = (int(word) / 1e6 for word in done.stdout.split())
    return {"nft load": second - first, "nft rule": third - second}


def _edit() -> str:
    return f"""nft "flush chain {TABLE} pi_3; add rule {TABLE} pi_3 {_rules(3, 99)[1]}" """


def _text(ledger: Ledger) -> Sequence[str]:
    lines = [f"add table {TABLE}"]
    for name, definition in ledger.defs.items():
        kind = "map" if definition.verdict else "set"
        value, flags = " : verdict" if definition.verdict else "", " flags interval;" if definition.interval else ""
        lines.append(f"add {kind} {TABLE} {name} {{ type {definition.type}{value};{flags} }}")
        keys = definition.content or (() if definition.verdict else tuple(ledger.elements(name)))
        if keys:
            lines.append(f"add element {TABLE} {name} {{ {', '.join(keys)} }}")
    lines += [f"add chain {TABLE} {name} {{ {chain.base} }}" for name, chain in ledger.rules.items()]
    lines += [f"add rule {TABLE} {name} {rule}" for name, chain in ledger.rules.items() for rule in chain.rules]
    verdicts = ", ".join(f"{key} : {verdict}" for key, verdict in ledger.elements(base.TO).items())
    return [*lines, f"add element {TABLE} {base.TO} {{ {verdicts} }}"]


def _megabytes(pid: int) -> float:
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def _elements() -> dict[str, float]:
    table = KernelTable()
    table.open(owner=True, closed=[])
    addresses = [(_address(n), "") for n in range(ELEMENTS)]
    # Of one length of prefix, as our sets of networks are: their first addresses.
    networks = [(_address(n * 16), "") for n in range(ELEMENTS)]
    ranges = [(f"{_address(n * 16)}/30", "") for n in range(ELEMENTS)]
    found: dict[str, float] = {}
    for name, one, interval, items, extra in (
        ("addresses", "address", False, addresses, "11.0.0.1"),
        ("networks", "network", False, networks, "110.0.0.0"),
        ("ranges", "range", True, ranges, "110.0.0.0/24"),
    ):
        steps = [AddSet(name, "ipv4_addr", interval), Members(True, name, "ipv4_addr", items, interval)]
        found[name] = _took(lambda steps=steps: table.apply(steps))  # type: ignore[misc]

        def change(name: str = name, extra: str = extra, interval: bool = interval) -> None:
            for put in (True, False):
                assert not table.apply([Members(put, name, "ipv4_addr", [(extra, "")], interval)])

        found[one] = statistics.median(_took(change) for _ in range(REPEATS))
    have: list[Have] = []
    found["read"] = _took(lambda: have.append(table.read()))
    assert [len(have[0].elements[name]) for name in ("addresses", "networks", "ranges")] == [ELEMENTS] * 3
    table.close()
    return found


if __name__ == "__main__":
    print(json.dumps(_elements() if sys.argv[1] == "elements" else _measure(int(sys.argv[1]))))
