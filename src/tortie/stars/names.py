"""What hosts are called on the page: short names from the probes' addresses. Values in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def display_names(urls: Mapping[str, str]) -> dict[str, str]:
    """A short name per id: the URL's host without the part that all hosts end with; the id where that says nothing."""
    hosts = {id: _host(url) for id, url in urls.items()}
    parts = {id: _pieces(host) for id, host in hosts.items()}
    cut = _common_tail(list(parts.values()))
    short = {id: "".join(pieces[: len(pieces) - cut]).strip(".-") for id, pieces in parts.items()}
    addresses = all(host.replace(".", "").isdigit() for host in hosts.values())
    if addresses or len(set(short.values())) < len(short) or not all(short.values()):
        return {id: id for id in hosts}
    return {id: id if name == id.lower() else name for id, name in short.items()}


def _authority(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def _host(url: str) -> str:
    authority = _authority(url)
    host = authority.partition("]")[0] if authority.startswith("[") else authority.partition(":")[0]
    return host.lower()


def port(url: str) -> int:
    digits = _authority(url).rpartition("]")[2].rpartition(":")[2]
    return int(digits) if digits.isdigit() else 80


def _pieces(host: str) -> list[str]:
    """A host name cut before each dot and dash, the marks kept, so that pieces joined give the name again."""
    pieces, piece = [], ""
    for letter in host:
        if letter in ".-" and piece:
            pieces.append(piece)
            piece = ""
        piece += letter
    return [*pieces, piece]


def _common_tail(names: Sequence[list[str]]) -> int:
    if len(names) < 2:
        return 0
    count = 0
    while all(len(name) > count + 1 for name in names) and len({name[-1 - count] for name in names}) == 1:
        count += 1
    return count
