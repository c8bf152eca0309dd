"""Flows in words, as a table for people. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tortie.policy.words import WIDTH, owner_words, wrapped

WORDS = {"Allow": "allowed", "Deny": "DENIED", "Pass": "passed"}
OUTSIDE = {"pub": "outside", "pvt": "outside (private)"}
HEAD = ("TIME", "", "FROM", "TO", "WHAT", "PACKETS")
Flow = Mapping[str, Any]


def rows(flows: Iterable[Flow]) -> list[Flow]:
    """Each conversation once, the newest last: where the receiving side tells of it, the sending side's word that it
    may go there is left out."""
    listed = list(flows)
    told = {_pair(flow) for flow in listed if flow["reporter"] == "Dst"}
    shown = [f for f in listed if not (f["reporter"] == "Src" and f["action"] == "Allow" and _pair(f) in told)]
    return sorted(shown, key=lambda flow: (flow["last_time"], flow["start_time"]))


def _pair(flow: Flow) -> tuple[Any, ...]:
    fields = ("source_namespace", "source_name", "dest_namespace", "dest_name", "protocol", "dest_port")
    return tuple(flow[field] for field in fields)


def table(flows: Iterable[Flow], clock: Callable[[int], str], *, head: bool = True) -> Iterator[str]:
    """Two lines a flow: what, and by whom. `clock`: a time as people read it, of unix seconds."""
    cells = [_cells(flow, clock) for flow in rows(flows)]
    shown: list[Sequence[str]] = [HEAD] if head and cells else []
    shown += [row[:-1] for row in cells]
    if not shown:
        return
    widths = [max(len(row[place]) for row in shown) for place in range(len(HEAD))]
    room = WIDTH - sum(widths[:2]) - sum(widths[4:]) - 2 * (len(HEAD) - 1)
    one, two = widths[2:4]
    widths[2:4] = [min(one, max(room // 2, room - two)), min(two, max(room - room // 2, room - one))]
    if head:
        yield _line(HEAD, widths)
    for row in cells:
        yield _line(row[:-1], widths)
        yield from wrapped(" " * (widths[0] + 2), row[-1])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        f"{cut(text, width):{'>' if place == len(HEAD) - 1 else '<'}{width}}"
        for place, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def cut(text: str, width: int) -> str:
    """The beginning and the end of a text that is too long."""
    if len(text) <= width:
        return text
    end = (width - 2) // 2
    return f"{text[: width - 2 - end]}..{text[-end:]}"


def _cells(flow: Flow, clock: Callable[[int], str]) -> tuple[str, ...]:
    service = flow["protocol"] + (f"/{flow['dest_port']}" if flow["dest_port"] else "")
    return (
        clock(flow["last_time"]),
        WORDS[flow["action"]],
        _end(flow, "source"),
        _end(flow, "dest"),
        service,
        str(flow["packets_in"] + flow["packets_out"]),
        _by(flow),
    )


def _end(flow: Flow, side: str) -> str:
    name, kind = str(flow[f"{side}_name"]), flow[f"{side}_type"]
    before = {"HostEndpoint": "host:", "NetworkSet": "set:"}.get(kind, "")
    return OUTSIDE.get(name, name) if kind == "Network" else f"{before}{name}"


def _by(flow: Flow) -> str:
    """Who decided; on a refusal also where."""
    hits = flow["policies"]["enforced"]
    if not hits:
        return "more flows than are told apart"
    side = "leaving" if flow["reporter"] == "Src" else "entering"
    found = f"{side}: {_hit(hits[-1])}"
    if passed := [_hit(hit) for hit in hits[:-1]]:
        found += f", passed on by {', '.join(passed)}"
    if pending := [f"{_hit(hit)} would: {hit['action']}" for hit in flow["policies"]["pending"]]:
        found += f" ({', '.join(pending)})"
    return found


def _hit(hit: Mapping[str, Any]) -> str:
    kind, rule = hit["kind"], hit["rule_index"]
    if kind == "Fixed":
        return str(hit["name"])
    if kind == "EndOfTier":
        last = f", behind {_owner(hit['trigger'])}" if hit["trigger"] else ""
        return f"end of tier {hit['tier']}{last}"
    if kind == "Profile":
        if rule >= 0:
            return f"profile {hit['name']}, rule {rule + 1}"
        return f"profile {hit['name']}: no rule matched" if hit["name"] else "no policy is about it, and no profile"
    tier = "" if hit["tier"] in ("", "default") else f" of tier {hit['tier']}"
    return f"{_owner(hit)}{tier}, rule {rule + 1}"


def _owner(hit: Mapping[str, Any]) -> str:
    own = "/".join(filter(None, (hit["kind"].replace("Calico", ""), hit["namespace"], hit["name"])))
    return owner_words("policy", own)
