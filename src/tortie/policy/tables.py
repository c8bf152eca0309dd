"""A matrix and a list of changes as text of 80 columns, as plain data, as CSV. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from tortie.policy.assertions import Broken
from tortie.policy.classes import Group
from tortie.policy.matrices import Table
from tortie.policy.path import Answer, End, Way
from tortie.policy.whatif import Changes
from tortie.policy.words import WIDTH, Told, wrapped

YES, NO, NEITHER = "A", "-", "."
SHOWN = 2


def group_title(group: Group, shown: int = SHOWN) -> str:
    """The first names of a group and how many there are."""
    titles = list(dict.fromkeys(end.title for end in group.ends))
    more = len(titles) - shown
    return ", ".join(titles[:shown]) + (f" +{more}" if more > 0 else "")


def table_lines(table: Table) -> list[str]:
    """Sources down, destinations across; a cell has one letter a service, in their order."""
    if all(group.outside for group in table.groups):
        return ["no endpoint: nobody to ask about"]
    rows = [group_title(group) for group in table.groups]
    columns = [j for j in range(len(rows)) if any(row[j] is not None for row in table.cells)]
    sized = any(_size(group) > 1 for group in table.groups)
    found = [
        f"in each cell: {', '.join(map(str, table.services))}",
        f"{YES} allowed, {NO} denied, {NEITHER} no such pair",
        "",
    ]
    longest = max(map(len, rows)) + (6 if sized else 0)
    width = max(len(table.services), 1)
    names_fit = longest + sum(2 + max(width, len(rows[j])) for j in columns) <= WIDTH
    heads = [rows[j] if names_fit else str(j + 1) for j in columns]
    firsts = [_first(number, table, rows, sized, names_fit) for number in range(len(rows))]
    left = max(map(len, firsts))
    widths = [max(width, len(head)) for head in heads]
    for part in _parts(widths, WIDTH - left):
        head = "  ".join(heads[n].ljust(widths[n]) for n in part)
        found.append(f"{' ' * left}  {head}".rstrip())
        for number, row in enumerate(table.cells):
            cells = "  ".join(_cell(row[columns[n]], len(table.services)).ljust(widths[n]) for n in part)
            found.append(f"{firsts[number]:{left}}  {cells}".rstrip())
        found.append("")
    return found[:-1]


def _first(number: int, table: Table, rows: Sequence[str], sized: bool, names_fit: bool) -> str:
    size = _size(table.groups[number])
    count = f"  x{size}" if sized and size > 1 else ""
    return f"{rows[number]}{count}" if names_fit else f"{number + 1:>3} {rows[number]}{count}"


def _size(group: Group) -> int:
    return 1 if group.outside else len(group.ends)


def _parts(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """The columns in parts that fit; a column that never fits stands alone."""
    part: list[int] = []
    used = 0
    for number, width in enumerate(widths):
        if part and used + 2 + width > room:
            yield part
            part, used = [], 0
        part.append(number)
        used += 2 + width
    if part:
        yield part


def _cell(cell: tuple[bool, ...] | None, services: int) -> str:
    return NEITHER * services if cell is None else "".join(YES if allowed else NO for allowed in cell)


def table_data(table: Table) -> dict[str, Any]:
    """`groups`: who stands for whom; `allowed`: for each service, pairs of numbers of groups, from and to; `denied`
    the pairs that may not. What is in neither is no pair."""
    pairs = [(i, j, cell) for i, row in enumerate(table.cells) for j, cell in enumerate(row) if cell is not None]
    return {
        "services": [str(service) for service in table.services],
        "groups": [
            {"name": group_title(group), "size": _size(group), "members": [end_data(end) for end in group.ends]}
            for group in table.groups
        ],
        "allowed": {
            str(service): [[i, j] for i, j, cell in pairs if cell[n]] for n, service in enumerate(table.services)
        },
        "denied": {
            str(service): [[i, j] for i, j, cell in pairs if not cell[n]] for n, service in enumerate(table.services)
        },
    }


def end_data(end: End) -> dict[str, Any]:
    return {"name": end.title, "role": end.role, "addresses": list(end.addresses)}


def table_csv(table: Table) -> str:
    """One line for each pair of members, not of groups: for other programs."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["from", "from_address", "to", "to_address", "service", "verdict"])
    for i, one in enumerate(table.groups):
        for j, other in enumerate(table.groups):
            cell = table.cells[i][j]
            for source in one.ends if cell is not None else ():
                for destination in other.ends:
                    if source != destination:
                        for service, allowed in zip(table.services, cell or (), strict=True):
                            row = [source.title, source.addresses[0], destination.title, destination.addresses[0]]
                            writer.writerow([*row, str(service), "allow" if allowed else "deny"])
    return out.getvalue()


def change_lines(changes: Changes, ways: tuple[Way, Way]) -> list[str]:
    """Who loses and gains what, and by what it was and will be decided."""
    if not changes.items:
        return ["no change in who may speak to whom"]
    found: list[str] = []
    for gains, title in ((False, "would no longer be allowed"), (True, "would be allowed from now on")):
        items = [item for item in changes.items if item.gains is gains]
        if items:
            found += ["", f"{title}:"] if found else [f"{title}:"]
        for item in items:
            mark = "+" if gains else "-"
            said = f"{group_title(item.source)} -> {group_title(item.destination)}  {', '.join(item.services)}"
            found += wrapped(f"  {mark} ", said)
            found += wrapped("      now: ", _by(ways[0], item.before))
            found += wrapped("     then: ", _by(ways[1], item.after))
    return found


def _by(way: Way, answer: Answer | None) -> str:
    if answer is None:
        return "there is no such endpoint"
    if not answer.stages:
        return "allowed, no policy is asked"
    told = Told(way, answer)
    stage = next((stage for stage in answer.stages if not stage.verdict.allowed), None)
    if stage is None:
        stage = next((s for s in reversed(answer.stages) if s.side == "enters"), None) or answer.stages[-1]
    verdict = "allowed" if answer.allowed else "denied"
    return f"{verdict}, {stage.side} {stage.at}: {told.decider(stage)}"


def change_data(changes: Changes, ways: tuple[Way, Way]) -> list[dict[str, Any]]:
    return [
        {
            "change": "gains" if item.gains else "loses",
            "from": _members(item.source),
            "to": _members(item.destination),
            "services": list(item.services),
            "before": _by(ways[0], item.before),
            "after": _by(ways[1], item.after),
        }
        for item in changes.items
    ]


def _members(group: Group) -> list[dict[str, Any]]:
    return [end_data(end) for end in group.ends]


def broken_lines(found: Sequence[Broken]) -> list[str]:
    """What does not hold, assertion by assertion."""
    lines: list[str] = []
    said = None
    for item in found:
        if item.assertion is not said:
            said = item.assertion
            name = f" {said.name}" if said.name else ""
            where = f" ({said.place})" if said.place else ""
            lines += wrapped("", f"assertion{name} is broken{where}: {said}")
        lines += wrapped("  ", item.text)
    return lines


def broken_data(found: Sequence[Broken]) -> list[dict[str, Any]]:
    return [
        {"assertion": item.assertion.name, "place": item.assertion.place, "says": str(item.assertion), "why": item.text}
        for item in found
    ]
