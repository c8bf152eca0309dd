"""Which grammar a command line is in. Decided from values; `main` reads them.

In this order: a copy fixed to one grammar (CALICOCTL_GRAMMAR, or the program's own name); words that only one grammar
has; the apiVersion of the files it names; the kind of its configuration file; else 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tortie.base.errors import Invalid

GRAMMARS = ("0.19", "1.3", "3")
DEFAULT = "3"

_OLD = frozenset(("status", "container", "profile", "endpoint", "pool", "bgp", "checksystem", "diags"))
_NEW = frozenset(("patch", "label", "convert", "validate", "datastore", "cluster", "completion"))
_OF_FILES = frozenset(("get", "create", "apply", "replace", "delete"))
_SECOND = {
    "config": {"set": "1.3", "unset": "1.3", "get": "1.3", "felix": "0.19", "bgp": "0.19", "node": "0.19"},
    "ipam": {"info": "0.19", "check": "3", "configure": "3", "split": "3"},
    "node": {"stop": "0.19", "remove": "0.19", "show": "0.19", "bgp": "0.19"},
}
_OPTIONS = {
    "--orchestrator": "1.3",
    "--workload": "1.3",
    "--scope": "1.3",
    "--namespace": "3",
    "-A": "3",
    "--all-namespaces": "3",
    "-R": "3",
    "--recursive": "3",
    "--export": "3",
    "--skip-empty": "3",
    "--context": "3",
    "--allow-version-mismatch": "3",
    "--show-blocks": "3",
    "--show-borrowed": "3",
    "--show-configuration": "3",
    "--from-report": "3",
}
_ONLY_3_KINDS = frozenset(("gnp", "snp", "sgnp", "sknp", "np", "netset", "kcconfig", "tier", "tiers"))
_ONLY_3_BEGIN = (
    *("staged", "global", "network", "ipreserv", "ipam", "bgpconf", "bgpfilter", "felix", "cluster", "kubecontr"),
    *("caliconode", "blockaff", "livemig"),
)
_API = r"""^[\s{,-]*["']?apiVersion["']?\s*:\s*["']?(v1|projectcalico\.org/v3)["']?\s*[,}]?\s*(?:#.*)?$"""
_API_INLINE = r"""[{,]\s*["']?apiVersion["']?\s*:\s*["']?(v1|projectcalico\.org/v3)["']?\s*[,}]"""


class Choice(NamedTuple):
    """`typed`: what was typed says it, or a file that was named; who typed it knows."""

    grammar: str
    why: str
    typed: bool = True


def fixed(program: str, asked: str | None) -> Choice | None:
    """The grammar of a fixed copy, or None. Raises Invalid for a CALICOCTL_GRAMMAR that there is not."""
    if asked:
        grammar = _era(asked)
        if grammar is None:
            raise Invalid(f"CALICOCTL_GRAMMAR={asked}: no such grammar; known: {', '.join(GRAMMARS)}")
        return Choice(grammar, f"CALICOCTL_GRAMMAR={asked}")
    name = program.rpartition("/")[2]
    grammar = _era(name.removeprefix("calicoctl").lstrip("-_"))
    return Choice(grammar, f"the program's name {name}") if grammar else None


def _era(text: str) -> str | None:
    """`3` for 3, v3.26.1 and 3.x; 0.19 for every 0.x, 1.3 for every 1.x and 2.x, which spoke the same API."""
    if text in GRAMMARS or not text:  # no need of a pattern
        return text or None
    match = re.fullmatch(r"v?([0123])(\.(\d+|x)){0,2}", text)
    return {"0": "0.19", "1": "1.3", "2": "1.3", "3": "3"}[match[1]] if match else None


def by_words(arguments: Sequence[str]) -> Choice | None:
    """The only grammar that has these words, or None. Words of a 0.19 rule are not looked at."""
    words = [word for word in arguments if not word.startswith("-")]
    first, second = (*words, "", "")[:2]
    if first in _OLD:
        return Choice("0.19", f"the word {first}")
    if first in _NEW:
        return Choice("3", f"the word {first}")
    if grammar := _SECOND.get(first, {}).get(second):
        return Choice(grammar, f"the words {first} {second}")
    if first == "node" and (not second or any(word.startswith("--libnetwork") for word in arguments)):
        return Choice("0.19", "the word node without another")
    if first == "ipam" and second == "release" and len(words) == 3 and not _has(arguments, "--ip", "--from-report"):
        return Choice("0.19", "an address without --ip")
    for word in arguments:
        if grammar := _OPTIONS.get(word.partition("=")[0]):
            return Choice(grammar, f"the option {word.partition('=')[0]}")
    kind = second.lower()
    if first in _OF_FILES and (kind in _ONLY_3_KINDS or kind.startswith(_ONLY_3_BEGIN)):
        return Choice("3", f"the kind {second}")
    return None


def _has(arguments: Iterable[str], *options: str) -> bool:
    return any(word.partition("=")[0] in options for word in arguments)


def by_files(texts: Iterable[tuple[str, str]]) -> Choice | None:
    """From the apiVersion of (name, text) files; None when they name neither. Raises Invalid for a mixture."""
    found: dict[str, str] = {}
    for name, text in texts:
        for version in (*re.findall(_API, text, re.MULTILINE), *re.findall(_API_INLINE, text)):
            found.setdefault(version, name)
    if len(found) > 1:
        where = ", ".join(f"{version} in {name}" for version, name in found.items())
        raise Invalid(f"resources of apiVersion v1 and projectcalico.org/v3 cannot be mixed: {where}")
    for version, name in found.items():
        return Choice("1.3" if version == "v1" else "3", f"the apiVersion of {name}")
    return None


def by_configuration(text: str | None) -> Choice | None:
    """From the kind in the text of the configuration file; the second of two eras differ in their capitals only."""
    match = re.search(r"""\bkind["']?\s*:\s*["']?(calicoApiConfig|CalicoAPIConfig)\b""", text or "")
    if match is None:
        return None
    return Choice("1.3" if match[1] == "calicoApiConfig" else "3", f"a configuration of kind {match[1]}", typed=False)
