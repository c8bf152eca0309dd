"""`calicoctl completion SHELL`, and the words that a shell asks for while somebody types.

The shell calls `calicoctl completion words WORD...`; the last word is the one to complete. Names come from the store
without decoding a value, so that they are there before the next key is pressed.
"""

from __future__ import annotations

from collections.abc import Sequence

from tortie.base.errors import TortieError
from tortie.cli.calicoctl.session import ClientError, Session
from tortie.cli.completing import scripts
from tortie.cli.options import BadUsage, Options

SCRIPTS = scripts("calicoctl")
COMMANDS = [
    "apply",
    "completion",
    "convert",
    "create",
    "delete",
    "datastore",
    "cluster",
    "get",
    "ipam",
    "label",
    "node",
    "patch",
    "replace",
    "validate",
    "version",
    "profile",
    "endpoint",
    "pool",
    "bgp",
    "status",
    "container",
    "checksystem",
    "diags",
    "config",
]
WORDS = {
    "ipam": "check configure info release show split",
    "node": "bgp checksystem diags remove run show status stop",
    "bgp": "default-node-as node-mesh peer",
    "config": "bgp felix get node set unset",
    "container": "add remove",
    "endpoint": "show",
    "pool": "add range remove show",
    "datastore": "migrate",
    "cluster": "diags",
    "completion": "bash fish zsh",
    "-o": "custom-columns= go-template= go-template-file= json name ps wide yaml",
}
WITH_KINDS = ("get", "delete", "patch", "label")
RULES = ("rule", "tag")


def completion(options: Options, session: Session) -> str:
    words = options.words
    if words[:1] == ("words",):
        return "".join(f"{word}\n" for word in candidates(words[1:], session))
    if len(words) != 1 or words[0] not in SCRIPTS:
        raise BadUsage(f"completion of {' '.join(words) or 'what'}? bash, zsh or fish")
    return SCRIPTS[words[0]]


def candidates(words: Sequence[str], session: Session) -> list[str]:
    """What the last word may become; nothing when the store does not answer."""
    *before, typed = words or ("",)
    return sorted(word for word in _offered(before, session) if word.startswith(typed))


def _offered(before: Sequence[str], session: Session) -> Sequence[str]:
    if before and before[-1] in ("-o", "--output"):
        return WORDS["-o"].split()
    plain = [word for word in before if not word.startswith("-")]
    if not plain:
        return COMMANDS
    if plain[0] in WITH_KINDS and len(plain) == 1:
        return _kinds()
    if plain[0] in WITH_KINDS and len(plain) >= 2:
        return _names(plain[1], session)
    if plain[0] == "profile":
        return _of_profile(plain[1:], session)
    if plain[:2] == ["bgp", "peer"] or plain[:3] == ["node", "bgp", "peer"]:
        return ("add", "remove", "show") if plain[-1] == "peer" else ()
    return WORDS.get(plain[0], "").split() if len(plain) == 1 else ()


def _of_profile(words: Sequence[str], session: Session) -> Sequence[str]:
    match words:
        case []:
            return [*_names("profile", session), "add", "remove", "show"]
        case ["remove"]:
            return _names("profile", session)
        case [_]:
            return RULES
        case [_, "rule"]:
            return ("add", "json", "remove", "show", "update")
        case [_, "rule", "add" | "remove"]:
            return ("inbound", "outbound")
        case [_, "tag"]:
            return ("add", "remove", "show")
        case [_, "rule", *_, "tag"]:
            return _names("profile", session)
    return ()


def _kinds() -> Sequence[str]:
    from tortie.model.kinds import KINDS

    return [kind.plural for kind in KINDS.values()]


def _names(word: str, session: Session) -> Sequence[str]:
    from tortie.cli.calicoctl.era3.kinds import kind_of

    try:
        kind = kind_of(word)
        with session.client() as client:
            return [kind.parse_key(kv.key)[1] for kv in client.datastore.list(kind.prefix).items]
    except (TortieError, ClientError):
        return ()
