"""The steps of one host: what each would change, doing it, undoing it. Each may be cut short anywhere and done again.

A unit that must read what was undone is restarted by the last undoing of all, `gate`: by then everything that it reads
is as before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from tortie.packages.rollout.hand import artefact, files, gate
from tortie.packages.rollout.hand.files import Failed, Place
from tortie.packages.rollout.hand.units import Units, run

Want = dict[str, Any]
PLAIN = ("configuration", "cni", "net-modules")
SETTLE = 5.0
REFUSED = 4
"""The exit code of a command of ours that has done nothing."""


class Refused(Failed):
    """Nothing was done."""


class Hand:
    """`want`: what the host shall be, as `inventory.want` writes it; where no unit of a node is named, a node is
    somebody else's. `apart`: the program that restarts the agent's unit for a hand that stands on it (`systemd-run`).
    `rolled`: names and addresses of hosts that have passed their gate. `force`: a node is undone under its endpoints,
    too."""

    def __init__(
        self,
        place: Place,
        want: Want,
        systemctl: str,
        apart: str = "",
        rolled: Sequence[str] = (),
        *,
        force: bool = False,
    ) -> None:
        self.place, self.want, self._apart, self._rolled, self._force = place, want, apart, rolled, force
        self.patience: float = want.get("patience", 120.0)
        self.units = Units(place, systemctl, self.patience)
        self._socket = place.path(want["node"]["socket"])

    def delta(self) -> dict[str, list[dict[str, str]]]:
        """What every step would change; a step that would change nothing is left out."""
        found = {"artefact": artefact.delta(self.place, self.want["artefact"])}
        for step in PLAIN:
            found[step] = files.differences(self.place, self._files(step))
        found["agent"] = self._unit_delta(self._agent(), "agent") if self._agent() else []
        found["node"] = files.differences(self.place, self._files("node"))
        found["node"] += self._unit_delta(self._node(), "node") if self._node() else []
        return {step: changes for step, changes in found.items() if changes}

    def apply(self, step: str, payload: bytes, compiled: dict[str, Any] | None = None) -> list[str]:
        """Notes for a person. `compiled`: what byte code comes at the payload's end."""
        self._remember()
        if step == "artefact":
            artefact.apply(self.place, self.want["artefact"], payload, compiled)
        elif step in PLAIN:
            files.apply(self.place, step, self._files(step))
        elif step == "agent":
            if self._agent():
                self._restart(self._agent(), "agent")
        elif step == "node":
            if self._node():
                self._bring_node()
        else:
            before = self.place.record("before") or {}
            return [self._gate(before, [*before.get("peers", ()), *self._rolled])]
        return []

    def undo(self, step: str) -> list[str]:
        """Notes for a person."""
        before = self.place.record("before")
        if before is None:  # nothing was done here, or all of it is undone
            if step == "gate":
                self.place.drop_records()
            return []
        if step == "artefact":
            artefact.undo(self.place)
        elif step in PLAIN:
            return files.undo(self.place, step, self._files(step))
        elif step == "node":
            return self._undo_node(before)
        elif step == "gate":
            self._settle(before)
        return []

    def _remember(self) -> None:
        """How the host was before the first step."""
        if self.place.record("before") is not None:
            return
        node, agent = self._node(), self._agent()
        self.place.write_record(
            "before",
            {
                "node": self.units.active(node) if node else gate.answers(self._socket),
                "there": self._unit_file(),
                "enabled": bool(node) and self.units.enabled(node),
                "marks": {unit: self.place.mark(unit).get("content") for unit in (node, agent) if unit},
                "endpoints": gate.endpoints_up(self._socket),
                "peers": gate.peers_reached(self._socket) if self._probes else [],
            },
        )

    def _bring_node(self) -> None:
        files.apply(self.place, "node", self._files("node"))
        self.units.order("daemon-reload")
        self.units.order("enable", self._node())
        self._restart(self._node(), "node")

    def _gate(self, before: dict[str, Any], peers: Sequence[str]) -> str:
        if not self._node() and not before.get("node") and not gate.answers(self._socket):
            return "no node is here, and none was asked for"
        settle = self.want.get("settle", SETTLE)
        asked = peers if self._probes else None
        return gate.wait(self._socket, before.get("endpoints", ()), asked, settle, self.patience)

    @property
    def _probes(self) -> bool:
        return bool(self.want.get("probe", True))

    def _undo_node(self, before: dict[str, Any]) -> list[str]:
        """A node that ran before goes on until `gate` restarts it, one that was there and did not run ends; one that
        was not there gives the host back; one of somebody else is not touched."""
        node, notes = self._node(), list[str]()
        if not node:
            return []
        if not before["node"] and self._unit_file():
            if before.get("there"):
                self.units.order("stop", node)
            else:
                notes += self._give_back(node)
        if not before["enabled"] and self._unit_file():
            self.units.order("disable", node)
        notes += files.undo(self.place, "node", self._files("node"))
        self.units.order("daemon-reload")
        return notes

    def _give_back(self, node: str) -> list[str]:
        """What is left as it is."""
        try:
            if not self._force:
                self._uninstall("--dry-run")
            self.units.order("stop", node)
            return [line for line in self._uninstall() if line.startswith("left ")]
        except Refused:  # there are containers, or one came while the node was ended: they are to have their network
            self.units.order("start", node)
            raise

    def _uninstall(self, *words: str) -> list[str]:
        """What the program says that was brought here. It reads the configuration, and leaves the unit to this hand."""
        program = artefact.program(self.place, self.want["artefact"]["name"])
        forced = ("--force",) if self._force else ()
        done = run([program, "node", "uninstall", "--unit", "", *forced, *words], self.patience)
        if done.returncode != 0:
            failed = Refused if done.returncode == REFUSED else Failed
            raise failed(f"tortie node uninstall: {(done.stderr or done.stdout).strip()}")
        return done.stdout.splitlines()

    def _settle(self, before: dict[str, Any]) -> None:
        for unit, content in before["marks"].items():
            changed = self.place.mark(unit).get("content")
            if changed is None or changed == content:
                continue
            if unit != self._node() or before["node"]:
                self.units.restart(unit, content or f"before {self.place.records.name}", self._apart_from(unit))
        if before["node"]:
            self._gate(before, before.get("peers", ()))
        artefact.clean(self.place, self.want["artefact"]["name"])
        for unit, content in before["marks"].items():
            if content is None:
                self.place.drop_mark(unit)
        self.place.drop_records()

    def _restart(self, unit: str, step: str) -> None:
        self.units.restart(unit, self._content(step), self._apart_from(unit))

    def _apart_from(self, unit: str) -> str:
        return self._apart if unit == self._agent() else ""

    def _unit_delta(self, unit: str, step: str) -> list[dict[str, str]]:
        if self.units.restarted(unit, self._content(step)):
            return []
        return [{"text": f"restart {unit}", "have": self.place.mark(unit).get("content", "")}]

    def _content(self, step: str) -> str:
        """All that the unit of this step reads at its start. Programs are started for each container: an agent looks
        only for their names."""
        read: list[Any]
        if step == "node":
            read = [self.want["artefact"]["name"], self._files("configuration"), self._files("node")]
        else:
            found = {**self._files("cni"), **self._files("net-modules")}
            read = [name if file["mode"] & 0o111 else [name, file] for name, file in sorted(found.items())]
        return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()[:16]

    def _unit_file(self) -> bool:
        return any(self.place.path(name).exists() for name in self._files("node"))

    def _files(self, step: str) -> dict[str, Any]:
        found: dict[str, Any] = self.want["files"].get(step, {})
        return found

    def _node(self) -> str:
        return str(self.want["node"]["unit"])

    def _agent(self) -> str:
        return str(self.want.get("agent") or "")
