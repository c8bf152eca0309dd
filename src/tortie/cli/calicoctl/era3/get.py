"""`calicoctl get` in the 3 grammar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tortie.base.errors import Invalid, TortieError
from tortie.cli.calicoctl import output
from tortie.cli.calicoctl.era3.documents import DEFAULT_NAMESPACE, document, items_of_files
from tortie.cli.calicoctl.era3.kinds import columns_of, kind_of
from tortie.cli.calicoctl.era3.words import missing
from tortie.cli.calicoctl.session import Failed, Session
from tortie.cli.options import BadUsage, Options
from tortie.model.kinds.profile import DEFAULT_ALLOW, PROFILE
from tortie.model.resource import API_VERSION, Kind, Resource
from tortie.store.client import Client

EXPORT_DROPS = (
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)


class Group(NamedTuple):
    """The resources of one kind, in the order in which they are shown."""

    kind: Kind[Any]
    whole: bool
    found: list[Resource[Any]]


def get(options: Options, session: Session) -> str:
    asked = output.parse_format(options.value("--output", "ps"))
    if options.has("--namespace") and options.has("--all-namespaces"):
        raise Invalid("cannot use both --namespace and --all-namespaces flags at the same time")
    wanted = _wanted(options, session)
    errors: list[str] = []
    with session.client() as client:
        groups = _read(client, wanted, options, errors)
    text = _shown(groups, asked, options) if groups else ""
    if errors:
        raise Failed(text.rstrip("\n"), f"failed to get resources: {'; '.join(errors)}")
    return text


def _wanted(options: Options, session: Session) -> list[tuple[Kind[Any], str | None, str | None]]:
    """(kind, namespace, name) of all that is asked for; a name None stands for every resource of the kind."""
    files = options.values("--filename")
    namespace = options.value("--namespace") or None
    if files:
        if options.words:
            raise BadUsage("a KIND and --filename exclude each other")
        found, _ = items_of_files(session.sources, files, namespace=namespace, recursive=options.has("--recursive"))
        return [(item.resource.kind, item.resource.metadata.namespace, item.resource.name) for item in found]
    if not options.words:
        raise BadUsage("get needs a KIND or --filename")
    kinds = [kind_of(word) for word in options.words[0].split(",")]
    names = options.words[1:]
    if any(not name for name in names):
        raise Invalid("resource name may not be empty")
    if names and options.has("--all-namespaces"):
        raise Invalid("a resource cannot be retrieved by name across all namespaces")
    for kind in kinds:
        if namespace and not kind.namespaced:
            raise Invalid(f"{kind.name} is not namespaced")
    return [
        (kind, (namespace or DEFAULT_NAMESPACE) if kind.namespaced else None, name)
        for kind in kinds
        for name in (names or [None])
    ]


def _read(
    client: Client, wanted: Sequence[tuple[Kind[Any], str | None, str | None]], options: Options, errors: list[str]
) -> list[Group]:
    groups: dict[str, Group] = {}
    for kind, namespace, name in wanted:
        group = groups.setdefault(kind.name, Group(kind, name is None, []))
        try:
            if name is None:
                group.found.extend(every(client, kind, None if options.has("--all-namespaces") else namespace))
            elif found := find(client, kind, name, namespace):
                group.found.append(found)
            else:
                errors.append(missing(kind.name, name, namespace))
        except Invalid as error:
            errors += error.problems
        except TortieError as error:
            errors.append(str(error))
    return [group for group in groups.values() if group.whole or group.found]


def every(client: Client, kind: Kind[Any], namespace: str | None) -> list[Resource[Any]]:
    """All of one namespace, or of all with None. Profiles end with the built-in one, as in the original's lists."""
    found = [item for item in client.list(kind).items if namespace in (None, item.metadata.namespace)]
    if kind is PROFILE and all(item.name != DEFAULT_ALLOW.name for item in found):
        found.append(DEFAULT_ALLOW)
    return found


def find(client: Client, kind: Kind[Any], name: str, namespace: str | None) -> Resource[Any] | None:
    found = client.find(kind, name, namespace)
    return DEFAULT_ALLOW if found is None and kind is PROFILE and name == DEFAULT_ALLOW.name else found


def _shown(groups: Sequence[Group], asked: output.Format, options: Options) -> str:
    if asked.name == "name":
        return "".join(f"{group.kind.plural}/{item.name}\n" for group in groups for item in group.found)
    if asked.is_table:
        namespaces = options.has("--namespace") or options.has("--all-namespaces")
        return "".join(
            output.table(columns_of(group.kind, namespaces=namespaces), [document(item) for item in group.found], asked)
            for group in groups
        )
    exported = options.has("--export")
    parts = [_structured(group, exported) for group in groups]
    return output.structured(parts[0] if len(parts) == 1 else parts, asked)


def _structured(group: Group, exported: bool) -> dict[str, Any]:
    """The bare object for one that was named, else a list kind."""
    documents = [document(item) for item in group.found]
    if not group.whole and exported:
        for one in documents:
            one["metadata"] = {key: value for key, value in one["metadata"].items() if key not in EXPORT_DROPS}
    if len(documents) == 1 and not group.whole:
        return documents[0]
    revision = max((item.revision for item in group.found), default=0)
    return {
        "apiVersion": API_VERSION,
        "items": documents,
        "kind": f"{group.kind.name}List",
        "metadata": {"resourceVersion": str(revision)} if revision else {},
    }
