"""Files put in place whole, with what was there before kept until it is wanted back."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RECORDS = "var/lib/tortie/rollout"


class Failed(Exception):
    """The step cannot be done; its text is for a person."""


class Place:
    """A host's file system, and what one plan has changed in it. `root`: `/`, or a directory that stands for it."""

    def __init__(self, root: str, plan: str) -> None:
        self.root = Path(root)
        self.records = self.root / RECORDS / plan
        self.marks = self.root / RECORDS / "marks"

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def record(self, name: str) -> Any:
        """What this plan wrote down before it changed something; None when it changed nothing."""
        return read(self.records / f"{name}.json")

    def write_record(self, name: str, value: Any) -> None:
        """Returns once it is on the disk: what is written down before a change must be there after a crash."""
        write(self.records / f"{name}.json", value)

    def mark(self, unit: str) -> dict[str, str]:
        """Of whatever plan: the content for which a unit was restarted last, and the process that it was before."""
        return read(self.marks / f"{unit}.json") or {}

    def write_mark(self, unit: str, content: str, was: str) -> None:
        write(self.marks / f"{unit}.json", {"content": content, "was": was})

    def drop_mark(self, unit: str) -> None:
        (self.marks / f"{unit}.json").unlink(missing_ok=True)

    def drop_records(self) -> None:
        """And what a write that was cut short has left, and the folders, where nothing else is in them."""
        for path in [*self.records.glob("*"), *self.marks.glob(".*")]:
            path.unlink()
        for folder in (self.records, self.marks, self.records.parent, self.records.parent.parent):
            _drop_empty(folder)


def have(path: Path) -> dict[str, Any] | None:
    """The file as it is: `text` in base64, and its mode; None when there is none."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise Failed(f"{path} is there and is no plain file: move it away")
    try:
        return {"text": base64.b64encode(path.read_bytes()).decode(), "mode": path.stat().st_mode & 0o7777}
    except FileNotFoundError:
        return None


def seal(state: Mapping[str, Any] | None) -> str:
    """A short digest of a file as it is; nothing for one that is absent."""
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16] if state else ""


def wanted(file: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": base64.b64encode(file["text"].encode()).decode(), "mode": file["mode"]}


def differences(place: Place, files: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """What would change, in words, with the digest of what is there now."""
    found = []
    for name in sorted(files):
        present = have(place.path(name))
        if present != wanted(files[name]):
            found.append({"text": f"{'change' if present else 'create'} {name}", "have": seal(present)})
    return found


def apply(place: Place, step: str, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Every file as wanted. All of what was there is written down first."""
    record = place.record(step) or {}
    kept, folders = record.setdefault("files", {}), record.setdefault("folders", [])
    changing = [name for name in sorted(files) if have(place.path(name)) != wanted(files[name])]
    for name in changing:
        kept.setdefault(name, have(place.path(name)))
        folders += [folder for folder in _missing_folders(place, name) if folder not in folders]
    if changing:
        place.write_record(step, record)
    for name in changing:
        put(place.path(name), files[name]["text"].encode(), files[name]["mode"])


def undo(place: Place, step: str, files: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Every file as it was. What others have changed since is told."""
    record = place.record(step) or {}
    notes = []
    for name, before in sorted(record.get("files", {}).items()):
        path = place.path(name)
        remove(_beside(path))
        present = have(path)
        if present == before:
            continue
        if name in files and present is not None and present != wanted(files[name]):
            beside = path.with_name(f"{path.name}.before-undo")
            put(beside, base64.b64decode(present["text"]), present["mode"])
            notes.append(f"{name} was changed by others since: their text is in {beside.name} beside it")
        if before is None:
            remove(path)
        else:
            put(path, base64.b64decode(before["text"]), before["mode"])
    for folder in reversed(record.get("folders", [])):
        _drop_empty(place.path(folder))
    return notes


def read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def write(path: Path, value: Any) -> None:
    put(path, json.dumps(value).encode(), 0o600)


def put(path: Path, data: bytes, mode: int) -> None:
    """All of it, on the disk, or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    sync(path.parent)


def remove(path: Path) -> None:
    """A host that is read-only is asked for nothing where there is nothing: else nothing could be undone there."""
    if os.path.lexists(path):
        path.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.rollout")


def sync(folder: Path) -> None:
    """What was renamed in it stays renamed, whatever happens to the power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _missing_folders(place: Place, name: str) -> list[str]:
    """From the outermost on."""
    parents = [str(parent) for parent in reversed(Path(name).parents)]
    return [parent for parent in parents if not place.path(parent).exists()]


def _drop_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # there is something in it, or it is gone already: both are fine
        return
