"""`calicoctl create`, `apply`, `replace`, `delete`, `validate`, `patch` and `label` in the 3 grammar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace as with_fields
from typing import TYPE_CHECKING, Any

import msgspec

from tortie.base.errors import Invalid, NotFound, TortieError
from tortie.base.sources import json_value
from tortie.cli.calicoctl import write
from tortie.cli.calicoctl.era3.documents import DEFAULT_NAMESPACE, Item, document, faults, item, items_of_files
from tortie.cli.calicoctl.era3.initial import initialise
from tortie.cli.calicoctl.era3.kinds import kind_of
from tortie.cli.calicoctl.era3.words import missing, reason, several
from tortie.cli.calicoctl.progress import Progress, each, failed, one_kind, partly, success
from tortie.cli.calicoctl.session import Failed, Session
from tortie.cli.options import BadUsage, Options
from tortie.model.admission import unwritable
from tortie.model.kinds.profile import PROFILE
from tortie.model.resource import Metadata, Resource
from tortie.store.client import Client

if TYPE_CHECKING:
    from tortie.policy.assertions import Assertion

VERBS = {"create": "created", "apply": "applied", "replace": "replaced", "delete": "deleted", "validate": "validated"}

Step = Callable[[Item], object]


def change(word: str, options: Options, session: Session) -> str:
    """create, apply, replace: everything is checked before the first resource is written."""
    items, ours = _items(options, session)
    if not items and not ours:
        return _nothing(options)
    _check(word, items)
    assertions = _assertions(ours)
    if word == "validate":
        return success(VERBS[word], len(items), _kind(items)) + "\n"
    with session.client() as client:
        if assertions:
            _hold(client, items, assertions)
        initialise(client)
        progress = each(items, _step(word, client, skip=options.has("--skip-exists")), stop=False)
    return _told(word, items, progress)


def delete(options: Options, session: Session) -> str:
    items = _items(options, session)[0] if options.values("--filename") else _named(options)
    if not items:
        return _nothing(options)
    with session.client() as client:
        progress = each(items, _step("delete", client, skip=options.has("--skip-not-exists")), stop=False)
    return _told("delete", items, progress)


def _items(options: Options, session: Session) -> tuple[list[Item], list[dict[str, Any]]]:
    files = options.values("--filename")
    if not files or options.words:
        raise BadUsage("this command needs --filename, and no other words")
    namespace = options.value("--namespace") or None
    try:
        return items_of_files(session.sources, files, namespace=namespace, recursive=options.has("--recursive"))
    except Invalid as error:
        raise Failed(err=f"failed to execute command: {several(error.problems)}") from error


def _named(options: Options) -> list[Item]:
    if len(options.words) < 2:
        raise BadUsage("delete needs a KIND and a NAME, or --filename")
    kind, names = kind_of(options.words[0]), options.words[1:]
    namespace = options.value("--namespace") or None
    if namespace and not kind.namespaced:
        raise Invalid(f"{kind.name} is not namespaced")
    if "" in names:
        raise Invalid("resource name may not be empty")
    inside = (namespace or DEFAULT_NAMESPACE) if kind.namespaced else None
    return [Item(Resource(kind=kind, metadata=Metadata(name=name, namespace=inside), spec=None)) for name in names]


def _nothing(options: Options) -> str:
    if options.has("--skip-empty"):
        return ""
    return "No resources specified\n"


def _check(word: str, items: Sequence[Item]) -> None:
    """Nothing is written while one of the resources could never be right."""
    found = [fault for item in items for fault in faults(item.resource)]
    if word == "create":
        found += [
            f"error with field Metadata.ResourceVersion = '{item.revision}' "
            "(field must not be set for a Create request)"
            for item in items
            if item.revision is not None
        ]
    if found:
        raise Failed(err=f"failed to {failed(word, len(items), _kind(items))}: [{several(tuple(found))}]")


def _step(word: str, client: Client, *, skip: bool) -> Step:
    def create(item: Item) -> None:
        try:
            write.create(client, item.resource)
        except write.Exists:
            if not skip:
                raise

    def remove(item: Item) -> None:
        try:
            write.delete(client, item.resource)
        except NotFound:
            if not skip:
                raise

    step: Step = {
        "create": create,
        "delete": remove,
        "apply": lambda item: write.apply(client, item.resource, item.revision),
        "replace": lambda item: write.replace(client, item.resource, item.revision),
    }[word]

    def allowed(item: Item) -> object:
        refused = unwritable(item.resource.kind, word, item.resource.name)
        if refused is not None:
            raise refused
        return step(item)

    return allowed


def _kind(items: Sequence[Item]) -> str:
    return one_kind(item.resource.kind.name for item in items)


def _told(word: str, items: Sequence[Item], progress: Progress[Item]) -> str:
    kind = _kind(items)
    if not progress.errors:
        return success(VERBS[word], progress.done, kind) + "\n"
    reasons = ", ".join(reason(item.resource, error) for item, error in progress.errors)
    if not progress.done:
        # `delete` kept the capital when the others lost it.
        beginning = "Failed" if word == "delete" else "failed"
        raise Failed(err=f"{beginning} to {failed(word, progress.total, kind)}: [{reasons}]")
    raise Failed(partly(VERBS[word], progress.done, progress.total, kind), f"hit error: [{reasons}]")


def _assertions(ours: Sequence[dict[str, Any]]) -> list[Assertion]:
    """Raises Invalid."""
    if not ours:
        return []
    from tortie.cli.calicoctl.era3.assertions import parsed

    return parsed(ours)


def _hold(client: Client, items: Sequence[Item], assertions: Sequence[Assertion]) -> None:
    """The assertions of the files, on the store as it would be. Raises Failed when one would not hold."""
    from tortie.cli.calicoctl.era3.assertions import broken

    found = broken(client, [item.resource for item in items], assertions)
    if found:
        raise Failed(err="\n".join(["failed to execute command: nothing was changed", *found]))


# patch and label


def patch(options: Options, session: Session) -> str:
    kind, name, namespace = _one(options, "patch")
    text = options.value("--patch")
    if not text:
        raise BadUsage("patch needs --patch")
    how = options.value("--type", "strategic")
    if how not in ("strategic", "json", "merge"):
        raise Invalid(f"unrecognized patch type '{how}'")
    if how != "strategic":
        raise Invalid(f"patch type '{how}' is not implemented; only strategic is")
    changes = _patch_of(text)
    with session.client() as client:
        try:
            there = _there(client, kind, name, namespace)
            wanted = item(merged(document(there), changes), namespace)
            if (wanted.resource.kind, wanted.resource.key) != (kind, there.key):
                raise Invalid("a patch cannot change the kind, the name or the namespace")
            write.replace(client, wanted.resource, there.revision)
        except TortieError as error:
            raise Failed(
                err=f"failed to patch '{kind.name}' resource: [{_why(kind, name, namespace, error)}]"
            ) from error
    return f"Successfully patched 1 '{kind.name}' resource\n"


def _patch_of(text: str) -> dict[str, Any]:
    try:
        raw = json_value(text)
    except Invalid as error:
        raise Invalid(f"the patch is no JSON: {error}") from error
    if not isinstance(raw, dict):
        raise Invalid("the patch is no JSON object")
    return raw


def merged(base: Any, changes: Any) -> Any:
    """Objects are merged field by field, a null removes, a list replaces: no list of these kinds has a merge key."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    found = {key: value for key, value in base.items() if key not in changes}
    for key, value in changes.items():
        if key.startswith("$"):
            raise Invalid(f"patch directive {key} is not supported")
        if value is not None:
            found[key] = merged(base.get(key, {} if isinstance(value, dict) else None), value)
    return found


def label(options: Options, session: Session) -> str:
    if len(options.words) != 3:
        raise BadUsage("label needs a KIND, a NAME and KEY=VALUE, or KEY with --remove")
    kind, name, namespace = _one(options, "label", words=3)
    key, equals, value = options.words[2].partition("=")
    remove = options.has("--remove")
    if not key or bool(equals) == remove:
        raise BadUsage("label needs KEY=VALUE, or KEY with --remove")
    with session.client() as client:
        try:
            return _label(client, _there(client, kind, name, namespace), key, None if remove else value, options)
        except TortieError as error:
            why = _why(kind, name, namespace, error)
            raise Failed(err=f"failed to update label of {kind.name} {name}: {why}") from error


def _label(client: Client, there: Resource[Any], key: str, value: str | None, options: Options) -> str:
    labels = dict(there.metadata.labels)
    what = f"{there.kind.name} {there.name}"
    if value is None:
        if key not in labels:
            raise Invalid(f"can not remove label of {what}, key {key} does not exist")
        del labels[key]
        done = f"Successfully removed label {key} from {what}"
    else:
        if key in labels and labels[key] != value and not options.has("--overwrite"):
            raise Failed(
                err=f"failed to update label of {what}, key {key} is already present. "
                "please use '--overwrite' to set a new value"
            )
        done = f"Successfully {'updated' if key in labels else 'set'} label {key} on {what}"
        labels[key] = value
    metadata = msgspec.structs.replace(there.metadata, labels=labels)
    write.replace(client, with_fields(there, metadata=metadata), there.revision)
    return done + "\n"


def _one(options: Options, command: str, words: int = 2) -> tuple[Any, str, str | None]:
    if len(options.words) != words:
        raise BadUsage(f"{command} needs a KIND and a NAME")
    kind, name = kind_of(options.words[0]), options.words[1]
    namespace = options.value("--namespace") or None
    if namespace and not kind.namespaced:
        raise Invalid(f"{kind.name} is not namespaced")
    if kind is PROFILE and name == "projectcalico-default-allow":
        raise Invalid(f"Profile {name} is built in and cannot be changed")
    return kind, name, (namespace or DEFAULT_NAMESPACE) if kind.namespaced else None


def _there(client: Client, kind: Any, name: str, namespace: str | None) -> Resource[Any]:
    found: Resource[Any] = client.get(kind, name, namespace)
    return found


def _why(kind: Any, name: str, namespace: str | None, error: TortieError) -> str:
    if isinstance(error, NotFound):
        return missing(kind.name, name, namespace)
    return several(error.problems) if isinstance(error, Invalid) else str(error)
